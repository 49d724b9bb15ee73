// `npm run size`: what the bytes of the addon are for, after `npm run build` on Linux, x64. --map=FILE: another map of
// the linker. Fails if the addon is larger than it may be.
import { existsSync, readFileSync, statSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { sizesOf } from './lib/addon-map.mjs'
import { ADDON_MAP, addonPath, MAX_ADDON_SIZE } from './lib/build.mjs'
import { main, say, StepError } from './lib/steps.mjs'

/** Rows below this many bytes are one row. */
const SMALL = 10_000

await main(async () => {
  const { values } = parseArgs({ options: { map: { type: 'string', default: ADDON_MAP } } })
  if (!existsSync(values.map))
    throw new StepError('there is no map of the linker: run `npm run build` before')
  const rows = sizesOf(readFileSync(values.map, 'utf8'))
  const small = rows.filter(({ total }) => total < SMALL)
  const all = sum(rows, 'in all')
  const shown = [...rows.filter(({ total }) => total >= SMALL), sum(small, `${small.length} more`), all]
  const width = Math.max(...shown.map(({ name }) => name.length))
  const columns = ['code', 'constants', 'unwinding', 'total']
  say(['kB'.padEnd(width), ...columns.map((each) => each.padStart(10))].join(' '))
  for (const row of shown) {
    const numbers = columns.map((each) => (row[each] / 1000).toFixed(1).padStart(10))
    say([row.name.padEnd(width), ...numbers].join(' '))
  }
  if (values.map !== ADDON_MAP) return
  const { size } = statSync(addonPath())
  say(`The addon has ${size} bytes. It may have ${MAX_ADDON_SIZE}.`)
  if (Math.abs(size - all.total) > size / 100)
    throw new StepError('the map is not of this addon: run `npm run build`')
  if (size > MAX_ADDON_SIZE)
    throw new StepError(`the addon is too large: scripts/lib/build.mjs says why there is a bound`)
})

function sum(rows, name) {
  const total = { name, code: 0, constants: 0, unwinding: 0, total: 0 }
  for (const row of rows)
    for (const each of ['code', 'constants', 'unwinding', 'total']) total[each] += row[each]
  return total
}

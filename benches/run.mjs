// `npm run bench`: builds the benches and the addon as for a release, measures, and prints one table. --quick: fewer
// and shorter rounds. --rust, --addon: only one half. A missed target is printed; it is not a failure.
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { buildAddon, buildTypeScript, ensureInstalled } from '../scripts/lib/build.mjs'
import { heading, main, run, say, seconds } from '../scripts/lib/steps.mjs'
import { addonTable, rustTables } from './report.mjs'

await main(async () => {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      rust: { type: 'boolean', default: false },
      addon: { type: 'boolean', default: false },
    },
  })
  const both = values.rust === values.addon
  await ensureInstalled()
  const build = ['--profile', 'bench', '-p', 'datatrack-bench']
  if (both || values.rust) await run('cargo', ['build', ...build])
  if (both || values.addon) {
    await buildAddon({ profile: 'release' })
    await buildTypeScript()
  }

  const start = performance.now()
  const [processor] = cpus()
  heading(
    `Node.js ${process.version}, ${process.platform} ${process.arch}, ${cpus().length} × ${processor?.model.trim()}`,
  )
  say('ns per frame: the median of the rounds, and in brackets the least and the most.')
  if (both || values.rust) {
    const quick = values.quick ? ['--quick'] : []
    const { output } = await run('cargo', ['run', '--quiet', ...build, '--', ...quick], { capture: true })
    rustTables(
      output
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
    )
  }
  if (both || values.addon) {
    const { addonRows } = await import('./addon.mjs')
    const rows = []
    for await (const row of addonRows({ quick: values.quick })) rows.push(row)
    addonTable(rows)
  }
  say(`\nMeasured in ${seconds(start)}.`)
})

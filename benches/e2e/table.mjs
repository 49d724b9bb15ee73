// What is measured, its targets, and the table.
import { peers } from './peers.mjs'

const ROOM = 'an idle room'
const whole = (value) => Math.round(value).toLocaleString('en-US')
const fixed = (digits) => (value) => value.toFixed(digits)
/** Fewer digits for larger numbers. */
const short = (value) => (Math.abs(value) >= 100 ? whole(value) : fixed(Math.abs(value) >= 10 ? 1 : 2)(value))

const more = (wanted = {}) => ({ more: true, ...wanted })
const less = (wanted = {}) => ({ more: false, ...wanted })

/**
 * By key: the label; whether more is better; how it is written; and the target: `ratio` to the best peer (or to `of`),
 * `absolute`; `equal`: no more than another row of ours; or `beside` a row of ours, at most or at least `times` it.
 */
const ROWS = {
  'rate 256 B': ['256 B: highest rate, frames/s', more({ write: whole, ratio: 4, absolute: 20_000 })],
  'most 256 B': ['256 B: most delivered, frames/s', more({ write: whole })],
  'rate 4 KiB': ['4 KiB: highest rate', more({ write: whole, ratio: 2, absolute: 4000 })],
  'most 4 KiB': ['4 KiB: most delivered', more({ write: whole })],
  'rate 15 KiB': ['15 KiB: highest rate', more({ write: whole, ratio: 2, absolute: 1000 })],
  'most 15 KiB': ['15 KiB: most delivered', more({ write: whole })],
  'rate 200 KiB': ['200 KiB: highest rate', more({ write: whole, absolute: 45 })],
  'most 200 KiB': ['200 KiB: most delivered', more({ write: whole })],
  'p50 256 B, 100/s': ['256 B at 100/s: latency p50, ms', less({ ratio: 0.7 })],
  'p99 256 B, 100/s': ['256 B at 100/s: p99', less({ ratio: 0.5 })],
  'p50 256 B, 1,000/s': ['256 B at 1,000/s: p50', less()],
  'p99 256 B, 1,000/s': ['256 B at 1,000/s: p99', less()],
  'p50 15 KiB, 50/s': ['15 KiB at 50/s: p50', less({ ratio: 0.5 })],
  'p99 15 KiB, 50/s': ['15 KiB at 50/s: p99', less({ ratio: 0.5 })],
  'cpu publisher 500/s': [
    '1 KiB at 500/s: CPU s per 100,000 frames, publisher',
    less({ ratio: 1 / 3, of: 'rtc-node' }),
  ],
  'cpu pacing 500/s': ['… the bench’s own pacing, taken off', less()],
  'cpu subscriber 500/s': ['… subscriber', less({ ratio: 1 / 4, of: 'rtc-node' })],
  'cpu delivered 500/s': ['… delivered, %', more()],
  'cpu publisher 5,000/s': ['1 KiB at 5,000/s: the same, publisher', less({ ratio: 1 / 10, of: 'rtc-node' })],
  'cpu pacing 5,000/s': ['… the bench’s own pacing, taken off', less()],
  'cpu subscriber 5,000/s': ['… subscriber', less({ ratio: 1 / 10, of: 'rtc-node' })],
  'cpu delivered 5,000/s': ['… delivered, %', more()],
  'memory publisher': ['1 KiB at 500/s: peak resident memory, MB, publisher', less()],
  'memory subscriber': ['… subscriber', less()],
  'tracks delivered': ['20 tracks of 50/s, 1 KiB: delivered, %', more()],
  'far MB/s': ['15 KiB to a server 40 ms away: most delivered, MB/s', more({ absolute: 10 })],
  'seldom 36 kB near': ['a frame of 36 kB each second, 0.2 ms away: delivered, %', more()],
  'seldom 200 kB near': ['… of 200 kB', more()],
  'seldom 36 kB far': ['… of 36 kB, 40 ms away', more()],
  'seldom 200 kB far': ['… of 200 kB, 40 ms away', more()],
  'p50 1 KiB direct': ['1 KiB at 200/s over UDP, directly: p50, ms', less()],
  'p50 1 KiB relay/udp': [
    '… through the server’s own relay over UDP',
    less({ beside: 'p50 1 KiB direct', times: 2 }),
  ],
  'p50 1 KiB relay/tls': ['… over TLS', less({ beside: 'p50 1 KiB direct', times: 2 })],
  'p99 1 KiB direct': ['… directly: p99, ms', less()],
  'p99 1 KiB relay/udp': ['… through the relay over UDP', less()],
  'p99 1 KiB relay/tls': ['… over TLS', less()],
  'most 15 KiB direct': ['15 KiB over UDP, directly: most delivered, MB/s', more()],
  'most 15 KiB relay/udp': [
    '… through the relay over UDP',
    more({ beside: 'most 15 KiB direct', times: 0.6 }),
  ],
  'most 15 KiB relay/tls': ['… over TLS', more({ beside: 'most 15 KiB direct', times: 0.6 })],
  'start publisher': [
    'start of a publisher → its first frame arrives, ms',
    less({ ratio: 0.6, of: 'rtc-node' }),
  ],
  'start subscriber': ['start of a subscriber → its first frame', less({ ratio: 0.6, of: 'rtc-node' })],
  'threads 1': [`threads with ${ROOM}`, less({ write: whole })],
  'threads 2': ['… two', less({ write: whole, equal: 'threads 1' })],
  'threads 10': ['… ten', less({ write: whole, equal: 'threads 1' })],
  'room 1': [`memory of ${ROOM}, MB: the first`, less({ absolute: 11 })],
  'room 2': ['… the second', less({ absolute: 2 })],
  'room 3 to 10': ['… each of the next eight', less({ absolute: 2 })],
  'rpc p50': ['RPC of 100 B, round trip p50, ms', less({ ratio: 0.5 })],
  'rpc p99': ['… p99', less({ ratio: 1 })],
  'rpc 14 kB p50': ['RPC of 14 kB: p50', less({ ratio: 0.7 })],
  'rpc 14 kB p99': ['… p99', less()],
  'rpc 100 kB p50': ['RPC of 100 kB: p50', less({ ratio: 0.8 })],
  'rpc 100 kB p99': ['… p99', less({ ratio: 1 })],
  'rpc flood p50': ['RPC beside a flood of frames: p50, ms', less()],
  'rpc flood p99': ['… p99', less()],
  'rpc flood over idle': ['… p99 above the idle p50', less({ absolute: 50 })],
  'stream MB/s': ['byte stream of 50 MB, MB/s', more({ ratio: 3 })],
  'stream cpu publisher': ['… CPU s for 50 MB, publisher', less()],
  'stream cpu subscriber': ['… subscriber', less()],
  'stream cpu server': ['… the server', less()],
  'streams MB/s': ['eight of them at once, MB/s in all', more()],
  'streams rpc p50': ['… RPC between: p50, ms', less()],
  'streams rpc p99': ['… p99', less()],
  'installed MB': ['installed, MB', less({ absolute: 10 })],
  'binary MB': ['native binary, MB', less({ absolute: 6.6 })],
  'import ms': ['import, ms over bare Node.js or Python', less()],
  'import MB': ['… resident memory, MB', less()],
  'require ms': ['require, ms', less({ absolute: 25 })],
  'require MB': ['… resident memory, MB', less()],
  'room ms': ['the same with the native part loaded, ms', less()],
  'room MB': ['… resident memory, MB', less()],
  'connect CPU ms': [
    'CPU time of an import and a first connect, ms over bare Node.js or Python',
    less({ absolute: 85 }),
  ],
}

const value = (results, kind, key) => results[kind]?.[key]?.best ?? undefined

/** The table as rows of cells, the head first. */
export function cells(results) {
  const kinds = Object.keys(results)
  const others = kinds.filter((kind) => kind !== 'ours')
  const head = ['', ...kinds.map((kind) => peers[kind].title()), 'ours ÷ best other', 'wanted', '']
  const rows = Object.entries(ROWS)
    .filter(([key]) => kinds.some((kind) => value(results, kind, key) !== undefined))
    .map(([key, [label, { write = short, ...wanted }]]) => {
      const ours = value(results, 'ours', key)
      const theirs = others.map((kind) => value(results, kind, key)).filter((each) => each !== undefined)
      const best = theirs.length > 0 ? (wanted.more ? Math.max : Math.min)(...theirs) : undefined
      const ratio = ours !== undefined && best > 0 ? `${(ours / best).toFixed(2)}×` : ''
      const figures = kinds.map((kind) => figure(results[kind]?.[key], write))
      return [label, ...figures, ratio, ...verdict(results, key, best, wanted)]
    })
  return [head, ...rows]
}

function figure(found, write) {
  if (typeof found?.best !== 'number') return '–'
  // No rate passed, not even the lowest one.
  return found.best === 0 && found.lowest !== undefined ? `< ${found.lowest}` : write(found.best)
}

function verdict(results, key, best, { more, ratio, of, absolute, equal, beside, times }) {
  const ours = value(results, 'ours', key)
  const said = []
  let met = true
  const meets = (bound) => (more ? ours >= bound : ours <= bound)
  const word = more ? 'at least' : 'at most'
  if (absolute !== undefined) {
    said.push(`${word} ${absolute.toLocaleString('en-US')}`)
    met &&= meets(absolute)
  }
  if (ratio !== undefined) {
    const other = of === undefined ? best : value(results, of, key)
    said.push(`${word} ${Number(ratio.toFixed(2))}×${of === undefined ? '' : ` ${of}’s`}`)
    if (other === undefined) return [said.join(', '), '']
    met &&= meets(ratio * other)
  }
  if (beside !== undefined) {
    said.push(`${word} ${times}× directly`)
    met &&= meets(times * value(results, 'ours', beside))
  }
  if (equal !== undefined) {
    said.push('no more')
    met &&= ours <= value(results, 'ours', equal)
  }
  if (said.length === 0) return ['', '']
  return [said.join(', '), ours === undefined ? '' : met ? 'met' : 'MISSED']
}

/** A Markdown table with aligned columns. */
export function markdown(rows) {
  const widths = rows[0].map((_, column) => Math.max(3, ...rows.map((row) => row[column].length)))
  const line = (row) => `| ${row.map((cell, column) => cell.padEnd(widths[column])).join(' | ')} |`
  const [head, ...rest] = rows
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rest.map(line)].join('\n')
}

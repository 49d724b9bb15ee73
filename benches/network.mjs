// `npm run bench:network`: our SCTP engine and the one that str0m has by itself over bad networks, on virtual time, in
// one run. --quick: shorter measurements, and noisier. Words after it: only rows whose names contain them. --server: both
// engines in addons, through a real LiveKit server behind a bad network, in real time. A missed target is printed; it is
// not a failure.
import { parseArgs } from 'node:util'
import { heading, main, run, say, seconds } from '../scripts/lib/steps.mjs'
import { table } from './report.mjs'

const ENGINES = ['stock', 'NewReno', 'delay-gated']
const EXAMPLE = [
  '--quiet',
  '--profile',
  'bench',
  '--manifest-path',
  '__test__/sctp/Cargo.toml',
  '--example',
  'network',
]
const LOSSLESS = '20 Mbit/s, 40 ms, 1 KiB, 0 %'

/** What the delay-gated controller is to reach: the row, the words for it, and how far it is from its figures. */
const TARGETS = [
  ...[
    ['0', 0.98],
    ['0.1', 0.93],
    ['1', 0.88],
    ['5', 0.6],
  ].map(([loss, share]) => [
    `20 Mbit/s, 40 ms, 1 KiB, ${loss} %`,
    `≥ ${share * 100} % of stock without loss`,
    (ours, of) => ours.goodput >= share * of(LOSSLESS, 'stock').goodput,
  ]),
  ['20 Mbit/s, 40 ms, 15 kB, 1 %', '≥ 70 % of the line', (ours) => ours.goodput >= 0.7 * 2.5],
  ['20 Mbit/s, 40 ms, 15 kB, 1 %', '≥ 99 % delivered', (ours) => ours.delivered >= 0.99],
  ['100 Mbit/s, 40 ms, 1 KiB, 1 %', '≥ 10 MB/s, p99 ≤ 60 ms', (ours) => ours.goodput >= 10 && ours.p99 <= 60],
  ...[
    [10, 0.7],
    [50, 0.9],
    [200, 0.9],
  ].map(([queue, share]) => [
    `beside, queue ${queue} ms`,
    `the stock flow keeps ≥ ${share * 100} %`,
    (ours, of, row) => ours['stock flow'] >= share * of(row, 'stock')['stock flow'],
  ]),
  ['alone, queue 2 ms', '≤ 0.5 % dropped', (ours) => ours.dropped <= 0.005],
  ...[
    ['1 ms, 128 KiB', 8],
    ['1 ms, 1 MB', 40],
    ['40 ms, 200 Mbit/s, 1 MB', 40],
  ].map(([what, times]) => [
    `cost, ${what} in flight`,
    `≥ ${times} × less than stock`,
    (ours, of, row) => ours['ms per MB'] * times <= of(row, 'stock')['ms per MB'],
  ]),
]

const FIGURES = {
  goodput: (value) => `${value.toFixed(2)} MB/s`,
  delivered: (value) => `${(value * 100).toFixed(1)} % delivered`,
  p99: (value) => `p99 ${value.toFixed(0)} ms`,
  'stock flow': (value) => `stock flow ${value.toFixed(2)} MB/s`,
  dropped: (value) => `${(value * 100).toFixed(2)} % dropped`,
  'ms per MB': (value) => `${value.toFixed(1)} ms per MB`,
}

const cell = (figures) =>
  Object.entries(FIGURES)
    .filter(([name]) => figures?.[name] !== undefined)
    .map(([name, text]) => text(figures[name]))
    .join(', ')

await main(async () => {
  const { values, positionals } = parseArgs({
    options: { quick: { type: 'boolean', default: false }, server: { type: 'boolean', default: false } },
    allowPositionals: true,
  })
  if (values.server) {
    const { throughServer } = await import('./network-server.mjs')
    await throughServer(values.quick)
    return
  }
  await run('cargo', ['build', ...EXAMPLE])
  const start = performance.now()
  const quick = values.quick ? ['--quick'] : []
  const { output } = await run('cargo', ['run', ...EXAMPLE, '--', ...quick, ...positionals], {
    capture: true,
  })
  const found = output
    .trim()
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line))
  const of = (row, engine) => found.find((line) => line.row === row && line.engine === engine)
  const rows = [...new Set(found.map(({ row }) => row))]
  heading('SCTP over bad networks, on virtual time')
  table(
    ['', ...ENGINES],
    rows.map((row) => [row, ...ENGINES.map((engine) => cell(of(row, engine)))]),
  )
  heading('Targets of the delay-gated controller')
  table(
    ['', 'to reach', ''],
    TARGETS.filter(([row]) => rows.includes(row) && rows.includes(LOSSLESS)).map(([row, words, met]) => [
      row,
      words,
      met(of(row, 'delay-gated'), of, row) ? 'met' : 'MISSED',
    ]),
  )
  say(`\nMeasured in ${seconds(start)}.`)
})

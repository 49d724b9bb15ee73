import { expect, test } from 'vitest'
import { LatencyHistogram } from '../../src/cli/histogram'
import { decimals, layOut, LiveBlock } from '../../src/cli/table'

test('percentiles are accurate to 2.5 %, from a microsecond to an hour', () => {
  const histogram = new LatencyHistogram()
  expect(histogram.percentile(0.5)).toBeUndefined()
  for (let ms = 1; ms <= 1000; ms += 1) histogram.record(ms)
  expect(Math.abs(histogram.percentile(0.5)! / 500 - 1)).toBeLessThan(0.026)
  expect(Math.abs(histogram.percentile(0.99)! / 990 - 1)).toBeLessThan(0.026)
  histogram.clear()
  for (const ms of [-1, 0, 0.002, 3_600_000]) histogram.record(ms)
  expect(histogram.count).toBe(4)
  expect(Math.abs(histogram.percentile(1)! / 3_600_000 - 1)).toBeLessThan(0.026)
  expect(histogram.percentile(0.25)).toBeLessThan(0.0011)
})

test('a table aligns the first column to the left and numbers to the right, and does not pad the last column', () => {
  expect(
    layOut(
      ['track', 'rate', 'notes'],
      [
        ['imu', '1000', 'a'],
        ['telemetry', '9', 'longer than its heading'],
      ],
    ),
  ).toEqual([
    'track      rate  notes',
    '─────────  ────  ───────────────────────',
    'imu        1000  a',
    'telemetry     9  longer than its heading',
  ])
  expect(decimals(1.234, 2)).toBe('1.23')
  expect(decimals(undefined, 2)).toBe('–')
})

test('a live block moves the cursor up by the lines that it drew, and cuts lines that would wrap', () => {
  const written: string[] = []
  const out = { columns: 6, write: (text: string) => written.push(text) } as unknown as NodeJS.WriteStream
  const block = new LiveBlock(out)
  block.draw(['123456789', 'b'])
  block.draw(['c'])
  expect(written).toEqual(['\u001b[2K12345\n\u001b[2Kb\n', '\u001b[2A\u001b[2Kc\n'])
})

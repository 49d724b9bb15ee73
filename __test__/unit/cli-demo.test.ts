import { afterEach, expect, test, vi } from 'vitest'
import { demo, DemoExit } from '../../src/cli/demo'

function captured(): string[] {
  const lines: string[] = []
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    lines.push(...String(text).split('\n').filter(Boolean))
    return true
  })
  return lines
}

afterEach(() => {
  vi.restoreAllMocks()
})

const never = new AbortController().signal

test('the demo shows three data tracks and a tone that arrive, and ends by itself', async () => {
  const lines = captured()
  expect(await demo({ seconds: 1.5, json: false, network: {} }, never)).toBe(DemoExit.Ok)
  expect(lines[0]).toBe(
    'Publishing three data tracks and a tone through the in-process loopback and reading them back, 1.5 s.',
  )
  for (const track of ['telemetry', 'joints', 'points', 'tone']) {
    expect(lines.some((line) => line.startsWith(`${track}: `))).toBe(true)
    expect(lines.some((line) => line.startsWith(`${track} `))).toBe(true)
  }
  expect(lines.at(-2)).toMatch(/^tone .* audio, beeps of 440 Hz; heard: 440 Hz$/)
  expect(lines.at(-1)).toMatch(/^[\d,]+ of [\d,]+ frames arrived \(\d+\.\d\d %\)\.$/)
})

test('with --json the demo prints one object per line, and a summary of each track that closes', async () => {
  const lines = captured()
  await demo({ seconds: 1.5, json: true, network: {} }, never)
  const objects = lines.map((line) => JSON.parse(line) as Record<string, unknown>)
  expect(objects[0]).toEqual({ type: 'start', where: 'the in-process loopback', seconds: 1.5 })
  const summaries = objects.filter(({ type }) => type === 'summary')
  expect(summaries.map(({ track }) => track)).toEqual(['telemetry', 'joints', 'points', 'tone'])
  for (const summary of summaries) {
    expect(summary['receivedFrames']).toBeGreaterThan(0)
    expect(summary['pushed']).toBe(summary['sentFrames'])
  }
})

test('the demo exits with another code if the network loses everything', async () => {
  captured()
  expect(await demo({ seconds: 1, json: true, network: { loss: 1 } }, never)).toBe(DemoExit.NothingArrived)
})

test('the demo reports frames that the network lost or damaged, by reason', async () => {
  const lines = captured()
  await demo({ seconds: 2, json: true, network: { loss: 0.05, seed: 1 } }, never)
  const points = lines
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .find(({ type, track }) => type === 'summary' && track === 'points')
  expect(points?.['dropped']).toMatchObject({ incomplete: expect.any(Number) })
})

test('an aborted demo ends with its summary', async () => {
  const lines = captured()
  const stop = new AbortController()
  const running = demo({ seconds: Infinity, json: true, network: {} }, stop.signal)
  await vi.waitUntil(() => lines.some((line) => line.includes('"tick"')), { timeout: 10_000 })
  stop.abort()
  expect(await running).toBe(DemoExit.Ok)
  expect(lines.some((line) => line.includes('"summary"'))).toBe(true)
})

import { afterEach, expect, it, vi } from 'vitest'
import { demo, DemoExit } from '../../src/cli/demo'
import { serverSettings } from '../../src/cli/settings'
import { withServer } from '../helpers/with-server'

const server = withServer()
afterEach(() => {
  vi.restoreAllMocks()
})

const never = new AbortController().signal

it('runs the demo through the server that the environment names', async () => {
  const lines: string[] = []
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    lines.push(...String(text).split('\n').filter(Boolean))
    return true
  })
  const { apiKey, apiSecret } = server.key
  const settings = serverSettings({
    LIVEKIT_URL: server.url,
    LIVEKIT_API_KEY: apiKey,
    LIVEKIT_API_SECRET: apiSecret,
  })
  expect(await demo({ seconds: 2, json: true, network: {}, server: settings }, never)).toBe(DemoExit.Ok)
  const objects = lines.map((line) => JSON.parse(line) as Record<string, unknown>)
  expect(objects[0]).toMatchObject({ type: 'start', where: `the server at 127.0.0.1:${server.port}` })
  const summaries = objects.filter(({ type }) => type === 'summary')
  expect(summaries.map(({ track }) => track)).toEqual(['telemetry', 'joints', 'points', 'tone'])
  expect(summaries.at(-1)?.['what']).toBe('audio, beeps of 440 Hz; heard: 440 Hz')
  for (const { receivedFrames } of summaries) expect(receivedFrames).toBeGreaterThan(0)
})

it('names the variables that are missing beside the URL', () => {
  expect(serverSettings({})).toBeUndefined()
  expect(() => serverSettings({ LIVEKIT_URL: server.url })).toThrow(/LIVEKIT_API_KEY and LIVEKIT_API_SECRET/)
})

import { createServer as createTcpServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { isCloudHost, MAX_MAX_AGE, MAX_REGIONS, Regions } from '../../src/connection/regions'
import { RegionHost } from '../helpers/region-host'

const { signal } = new AbortController()
const direct = { agent: undefined, ca: undefined }

let host: RegionHost
beforeEach(async () => {
  host = await RegionHost.start()
})
afterEach(() => host.close())

/** The regions that are tried, in order, until there are none. */
async function tried(regions: Regions): Promise<string[]> {
  const urls: string[] = []
  for (;;) {
    const url = await regions.next('token', signal)
    if (url === undefined) return urls
    urls.push(url.href)
  }
}

describe('hosts with regions', () => {
  it('are those of LiveKit Cloud alone', () => {
    for (const [url, expected] of [
      ['wss://project.livekit.cloud', true],
      ['wss://project.livekit.run', true],
      ['wss://livekit.cloud.example.com', false],
      ['wss://notlivekit.cloud', false],
      ['ws://127.0.0.1:7880', false],
    ] as const) {
      expect(isCloudHost(new URL(url)), url).toBe(expected)
    }
  })
})

describe('regions', () => {
  it('come in the order of the host, each once, asked for with the token', async () => {
    host.regions('https://a.example', 'wss://b.example', 'ws://c.example:80')
    const regions = new Regions(new URL(host.url), direct)
    expect(await tried(regions)).toEqual(['wss://a.example/', 'wss://b.example/', 'ws://c.example/'])
    expect(host.asked).toEqual(['Bearer token'])
    regions.reset(new URL('wss://b.example'))
    expect(await tried(regions)).toEqual(['wss://a.example/', 'ws://c.example/'])
    // Known for a minute, to whichever room.
    expect(await tried(new Regions(new URL(host.url), direct))).toHaveLength(3)
    expect(host.asked).toHaveLength(1)
  })

  it('are asked for anew when what was said is too old, and kept when the host says nothing', async () => {
    host.maxAge = 0
    host.regions('wss://a.example')
    expect(await tried(new Regions(new URL(host.url), direct))).toEqual(['wss://a.example/'])
    host.regions('wss://b.example')
    expect(await tried(new Regions(new URL(host.url), direct))).toEqual(['wss://b.example/'])
    host.answer = undefined
    expect(await tried(new Regions(new URL(host.url), direct))).toEqual(['wss://b.example/'])
    host.answer = 'no JSON'
    expect(await tried(new Regions(new URL(host.url), direct))).toEqual(['wss://b.example/'])
  })

  it('are not known for longer than an hour, whatever the host says', async () => {
    host.maxAge = 999_999_999
    host.regions('wss://a.example')
    const now = performance.now()
    expect(await tried(new Regions(new URL(host.url), direct))).toHaveLength(1)
    const clock = vi.spyOn(performance, 'now').mockReturnValue(now + MAX_MAX_AGE - 60_000)
    try {
      expect(await tried(new Regions(new URL(host.url), direct))).toHaveLength(1)
      expect(host.asked).toHaveLength(1)
      clock.mockReturnValue(now + MAX_MAX_AGE + 60_000)
      expect(await tried(new Regions(new URL(host.url), direct))).toHaveLength(1)
      expect(host.asked).toHaveLength(2)
    } finally {
      clock.mockRestore()
    }
  })

  it('without a word on their age count for some seconds', async () => {
    host.maxAge = undefined
    host.regions('wss://a.example')
    const regions = new Regions(new URL(host.url), direct)
    expect(await tried(regions)).toHaveLength(1)
    expect(host.asked).toHaveLength(1)
  })

  it('that make no sense are left out, and never more than 64 are kept', async () => {
    host.answer = JSON.stringify({
      regions: [{ region: 'x' }, null, { url: 5 }, { url: 'ftp://a.example' }, { url: 'wss://a.example' }],
    })
    host.maxAge = 0
    expect(await tried(new Regions(new URL(host.url), direct))).toEqual(['wss://a.example/'])
    for (const answer of ['null', '[]', '{}', '{"regions":{}}', 'x'.repeat(300_000)]) {
      host.answer = answer
      expect((await tried(new Regions(new URL(host.url), direct))).length).toBeLessThan(2)
    }
    host.regions(...Array.from({ length: 100 }, (_, index) => `wss://r${index}.example`))
    expect(await tried(new Regions(new URL(host.url), direct))).toHaveLength(MAX_REGIONS)
  })

  it('that would send the token in the clear are left out where the host does not', async () => {
    const regions = new Regions(new URL('wss://secure.example'), direct)
    regions.report({
      regions: [{ url: 'ws://a.example' }, { url: 'http://b.example' }, { url: 'https://c.example' }],
    })
    expect(await tried(regions)).toEqual(['wss://c.example/'])
  })

  it('of a leave request replace those that are known; an empty word does not', async () => {
    host.regions('wss://a.example')
    const regions = new Regions(new URL(host.url), direct)
    expect(await tried(regions)).toEqual(['wss://a.example/'])
    regions.report({ regions: [{ region: 'b', url: 'wss://b.example' }] })
    regions.report({ regions: [] })
    regions.report(undefined)
    expect(await tried(regions)).toEqual(['wss://b.example/'])
  })

  it('are not waited for when nothing answers and the caller gives up', async () => {
    const silent = createTcpServer((socket) => socket.on('error', () => {}))
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
    const controller = new AbortController()
    const url = new URL(`ws://127.0.0.1:${(silent.address() as AddressInfo).port}`)
    const next = new Regions(url, direct).next('token', controller.signal)
    silent.once('connection', () => controller.abort())
    expect(await next).toBeUndefined()
    silent.close()
  })
})

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
  it('are those of LiveKit Cloud only', () => {
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

describe('a host’s list of regions', () => {
  it('keeps the host’s order, names each region once, and is requested with the token', async () => {
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

  it('is requested again when it is too old, and stays in use if the host does not answer', async () => {
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

  it('is kept for an hour at most, whatever the host says', async () => {
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

  it('is kept for some seconds if the host does not say how long', async () => {
    host.maxAge = undefined
    host.regions('wss://a.example')
    const regions = new Regions(new URL(host.url), direct)
    expect(await tried(regions)).toHaveLength(1)
    expect(host.asked).toHaveLength(1)
  })

  it('is used without invalid entries, and with at most 64 entries', async () => {
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

  it('is used without insecure entries if the host itself is secure', async () => {
    const regions = new Regions(new URL('wss://secure.example'), direct)
    regions.report({
      regions: [{ url: 'ws://a.example' }, { url: 'http://b.example' }, { url: 'https://c.example' }],
    })
    expect(await tried(regions)).toEqual(['wss://c.example/'])
  })

  it('is replaced by the regions of a leave request, unless they are empty', async () => {
    host.regions('wss://a.example')
    const regions = new Regions(new URL(host.url), direct)
    expect(await tried(regions)).toEqual(['wss://a.example/'])
    regions.report({ regions: [{ region: 'b', url: 'wss://b.example' }] })
    regions.report({ regions: [] })
    regions.report(undefined)
    expect(await tried(regions)).toEqual(['wss://b.example/'])
  })

  it('is not waited for any more when the caller aborts', async () => {
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

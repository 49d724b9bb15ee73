/** The proxy that the environment names, for rooms and for the command line. */
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest'
import { DataTrackConnectionError, Room, RoomEvent } from '../../index'
import { connectRoom } from '../../src/connection/server-connection'
import { runCli } from '../helpers/cli'
import { ConnectProxy } from '../helpers/connect-proxy'
import { RegionHost } from '../helpers/region-host'
import { rejection } from '../helpers/rooms'
import { event, flowing, publish, Scene } from '../helpers/scene'
import { TlsFront } from '../helpers/tls-front'
import { withServer } from '../helpers/with-server'

const server = withServer()
let front: TlsFront
let proxy: ConnectProxy
beforeAll(async () => {
  front = await TlsFront.start(server.port)
})
afterAll(() => front.close())
beforeEach(async () => {
  for (const name of ['http_proxy', 'https_proxy', 'all_proxy', 'no_proxy']) {
    vi.stubEnv(name, undefined)
    vi.stubEnv(name.toUpperCase(), undefined)
  }
  proxy = await ConnectProxy.start()
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await proxy.close()
})

it.each(['HTTP_PROXY', 'http_proxy', 'ALL_PROXY', 'all_proxy'])(
  'the proxy of %s is used for ws: URLs, when connecting and when reconnecting',
  (name) =>
    Scene.with(server, async (scene) => {
      vi.stubEnv(name, proxy.url)
      // Of the data path, ICE over TCP would go through the proxy, too.
      const alice = await scene.join('alice', { connect: { iceTransports: 'udp' } })
      expect(proxy.asked).toEqual([`127.0.0.1:${server.port}`])
      const back = event(alice, RoomEvent.Reconnected)
      await alice.simulateScenario('signal-reconnect')
      await back
      expect(proxy.asked).toHaveLength(2)
      const bob = await scene.join('bob', { connect: { proxy: false } })
      const { local, remote } = await publish(alice, bob)
      await flowing(local, remote.subscribe())
    }),
)

it('the proxy of HTTPS_PROXY is used for wss: URLs, with TLS to the server behind it', () =>
  Scene.with(server, async (scene) => {
    vi.stubEnv('HTTPS_PROXY', proxy.url)
    const alice = await scene.join('alice', { url: front.url, connect: { ca: front.ca } })
    expect(alice.isConnected).toBe(true)
    expect(proxy.asked).toEqual([`localhost:${front.port}`])
    const error = await rejection(scene.join('bob', { url: front.url }))
    expect([error.reason, error.message]).toEqual([
      'serverUnreachable',
      expect.stringMatching(/UNABLE_TO_|SELF_SIGNED_CERT/),
    ])
  }))

it.each([
  ['NO_PROXY names the host', { NO_PROXY: 'example.com, 127.0.0.1' }, {}],
  ['NO_PROXY is *', { no_proxy: '*' }, {}],
  ['there is one for https: only', { HTTP_PROXY: '', HTTPS_PROXY: 'http://127.0.0.1:1' }, {}],
  ['`proxy` is false', {}, { proxy: false }],
] as const)('no proxy is used if %s', (_, variables, connect) =>
  Scene.with(server, async (scene) => {
    vi.stubEnv('HTTP_PROXY', proxy.url)
    for (const [name, value] of Object.entries(variables)) vi.stubEnv(name, value)
    await scene.join('alice', { connect })
    expect(proxy.asked).toEqual([])
  }),
)

it('the option `agent` takes precedence over the environment', () =>
  Scene.with(server, async (scene) => {
    vi.stubEnv('HTTP_PROXY', 'http://127.0.0.1:1')
    await scene.join('alice', { connect: { agent: proxy.agent } })
    expect(proxy.asked).toHaveLength(1)
  }))

it('the proxy URL’s credentials are used, and never logged', () =>
  Scene.with(server, async (scene) => {
    proxy.credentials = 'me:p@ss wörd'
    vi.stubEnv('HTTP_PROXY', proxy.url.replace('//', '//me:p%40ss%20w%C3%B6rd@'))
    await scene.join('alice')
    vi.stubEnv('HTTP_PROXY', proxy.url.replace('//', '//me:hush-hush@'))
    const wrong = await rejection(scene.join('bob'))
    expect(wrong).toBeInstanceOf(DataTrackConnectionError)
    expect([wrong.reason, wrong.message]).toEqual(['serverUnreachable', expect.stringContaining('407')])
    const bad = [
      'http://me:hush-hush%zz@127.0.0.1:1',
      'socks5://me:hush-hush@127.0.0.1:1',
      'http://hush-hush:x:y',
    ]
    for (const url of bad) {
      vi.stubEnv('HTTP_PROXY', url)
      const error = await rejection(scene.join('bob'))
      expect([error.reason, error.message.includes("environment's proxy")], url).toEqual([
        'serverUnreachable',
        true,
      ])
      expect(error.message).not.toContain('hush-hush')
    }
    for (const [key, value] of Object.entries({ message: wrong.message, stack: String(wrong.stack) })) {
      expect(value, key).not.toContain('hush-hush')
    }
  }))

it('a proxy that refuses or is unreachable is named as the cause', () =>
  Scene.with(server, async (scene) => {
    proxy.forbids = true
    vi.stubEnv('HTTP_PROXY', proxy.url)
    expect((await rejection(scene.join('alice'))).message).toMatch(
      /proxy refuses to connect \(HTTP status 403\)/,
    )
    vi.stubEnv('HTTP_PROXY', 'http://127.0.0.1:1')
    const error = await rejection(scene.join('alice'))
    expect(error.message).toMatch(/connection to the proxy failed: ECONNREFUSED/)
  }))

it('a proxy that does not answer causes a timeout, and its connection is closed', () =>
  Scene.with(server, async (scene) => {
    proxy.silent = true
    vi.stubEnv('HTTP_PROXY', proxy.url)
    const error = await rejection(scene.join('alice', { connect: { connectTimeout: 300 } }))
    expect([error, error.reason]).toEqual([expect.any(DataTrackConnectionError), 'timeout'])
    while (proxy.open > 0) await delay(5)
    const abort = new AbortController()
    const joining = rejection(scene.join('alice', { connect: { signal: abort.signal } }))
    while (proxy.open === 0) await delay(5)
    abort.abort(new Error('enough'))
    expect((await joining).message).toBe('enough')
    while (proxy.open > 0) await delay(5)
  }))

it('regions are requested through the proxy of the environment', () =>
  Scene.with(server, async (scene) => {
    const host = await RegionHost.start()
    try {
      vi.stubEnv('HTTP_PROXY', proxy.url)
      host.regions(server.url)
      const room = new Room()
      const token = await scene.token('alice')
      await connectRoom(room.engine, host.url, token, {}, new AbortController().signal, () => true)
      const { host: address } = new URL(host.url)
      expect(proxy.asked).toContain(`127.0.0.1:${server.port}`)
      expect(proxy.asked.filter((asked) => asked === address).length).toBeGreaterThan(1)
      await room.disconnect()
    } finally {
      await host.close()
    }
  }))

it('the command line uses the proxy of the environment, but not with --no-proxy', async () => {
  const { apiKey, apiSecret } = server.key
  const env = {
    LIVEKIT_URL: server.url,
    LIVEKIT_API_KEY: apiKey,
    LIVEKIT_API_SECRET: apiSecret,
    HTTP_PROXY: proxy.url,
  }
  const target = `127.0.0.1:${server.port}`
  expect((await runCli(['ls'], env)).code).toBe(0)
  expect(proxy.asked).toEqual([target])
  expect((await runCli(['doctor'], env)).code).toBe(0)
  // One request each for HTTP, the token, signalling, UDP and TCP, and two for the participants.
  expect(proxy.asked.slice(1)).toEqual(Array(7).fill(target))
  const before = proxy.asked.length
  expect((await runCli(['ls', '--no-proxy'], env)).code).toBe(0)
  expect((await runCli(['doctor', '--no-proxy'], env)).code).toBe(0)
  expect(proxy.asked).toHaveLength(before)
  proxy.credentials = 'me:secret'
  const refused = await runCli(['ls'], env)
  expect([refused.code, refused.stderr]).toEqual([
    1,
    'datatrack: the rooms cannot be listed: the proxy refuses the credentials, or wants some (HTTP status 407)\n',
  ])
  const sick = await runCli(['doctor'], env)
  expect([sick.code, sick.stdout]).toEqual([1, expect.stringMatching(/FAILED +http +the proxy refuses/)])
}, 60_000)

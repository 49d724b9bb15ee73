/** The TCP connections of the data path, through the proxy that the environment names. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { RoomEvent } from '../../index'
import type { ConnectOptions } from '../../index'
import { makeCertificates } from '../helpers/certificates'
import { ConnectProxy } from '../helpers/connect-proxy'
import { Coturn } from '../helpers/coturn'
import { LivekitServer } from '../helpers/livekit-server'
import { rejection } from '../helpers/rooms'
import { event, flowing, publish, Scene } from '../helpers/scene'

/** A name that only the proxy can look up. */
const RELAY = 'relay.test'
const modes = ['single', 'dual'] as const

let server: LivekitServer
let coturn: Coturn
let proxy: ConnectProxy
let ca: Buffer
beforeAll(async () => {
  server = await LivekitServer.start()
  const certificates = makeCertificates(`DNS:${RELAY}`)
  ca = certificates.ca
  coturn = await Coturn.start(certificates)
})
afterAll(() => Promise.all([server.stop(), coturn.stop()]))
beforeEach(async () => {
  for (const name of ['http_proxy', 'https_proxy', 'all_proxy', 'no_proxy']) {
    vi.stubEnv(name, undefined)
    vi.stubEnv(name.toUpperCase(), undefined)
  }
  proxy = await ConnectProxy.start()
  vi.stubEnv('HTTPS_PROXY', proxy.url)
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await proxy.close()
})

/** Options for the relay alone, and where the proxy is asked to connect to. */
function relay(protocol: 'tcp' | 'tls'): { readonly connect: ConnectOptions; readonly target: string } {
  const { port, username, credential } = coturn.server(protocol)
  const urls = protocol === 'tls' ? `turns:${RELAY}:${port}` : `turn:${RELAY}:${port}?transport=tcp`
  const connect = { iceTransports: 'relay', iceServers: [{ urls, username, credential }], ca } as const
  return { connect, target: `${RELAY}:${port}` }
}

/** Joins through that path, and sends frames before and after a resume and a rebuild. */
async function survives(connect: ConnectOptions, path: string): Promise<void> {
  await Scene.with(server, async (scene) => {
    const [alice, bob] = [await scene.join('alice', { connect }), await scene.join('bob')]
    const { local, remote } = await publish(alice, bob)
    const stream = remote.subscribe()
    await flowing(local, stream)
    for (const scenario of ['signal-reconnect', 'full-reconnect'] as const) {
      const back = event(alice, RoomEvent.Reconnected)
      await alice.simulateScenario(scenario)
      await back
      await flowing(local, stream)
    }
    expect(alice.stats().connection).toMatchObject({ path, overProxy: true })
    expect(bob.stats().connection).toMatchObject({ path: 'udp', overProxy: false })
  })
}

describe.each(modes)('with peer connections: %s', (peerConnections) => {
  it.each(['tcp', 'tls'] as const)('a relay over %s is reached through the proxy', async (protocol) => {
    proxy.credentials = 'me:p@ss wörd'
    vi.stubEnv('HTTPS_PROXY', proxy.url.replace('//', '//me:p%40ss%20w%C3%B6rd@'))
    const { connect, target } = relay(protocol)
    await survives({ ...connect, peerConnections }, `relay/${protocol}`)
    expect(new Set(proxy.asked)).toEqual(new Set([target]))
  })

  it('ICE over TCP goes through the proxy', async () => {
    await survives({ iceTransports: 'tcp', peerConnections }, 'tcp')
    expect(new Set(proxy.asked)).toEqual(new Set([`127.0.0.1:${server.tcpPort}`]))
  })
})

it.each(['tcp', 'relay/tls'] as const)(
  'a tunnel that carries nothing more is replaced by another one, in the same session (%s)',
  (path) =>
    Scene.with(server, async (scene) => {
      const connect = path === 'tcp' ? ({ iceTransports: 'tcp' } as const) : relay('tls').connect
      const alice = await scene.join('alice', { connect })
      const bob = await scene.join('bob')
      const [there, back] = [await publish(alice, bob), await publish(bob, alice)]
      const streams = [there.remote.subscribe(), back.remote.subscribe()] as const
      await flowing(there.local, streams[0])
      await flowing(back.local, streams[1])
      const { sid } = alice.localParticipant
      const reconnected = event(alice, RoomEvent.Reconnected)
      proxy.freeze()
      await reconnected
      await flowing(there.local, streams[0])
      await flowing(back.local, streams[1])
      expect(alice.localParticipant.sid).toBe(sid)
      expect(alice.stats().connection).toMatchObject({ path, overProxy: true })
    }),
)

it.each([
  ['NO_PROXY names the host', { NO_PROXY: '127.0.0.1' }, {}],
  ['there is one for http: only', { HTTPS_PROXY: '' }, {}],
  ['`proxy` is false', {}, { proxy: false }],
  ['the proxy itself is reached over TLS', { HTTPS_PROXY: 'https://127.0.0.1:1' }, {}],
] as const)('ICE over TCP uses no proxy if %s', (_, variables, connect) =>
  Scene.with(server, async (scene) => {
    for (const [name, value] of Object.entries(variables)) vi.stubEnv(name, value)
    const alice = await scene.join('alice', { connect: { ...connect, iceTransports: 'tcp' } })
    expect([alice.stats().connection?.path, proxy.asked]).toEqual(['tcp', []])
  }),
)

it('what the proxy does not connect is tried directly', () =>
  Scene.with(server, async (scene) => {
    proxy.forbids = true
    const alice = await scene.join('alice', { connect: { iceTransports: 'tcp' } })
    expect(proxy.asked).not.toEqual([])
    const { port, username, credential } = coturn.server('tcp')
    const iceServers = [{ urls: `turn:127.0.0.1:${port}?transport=tcp`, username, credential }]
    const bob = await scene.join('bob', { connect: { iceTransports: 'relay', iceServers } })
    expect(proxy.asked).toContain(`127.0.0.1:${port}`)
    expect(alice.stats().connection).toMatchObject({ path: 'tcp', overProxy: false })
    expect(bob.stats().connection).toMatchObject({ path: 'relay/tcp', overProxy: false })
  }))

it.each<[string, (proxy: ConnectProxy) => void, RegExp]>([
  ['refuses the credentials', (proxy) => (proxy.credentials = 'me:other'), /HTTP status 407/],
  ['refuses to connect', (proxy) => (proxy.forbids = true), /HTTP status 403/],
  ['answers with a page', (proxy) => (proxy.portal = true), /the proxy does not speak HTTP/],
  ['does not answer', (proxy) => (proxy.silent = true), /the proxy does not answer/],
])('a proxy that %s is told as the reason', (_, misbehave, message) =>
  Scene.with(server, async (scene) => {
    misbehave(proxy)
    vi.stubEnv('HTTPS_PROXY', proxy.url.replace('//', '//me:hush-hush@'))
    const error = await rejection(scene.join('alice', { connect: relay('tls').connect }))
    expect([error.reason, error.message]).toEqual(['proxyFailed', expect.stringMatching(message)])
    expect(`${error.message} ${error.stack ?? ''}`).not.toMatch(/hush-hush|bWU6aHVzaC1odXNo/)
  }),
)

/** Data through TURN servers: coturn, and the one in livekit-server. No other path is allowed. */
import { randomBytes } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ClientConfigSetting, ClientConfiguration } from '@livekit/protocol'
import { DataTrackConnectionError, RoomEvent } from '../../index'
import type { ConnectOptions } from '../../index'
import { makeCertificates } from '../helpers/certificates'
import { Coturn } from '../helpers/coturn'
import { LivekitServer } from '../helpers/livekit-server'
import type { TurnServer } from '../helpers/livekit-server'
import { rejection } from '../helpers/rooms'
import { event, flowing, publish, Scene } from '../helpers/scene'
import { SignalProxy } from '../helpers/signal-proxy'
import { iceServer, ownServers, serving } from '../helpers/turn'

const certificates = makeCertificates()
const ca = certificates.ca.toString()
const folder = mkdtempSync(join(tmpdir(), 'datatrack-turn-'))
const tls = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') }
const protocols = ['udp', 'tcp', 'tls'] as const
const modes = ['single', 'dual'] as const
let coturn: Coturn

beforeAll(async () => {
  writeFileSync(tls.cert, certificates.cert)
  writeFileSync(tls.key, certificates.key)
  coturn = await Coturn.start(certificates)
})
afterAll(async () => {
  await coturn.stop()
  rmSync(folder, { recursive: true })
})

/** Joins with two participants, and sends frames and text before and after a resume and a rebuild. */
async function survives(server: LivekitServer, connect: ConnectOptions, path: string): Promise<void> {
  await Scene.with(server, async (scene) => {
    const [alice, bob] = [await scene.join('alice', { connect }), await scene.join('bob', { connect })]
    const { local, remote } = await publish(alice, bob)
    const stream = remote.subscribe()
    const texts = new EventEmitter()
    bob.registerTextStreamHandler('text', async (reader) => {
      texts.emit('text', await reader.readAll())
    })
    const check = async (): Promise<void> => {
      await flowing(local, stream)
      // Many datagrams at once, each of which has to arrive.
      const arrived = once(texts, 'text')
      const text = randomBytes(150_000).toString('hex')
      await alice.localParticipant.sendText(text, { topic: 'text' })
      expect(await arrived).toEqual([text])
      expect([alice, bob].map((room) => room.stats().connection?.path)).toEqual([path, path])
      expect(alice.stats().connection?.overTcp).toBe(path !== 'relay/udp')
    }
    await check()
    for (const scenario of ['signal-reconnect', 'full-reconnect'] as const) {
      for (const room of [alice, bob]) {
        const back = event(room, RoomEvent.Reconnected)
        await room.simulateScenario(scenario)
        await back
      }
      await check()
    }
  })
}

describe.each(modes)('with peer connections: %s', (peerConnections) => {
  it.each(protocols)(
    'a relay over %s that the server names carries data, and survives a resume and a rebuild',
    (protocol) =>
      serving({ turnServers: [coturn.server(protocol)] }, (server) =>
        survives(server, { peerConnections, iceTransports: 'relay', ca }, `relay/${protocol}`),
      ),
    60_000,
  )

  it(
    "livekit-server's own relay over UDP does",
    () =>
      serving({ turn: { tls } }, (server) =>
        survives(server, { peerConnections, iceTransports: 'relay', ca }, 'relay/udp'),
      ),
    60_000,
  )

  it.each(['tcp', 'tls'] as const)(
    "livekit-server's own relay over %s does",
    (protocol) =>
      serving({ turn: protocol === 'tls' ? { tls } : {} }, async (server) => {
        const own = { ...(await ownServers(server)), port: server.turnPorts.tcp, protocol }
        const connect = { peerConnections, iceTransports: 'relay', iceServers: [iceServer(own)], ca } as const
        await survives(server, connect, `relay/${protocol}`)
      }),
    60_000,
  )
})

describe('a relay that is reached over IPv6', () => {
  it.each(protocols)('over %s carries data to a server of IPv4', async (protocol) => {
    const certificate = makeCertificates('IP:::1')
    const six = await Coturn.start(certificate, { host: '::1', relays: ['127.0.0.1'] })
    const connect = { iceTransports: 'relay', ca: certificate.ca.toString() } as const
    try {
      await serving({ turnServers: [six.server(protocol)] }, (server) =>
        survives(server, connect, `relay/${protocol}`),
      )
    } finally {
      await six.stop()
    }
  })
})

describe('a relay that cannot be used', () => {
  /** The error of a connection through that relay alone. */
  async function refused(
    server: LivekitServer,
    relay: TurnServer,
    options: ConnectOptions = {},
  ): Promise<string> {
    const connect = { iceTransports: 'relay', iceServers: [iceServer(relay)], ca, ...options } as const
    let reason = ''
    await Scene.with(server, async (scene) => {
      const error = await rejection(scene.join('alice', { connect }))
      expect(error).toBeInstanceOf(DataTrackConnectionError)
      expect(error.message).not.toContain(relay.credential)
      reason = (error as DataTrackConnectionError).reason
    })
    return reason
  }
  let server: LivekitServer
  beforeAll(async () => {
    server = await LivekitServer.start({ turn: { tls, allowLoopback: false } })
  })
  afterAll(() => server.stop())

  it.each(protocols)('over %s: credentials that it does not know', async (protocol) => {
    const relay = { ...coturn.server(protocol), credential: 'anything else' }
    expect(await refused(server, relay)).toBe('relayUnauthorized')
  })

  it("livekit-server's own: credentials that it does not know", async () => {
    const relay = { ...(await ownServers(server)), credential: 'anything else' }
    expect(await refused(server, relay)).toBe('relayUnauthorized')
  })

  it('a certificate of an unknown authority, and one for another name', async () => {
    const relay = coturn.server('tls')
    const other = makeCertificates()
    expect(await refused(server, relay, { ca: other.ca })).toBe('relayUntrusted')
    const elsewhere = await Coturn.start(makeCertificates('DNS:example.test'))
    try {
      expect(await refused(server, elsewhere.server('tls'))).toBe('relayUntrusted')
    } finally {
      await elsewhere.stop()
    }
  })

  it('nothing listens there, and the host has no address', async () => {
    const relay = coturn.server('tcp')
    expect(await refused(server, { ...relay, port: 1 })).toBe('relayUnreachable')
    expect(await refused(server, { ...relay, host: 'nowhere.invalid' })).toBe('relayUnreachable')
  })

  it("it forbids the server's address", async () => {
    expect(await refused(server, await ownServers(server))).toBe('relayForbidden')
  })

  it('there is none', async () => {
    const connect = { iceTransports: 'relay', iceServers: [] } as const
    await Scene.with(server, async (scene) => {
      const error = await rejection(scene.join('alice', { connect }))
      expect(error).toMatchObject({ reason: 'noRelay' })
    })
  })
})

describe('without iceTransports', () => {
  it('no relay is used if UDP works', () =>
    serving({ turnServers: [coturn.server('tcp')] }, (server) =>
      Scene.with(server, async (scene) => {
        const alice = await scene.join('alice')
        expect(alice.stats().connection?.path).toBe('udp')
      }),
    ))

  it('only relays are used if the server tells its clients so', () =>
    serving({ turnServers: [coturn.server('udp')] }, async (server) => {
      const proxy = await SignalProxy.start(server.url)
      proxy.rewrite(({ message }) => {
        if (message.case !== 'join') return
        message.value.clientConfiguration = new ClientConfiguration({
          forceRelay: ClientConfigSetting.ENABLED,
        })
      })
      try {
        await Scene.with(server, async (scene) => {
          const [alice, bob] = [await scene.join('alice', { url: proxy.url }), await scene.join('bob')]
          const { local, remote } = await publish(alice, bob)
          await flowing(local, remote.subscribe())
          expect([alice, bob].map((room) => room.stats().connection?.path)).toEqual(['relay/udp', 'udp'])
        })
      } finally {
        await proxy.close()
      }
    }))

  it('a relay that ends is noticed, and the connection comes back through it when it is back', async () => {
    const own = await Coturn.start(certificates)
    try {
      await serving({ turnServers: [own.server('tcp')] }, (server) =>
        Scene.with(server, async (scene) => {
          const connect = { iceTransports: 'relay', maxRetries: Infinity } as const
          const [alice, bob] = [await scene.join('alice', { connect }), await scene.join('bob')]
          const { local, remote } = await publish(alice, bob)
          const stream = remote.subscribe()
          await flowing(local, stream)
          const reconnecting = event(alice, RoomEvent.Reconnecting)
          const reconnected = event(alice, RoomEvent.Reconnected)
          await own.kill()
          await reconnecting
          await own.launch()
          await reconnected
          await flowing(local, stream)
          expect(alice.stats().connection?.path).toBe('relay/tcp')
        }),
      )
    } finally {
      await own.stop()
    }
  }, 60_000)
})

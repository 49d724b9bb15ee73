/**
 * Traffic of all kinds through relays, with an ICE restart, a resume and a rebuild in its middle.
 *
 * `DATATRACK_TRAFFIC_SECONDS` is how long each test sends frames. By default, each one is over after some seconds.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { RoomEvent } from '../../index'
import type { ConnectOptions } from '../../index'
import { makeCertificates } from '../helpers/certificates'
import { ConnectProxy } from '../helpers/connect-proxy'
import { Coturn } from '../helpers/coturn'
import type { LivekitServer } from '../helpers/livekit-server'
import { FRAME_RATE, MixedTraffic } from '../helpers/mixed-traffic'
import { event, Scene } from '../helpers/scene'
import { iceServer, ownServers, serving } from '../helpers/turn'

const seconds = Number(process.env['DATATRACK_TRAFFIC_SECONDS'] ?? 1)
/** The frames of each of the four parts: before the ICE restart, the resume and the rebuild, and after all of them. */
const FRAMES = (seconds * FRAME_RATE) / 4
const LONGEST = 60_000 + 3000 * seconds

const certificates = makeCertificates()
const ca = certificates.ca.toString()
const folder = mkdtempSync(join(tmpdir(), 'datatrack-turn-traffic-'))
const tls = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') }
let coturn: Coturn
let proxy: ConnectProxy

beforeAll(async () => {
  writeFileSync(tls.cert, certificates.cert)
  writeFileSync(tls.key, certificates.key)
  coturn = await Coturn.start(certificates)
  proxy = await ConnectProxy.start()
})
afterEach(() => vi.unstubAllEnvs())
afterAll(async () => {
  await Promise.all([coturn.stop(), proxy.close()])
  rmSync(folder, { recursive: true })
})

type Relay = 'udp' | 'tcp' | 'tls' | 'tls through a proxy'
const relays: readonly Relay[] = ['udp', 'tcp', 'tls', 'tls through a proxy']

const protocolOf = (relay: Relay) => (relay === 'tls through a proxy' ? 'tls' : relay)

/** The environment names the proxy for relays, or none. */
function useProxy(relay: Relay): void {
  for (const name of ['http_proxy', 'https_proxy', 'all_proxy', 'no_proxy']) {
    vi.stubEnv(name, undefined)
    vi.stubEnv(name.toUpperCase(), undefined)
  }
  if (relay === 'tls through a proxy') vi.stubEnv('HTTPS_PROXY', proxy.url)
}

/** One participant reconnects in each way while traffic flows from it and to it. */
async function carries(server: LivekitServer, connect: ConnectOptions, path: string): Promise<void> {
  await Scene.with(server, async (scene) => {
    const [alice, bob] = [await scene.join('alice', { connect }), await scene.join('bob', { connect })]
    const ways = [
      await MixedTraffic.start(alice, bob, server),
      await MixedTraffic.start(bob, alice, server),
    ] as const
    const both = (use: (traffic: MixedTraffic) => Promise<void>) => Promise.all(ways.map(use))
    for (const way of ['ICE restart', 'resume', 'rebuild'] as const) {
      await both((traffic) => traffic.carries(FRAMES))
      const { sid } = alice.localParticipant
      await both((traffic) => traffic.breaks())
      const back = event(alice, RoomEvent.Reconnected)
      if (way === 'ICE restart') alice.reconnectNow()
      else await alice.simulateScenario(way === 'resume' ? 'signal-reconnect' : 'full-reconnect')
      await back
      await both((traffic) => traffic.flowsAgain())
      const rebuilt = alice.localParticipant.sid !== sid
      // A server that has closed its data channels leaves no other way.
      const expected = way === 'rebuild' || (rebuilt && server.hasClosedChannels(alice.name, 'alice'))
      expect(rebuilt, way).toBe(expected)
      for (const traffic of ways) traffic.comesBack(rebuilt)
    }
    await both((traffic) => traffic.carries(FRAMES))
    expect([alice, bob].map((room) => room.stats().connection?.path)).toEqual([path, path])
    const figures = await Promise.all(ways.map((traffic) => traffic.stop()))
    if (process.env['HTTPS_PROXY'] !== undefined) expect(proxy.asked.length).toBeGreaterThan(0)
    proxy.asked.length = 0
    if (process.env['DATATRACK_TRAFFIC_SECONDS'] !== undefined) console.log(JSON.stringify(figures))
  })
}

describe.each(['single', 'dual'] as const)('with peer connections: %s', (peerConnections) => {
  it.each(relays)(
    'a coturn over %s carries data of all kinds, and survives an ICE restart, a resume and a rebuild',
    (relay) => {
      useProxy(relay)
      const protocol = protocolOf(relay)
      return serving({ turnServers: [coturn.server(protocol)] }, (server) =>
        carries(server, { peerConnections, iceTransports: 'relay', ca }, `relay/${protocol}`),
      )
    },
    LONGEST,
  )

  it.each(relays)(
    "livekit-server's own relay over %s does",
    (relay) => {
      useProxy(relay)
      const protocol = protocolOf(relay)
      return serving({ turn: protocol === 'tcp' ? {} : { tls } }, async (server) => {
        const { udp, tcp } = server.turnPorts
        const own = { ...(await ownServers(server)), port: protocol === 'udp' ? udp : tcp, protocol }
        const connect = { peerConnections, iceTransports: 'relay', iceServers: [iceServer(own)], ca } as const
        await carries(server, connect, `relay/${protocol}`)
      })
    },
    LONGEST,
  )
})

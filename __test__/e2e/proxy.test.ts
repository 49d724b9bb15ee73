import { afterAll, beforeAll, expect, it } from 'vitest'
import { DataTrackConnectionError, Room, RoomEvent } from '../../index'
import { connectRoom } from '../../src/connection/server-connection'
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
  proxy = await ConnectProxy.start()
})
afterAll(() => Promise.all([proxy.close(), front.close()]))

it.each(['single', 'dual'] as const)(
  'a certificate of a private authority is accepted with the option `ca`, and refused without it (%s)',
  (peerConnections) =>
    Scene.with(server, async (scene) => {
      const error = await rejection(scene.join('alice', { url: front.url, connect: { peerConnections } }))
      expect(error).toBeInstanceOf(DataTrackConnectionError)
      expect(error.reason).toBe('serverUnreachable')
      expect(error.message).toMatch(/UNABLE_TO_|SELF_SIGNED_CERT/)
      const connect = { peerConnections, ca: front.ca }
      const [alice, bob] = [
        await scene.join('alice', { url: front.url, connect }),
        await scene.join('bob', { url: front.url, connect: { ...connect, ca: [front.ca.toString()] } }),
      ]
      const { local, remote } = await publish(alice, bob)
      const stream = remote.subscribe()
      await flowing(local, stream)
      const back = event(alice, RoomEvent.Reconnected)
      await alice.simulateScenario('signal-reconnect')
      await back
      await flowing(local, stream)
    }),
)

it('signalling uses the proxy of `agent`, when connecting and when reconnecting', () =>
  Scene.with(server, async (scene) => {
    proxy.asked.length = 0
    const alice = await scene.join('alice', { connect: { agent: proxy.agent } })
    expect(proxy.asked).toEqual([`127.0.0.1:${server.port}`])
    for (const scenario of ['signal-reconnect', 'full-reconnect'] as const) {
      const back = event(alice, RoomEvent.Reconnected)
      await alice.simulateScenario(scenario)
      await back
    }
    expect(proxy.asked).toHaveLength(3)
    const bob = await scene.join('bob')
    const { local, remote } = await publish(alice, bob)
    await flowing(local, remote.subscribe())
  }))

it('a certificate of a private authority is accepted behind a proxy, too', () =>
  Scene.with(server, async (scene) => {
    proxy.asked.length = 0
    const connect = { agent: proxy.secureAgent, ca: front.ca }
    const alice = await scene.join('alice', { url: front.url, connect })
    expect(alice.isConnected).toBe(true)
    expect(proxy.asked).toEqual([`localhost:${front.port}`])
  }))

it('a proxy that refuses is reported as an unreachable server, with the code of its answer', () =>
  Scene.with(server, async (scene) => {
    proxy.forbids = true
    try {
      const error = await rejection(scene.join('alice', { connect: { agent: proxy.agent } }))
      expect([error.reason, error.message.includes('EPROXY')]).toEqual(['serverUnreachable', true])
    } finally {
      proxy.forbids = false
    }
  }))

it('regions are requested through the proxy of `agent`', () =>
  Scene.with(server, async (scene) => {
    const host = await RegionHost.start()
    try {
      proxy.asked.length = 0
      host.regions(server.url)
      const room = new Room()
      const { signal } = new AbortController()
      const token = await scene.token('alice')
      await connectRoom(room.engine, host.url, token, { agent: proxy.agent }, signal, () => true)
      const { host: address } = new URL(host.url)
      expect(proxy.asked).toContain(`127.0.0.1:${server.port}`)
      // One request for the list of regions, and at least one attempt to connect.
      expect(proxy.asked.filter((asked) => asked === address).length).toBeGreaterThan(1)
      expect(host.asked).toHaveLength(1)
      await room.disconnect()
    } finally {
      await host.close()
    }
  }))

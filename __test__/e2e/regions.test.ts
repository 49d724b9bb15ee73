import { afterEach, beforeEach, expect, it } from 'vitest'
import { DataTrackConnectionError, Room, RoomEvent } from '../../index'
import type { ConnectOptions } from '../../index'
import { connectRoom } from '../../src/connection/server-connection'
import { freePort } from '../helpers/livekit-server'
import { RegionHost } from '../helpers/region-host'
import { rejection } from '../helpers/rooms'
import { event, flowing, publish, Scene } from '../helpers/scene'
import { TcpProxy } from '../helpers/tcp-proxy'
import { withServer } from '../helpers/with-server'

const server = withServer()
let host: RegionHost
beforeEach(async () => {
  host = await RegionHost.start()
})
afterEach(() => host.close())

/** Connects to the host as if it belonged to LiveKit Cloud. */
async function connectCloud(token: string, options: ConnectOptions = {}): Promise<Room> {
  const room = new Room()
  await connectRoom(room.engine, host.url, token, options, new AbortController().signal, () => true)
  return room
}

it('a room connects to a region of a host that refuses all clients, after a region where nothing listens', () =>
  Scene.with(server, async (scene) => {
    const token = await scene.token('alice')
    host.regions(`ws://127.0.0.1:${await freePort()}`, server.url)
    const alice = await connectCloud(token)
    const bob = await scene.join('bob')
    const { local, remote } = await publish(alice, bob)
    await flowing(local, remote.subscribe())
    expect(host.asked).toEqual([`Bearer ${token}`])
    expect(host.refused).toBeGreaterThan(0)
    await alice.disconnect()
  }))

it('if no region accepts the client, the list is tried once, and the last error is reported', () =>
  Scene.with(server, async (scene) => {
    host.regions(`ws://127.0.0.1:${await freePort()}`)
    const error = await rejection(connectCloud(await scene.token('alice')))
    expect(error).toBeInstanceOf(DataTrackConnectionError)
    expect(error.reason).toBe('serverUnreachable')
    expect(error.message).toContain('ECONNREFUSED')
    host.answer = undefined
    const none = await RegionHost.start()
    await host.close()
    host = none
    const without = await rejection(connectCloud(await scene.token('alice')))
    expect([without.reason, without.status]).toEqual(['serverUnreachable', 503])
  }))

it('a token that a server refuses is not tried elsewhere; a client that a region refuses tries the next region', () =>
  Scene.with(server, async (scene) => {
    host.regions(server.url)
    host.refusal = 401
    const error = await rejection(connectCloud(await scene.token('alice')))
    expect([error.reason, error.status]).toEqual(['notAllowed', 401])
    host.refusal = 403
    const alice = await connectCloud(await scene.token('alice'))
    expect(alice.isConnected).toBe(true)
    await alice.disconnect()
  }))

it('the connect timeout applies to each region separately', () =>
  Scene.with(server, async (scene) => {
    const silent = await TcpProxy.start(server.port)
    silent.silence(true)
    try {
      host.regions(silent.url, server.url)
      const alice = await connectCloud(await scene.token('alice'), { connectTimeout: 3000 })
      expect(alice.isConnected).toBe(true)
      await alice.disconnect()
    } finally {
      await silent.close()
    }
  }))

it('a connection that cannot be rebuilt at its region is rebuilt at another one', () =>
  Scene.with(server, async (scene) => {
    const [first, second] = [await TcpProxy.start(server.port), await TcpProxy.start(server.port)]
    try {
      host.regions(first.url, second.url)
      const alice = await connectCloud(await scene.token('alice'))
      const bob = await scene.join('bob')
      const { local, remote } = await publish(alice, bob)
      const stream = remote.subscribe()
      await flowing(local, stream)
      const moved = second.connected()
      const back = event(alice, RoomEvent.Reconnected)
      first.refuse(true)
      first.cut()
      await Promise.all([moved, back])
      await flowing(local, stream)
      expect(alice.stats().rebuilds).toBe(1)
      // A resume now goes to the second region.
      const resumed = event(alice, RoomEvent.Reconnected)
      second.cut()
      await resumed
      expect(alice.stats().resumes).toBe(1)
      await alice.disconnect()
    } finally {
      await Promise.all([first.close(), second.close()])
    }
  }))

it('aborting connect() also aborts the request for regions', () =>
  Scene.with(server, async (scene) => {
    const silent = await TcpProxy.start(server.port)
    silent.silence(true)
    try {
      host.regions(silent.url)
      const controller = new AbortController()
      const connecting = rejection(connectCloud(await scene.token('alice'), { signal: controller.signal }))
      await silent.connected()
      controller.abort('enough')
      expect(await connecting).toBe('enough')
    } finally {
      await silent.close()
    }
  }))

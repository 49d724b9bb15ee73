import { afterEach, beforeEach, expect, it } from 'vitest'
import { AudioStream, DataTrackConnectionError, Room, RoomEvent } from '../../index'
import type { ConnectOptions, RemoteAudioTrack } from '../../index'
import { connectRoom } from '../../src/connection/server-connection'
import { freePort } from '../helpers/livekit-server'
import { RegionHost } from '../helpers/region-host'
import { rejection } from '../helpers/rooms'
import { event, flowing, publish, Scene } from '../helpers/scene'
import { TcpProxy } from '../helpers/tcp-proxy'
import { Tone } from '../helpers/tone'
import { heard } from '../helpers/tones'
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

/** Reads a stream until what was decoded from now on has the tone. */
async function until(stream: AudioStream, tone: number): Promise<void> {
  const { packetsDecoded } = stream.stats()
  for await (const frame of stream)
    if (stream.stats().packetsDecoded > packetsDecoded + 20 && heard(frame, tone).share > 0.9) return
  throw new Error('the stream has ended')
}

async function hears(track: RemoteAudioTrack, tone: number): Promise<void> {
  await until(new AudioStream(track, { frameSizeMs: 100 }), tone)
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

it.each(['publisher', 'hearer'] as const)('audio goes on when its %s moves to another region', (who) =>
  Scene.with(server, async (scene) => {
    const [first, second] = [await TcpProxy.start(server.port), await TcpProxy.start(server.port)]
    const tone = new Tone('tone', [440])
    try {
      host.regions(first.url, second.url)
      const hearing = { autoSubscribe: true }
      const moving = await connectCloud(await scene.token('moving'), who === 'hearer' ? hearing : {})
      const staying = await scene.join('staying', { connect: who === 'hearer' ? {} : hearing })
      const [publisher, hearer] = who === 'publisher' ? [moving, staying] : [staying, moving]
      const subscribed = event(hearer, RoomEvent.TrackSubscribed)
      const publication = await publisher.localParticipant.publishTrack(tone.track)
      const { trackSid } = publication
      let [track] = await subscribed
      await hears(track, 440)
      // A publisher that moves has a new track. A hearer that moves keeps the one that it has, and its streams.
      const again = who === 'publisher' ? event(hearer, RoomEvent.TrackSubscribed) : undefined
      await using stream = new AudioStream(track, { frameSizeMs: 100 })
      const back = event(moving, RoomEvent.Reconnected)
      first.refuse(true)
      first.cut()
      await back
      if (again !== undefined) [track] = await again
      await (again === undefined ? until(stream, 440) : hears(track, 440))
      expect([track.isEnded, publication.isPublished, moving.stats().rebuilds]).toEqual([false, true, 1])
      expect(publication.trackSid === trackSid).toBe(who === 'hearer')
      await moving.disconnect()
    } finally {
      await tone.close()
      await Promise.all([first.close(), second.close()])
    }
  }),
)

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

/** The last frame of a latched track, fetched alone or before live frames, through a real server. */
import { afterEach, beforeEach, expect, it } from 'vitest'
import { ExternalE2EEKeyProvider, RoomEvent } from '../../index'
import { rejection } from '../helpers/rooms'
import { Scene, event, flowing, pattern, publish, same, seen } from '../helpers/scene'
import { TcpProxy } from '../helpers/tcp-proxy'
import { withServer } from '../helpers/with-server'

const server = withServer()
let proxy: TcpProxy
beforeEach(async () => {
  proxy = await TcpProxy.start(server.port)
})
afterEach(() => proxy.close())

it('a late joiner gets the last frame of 2 MB, also after either connection was rebuilt', () =>
  Scene.with(server, async (scene) => {
    const alice = await scene.join('alice')
    const local = await alice.localParticipant.publishDataTrack({ name: 'map', latch: true })
    const payload = pattern(2_000_000)
    await local.push({ payload, userTimestamp: 5n })
    const bob = await scene.join('bob')
    const remote = await seen(bob, 'map')
    for (const room of [bob, alice, undefined]) {
      const frame = (await remote.latest())!
      expect([same(frame.payload, payload), frame.userTimestamp, frame.latched]).toEqual([true, 5n, true])
      if (room === undefined) return
      const back = event(room, RoomEvent.Reconnected)
      await room.simulateScenario('full-reconnect')
      await back
      await bob.remoteParticipants.get('alice')!.waitUntilActive()
    }
  }))

it('comes once before live frames, for one who joins late while frames are pushed, and none is missed', () =>
  Scene.with(server, async (scene) => {
    const alice = await scene.join('alice')
    // A busy machine may let frames wait for longer than usual. That is no loss.
    const options = { name: 'pose', latch: true, maxQueueAge: Infinity }
    const local = await alice.localParticipant.publishDataTrack(options)
    const pushing = setInterval(() => local.isPublished() && local.tryPush(new Uint8Array(100)), 5)
    try {
      for (let visit = 0; visit < 5; visit++) {
        const bob = await scene.join(`bob ${visit}`)
        const stream = (await seen(bob, 'pose')).subscribe({ latest: true, maxBufferAge: Infinity })
        const first = (await stream.read())!
        expect(first.latched).toBe(true)
        for (let after = 1; after < 20; after++) {
          const { number, latched } = (await stream.read())!
          expect([latched, number]).toEqual([false, (first.number + after) & 0xffff])
        }
        await bob.disconnect()
      }
    } finally {
      clearInterval(pushing)
    }
  }))

it.each(['full-reconnect', 'signal-reconnect'] as const)(
  'comes again after a %s if a newer one was missed, with 2 MB and encryption, and not if none was',
  (scenario) =>
    Scene.with(server, async (scene) => {
      const keyProvider = new ExternalE2EEKeyProvider()
      await keyProvider.setKey('passphrase')
      const room = { encryption: { keyProvider } }
      const alice = await scene.join('alice', { room })
      const local = await alice.localParticipant.publishDataTrack({ name: 'map', latch: true })
      const maps = [1, 2].map((seed) => pattern(2_000_000, seed))
      await local.push(maps[0]!)
      const bob = await scene.join('bob', { room, url: proxy.url })
      const remote = await seen(bob, 'map')
      const stream = remote.subscribe({ latest: true })
      const first = (await stream.read())!
      expect([same(first.payload, maps[0]!), first.latched]).toEqual([true, true])
      const back = event(bob, RoomEvent.Reconnected)
      await bob.simulateScenario(scenario)
      await back
      // The stream has asked again before this call, and has its answer when the call has one.
      await bob.remoteParticipants.get('alice')!.waitUntilActive()
      expect((await remote.latest())!.number).toBe(0)
      expect(stream.stats().delivered).toBe(1)
      const away = event(bob, RoomEvent.Reconnecting)
      const again = event(bob, RoomEvent.Reconnected)
      // Bob must not ask before there is a newer frame.
      proxy.refuse(true)
      await bob.simulateScenario(scenario)
      await away
      await local.push(maps[1]!)
      proxy.refuse(false)
      await again
      const second = (await stream.read())!
      expect([same(second.payload, maps[1]!), second.number]).toEqual([true, 1])
    }),
)

it('of a publisher that keeps none is not waited for, nor of one that may not be subscribed to', () =>
  Scene.with(server, async (scene) => {
    const [alice, bob] = [await scene.join('alice'), await scene.join('bob')]
    const { local, remote } = await publish(alice, bob)
    const stream = remote.subscribe({ latest: true })
    await flowing(local, stream)
    stream.close()
    const latched = await publish(alice, bob, { name: 'latched', latch: true })
    await latched.local.push(Uint8Array.of(1))
    alice.localParticipant.setTrackSubscriptionPermissions(false)
    expect(await rejection(latched.remote.subscribe({ latest: true }).read())).toMatchObject({
      reason: 'notAllowed',
    })
  }))

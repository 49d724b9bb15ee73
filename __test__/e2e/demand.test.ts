/** Who subscribes to a track, through a real server. The server does not announce it, so the rooms tell each other. */
import { expect, it } from 'vitest'
import { RoomEvent } from '../../index'
import type { LocalDataTrack, Room } from '../../index'
import { Scene, event, publish, seen } from '../helpers/scene'
import { SignalProxy } from '../helpers/signal-proxy'
import { withServer } from '../helpers/with-server'

const server = withServer()

const inScene = (use: (scene: Scene) => Promise<void>) => () => Scene.with(server, use)

/** A `SignalResponse` with field 32, `DataTrackDemandUpdate`, which the tests' copy of the protocol does not have. */
function demandUpdate(pubHandle: number, hasSubscribers: boolean): Uint8Array {
  const update = Buffer.of(0x08, pubHandle, 0x10, hasSubscribers ? 1 : 0)
  return Buffer.concat([Buffer.of(0x82, 0x02, update.length), update])
}

/** Resolves when all participants have answered and none of them subscribes. */
async function noSubscribers(room: Room, track: LocalDataTrack): Promise<void> {
  while (track.hasSubscribers !== false) await event(room, RoomEvent.LocalDataTrackDemandChanged)
}

it(
  'a frame that is pushed after stream.ready or waitForSubscriber() arrives, 40 times',
  inScene(async (scene) => {
    const [alice, bob] = [await scene.join('alice'), await scene.join('bob')]
    for (let index = 0; index < 40; index++) {
      const { local, remote } = await publish(alice, bob, { name: `track ${index}` })
      const stream = remote.subscribe()
      await (index % 2 === 0 ? stream.ready : local.waitForSubscriber())
      local.tryPush(Uint8Array.of(index))
      expect((await stream.read())!.payload[0]).toBe(index)
    }
  }),
)

it(
  'hasSubscribers is false once all participants have answered, and true while one of them subscribes',
  inScene(async (scene) => {
    const [alice, bob] = [await scene.join('alice'), await scene.join('bob')]
    const told: unknown[] = []
    alice.on(RoomEvent.LocalDataTrackDemandChanged, (has) => told.push(has))
    const { local, remote } = await publish(alice, bob)
    await noSubscribers(alice, local)
    const carol = await scene.join('carol')
    const stream = remote.subscribe()
    const other = (await seen(carol, 'track')).subscribe()
    await Promise.all([stream.ready, other.ready, local.waitForSubscriber()])
    await bob.disconnect()
    while (alice.remoteParticipants.has('bob')) await event(alice, RoomEvent.ParticipantDisconnected)
    expect(local.hasSubscribers).toBe(true)
    other.close()
    await noSubscribers(alice, local)
    expect(told.at(-1)).toBe(false)
  }),
)

it.each(['full-reconnect', 'signal-reconnect'] as const)(
  'hasSubscribers is known again after a %s of the publisher or the subscriber',
  (scenario) =>
    Scene.with(server, async (scene) => {
      const [alice, bob] = [await scene.join('alice'), await scene.join('bob')]
      const { local, remote } = await publish(alice, bob)
      const stream = remote.subscribe()
      await local.waitForSubscriber()
      for (const room of [alice, bob]) {
        const back = event(room, RoomEvent.Reconnected)
        await room.simulateScenario(scenario)
        await back
        await local.waitForSubscriber()
      }
      stream.close()
      await noSubscribers(alice, local)
    }),
)

it('what a server tells in field 32 counts more than what the participants say, until the next session', async () => {
  const proxy = await SignalProxy.start(server.url)
  try {
    await Scene.with(server, async (scene) => {
      const alice = await scene.join('alice', { url: proxy.url })
      const bob = await scene.join('bob')
      const { local, remote } = await publish(alice, bob)
      await noSubscribers(alice, local)
      const stream = remote.subscribe()
      await local.waitForSubscriber()
      for (const has of [false, true, false]) {
        const changed = event(alice, RoomEvent.LocalDataTrackDemandChanged)
        proxy.sayBytes(demandUpdate(local.info.pubHandle, has))
        await changed
        expect(local.hasSubscribers).toBe(has)
      }
      // A track that there is not, and a handle that is none.
      for (const handle of [77, 0]) proxy.sayBytes(demandUpdate(handle, true))
      const back = event(alice, RoomEvent.Reconnected)
      await alice.simulateScenario('full-reconnect')
      await back
      // The new session has said nothing, so the participants count again.
      await local.waitForSubscriber()
      stream.close()
    })
  } finally {
    await proxy.close()
  }
})

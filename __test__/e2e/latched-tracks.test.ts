/** The last frame of a latched track, through a real server. */
import { expect, it } from 'vitest'
import { RoomEvent } from '../../index'
import { Scene, event, pattern, same, seen } from '../helpers/scene'
import { withServer } from '../helpers/with-server'

const server = withServer()

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

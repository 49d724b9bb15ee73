/** Speakers and the quality of connections, as a real server announces them. */
import { expect, it } from 'vitest'
import { RoomEvent } from '../../index'
import { event, Scene } from '../helpers/scene'
import { withServer } from '../helpers/with-server'

const server = withServer()

it('the server reports the quality of the local participant’s connection', () =>
  Scene.with(server, async (scene) => {
    const told: string[] = []
    const room = await scene.join('alice', {
      before: (joining) =>
        joining.on(RoomEvent.ConnectionQualityChanged, (quality, { identity }) =>
          told.push(`${identity} ${quality}`),
        ),
    })
    if (told.length === 0) await event(room, RoomEvent.ConnectionQualityChanged)
    expect(told[0]).toBe('alice excellent')
    expect(room.localParticipant.connectionQuality).toBe('excellent')
  }))

it('the scenario speaker makes the local participant an active speaker for 3 s', () =>
  Scene.with(server, async (scene) => {
    const room = await scene.join('alice')
    const begun = event(room, RoomEvent.ActiveSpeakersChanged)
    await room.simulateScenario('speaker')
    const [speakers] = await begun
    expect(speakers.map(({ identity }) => identity)).toEqual(['alice'])
    expect(room.localParticipant.isSpeaking).toBe(true)
    expect(room.localParticipant.audioLevel).toBeCloseTo(0.9)
    const [after] = await event(room, RoomEvent.ActiveSpeakersChanged)
    expect(after).toEqual([])
    expect(room.localParticipant.isSpeaking).toBe(false)
  }))

/** Subscription permissions through a real server. */
import { expect, it } from 'vitest'
import { RoomEvent } from '../../index'
import { rejection } from '../helpers/rooms'
import { Scene, event, flowing, publish, seen } from '../helpers/scene'
import { withServer } from '../helpers/with-server'

const server = withServer()

const inScene = (use: (scene: Scene) => Promise<void>) => () => Scene.with(server, use)

it(
  'a subscription ends with notAllowed when the permission is revoked, and works again when it is granted',
  inScene(async (scene) => {
    const [alice, bob, carol] = [
      await scene.join('alice'),
      await scene.join('bob'),
      await scene.join('carol'),
    ]
    const { local, remote } = await publish(alice, bob, { name: 'imu' })
    const carols = (await seen(carol, 'imu')).subscribe()
    const stream = remote.subscribe()
    await flowing(local, stream, carols)
    const told = event(bob, RoomEvent.TrackSubscriptionPermissionChanged)
    alice.localParticipant.setTrackSubscriptionPermissions(false, [
      { participantIdentity: 'carol', allowedTrackNames: ['imu'] },
    ])
    const [track, status, participant] = await told
    expect([track, status, participant.identity]).toEqual([remote, 'not_allowed', 'alice'])
    const error = await rejection(
      (async () => {
        for (;;) if ((await stream.read()) === undefined) return
      })(),
    )
    expect(error).toMatchObject({ reason: 'notAllowed' })
    expect(await rejection(remote.subscribe().read())).toMatchObject({ reason: 'notAllowed' })
    await flowing(local, carols)
    const allowed = event(bob, RoomEvent.TrackSubscriptionPermissionChanged)
    alice.localParticipant.setTrackSubscriptionPermissions(true)
    expect((await allowed)[1]).toBe('allowed')
    await flowing(local, remote.subscribe())
  }),
)

it(
  'a track that is permitted by name is forwarded at once, also after its publisher’s connection was rebuilt',
  inScene(async (scene) => {
    const [alice, bob, carol] = [
      await scene.join('alice'),
      await scene.join('bob'),
      await scene.join('carol'),
    ]
    alice.localParticipant.setTrackSubscriptionPermissions(false, [
      { participantIdentity: 'bob', allowedTrackNames: ['imu'] },
    ])
    const { local, remote } = await publish(alice, bob, { name: 'imu' })
    const stream = remote.subscribe()
    const refused = rejection((await seen(carol, 'imu')).subscribe().read())
    await flowing(local, stream)
    expect(await refused).toMatchObject({ reason: 'notAllowed' })
    const before = local.info.sid
    const back = event(alice, RoomEvent.Reconnected)
    await alice.simulateScenario('full-reconnect')
    await back
    await flowing(local, stream)
    expect(local.info.sid).not.toBe(before)
    const again = await seen(carol, 'imu')
    expect(await rejection(again.subscribe().read())).toMatchObject({ reason: 'notAllowed' })
  }),
)

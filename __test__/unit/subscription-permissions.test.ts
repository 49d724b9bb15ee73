/** Who may subscribe to whose tracks. */
import { describe, expect, it } from 'vitest'
import { DataTrackSubscribeError, Room, RoomEvent } from '../../index'
import type { RemoteDataTrack } from '../../index'
import type { SubscriptionPermissionMessage } from '../../src/signal/messages'
import { SubscriptionPermissions } from '../../src/room/subscription-permissions'
import { keepLogs } from '../helpers/logged'
import { fakeRoom } from '../helpers/fake-connection'
import { publish, rejection, thrown, turn, until, withPair } from '../helpers/rooms'
import type { Pair } from '../helpers/rooms'

const logged = keepLogs({ debug: false })

const allow = (identity: string, ...allowedTrackNames: string[]) => [
  { participantIdentity: identity, allowedTrackNames },
]

/** The tracks that bob is told about, and how. */
function statuses({ bob }: Pick<Pair, 'bob'>): string[] {
  const told: string[] = []
  bob.on(RoomEvent.TrackSubscriptionPermissionChanged, (track, status, { identity }) => {
    expect(track.permissionStatus).toBe(status)
    told.push(`${track.name} of ${identity}: ${status}`)
  })
  return told
}

async function flows(track: RemoteDataTrack, push: (frame: Uint8Array) => void): Promise<void> {
  const stream = track.subscribe()
  await stream.ready
  push(Uint8Array.of(7))
  expect((await stream.read())!.payload).toEqual(Uint8Array.of(7))
  stream.close()
}

describe('setTrackSubscriptionPermissions', () => {
  it('ends subscriptions that it no longer permits with notAllowed, and reports when they are permitted again', () =>
    withPair(async (pair) => {
      const told = statuses(pair)
      const { alice } = pair
      const { local, remote } = await publish(pair, { name: 'imu' })
      const other = await publish(pair, { name: 'other' })
      const [stream, kept] = [remote.subscribe(), other.remote.subscribe()]
      await Promise.all([stream.ready, kept.ready])
      alice.localParticipant.setTrackSubscriptionPermissions(false, allow('bob', 'other'))
      const error = await rejection(stream.read())
      expect(error).toBeInstanceOf(DataTrackSubscribeError)
      expect(error.reason).toBe('notAllowed')
      expect(await rejection(remote.subscribe().read())).toMatchObject({ reason: 'notAllowed' })
      expect(remote.permissionStatus).toBe('not_allowed')
      other.local.tryPush(Uint8Array.of(1))
      expect((await kept.read())!.payload).toEqual(Uint8Array.of(1))
      alice.localParticipant.setTrackSubscriptionPermissions(true)
      await until(() => remote.permissionStatus === 'allowed')
      await flows(remote, (frame) => local.tryPush(frame))
      expect(told).toEqual(['imu of alice: not_allowed', 'imu of alice: allowed'])
    }))

  it('can permit a track by name before it is published: an immediate subscription is not refused', () =>
    withPair(async (pair) => {
      const { alice, bob } = pair
      alice.localParticipant.setTrackSubscriptionPermissions(false, allow('bob', 'imu'))
      const stream = new Promise<RemoteDataTrack>((resolve) => bob.on(RoomEvent.DataTrackPublished, resolve))
      const local = await alice.localParticipant.publishDataTrack({ name: 'imu' })
      await flows(await stream, (frame) => local.tryPush(frame))
      const refused = await publish(pair, { name: 'secret' })
      expect(await rejection(refused.remote.subscribe().read())).toMatchObject({ reason: 'notAllowed' })
    }))

  it('stays in effect for new SIDs, after either side’s reconnect, and for the next connection', () =>
    withPair(async (pair) => {
      const { sfu, alice, bob } = pair
      alice.localParticipant.setTrackSubscriptionPermissions(false, allow('bob', 'imu'))
      const { local, remote } = await publish(pair, { name: 'imu' })
      const secret = await publish(pair, { name: 'secret' })
      for (const [identity, kind] of [
        ['alice', 'full'],
        ['alice', 'resume'],
        ['bob', 'full'],
        ['bob', 'resume'],
      ] as const) {
        await sfu.reconnect(identity, kind)
        await flows(remote, (frame) => local.tryPush(frame))
        expect(await rejection(secret.remote.subscribe().read())).toMatchObject({ reason: 'notAllowed' })
      }
      await alice.disconnect()
      sfu.join('alice', { room: alice })
      const again = await publish(pair, { name: 'secret' })
      expect(await rejection(again.remote.subscribe().read())).toMatchObject({ reason: 'notAllowed' })
      await bob.disconnect()
    }))

  it('names a wrong argument, and then changes nothing', () => {
    const { localParticipant } = new Room()
    const set = (...args: unknown[]) =>
      thrown(() => localParticipant.setTrackSubscriptionPermissions(...(args as [boolean])))
    for (const [args, name] of [
      [[], 'allParticipantsAllowed'],
      [['yes'], 'allParticipantsAllowed'],
      [[false, 'bob'], 'participantTrackPermissions'],
      [[true, {}], 'participantTrackPermissions'],
      [[false, [7]], 'participantTrackPermissions[0]'],
      [[false, [{ participantIdentity: 7 }]], 'participantTrackPermissions[0].participantIdentity'],
      [[false, [{ participantSid: 7 }]], 'participantTrackPermissions[0].participantSid'],
      [
        [false, [...allow('bob'), { participantIdentity: 'b', allowAll: 1 }]],
        'participantTrackPermissions[1].allowAll',
      ],
      [[false, [{ participantIdentity: 'b', allowedTrackNames: 'imu' }]], '[0].allowedTrackNames'],
      [[false, [{ participantIdentity: 'b', allowedTrackNames: [7] }]], '[0].allowedTrackNames[0]'],
      [[false, [{ participantIdentity: 'b', allowedTrackSids: [null] }]], '[0].allowedTrackSids[0]'],
    ] as const) {
      const error = set(...args)
      expect(error).toBeInstanceOf(TypeError)
      expect(error.message).toContain(name)
    }
    for (const permission of [{}, { participantIdentity: '' }]) {
      const error = set(false, [permission])
      expect(error).toBeInstanceOf(RangeError)
      expect(error.message).toContain('participantTrackPermissions[0].participantIdentity')
    }
    expect(localParticipant.subscriptionPermissions.permits({ identity: 'x', sid: '' }, 'imu')).toBe(true)
  })

  it('sends SIDs to the server once for all tracks that get one in the same turn', async () => {
    const sent: SubscriptionPermissionMessage[] = []
    const published = [{ sid: 'DTR_1', pubHandle: 1, name: 'imu', usesE2ee: false }]
    const permissions = new SubscriptionPermissions({
      published: () => published,
      send: (value) => sent.push(value),
    })
    permissions.restore()
    expect(sent).toEqual([])
    permissions.set(false, [
      { participantIdentity: 'bob', allowedTrackNames: ['scan'], allowedTrackSids: ['DTR_1', 'TR_media'] },
      { participantSid: 'PA_carol', allowAll: true },
    ])
    published.push({ ...published[0]!, sid: 'DTR_2', name: 'scan' })
    published[0] = { ...published[0]!, sid: 'DTR_9' }
    for (let index = 0; index < 100; index++) permissions.published()
    await turn()
    const bob = (...trackSids: string[]) => ({
      participantIdentity: 'bob',
      participantSid: '',
      allTracks: false,
      trackSids,
    })
    const carol = { participantIdentity: '', participantSid: 'PA_carol', allTracks: true, trackSids: [] }
    expect(sent.map(({ trackPermissions }) => trackPermissions)).toEqual([
      [bob('TR_media', 'DTR_1'), carol],
      [bob('TR_media', 'DTR_9', 'DTR_2'), carol],
    ])
    const may = (identity: string, sid: string, name: string) => permissions.permits({ identity, sid }, name)
    expect([
      may('bob', '', 'imu'),
      may('bob', '', 'other'),
      may('x', 'PA_carol', 'other'),
      may('x', '', 'imu'),
    ]).toEqual([true, false, true, false])
    permissions.set(true, [])
    expect(sent.at(-1)).toEqual({ allParticipants: true, trackPermissions: [] })
    permissions.published()
    await turn()
    expect(sent).toHaveLength(3)
  })
})

it('an invalid permission from the server changes nothing, and is logged once', async () => {
  const { room } = fakeRoom()
  const dataTracks = [{ pubHandle: 1, sid: 'DTR_1', name: 't', encryption: 0 }]
  room.engine.receive({
    message: {
      case: 'join',
      value: {
        participant: { identity: 'me', sid: 'PA_me', state: 2 },
        otherParticipants: [{ identity: 'a', sid: 'PA', state: 2, dataTracks }],
      },
    },
  })
  const told = statuses({ bob: room })
  const receive = (value: unknown) =>
    room.engine.receive({ message: { case: 'subscriptionPermissionUpdate', value } })
  for (const value of [undefined, 7, {}, { trackSid: 7 }, { trackSid: 'DTR_1', allowed: 'no' }, null])
    receive(value)
  receive({ trackSid: 'DTR_other', allowed: false })
  receive({ trackSid: 'DTR_1', allowed: true })
  expect(told).toEqual([])
  expect(logged.filter((text) => text.includes('subscriptionPermissionUpdate'))).toHaveLength(1)
  receive({ trackSid: 'DTR_1' })
  expect(told).toEqual(['t of a: not_allowed'])
  await room.disconnect()
})

/** What a server says of a room, of itself and of participants, and nonsense in its place. */
import { ParticipantInfo, ParticipantInfo_KindDetail, SignalResponse } from '@livekit/protocol'
import { describe, expect, it } from 'vitest'
import { Room, RoomEvent } from '../../index'
import { disconnectReason, disconnectReasonNumber } from '../../src/connection/disconnect-reason'
import { kindDetailsOf, permissionsOf } from '../../src/room/participant-info'
import { MAX_KIND_DETAILS, MAX_PUBLISH_SOURCES } from '../../src/signal/limits'
import { signalParts } from '../../src/signal/parts'
import { fakeRoom } from '../helpers/fake-connection'
import { thrown, until, withPair } from '../helpers/rooms'

const me = { identity: 'me', sid: 'PA_me', state: 2 }

function joined(join: object = {}, participants: object[] = []) {
  const fake = fakeRoom()
  const value = { room: { name: 'r' }, participant: me, otherParticipants: participants, ...join }
  fake.room.engine.receive({ message: { case: 'join', value } })
  return fake
}

const roomUpdate = (room: unknown) => ({ message: { case: 'roomUpdate', value: { room } } })
const update = (...participants: object[]) => ({ message: { case: 'update', value: { participants } } })

describe('a room’s description', () => {
  it('has the number of participants, the creation time, and whether the room is recorded', async () => {
    const before = Date.now()
    await withPair(async ({ sfu, alice, bob }) => {
      const told: boolean[] = []
      bob.on(RoomEvent.RecordingStatusChanged, (recording) => told.push(recording))
      await until(() => alice.numParticipants === 2)
      expect([bob.numParticipants, bob.numPublishers, bob.isRecording]).toEqual([2, 0, false])
      expect(alice.creationTime!.getTime()).toBeGreaterThanOrEqual(before)
      expect(bob.creationTime).toEqual(alice.creationTime)
      sfu.setRecording(true)
      await until(() => alice.isRecording && bob.isRecording)
      sfu.setRecording(true)
      sfu.setRecording(false)
      await until(() => !bob.isRecording)
      expect(told).toEqual([true, false])
      await alice.disconnect()
      await until(() => bob.numParticipants === 1)
      expect(thrown(() => sfu.setRecording(undefined as never)).message).toContain('"recording"')
    })
    const room = new Room()
    expect([room.numParticipants, room.numPublishers, room.creationTime, room.isRecording]).toEqual([
      0,
      0,
      undefined,
      false,
    ])
  })

  it('is taken from the join message; invalid values count as absent', async () => {
    const { room } = joined({
      room: { numParticipants: 7, numPublishers: 3, creationTime: 5n, activeRecording: true },
      serverInfo: { edition: 1, version: '1.13.5', protocol: 17, nodeId: 'ND_1', agentProtocol: 2 },
      serverRegion: 'eu',
    })
    expect([room.numParticipants, room.numPublishers, room.isRecording]).toEqual([7, 3, true])
    expect(room.creationTime).toEqual(new Date(5000))
    expect(room.serverInfo).toEqual({
      ...{ edition: 'cloud', version: '1.13.5', protocol: 17, region: 'eu', nodeId: 'ND_1' },
      ...{ debugInfo: '', agentProtocol: 2 },
    })
    const told: unknown[] = []
    room.on(RoomEvent.RecordingStatusChanged, (recording) => told.push(recording))
    room.engine.receive(roomUpdate(undefined))
    expect(room.numParticipants).toBe(7)
    room.engine.receive(
      roomUpdate({ numParticipants: -1, numPublishers: 'many', creationTime: 'x', activeRecording: 1 }),
    )
    expect([room.numParticipants, room.numPublishers, room.creationTime]).toEqual([0, 0, undefined])
    expect(told).toEqual([false])
    await room.disconnect()
  })

  it.each([[{ serverInfo: 5 }], [{ serverInfo: { edition: 'x', version: 7, protocol: {} } }], [{}]])(
    'has empty server info for %j',
    async (join) => {
      const { room } = joined(join)
      expect(room.serverInfo).toMatchObject({ edition: 'standard', version: '', protocol: 0, region: '' })
      await room.disconnect()
    },
  )
})

describe('a participant', () => {
  it('has permissions and details of its kind, and is an agent by its kind or its attributes', async () => {
    const permission = {
      canPublish: true,
      canPublishSources: [1, 4, 9],
      canSubscribeMetrics: true,
      canManageAgentSession: true,
      recorder: true,
      agent: true,
    }
    const { room } = joined({}, [
      { identity: 'a', sid: 'PA_a', state: 2, kindDetails: [0, 5, 77], permission },
      { identity: 'b', sid: 'PA_b', state: 2, kind: 4 },
      { identity: 'c', sid: 'PA_c', state: 2 },
    ])
    const [a, b, c] = ['a', 'b', 'c'].map((identity) => room.remoteParticipants.get(identity)!)
    expect(a!.permissions).toEqual({
      ...{ canSubscribe: false, canPublish: true, canPublishData: false, canUpdateMetadata: false },
      ...{ hidden: false, canPublishSources: ['camera', 'screen_share_audio', 'other:9'] },
      ...{ canSubscribeMetrics: true, canManageAgentSession: true, recorder: true, agent: true },
    })
    expect(a!.kindDetails).toEqual(['cloudAgent', 'simulation', 'other:77'])
    expect([a!.isAgent, b!.isAgent, c!.isAgent]).toEqual([true, true, false])
    expect([b!.kindDetails, c!.kindDetails]).toEqual([[], []])
    const changes: unknown[] = []
    room.on(RoomEvent.ParticipantPermissionsChanged, (previous) => changes.push(previous?.canPublishSources))
    room.engine.receive(update({ identity: 'a', sid: 'PA_a', state: 2, permission: { ...permission } }))
    expect(changes).toEqual([])
    room.engine.receive(
      update({ identity: 'a', sid: 'PA_a', state: 2, permission: { ...permission, canPublishSources: [2] } }),
    )
    expect(changes).toEqual([['camera', 'screen_share_audio', 'other:9']])
    await room.disconnect()
  })

  it('has the server’s reason when it leaves', async () => {
    const left: unknown[] = []
    const { room } = joined(
      {},
      ['a', 'b', 'c'].map((identity) => ({ identity, sid: 'PA', state: 2 })),
    )
    room.on(RoomEvent.ParticipantDisconnected, ({ identity, disconnectReason }, reason) =>
      left.push([identity, disconnectReason, reason]),
    )
    room.engine.receive(update({ identity: 'a', sid: 'PA', state: 3, disconnectReason: 16 }))
    room.engine.receive(update({ identity: 'b', sid: 'PA', state: 3, disconnectReason: 0 }))
    room.engine.receive(update({ identity: 'c', sid: 'PA', state: 3, disconnectReason: 'gone' }))
    expect(left).toEqual([
      ['a', 'agentError', 'agentError'],
      ['b', undefined, undefined],
      ['c', undefined, undefined],
    ])
    await room.disconnect()
  })

  it('has lists of a bounded length, with numbers only', () => {
    const many = Array.from({ length: 5000 }, () => ParticipantInfo_KindDetail.CONNECTOR_WHATSAPP)
    const { participants } = partOf(new ParticipantInfo({ identity: 'a', kindDetails: many }))
    expect(participants[0]!.kindDetails).toHaveLength(MAX_KIND_DETAILS)
    const small = partOf(new ParticipantInfo({ identity: 'a', kindDetails: many.slice(0, 100) }))
    expect(small.participants[0]!.kindDetails).toHaveLength(MAX_KIND_DETAILS)
    expect(permissionsOf({ canPublishSources: many })?.canPublishSources).toHaveLength(MAX_PUBLISH_SOURCES)
    expect(permissionsOf({ canPublishSources: [1, 'x', 2.5] as never })?.canPublishSources).toEqual([
      'camera',
    ])
    expect(permissionsOf({ canPublishSources: 'all' as never })?.canPublishSources).toEqual([])
    expect(kindDetailsOf(undefined)).toEqual([])
  })
})

it('the reasons of a disconnection have the numbers of the protocol', () => {
  const reasons = Array.from({ length: 17 }, (_, number) => disconnectReason(number))
  expect(new Set(reasons).size).toBe(17)
  expect(reasons.map(disconnectReasonNumber)).toEqual([...reasons.keys()])
  expect(reasons.slice(11)).toEqual([
    'userUnavailable',
    'userRejected',
    'sipTrunkFailure',
    'connectionTimeout',
    'mediaFailure',
    'agentError',
  ])
  expect([disconnectReason(17), disconnectReason(-1), disconnectReason('x')]).toEqual(
    Array.from({ length: 3 }, () => 'unknownReason'),
  )
})

describe('signalling', () => {
  it.each(['resume', 'full'] as const)('is reported by an event when it comes back by %s', async (kind) => {
    await withPair(async ({ sfu, alice }) => {
      const told: string[] = []
      for (const name of ['SignalConnected', 'SignalReconnecting', 'Reconnecting', 'Reconnected'] as const) {
        alice.on(RoomEvent[name], () => told.push(name))
      }
      await sfu.reconnect('alice', kind)
      expect(told).toEqual([
        ...(kind === 'resume' ? ['SignalReconnecting'] : []),
        ...['Reconnecting', 'SignalConnected', 'Reconnected'],
      ])
    })
  })

  it('a listener that disconnects its room when signalling is back disconnects it once', async () => {
    await withPair(async ({ sfu, alice }) => {
      const told: string[] = []
      alice.on(RoomEvent.SignalConnected, () => void alice.disconnect())
      alice.on(RoomEvent.Disconnected, (reason) => told.push(reason))
      alice.on(RoomEvent.Reconnected, () => told.push('reconnected'))
      await sfu.reconnect('alice', 'full')
      expect([told, alice.state]).toEqual([['clientInitiated'], 'disconnected'])
    })
  })
})

/** An update with one participant, as it is decoded. */
function partOf(participant: ParticipantInfo): { participants: ParticipantInfo[] } {
  const response = new SignalResponse({ message: { case: 'update', value: { participants: [participant] } } })
  const [part] = [...signalParts(response.toBinary())]
  if (part?.message.case !== 'update') throw new Error('there is no part')
  return part.message.value
}

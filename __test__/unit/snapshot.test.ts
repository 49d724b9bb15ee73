/** A server that lists all participants: those that are missing have left. */
import { ParticipantInfo, ParticipantInfo_State, ParticipantUpdate, SignalResponse } from '@livekit/protocol'
import { describe, expect, it } from 'vitest'
import { RoomEvent } from '../../index'
import { MAX_PARTICIPANTS } from '../../src/signal/limits'
import { signalParts } from '../../src/signal/parts'
import { keepLogs } from '../helpers/logged'
import { fakeRoom } from '../helpers/fake-connection'
import { bytesField } from '../helpers/hostile-server'

const logged = keepLogs()

const updateNumber = SignalResponse.fields.list().find(({ localName }) => localName === 'update')!.no
const set = Uint8Array.of(2 << 3, 1)

interface Update {
  readonly identities: readonly string[]
  /** `livekit.ParticipantUpdate.full_snapshot`, encoded. */
  readonly flag?: Uint8Array
  readonly metadata?: string
  readonly more?: Uint8Array
}

/** A message as a server of protocol 1.54 encodes it. */
function update({ identities, flag = new Uint8Array(), metadata = '', more = new Uint8Array() }: Update) {
  const participants = identities.map(
    (identity) =>
      new ParticipantInfo({ identity, sid: `PA_${identity}`, state: ParticipantInfo_State.ACTIVE, metadata }),
  )
  const listed = new ParticipantUpdate({ participants }).toBinary()
  return bytesField(updateNumber, Buffer.concat([listed, flag, more]))
}

function joined(...identities: string[]) {
  const fake = fakeRoom()
  const left: string[] = []
  fake.room.on(RoomEvent.ParticipantDisconnected, ({ identity }) => left.push(identity))
  const participant = { identity: 'me', sid: 'PA_me', state: 2 }
  const otherParticipants = identities.map((identity) => ({ identity, sid: `PA_${identity}`, state: 2 }))
  fake.room.engine.receive({ message: { case: 'join', value: { room: {}, participant, otherParticipants } } })
  const receive = (message: Update) => {
    for (const part of signalParts(update(message))) if (part !== undefined) fake.room.engine.receive(part)
  }
  return { ...fake, left, receive }
}

describe('an update that lists all participants', () => {
  it('removes missing participants and their tracks, and adds new ones', async () => {
    const { room, left, receive } = joined('a', 'b')
    const track = { pubHandle: 1, sid: 'DTR_1', name: 'track', encryption: 0 }
    const b = { identity: 'b', sid: 'PA_b', state: 2, dataTracks: [track] }
    room.engine.receive({ message: { case: 'update', value: { participants: [b] } } })
    const ended: string[] = []
    room.on(RoomEvent.DataTrackUnpublished, (sid) => ended.push(sid))
    receive({ identities: ['me', 'a', 'c'], flag: set })
    expect([left, ended, [...room.remoteParticipants.keys()]]).toEqual([['b'], ['DTR_1'], ['a', 'c']])
    receive({ identities: ['me'], flag: set })
    expect([left, room.remoteParticipants.size]).toEqual([['b', 'a', 'c'], 0])
    await room.disconnect()
  })

  it.each([
    ['absent', new Uint8Array()],
    ['zero', Uint8Array.of(2 << 3, 0)],
    ['zero in many bytes', Uint8Array.of(2 << 3, 0x80, 0x80, 0)],
    ['set, and then zero', Uint8Array.of(2 << 3, 1, 2 << 3, 0)],
    ['a text', bytesField(2, Uint8Array.of(1))],
  ])('is treated as an ordinary update if its flag is %s', async (_what, flag) => {
    const { room, left, receive } = joined('a')
    receive({ identities: ['me'], flag })
    expect(left).toEqual([])
    await room.disconnect()
  })

  it('takes effect as a whole, however many parts it is handled in', async () => {
    const all = Array.from({ length: 2000 }, (_, index) => `p${index}`)
    const { room, left, receive } = joined('early', ...all.slice(0, 10))
    receive({ identities: ['me', ...all], flag: set, metadata: 'm'.repeat(500) })
    expect([left, room.remoteParticipants.size]).toEqual([['early'], 2000])
    await room.disconnect()
  })

  it('does not end the wait for participants that may return after the connection was rebuilt', async () => {
    const { room, left, receive } = joined('a')
    room.engine.connectionLost()
    room.engine.connectionReconnecting(false)
    const participant = { identity: 'me', sid: 'PA_me2', state: 2 }
    room.engine.connectionRebuilt({ message: { case: 'join', value: { room: {}, participant } } })
    receive({ identities: ['me'], flag: set })
    expect([left, [...room.remoteParticipants.keys()]]).toEqual([[], ['a']])
    await room.disconnect()
  })

  it('is not applied as a list if it lacks the local participant, which is logged once', async () => {
    const { room, left, receive } = joined('a')
    receive({ identities: ['b'], flag: set })
    receive({ identities: [], flag: set })
    expect([left, [...room.remoteParticipants.keys()]]).toEqual([[], ['a', 'b']])
    expect(logged.filter((text) => text.includes('local one'))).toHaveLength(1)
    await room.disconnect()
  })

  it('is not applied as a list if part of it is unreadable or was cut', async () => {
    const { room, left, receive } = joined('a')
    // A participant that ends in its midst, in a message that is too long to be decoded as it is.
    const broken = bytesField(1, Uint8Array.of(0x0a, 0x7f, 1))
    receive({ identities: ['me', 'b'], flag: set, metadata: 'm'.repeat(5000), more: broken })
    expect(left).toEqual([])
    expect(logged.join()).toContain('malformed')
    const many = Array.from({ length: MAX_PARTICIPANTS }, (_, index) => (index === 0 ? 'me' : `p${index}`))
    receive({ identities: [...many, 'last'], flag: set })
    expect(left).toEqual([])
    await room.disconnect()
  })
})

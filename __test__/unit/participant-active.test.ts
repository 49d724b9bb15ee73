/** Whether participants can be sent to. */
import { getEventListeners } from 'node:events'
import { describe, expect, it } from 'vitest'
import { DataTrackClosedError, Room, RoomEvent } from '../../index'
import { keepLogs } from '../helpers/logged'
import { fakeRoom } from '../helpers/fake-connection'
import { rejection, withPair } from '../helpers/rooms'

const logged = keepLogs()

const [JOINING, JOINED, ACTIVE, DISCONNECTED] = [0, 1, 2, 3]

const p = (identity: string, state: unknown, sid = `PA_${identity}`) => ({ identity, sid, state })
const update = (...participants: object[]) => ({ message: { case: 'update', value: { participants } } })
const join = (...otherParticipants: object[]) => ({
  message: {
    case: 'join',
    value: { room: { name: 'r' }, participant: p('me', JOINED), otherParticipants },
  },
})

/** A room, and what it tells of participants. */
function joined(...others: object[]): { room: Room; told: string[]; identities: () => string[] } {
  const { room } = fakeRoom()
  const told: string[] = []
  room.on(RoomEvent.ParticipantConnected, ({ identity, state }) => told.push(`+${identity} ${state}`))
  room.on(RoomEvent.ParticipantActive, ({ identity, state }) => told.push(`!${identity} ${state}`))
  room.on(RoomEvent.ParticipantDisconnected, ({ identity, state }) => told.push(`-${identity} ${state}`))
  room.engine.receive(join(...others))
  return { room, told, identities: () => [...room.remoteParticipants.keys()] }
}

describe('the state of a remote participant', () => {
  it('changes from joining to active, with one event per session, and ends as disconnected', async () => {
    const { room, told } = joined(p('there', ACTIVE))
    room.engine.receive(update(p('bob', JOINING)))
    const bob = room.remoteParticipants.get('bob')!
    expect([bob.state, bob.isActive]).toEqual(['joining', false])
    for (const state of [JOINED, ACTIVE, ACTIVE]) room.engine.receive(update(p('bob', state)))
    expect([bob.state, bob.isActive]).toEqual(['active', true])
    // Its connection is rebuilt, once step by step, once with the steps in one message.
    room.engine.receive(update(p('bob', JOINED, 'PA_2')))
    expect([bob.state, bob.isActive]).toEqual(['joined', false])
    room.engine.receive(update(p('bob', ACTIVE, 'PA_2')))
    room.engine.receive(update(p('bob', ACTIVE, 'PA_3')))
    room.engine.receive(update(p('bob', DISCONNECTED, 'PA_3')))
    expect([bob.state, bob.isActive]).toEqual(['disconnected', false])
    expect(told).toEqual([
      '+there active',
      '!there active',
      '+bob joining',
      '!bob active',
      '!bob active',
      '!bob active',
      '-bob disconnected',
    ])
    await room.disconnect()
  })

  it('is joining while the participant is missing after a rebuild, and active when it is back', async () => {
    const { room, told } = joined(p('bob', ACTIVE), p('carol', ACTIVE))
    const [bob, carol] = [...room.remoteParticipants.values()]
    told.length = 0
    room.engine.connectionLost()
    room.engine.connectionReconnecting(false)
    expect([bob!.state, carol!.state]).toEqual(['active', 'active'])
    room.engine.connectionRebuilt(join(p('carol', ACTIVE)))
    expect([bob!.state, carol!.state]).toEqual(['joining', 'active'])
    room.engine.receive(update(p('bob', ACTIVE, 'PA_new')))
    expect(told).toEqual(['!bob active'])
    await room.disconnect()
  })

  it('does not change if the server sends an unknown state, which is logged once', async () => {
    const { room, told } = joined(p('bob', ACTIVE))
    told.length = 0
    for (const state of [17, -1, 1.5, 'active', null, {}, Number.NaN])
      room.engine.receive(update(p('bob', state)))
    expect(room.remoteParticipants.get('bob')!.state).toBe('active')
    room.engine.receive(update(p('carol', 99)))
    expect(room.remoteParticipants.get('carol')!.state).toBe('joining')
    expect(told).toEqual(['+carol joining'])
    expect(logged.filter((text) => text.includes('state of a participant'))).toHaveLength(1)
    await room.disconnect()
  })
})

describe('waitUntilActive', () => {
  it('resolves when the participant becomes active, or at once if it already is', async () => {
    const { room } = joined(p('bob', JOINED))
    const bob = room.remoteParticipants.get('bob')!
    const waiting = [bob.waitUntilActive(), bob.waitUntilActive({ signal: new AbortController().signal })]
    room.engine.receive(update(p('bob', ACTIVE)))
    await Promise.all(waiting)
    await bob.waitUntilActive()
    await room.disconnect()
  })

  it('rejects when the participant leaves or the room disconnects, and at once after that', async () => {
    const { room } = joined(p('bob', JOINED), p('carol', JOINED))
    const [bob, carol] = [...room.remoteParticipants.values()]
    const waiting = [bob!.waitUntilActive(), carol!.waitUntilActive()].map(rejection)
    room.engine.receive(update(p('bob', DISCONNECTED)))
    await room.disconnect()
    for (const error of [...(await Promise.all(waiting)), await rejection(bob!.waitUntilActive())]) {
      expect(error).toBeInstanceOf(DataTrackClosedError)
      expect(error.reason).toBe('participantDisconnected')
    }
  })

  it("rejects with the signal's reason, and leaves no listener at the signal", async () => {
    const { room } = joined(p('bob', JOINED))
    const bob = room.remoteParticipants.get('bob')!
    const controller = new AbortController()
    const { signal } = controller
    const [first, second] = [bob.waitUntilActive({ signal }), bob.waitUntilActive({ signal })]
    const mine = new Error('mine')
    controller.abort(mine)
    expect([await rejection(first), await rejection(second)]).toEqual([mine, mine])
    expect(await rejection(bob.waitUntilActive({ signal }))).toBe(mine)
    const other = new AbortController().signal
    const waiting = bob.waitUntilActive({ signal: other })
    room.engine.receive(update(p('bob', ACTIVE)))
    await waiting
    expect([signal, other].flatMap((given) => getEventListeners(given, 'abort'))).toEqual([])
    await room.disconnect()
  })

  it('names the option that is wrong', async () => {
    const { room } = joined(p('bob', JOINED))
    const bob = room.remoteParticipants.get('bob')!
    for (const [options, name] of [
      [7, 'options'],
      [null, 'options'],
      [{ signal: 7 }, 'options.signal'],
      [{ signal: {} }, 'options.signal'],
    ] as const) {
      const error = await rejection(bob.waitUntilActive(options as never))
      expect(error).toBeInstanceOf(TypeError)
      expect(error.message).toContain(`"${name}"`)
    }
    await room.disconnect()
  })
})

describe('the local participant', () => {
  it('is active while its room is connected', async () => {
    const room = new Room()
    const { localParticipant } = room
    expect([localParticipant.state, localParticipant.isActive]).toEqual(['disconnected', false])
    const waiting = localParticipant.waitUntilActive()
    await withPair(async ({ sfu }) => {
      sfu.join('carol', { room })
      await waiting
      expect(localParticipant.state).toBe('active')
      await sfu.reconnect('carol', 'full')
      expect(localParticipant.state).toBe('active')
      const again = localParticipant.waitUntilActive()
      await room.disconnect()
      await again
      expect(localParticipant.state).toBe('disconnected')
    })
  })
})

it('in a loopback each participant is active, and can receive data, as soon as it has joined', async () => {
  await withPair(async ({ sfu, alice }) => {
    const room = new Room()
    const arrived = new Promise((resolve) => room.once(RoomEvent.DataReceived, resolve))
    alice.on(RoomEvent.ParticipantActive, ({ identity }) => {
      const to = { reliable: true, destinationIdentities: [identity] }
      void alice.localParticipant.publishData(Uint8Array.of(7), to)
    })
    sfu.join('carol', { room })
    expect(await arrived).toEqual(Uint8Array.of(7))
  })
})

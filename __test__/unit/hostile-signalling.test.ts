/** What a server can make a room keep, and what it cannot break. */
import { afterEach, expect, it, vi } from 'vitest'
import { RoomEvent } from '../../index'
import { environment } from '../../src/native/environment'
import { MAX_PARTICIPANT_BYTES } from '../../src/room/participant-limits'
import {
  MAX_PARTICIPANTS,
  MAX_TRACK_BYTES,
  MAX_TRACKS_OF_PARTICIPANT,
  TRACK_BYTES,
} from '../../src/signal/limits'
import { keepLogs } from '../helpers/logged'
import { fakeRoom } from '../helpers/fake-connection'

const logged = keepLogs()
afterEach(() => vi.restoreAllMocks())

const me = { identity: 'me', sid: 'PA_me', state: 2 }

function joined(others: object[] = []): ReturnType<typeof fakeRoom> {
  const fake = fakeRoom()
  fake.room.engine.receive({
    message: { case: 'join', value: { room: { name: 'r' }, participant: me, otherParticipants: others } },
  })
  return fake
}

const update = (...participants: object[]) => ({ message: { case: 'update', value: { participants } } })

const tracks = (count: number, session = '') =>
  Array.from({ length: count }, (_, index) => ({
    pubHandle: 1 + (index % 65_535),
    sid: `DTR_${session}${index}`,
    name: `track ${index}`,
    encryption: 0,
  }))

it('of 70,000 participants at most MAX_PARTICIPANTS are kept, and one warning is logged', async () => {
  const { room } = joined()
  const all = Array.from({ length: 70_000 }, (_, index) => ({ identity: `p${index}`, sid: 'PA', state: 2 }))
  for (let at = 0; at < all.length; at += 1000) room.engine.receive(update(...all.slice(at, at + 1000)))
  expect(room.remoteParticipants.size).toBe(MAX_PARTICIPANTS)
  expect(logged.filter((text) => text.includes('some participants'))).toHaveLength(1)
  // Who leaves makes room.
  room.engine.receive(update({ identity: 'p5', sid: 'PA', state: 3 }))
  room.engine.receive(update({ identity: 'late', sid: 'PA', state: 2 }))
  expect([room.remoteParticipants.has('p5'), room.remoteParticipants.has('late')]).toEqual([false, true])
  await room.disconnect()
  expect(room.remoteParticipants.size).toBe(0)
})

it('the metadata of all participants together is bounded, also when it changes', async () => {
  const { room } = joined()
  const metadata = 'm'.repeat(1 << 20)
  for (let index = 0; index < 200; index++) {
    room.engine.receive(update({ identity: `p${index}`, sid: 'PA', state: 2, metadata }))
  }
  // Two bytes for each character, and something beside them.
  expect(room.remoteParticipants.size).toBe(MAX_PARTICIPANT_BYTES / (2 << 20) - 1)
  room.engine.receive(
    update({ identity: 'p1', sid: 'PA', state: 2, metadata: metadata.repeat(8), version: 1 }),
  )
  expect(room.remoteParticipants.get('p1')?.metadata).toHaveLength(1 << 20)
  room.engine.receive(update({ identity: 'p1', sid: 'PA', state: 2, metadata: 'short', version: 2 }))
  expect(room.remoteParticipants.get('p1')?.metadata).toBe('short')
  await room.disconnect()
})

it('a list of 65,536 tracks of one participant is cut with a warning, and the room goes on', async () => {
  const { room } = joined()
  room.engine.receive(update({ identity: 'a', sid: 'PA', state: 2, dataTracks: tracks(65_536) }))
  expect(room.remoteParticipants.get('a')?.dataTracks.size).toBe(MAX_TRACKS_OF_PARTICIPANT)
  expect(logged.join()).toContain('skipped 61440 data tracks of a participant')
  room.engine.receive(update({ identity: 'a', sid: 'PA', state: 2, dataTracks: tracks(2) }))
  expect(room.remoteParticipants.get('a')?.dataTracks.size).toBe(2)
  expect(room.isConnected).toBe(true)
  await room.disconnect()
})

it('the memory for tracks of all participants is bounded, and a participant that leaves frees its part', async () => {
  const { room } = joined()
  const name = (index: number): string => `${index}`.padEnd(900, 'ü')
  const many = tracks(1000).map((track, index) => ({ ...track, name: name(index) }))
  const counted = (): number =>
    [...room.remoteParticipants.values()].reduce((sum, { dataTracks }) => sum + dataTracks.size, 0)
  for (let from = 0; from < 60; from++) {
    const dataTracks = many.map((track) => ({ ...track, sid: `${track.sid}_${from}` }))
    room.engine.receive(update({ identity: `p${from}`, sid: 'PA', state: 2, dataTracks }))
  }
  const most = MAX_TRACK_BYTES / (TRACK_BYTES + 2 * 900)
  expect(counted()).toBeLessThanOrEqual(most)
  expect(counted()).toBeGreaterThan(0.95 * most)
  expect(logged.join()).toContain('data tracks of a participant: there are too many')
  expect(room.remoteParticipants.get('p59')?.dataTracks.size).toBe(0)
  room.engine.receive(update({ identity: 'p0', sid: 'PA', state: 3 }))
  room.engine.receive(update({ identity: 'late', sid: 'PA', state: 2, dataTracks: tracks(1000, 'late') }))
  expect(room.remoteParticipants.get('late')?.dataTracks.size).toBe(1000)
  await room.disconnect()
})

it('a participant without an identity is ignored', async () => {
  const told: string[] = []
  const { room } = joined([{ identity: '', sid: 'PA_1', state: 2 }])
  room.on(RoomEvent.ParticipantConnected, ({ identity }) => told.push(identity))
  room.engine.receive(update({ identity: '', sid: 'PA_2', state: 2 }))
  expect([told, room.remoteParticipants.size]).toEqual([[], 0])
  await room.disconnect()
})

it('a message with very many faults is logged in one line', async () => {
  const { room } = joined()
  room.engine.receive(
    update({ identity: 'a', sid: 'PA', state: 2, dataTracks: Array.from({ length: 4000 }, () => ({})) }),
  )
  expect(logged).toEqual(['skipped 4000 malformed parts of DataTrackInfo'])
  await room.disconnect()
})

it('a native event that cannot be handled disconnects the room, and throws no exception', () => {
  const { room, connection } = joined()
  const ends: string[] = []
  room.on(RoomEvent.Disconnected, (reason) => ends.push(reason))
  const { binding } = environment()
  // An event without its contents: what is made of it throws.
  const poll = vi.spyOn(binding, 'pollEvents')
  poll.mockReturnValueOnce([{ source: connection.native.id, type: 'trackPublished' } as never])
  environment().pump()
  expect(ends).toEqual(['stateMismatch'])
  expect(connection.closed).toBe(true)
  expect(logged.join()).toContain('the event trackPublished could not be handled')
})

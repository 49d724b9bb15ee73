import { getEventListeners } from 'node:events'
import { describe, expect, it } from 'vitest'
import { Loopback, Room, RoomEvent } from '../../index'
import { publish, rejection, thrown, turn, until, withPair } from '../helpers/rooms'

describe('a room', () => {
  it('lists its participants, and emits events when they join and leave', async () => {
    await withPair(async ({ sfu, alice, bob }) => {
      expect(alice.isConnected).toBe(true)
      expect(alice.localParticipant.identity).toBe('alice')
      expect(alice.localParticipant.sid).toMatch(/^PA_/)
      expect([...bob.remoteParticipants.keys()]).toEqual(['alice'])
      await until(() => alice.remoteParticipants.has('bob'))
      const seen: string[] = []
      alice.on(RoomEvent.ParticipantConnected, ({ identity }) => seen.push(`+${identity}`))
      alice.on(RoomEvent.ParticipantDisconnected, ({ identity }) => seen.push(`-${identity}`))
      const carol = sfu.join('carol', { name: 'Carol', metadata: 'm', attributes: { a: '1' } })
      await until(() => seen.length === 1)
      expect(alice.remoteParticipants.get('carol')).toMatchObject({
        name: 'Carol',
        metadata: 'm',
        attributes: { a: '1' },
      })
      await carol.disconnect()
      await until(() => seen.length === 2)
      expect(seen).toEqual(['+carol', '-carol'])
    })
  })

  it('reports to listeners from before connect() which participants and tracks exist already', async () => {
    await withPair(async (pair) => {
      await publish(pair)
      const room = new Room()
      const seen: string[] = []
      room.on(RoomEvent.Connected, () => seen.push('connected'))
      room.on(RoomEvent.ParticipantConnected, ({ identity }) => seen.push(identity))
      room.on(RoomEvent.DataTrackPublished, ({ name }) => seen.push(name))
      expect(pair.sfu.join('carol', { room })).toBe(room)
      expect(seen.sort()).toEqual(['alice', 'bob', 'connected', 'track'])
    })
  })

  it('reports why it was disconnected', async () => {
    const sfu = new Loopback()
    const reasons: string[] = []
    const join = (identity: string) => {
      const room = sfu.join(identity)
      room.on(RoomEvent.Disconnected, (reason) => reasons.push(`${identity} ${reason}`))
      return room
    }
    const a = join('a')
    join('b')
    join('c')
    await a.disconnect()
    await a.disconnect()
    sfu.kick('b')
    join('c')
    sfu.close()
    expect(reasons).toEqual([
      'a clientInitiated',
      'b participantRemoved',
      'c duplicateIdentity',
      'c serverShutdown',
    ])
    expect(a.state).toBe('disconnected')
  })

  it('can connect again', async () => {
    await withPair(async ({ sfu, alice, bob }) => {
      await alice.disconnect()
      sfu.join('alice', { room: alice })
      const track = await alice.localParticipant.publishDataTrack({ name: 'again' })
      expect(track.isPublished()).toBe(true)
      await until(() => bob.remoteParticipants.get('alice')?.dataTracks.has('again') === true)
      expect(thrown(() => sfu.join('alice', { room: alice }))).toBeInstanceOf(TypeError)
    })
  })

  it('goes on if a listener throws; the error is an uncaught exception', async () => {
    await withPair(async ({ alice, bob }) => {
      const mine = new Error('mine')
      bob.once(RoomEvent.DataTrackPublished, () => {
        throw mine
      })
      const uncaught: unknown[] = []
      const before = process.listeners('uncaughtException')
      process.removeAllListeners('uncaughtException')
      process.once('uncaughtException', (error) => uncaught.push(error))
      try {
        await alice.localParticipant.publishDataTrack({ name: 'a' })
        await until(() => uncaught.length === 1)
      } finally {
        for (const listener of before) process.on('uncaughtException', listener)
      }
      expect(uncaught).toEqual([mine])
      await alice.localParticipant.publishDataTrack({ name: 'b' })
      await until(() => bob.remoteParticipants.get('alice')!.dataTracks.has('b'))
    })
  })
})

describe('room.dataTracks()', () => {
  it('yields existing tracks and then new ones, each once', async () => {
    await withPair(async (pair) => {
      await publish(pair, { name: 'a' })
      const tracks = pair.bob.dataTracks()
      const first = await tracks.next()
      const second = tracks.next()
      await pair.alice.localParticipant.publishDataTrack({ name: 'b' })
      expect([first.value!.name, (await second).value!.name]).toEqual(['a', 'b'])
      const third = tracks.next()
      await pair.bob.disconnect()
      expect((await third).done).toBe(true)
    })
  })

  it('filters by name and identity, and omits tracks that have ended before the loop reads them', async () => {
    await withPair(async (pair) => {
      const tracks = pair.bob.dataTracks({ name: 'a', identity: 'alice' })
      const strangers = pair.bob.dataTracks({ identity: 'nobody' })
      const { local } = await publish(pair, { name: 'a' })
      await publish(pair, { name: 'b' })
      await local.unpublish()
      await until(() => !pair.bob.remoteParticipants.get('alice')!.dataTracks.has('a'))
      const { remote } = await publish(pair, { name: 'a' })
      expect((await tracks.next()).value).toBe(remote)
      const none = strangers.next()
      await strangers.return!()
      expect((await none).done).toBe(true)
    })
  })

  it('ends with the signal’s reason; its only listener at the signal is removed with the loop', async () => {
    await withPair(async ({ bob }) => {
      const controller = new AbortController()
      const { signal } = controller
      for await (const _ of mixed(bob.dataTracks({ signal }))) break
      expect(getEventListeners(signal, 'abort')).toHaveLength(0)
      const tracks = bob.dataTracks({ signal })
      expect(getEventListeners(signal, 'abort')).toHaveLength(1)
      const waiting = rejection(tracks.next())
      controller.abort('stop')
      expect(await waiting).toBe('stop')
      expect(getEventListeners(signal, 'abort')).toHaveLength(0)
      expect(await rejection(bob.dataTracks({ signal }).next())).toBe('stop')
    })
  })
})

/** A loop that is left before the first track. */
async function* mixed(tracks: AsyncIterableIterator<unknown>): AsyncGenerator<undefined> {
  try {
    yield undefined
  } finally {
    await tracks.return!()
  }
}

describe("a participant's tracks", () => {
  it('can be awaited by name', async () => {
    await withPair(async ({ alice, bob }) => {
      const { dataTracks } = bob.remoteParticipants.get('alice')!
      const controller = new AbortController()
      const given = rejection(dataTracks.getDeferred('a', controller.signal))
      const waiting = dataTracks.getDeferred('a')
      controller.abort('stop')
      expect(await given).toBe('stop')
      expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0)
      await alice.localParticipant.publishDataTrack({ name: 'a' })
      expect((await waiting).name).toBe('a')
      expect(await dataTracks.getDeferred('a')).toBe(dataTracks.get('a'))
      await turn()
    })
  })
})

import { describe, expect, it, vi } from 'vitest'
import { RoomEvent } from '../../index'
import { RETURN_TIME } from '../../src/room/returning'
import { publish, rejection, subscribe, take, turn, until, withPair } from '../helpers/rooms'

const byte = (value: number) => new Uint8Array([value])

describe('a connection that is rebuilt', () => {
  it('in the same session keeps tracks, SIDs and streams', async () => {
    await withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      const stream = await subscribe(remote)
      const { sid } = local.info
      const states: string[] = []
      pair.alice.on(RoomEvent.ConnectionStateChanged, (state) => states.push(state))
      for (const who of ['alice', 'bob']) {
        await pair.sfu.reconnect(who, 'resume')
        local.tryPush(byte(1))
        expect((await take(stream, 1))[0].payload).toEqual(byte(1))
      }
      expect(states).toEqual(['reconnecting', 'connected'])
      expect(local.info.sid).toBe(sid)
    })
  })

  it('of the publisher in a new session keeps the track objects under a new SID', async () => {
    await withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      const stream = await subscribe(remote)
      const { sid, pubHandle } = local.info
      const events: string[] = []
      for (const name of [RoomEvent.DataTrackPublished, RoomEvent.DataTrackUnpublished] as const) {
        pair.bob.on(name, () => events.push(name))
      }
      await pair.sfu.reconnect('alice', 'full')
      await until(() => local.info.sid !== sid)
      await until(() => remote.info.sid === local.info.sid)
      expect(local.info.pubHandle).toBe(pubHandle)
      await turn()
      await local.push(byte(2))
      expect((await take(stream, 1))[0].payload).toEqual(byte(2))
      expect(events).toEqual([])
      expect(local.signal.aborted).toBe(false)
    })
  })

  it('of the subscriber in a new session keeps its streams', async () => {
    await withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      const stream = await subscribe(remote)
      const waiting = stream.read()
      await pair.sfu.reconnect('bob', 'full')
      expect(pair.bob.remoteParticipants.get('alice')!.dataTracks.get('track')).toBe(remote)
      await turn()
      local.tryPush(byte(3))
      expect((await waiting)!.payload).toEqual(byte(3))
    })
  })

  it('requests again what was pending', async () => {
    await withPair(async (pair) => {
      const publishing = pair.alice.localParticipant.publishDataTrack({ name: 'pending' })
      // The request is lost with the connection.
      await pair.sfu.reconnect('alice', 'full')
      const track = await publishing
      expect(track.isPublished()).toBe(true)
      await until(() => pair.bob.remoteParticipants.get('alice')!.dataTracks.has('pending'))
    })
  })

  it('ends a track that the SFU does not accept again', async () => {
    await withPair(async (pair) => {
      const { local } = await publish(pair)
      pair.sfu.rejectNextPublish('limitReached')
      await pair.sfu.reconnect('alice', 'full')
      await until(() => local.signal.aborted)
      expect(local.signal.reason.reason).toBe('republishRejected')
      expect((await rejection(local.push(byte(1)))).reason).toBe('trackUnpublished')
    })
  })

  it('forgets participants that left in the meantime and do not return', async () => {
    await withPair(async ({ sfu, bob }) => {
      const gone: string[] = []
      bob.on(RoomEvent.ParticipantDisconnected, ({ identity }) => gone.push(identity))
      const reconnecting = sfu.reconnect('bob', 'full')
      sfu.kick('alice')
      vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
      try {
        await reconnecting
        // A publisher may be on the way back, too: after a restart of the server, for example.
        vi.advanceTimersByTime(RETURN_TIME - 1)
        expect(gone).toEqual([])
        vi.advanceTimersByTime(1)
      } finally {
        vi.useRealTimers()
      }
      expect(gone).toEqual(['alice'])
      expect([...bob.remoteParticipants.keys()]).toEqual([])
    })
  })
})

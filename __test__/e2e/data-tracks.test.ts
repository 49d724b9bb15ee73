import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { DataTrackPublishError, RoomEvent } from '../../index'
import type { ConnectOptions, DataTrackStream, LocalDataTrack } from '../../index'
import { rejection } from '../helpers/rooms'
import {
  event,
  flowing,
  lossesOf,
  next,
  pattern,
  publish,
  same,
  Scene,
  seen,
  sum,
  ONE_PACKET,
} from '../helpers/scene'
import { withServer } from '../helpers/with-server'

const server = withServer()

/** Frames that may be under way at the steady rate. They are pushed within 50 ms. */
const AHEAD = 25

const inScene = (use: (scene: Scene) => Promise<void>) => () => Scene.with(server, use)

/** Expects that the counters on both ends account for each frame. */
function expectClosed(local: LocalDataTrack, stream: DataTrackStream): void {
  const out = local.stats()
  expect(out.pushed).toBe(out.sent + sum(out.dropped) + out.queued)
  const { received, delivered, dropped, buffered } = stream.stats()
  expect(received).toBe(delivered + sum(dropped) + buffered)
}

describe.each(['single', 'dual'] as const)('with peer connections: %s', (peerConnections) => {
  const options: ConnectOptions = { peerConnections }

  it.each([0, 1, 256, 15_900, 16_100, 200_000, 1_000_000])(
    'frames of %i bytes arrive with the same bytes',
    (length) =>
      Scene.with(server, async (scene) => {
        const [alice, bob] = [
          await scene.join('alice', { connect: options }),
          await scene.join('bob', { connect: options }),
        ]
        const { local, remote } = await publish(alice, bob, { maxQueueBytes: 4 << 20, maxQueueAge: Infinity })
        const stream = remote.subscribe({ maxBufferBytes: 4 << 20 })
        await flowing(local, stream)
        // Each frame is pushed when the one before has arrived.
        let losses = 0
        for (let seed = 0; seed < (length > 500_000 ? 3 : 20); seed++) {
          const frame = {
            payload: pattern(length, seed),
            userTimestamp: seed % 2 === 0 ? BigInt(seed) : undefined,
          }
          losses += await lossesOf({ servers: [server], local, to: bob, remote, stream }, frame)
        }
        await local.flush()
        expectClosed(local, stream)
        expect([sum(local.stats().dropped), sum(remote.stats().dropped)]).toEqual([0, losses])
      }),
  )
})

describe('data tracks through a server', () => {
  it(
    'deliver small frames at a steady rate completely and in order',
    inScene(async (scene) => {
      const [alice, bob] = [await scene.join('alice'), await scene.join('bob')]
      // On a busy machine, the driver, the server or this program may have to wait for the processor. Frames would then
      // expire in the queue, or overflow the sockets' buffers. So the test pushes more slowly if frames do not arrive.
      const { local, remote } = await publish(alice, bob, { maxQueueAge: Infinity })
      const stream = remote.subscribe()
      await flowing(local, stream)
      let arrived = 0
      const pushing = (async () => {
        for (let number = 0; number < 500; number++) {
          local.tryPush({ payload: pattern(256, number), userTimestamp: BigInt(number) })
          do await delay(2)
          while (number - arrived > AHEAD)
        }
      })()
      for (; arrived < 500; arrived++) {
        const frame = await next(stream)
        expect(frame.userTimestamp).toBe(BigInt(arrived))
        expect(same(frame.payload, pattern(256, arrived))).toBe(true)
      }
      await pushing
      expectClosed(local, stream)
    }),
  )

  it(
    'reach several subscribers, and several streams of one subscriber',
    inScene(async (scene) => {
      const alice = await scene.join('alice')
      const local = await alice.localParticipant.publishDataTrack({ name: 'track' })
      const streams: DataTrackStream[] = []
      for (const identity of ['bob', 'carol', 'dave']) {
        const remote = await seen(await scene.join(identity), 'track')
        streams.push(remote.subscribe(), remote.subscribe())
      }
      await flowing(local, ...streams)
      const frame = { payload: pattern(ONE_PACKET), userTimestamp: 7n }
      local.tryPush(frame)
      for (const stream of streams) {
        const arrived = await next(stream)
        expect(same(arrived.payload, frame.payload)).toBe(true)
        expect(arrived.userTimestamp).toBe(7n)
      }
    }),
  )

  it(
    'do not mix: two tracks of one publisher, and tracks in both directions',
    inScene(async (scene) => {
      const [alice, bob] = [await scene.join('alice'), await scene.join('bob')]
      const tracks = [
        await publish(alice, bob, { name: 'first' }),
        await publish(alice, bob, { name: 'second' }),
        await publish(bob, alice, { name: 'first' }),
      ]
      const streams = tracks.map(({ remote }) => remote.subscribe())
      for (const [index, { local }] of tracks.entries()) await flowing(local, streams[index]!)
      for (let round = 0; round < 20; round++) {
        for (const [index, { local }] of tracks.entries()) local.tryPush(pattern(300, index + 10 * round))
        for (const [index, stream] of streams.entries()) {
          expect(same((await next(stream)).payload, pattern(300, index + 10 * round))).toBe(true)
        }
      }
    }),
  )

  it(
    'can be subscribed to again after their last stream was closed',
    inScene(async (scene) => {
      const [alice, bob] = [await scene.join('alice'), await scene.join('bob')]
      const { local, remote } = await publish(alice, bob)
      for (let round = 0; round < 3; round++) {
        const stream = remote.subscribe()
        // The first frame proves nothing: it may come through the subscription before, which ends some ms later. Each
        // round has a hundred numbers of its own, and a frame after its first five must arrive.
        const first = BigInt(100 * round + 5)
        const arrived = (async () => {
          for (;;) {
            const frame = await next(stream)
            if (frame.userTimestamp! >= first) return frame
          }
        })()
        for (let number = first - 5n, there = false; !there; number++) {
          await local.push({ payload: pattern(10, round), userTimestamp: number })
          there = await Promise.race([arrived.then(() => true), delay(20, false)])
        }
        expect(same((await arrived).payload, pattern(10, round))).toBe(true)
        stream.close()
      }
    }),
  )

  it(
    'end for subscribers when they are unpublished or their publisher leaves',
    inScene(async (scene) => {
      const [alice, bob] = [await scene.join('alice'), await scene.join('bob')]
      for (const end of ['unpublish', 'disconnect']) {
        const { local, remote } = await publish(alice, bob, { name: end })
        const stream = remote.subscribe()
        await flowing(local, stream)
        const gone = event(bob, RoomEvent.DataTrackUnpublished)
        await (end === 'unpublish' ? local.unpublish() : alice.disconnect())
        const [sid, track] = await gone
        expect([sid, track]).toEqual([remote.info.sid, remote])
        // The stream may still have probes that were on their way.
        for await (const frame of stream) expect(frame.payload.byteLength).toBe(1)
        expect(remote.isPublished()).toBe(false)
        expect(local.signal.reason.reason).toBe(end === 'unpublish' ? 'local' : 'disconnected')
      }
    }),
  )

  it(
    'have name, schema and encoding at subscribers',
    inScene(async (scene) => {
      const [alice, bob] = [await scene.join('alice'), await scene.join('bob')]
      const { remote, local } = await publish(alice, bob, {
        name: 'pose',
        frameEncoding: 'json',
        schema: { name: 'Pose', encoding: 'jsonschema' },
      })
      expect(remote.info).toEqual({ ...local.info, pubHandle: remote.info.pubHandle })
      expect(remote.info.name).toBe('pose')
    }),
  )
})

describe('publishing', () => {
  const reasonOf = async (publishing: Promise<unknown>): Promise<string> => {
    const error = await rejection(publishing)
    expect(error).toBeInstanceOf(DataTrackPublishError)
    return error.reason
  }

  it(
    'is refused as notAllowed without the grant canPublishData',
    inScene(async (scene) => {
      const alice = await scene.join('alice', { grant: { canPublishData: false } })
      expect(await reasonOf(alice.localParticipant.publishDataTrack({ name: 'track' }))).toBe('notAllowed')
    }),
  )

  it(
    'is refused for a name that is taken, empty or too long, and works for the longest allowed name',
    inScene(async (scene) => {
      const alice = await scene.join('alice')
      const publishing = (name: string) => alice.localParticipant.publishDataTrack({ name })
      const track = await publishing('track')
      expect(await reasonOf(publishing('track'))).toBe('duplicateName')
      expect(await reasonOf(publishing(''))).toBe('invalidName')
      expect(await reasonOf(publishing('a'.repeat(257)))).toBe('invalidName')
      expect(await reasonOf(publishing('ü'.repeat(129)))).toBe('invalidName')
      expect((await publishing('ü'.repeat(128))).isPublished()).toBe(true)
      // The name can be used again as soon as its track has ended.
      await track.unpublish()
      expect((await publishing('track')).isPublished()).toBe(true)
    }),
  )
})

/** Subscriptions that begin with the last frame of a latched track. */
import { Readable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { DataTrackDecodeError, DataTrackSubscribeError, ExternalE2EEKeyProvider, json } from '../../index'
import type { DataTrackFrame, DataTrackStream, LocalDataTrack } from '../../index'
import { collectedWhen, publish, rejection, take, thrown, turn, until, withPair } from '../helpers/rooms'

const MEGABYTES = 2_000_000

/** The first byte of each frame, and whether the frame is latched. */
function told(frames: readonly DataTrackFrame[]): (readonly [number | undefined, boolean])[] {
  return frames.map(({ payload, latched }) => [payload[0], latched] as const)
}

function push(track: LocalDataTrack<Uint8Array>, ...bytes: number[]): void {
  for (const byte of bytes) track.tryPush(Uint8Array.of(byte))
}

/** Reads so many frames of a stream in one of the ways that there are. */
const readers: Readonly<
  Record<string, (stream: DataTrackStream, count: number) => Promise<DataTrackFrame[]>>
> = {
  'read()': take,
  'a loop': async (stream, count) => {
    const frames: DataTrackFrame[] = []
    for await (const frame of stream) {
      if (frames.push(frame) === count) break
    }
    return frames
  },
  'a reader': async (stream, count) => {
    const reader = stream.getReader()
    const frames: DataTrackFrame[] = []
    while (frames.length < count) frames.push((await reader.read()).value as DataTrackFrame)
    return frames
  },
  'a Node stream': async (stream, count) => {
    const frames: DataTrackFrame[] = []
    for await (const frame of stream.toNodeReadable() as AsyncIterable<DataTrackFrame>) {
      if (frames.push(frame) === count) break
    }
    return frames
  },
  'Readable.fromWeb': async (stream, count) => {
    const frames: DataTrackFrame[] = []
    const readable = Readable.fromWeb(stream as never, { objectMode: true })
    for await (const frame of readable as AsyncIterable<DataTrackFrame>) {
      if (frames.push(frame) === count) break
    }
    return frames
  },
}

describe.each(Object.entries(readers))('%s', (_name, read) => {
  it('gets the last frame first, then live frames', () =>
    withPair(async (pair) => {
      const { local, remote } = await publish(pair, { latch: true })
      push(local, 1, 2)
      await local.flush()
      const stream = remote.subscribe({ latest: true })
      const reading = read(stream, 3)
      await stream.ready
      await until(() => stream.stats().delivered === 1)
      push(local, 3, 4)
      expect(told(await reading)).toEqual([
        [2, true],
        [3, false],
        [4, false],
      ])
    }))
})

it('live frames wait for the last one; none is missed, doubled or older', () =>
  withPair(
    async (pair) => {
      const { local, remote } = await publish(pair, { latch: true })
      let next = 0
      const pushing = setInterval(() => push(local, next++ % 256), 1)
      try {
        await until(() => next > 5)
        for (let round = 0; round < 5; round++) {
          const stream = remote.subscribe({ latest: true })
          const frames: DataTrackFrame[] = await take(stream, 20)
          const first = frames[0]!
          expect(frames.map(({ latched }) => latched)).toEqual([true, ...new Array<boolean>(19).fill(false)])
          expect(frames.map(({ number }) => number)).toEqual(frames.map((_, index) => first.number + index))
          expect(first.payload[0]).toBe(first.number % 256)
          stream.close()
        }
      } finally {
        clearInterval(pushing)
      }
    },
    { delay: 5 },
  ))

it('2 MB come to one who joins late, and after a full reconnect of either', () =>
  withPair(async (pair) => {
    const { local } = await publish(pair, { latch: true })
    const payload = new Uint8Array(MEGABYTES).map((_, index) => index * 7)
    local.tryPush({ payload, userTimestamp: 5n })
    const carol = pair.sfu.join('carol')
    const late = await carol.remoteParticipants.get('alice')!.dataTracks.getDeferred('track')
    for (const identity of ['alice', 'carol'] as const) {
      const stream = late.subscribe({ latest: true, maxBufferBytes: 1 })
      const frame = (await stream.read())!
      expect([frame.latched, frame.userTimestamp, frame.number]).toEqual([true, 5n, 0])
      expect(Buffer.compare(frame.payload, payload)).toBe(0)
      stream.close()
      await pair.sfu.reconnect(identity, 'full')
      await until(() => pair.alice.remoteParticipants.get('carol')?.isActive === true)
    }
  }))

it.each(['resume', 'full'] as const)(
  'after a reconnect (%s) a frame that was missed comes, and no frame comes again',
  (how) =>
    withPair(async (pair) => {
      const { local, remote } = await publish(pair, { latch: true })
      push(local, 1)
      const stream = remote.subscribe({ latest: true })
      expect(told(await take(stream, 1))).toEqual([[1, true]])
      await pair.sfu.reconnect('bob', how)
      // The answer to the second request is the frame that the stream has.
      await until(() => pair.bob.state === 'connected')
      expect((await remote.latest())!.payload).toEqual(Uint8Array.of(1))
      await turn()
      expect(stream.stats()).toMatchObject({ delivered: 1, buffered: 0 })
      const back = pair.sfu.reconnect('bob', how)
      push(local, 2)
      await back
      // The answer may come after a live frame, and be a later one. Each frame comes once, in one way or the other.
      for (const payload of [2, 3, 4]) {
        if (payload > 2) push(local, payload)
        expect(told(await take(stream, 1)).map(([number]) => number)).toEqual([payload])
      }
    }),
)

it('is encrypted as the room is', async () => {
  const keyProvider = new ExternalE2EEKeyProvider()
  await keyProvider.setKey('passphrase')
  const encryption = { keyProvider }
  await withPair(
    async (pair) => {
      const { local, remote } = await publish(pair, { latch: true })
      push(local, 1, 2)
      const stream = remote.subscribe({ latest: true })
      expect(told(await take(stream, 1))).toEqual([[2, true]])
      push(local, 3)
      expect(told(await take(stream, 1))).toEqual([[3, false]])
    },
    {},
    { alice: { encryption }, bob: { encryption } },
  )
})

it('with a custom provider, which encrypts frames only, live frames come alone', async () => {
  const flip = (payload: Uint8Array): Uint8Array => payload.map((byte) => byte ^ 0xff)
  const provider = {
    encrypt: (payload: Uint8Array) => ({ payload: flip(payload), iv: new Uint8Array(12), keyIndex: 0 }),
    decrypt: ({ payload }: { payload: Uint8Array }) => flip(payload),
  }
  const encryption = { provider }
  await withPair(
    async (pair) => {
      const { local, remote } = await publish(pair, { latch: true })
      push(local, 1)
      await local.flush()
      const stream = remote.subscribe({ latest: true })
      await stream.ready
      push(local, 2)
      expect(told(await take(stream, 1))).toEqual([[2, false]])
    },
    {},
    { alice: { encryption }, bob: { encryption } },
  )
})

it('without a last frame live frames come alone, in order: no latch, nothing pushed, no permission to send', () =>
  withPair(async (pair) => {
    const plain = await publish(pair, { name: 'plain' })
    push(plain.local, 1)
    // A frame that is still in the queue would be sent to the subscriber.
    await plain.local.flush()
    const fresh = await publish(pair, { name: 'fresh', latch: true })
    const mute = await publish(pair, { name: 'mute', latch: true })
    push(mute.local, 1)
    await mute.local.flush()
    for (const { local, remote } of [plain, fresh, mute]) {
      if (remote === mute.remote) {
        pair.sfu.updateParticipant('bob', { permission: { canPublishData: false } })
        await until(() => pair.bob.localParticipant.permissions?.canPublishData === false)
      }
      const stream = remote.subscribe({ latest: true })
      await stream.ready
      // The stream has asked before, and has its answer.
      expect((await remote.latest())?.latched).toBeUndefined()
      push(local, 2, 3)
      expect(told(await take(stream, 2))).toEqual([
        [2, false],
        [3, false],
      ])
    }
  }))

it('a track that may not be subscribed to gives no frame', () =>
  withPair(async (pair) => {
    const { local, remote } = await publish(pair, { latch: true })
    push(local, 1)
    pair.alice.localParticipant.setTrackSubscriptionPermissions(false)
    const error: DataTrackSubscribeError = await rejection(remote.subscribe({ latest: true }).read())
    expect(error).toBeInstanceOf(DataTrackSubscribeError)
    expect(error.reason).toBe('notAllowed')
  }))

it('is decoded by the codec, and counted like any other frame', () =>
  withPair(async (pair) => {
    const { local, remote } = await publish(pair, { latch: true })
    push(local, 1)
    await local.flush()
    const stream = remote.subscribe({ latest: true, codec: json(), onDecodeError: 'skip' })
    const reading = stream.read()
    await until(() => stream.stats().dropped.decodeFailed === 1)
    local.tryPush(Buffer.from('{"x":1}'))
    const frame = (await reading)!
    expect([frame.value, frame.latched]).toEqual([{ x: 1 }, false])
    const again = remote.subscribe({ latest: true, codec: json() })
    expect(await again.read()).toMatchObject({ value: { x: 1 }, latched: true })
    push(local, 1)
    expect(await rejection(again.read())).toBeInstanceOf(DataTrackDecodeError)
    expect(stream.stats()).toMatchObject({ received: 3, delivered: 1, buffered: 1 })
  }))

it('each stream has its own; a stream without the option has live frames only', () =>
  withPair(async (pair) => {
    const { local, remote } = await publish(pair, { latch: true })
    push(local, 1)
    await local.flush()
    const live = remote.subscribe()
    await live.ready
    const [one, two] = [remote.subscribe({ latest: true }), remote.subscribe({ latest: true })]
    for (const stream of [one, two]) expect(told(await take(stream, 1))).toEqual([[1, true]])
    push(local, 2)
    for (const stream of [live, one, two]) expect(told(await take(stream, 1))).toEqual([[2, false]])
  }))

it('the end of the track, of the stream, of the room or of the signal ends the wait', () =>
  withPair(async (pair) => {
    const { local, remote } = await publish(pair, { latch: true })
    push(local, 1)
    const mine = new Error('mine')
    const aborting = new AbortController()
    const aborted = remote.subscribe({ latest: true, signal: aborting.signal })
    const closed = remote.subscribe({ latest: true })
    const reads = [rejection(aborted.read()), closed.read()]
    await closed.ready
    aborting.abort(mine)
    closed.close()
    expect(await Promise.all(reads)).toEqual([mine, undefined])
    const unpublished = remote.subscribe({ latest: true })
    await unpublished.ready
    await local.unpublish()
    const frames: DataTrackFrame[] = []
    for await (const frame of unpublished) frames.push(frame)
    expect(frames.every(({ latched }) => latched)).toBe(true)
    const again = await publish(pair, { latch: true, name: 'again' })
    push(again.local, 1)
    const left = again.remote.subscribe({ latest: true })
    await left.ready
    await pair.bob.disconnect()
    expect((await left.read())?.latched ?? true).toBe(true)
  }))

it('a stream that was dropped meanwhile is collected', () =>
  withPair(async (pair) => {
    const { local, remote } = await publish(pair, { latch: true })
    push(local, 1)
    const weak = new WeakRef(remote.subscribe({ latest: true }))
    await collectedWhen(() => weak.deref() === undefined)
    await until(() => local.hasSubscribers === false)
  }))

it('names the option that is wrong', () =>
  withPair(async (pair) => {
    const { remote } = await publish(pair)
    const error: TypeError = thrown(() => remote.subscribe({ latest: 1 as never }))
    expect(error).toBeInstanceOf(TypeError)
    expect(error.message).toContain('"options.latest"')
  }))

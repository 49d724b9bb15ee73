/** What must not grow when a program runs for long. */
import { getEventListeners } from 'node:events'
import { describe, expect, it } from 'vitest'
import { debug, json, Loopback } from '../../index'
import type { DataTrackPublishOptions, LocalDataTrack, RemoteDataTrack, Room } from '../../index'

/** Frames pushed before they are read: below what queues hold by default. */
const BATCH = 500
/** Growth of the heap that is no leak: compiled code, the test runner's own. One pointer for each of 10^6 frames is more. */
const FLAT = 4 * 1024 * 1024

const listeners = (signal: AbortSignal) => getEventListeners(signal, 'abort').length
const turn = () => new Promise((resolve) => setImmediate(resolve))

async function withTrack<T>(
  options: Partial<DataTrackPublishOptions<T>>,
  use: (local: LocalDataTrack<T>, remote: RemoteDataTrack, bob: Room) => Promise<void>,
): Promise<void> {
  const sfu = new Loopback()
  try {
    const alice = sfu.join('alice')
    const bob = sfu.join('bob')
    // A machine that is busy for a while must not cost frames here.
    const local = await alice.localParticipant.publishDataTrack<T>({
      name: 'track',
      maxQueueAge: Infinity,
      ...options,
    })
    const remote = await bob.remoteParticipants.get('alice')!.dataTracks.getDeferred('track')
    await use(local, remote, bob)
  } finally {
    sfu.close()
  }
}

/** Bytes in use, and reachable, on the heap and in buffers. */
function used(): number {
  gc!()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

/** Watches memory and the signal's listeners from one sample to the next; the first is the measure. */
class Watch {
  readonly #signal: AbortSignal
  #first: number | undefined
  growth = 0
  readonly listeners = new Set<number>()

  constructor(signal: AbortSignal) {
    this.#signal = signal
  }

  sample(): void {
    const now = used()
    this.#first ??= now
    this.growth = Math.max(this.growth, now - this.#first)
    this.listeners.add(listeners(this.#signal))
  }
}

describe('one signal that never aborts', () => {
  it('a loop over 1,000,000 frames loses none, keeps the heap flat, and adds one listener to the signal', async () => {
    const frames = 1_000_000
    const { signal } = new AbortController()
    await withTrack({}, async (local, remote) => {
      const stream = remote.subscribe({ signal, maxBufferAge: Infinity })
      await turn()
      const payload = new Uint8Array(64)
      const view = new DataView(payload.buffer)
      let sent = 0
      const push = () => {
        for (const end = sent + BATCH; sent < end; sent++) {
          view.setUint32(0, sent)
          local.tryPush({ payload })
        }
      }
      const watch = new Watch(signal)
      let received = 0
      let inOrder = true
      push()
      for await (const { payload } of stream) {
        const index = new DataView(payload.buffer, payload.byteOffset).getUint32(0)
        inOrder &&= index === received && payload.byteLength === 64
        received++
        if (received % 100_000 === 0) watch.sample()
        if (received === frames) break
        if (received === sent) push()
      }
      expect({ received, inOrder }).toEqual({ received: frames, inOrder: true })
      expect(stream.stats()).toMatchObject({
        received: frames,
        delivered: frames,
        dropped: { tooSlow: 0, closed: 0, superseded: 0, decodeFailed: 0 },
        buffered: 0,
      })
      expect(local.stats()).toMatchObject({ pushed: frames, sent: frames })
      expect([...watch.listeners]).toEqual([1])
      expect(watch.growth).toBeLessThan(FLAT)
      expect(listeners(signal)).toBe(0)
    })
  })

  it.each<[string, (remote: RemoteDataTrack, signal: AbortSignal) => () => Promise<unknown>]>([
    [
      'read()',
      (remote, signal) => {
        const stream = remote.subscribe({ signal, maxBufferAge: Infinity })
        return async () => (await stream.read())?.number
      },
    ],
    [
      'a reader of the web stream',
      (remote, signal) => {
        const reader = remote.subscribe({ signal, maxBufferAge: Infinity }).getReader()
        return async () => (await reader.read()).value?.number
      },
    ],
    [
      'a codec',
      (remote, signal) => {
        const stream = remote.subscribe({ signal, maxBufferAge: Infinity, codec: json<number>() })
        return async () => (await stream.read())?.number
      },
    ],
  ])('the same for 100,000 frames with %s', async (_name, subscribe) => {
    const { signal } = new AbortController()
    await withTrack({ codec: json<number>() }, async (local, remote) => {
      const next = subscribe(remote, signal)
      await turn()
      const watch = new Watch(signal)
      let lost = 0
      for (let received = 0; received < 100_000; received++) {
        if (received % BATCH === 0) for (let frame = 0; frame < BATCH; frame++) local.tryPush(received)
        if ((await next()) !== (received & 0xffff)) lost++
        if (received % 10_000 === 9_999) watch.sample()
      }
      expect(lost).toBe(0)
      expect([...watch.listeners]).toEqual([1])
      expect(watch.growth).toBeLessThan(FLAT)
    })
  })

  it('100,000 awaited pushes, of which many wait for room, leave no listener at the signal', async () => {
    const { signal } = new AbortController()
    await withTrack({ maxQueueBytes: 4096 }, async (local) => {
      const watch = new Watch(signal)
      for (let batch = 0; batch < 1000; batch++) {
        const pushes: Promise<void>[] = []
        for (let frame = 0; frame < 100; frame++) pushes.push(local.push(new Uint8Array(256), { signal }))
        await Promise.all(pushes)
        if (batch % 100 === 99) watch.sample()
      }
      await local.flush({ signal })
      expect(local.stats()).toMatchObject({ pushed: 100_000, sent: 100_000 })
      expect([...watch.listeners]).toEqual([0])
      expect(watch.growth).toBeLessThan(FLAT)
    })
  })

  it('many streams, loops and pushes share one listener at the signal, which ends them all', async () => {
    const controller = new AbortController()
    const { signal } = controller
    await withTrack({}, async (local, remote, bob) => {
      const streams = Array.from({ length: 50 }, () => remote.subscribe({ signal }))
      const reads = streams.map((stream) => stream.read())
      const loop = bob.dataTracks({ signal, name: 'never' }).next()
      const deferred = bob.remoteParticipants.get('alice')!.dataTracks.getDeferred('never', signal)
      const deferredToo = bob.remoteParticipants.get('alice')!.dataTracks.getDeferred('never', signal)
      expect(listeners(signal)).toBe(1)
      for (const stream of streams.splice(0, 49)) stream.close()
      expect(await Promise.all(reads.splice(0, 49))).toEqual(new Array(49).fill(undefined))
      expect(listeners(signal)).toBe(1)
      const reason = new Error('enough')
      const settled = Promise.allSettled([...reads, loop, deferred, deferredToo])
      controller.abort(reason)
      expect(await settled).toEqual(new Array(4).fill({ status: 'rejected', reason }))
      expect(listeners(signal)).toBe(0)
      expect(local.isPublished()).toBe(true)
    })
  })

  it('5,000 streams, loops over tracks and publications, one after another, leave no object and no listener', async () => {
    const { signal } = new AbortController()
    await withTrack({}, async (local, remote, bob) => {
      const open = debug.handles().length
      const watch = new Watch(signal)
      for (let round = 0; round < 5000; round++) {
        const stream = remote.subscribe({ signal })
        local.tryPush(new Uint8Array(1))
        if (round % 2 === 0) stream.close()
        else await stream.cancel()
        for await (const track of bob.dataTracks({ signal })) {
          expect(track).toBe(remote)
          break
        }
        // What weak references pointed to lives until the end of the turn.
        if (round % 50 === 0) await turn()
        if (round % 500 === 0) watch.sample()
      }
      await turn()
      expect(debug.handles()).toHaveLength(open)
      expect([...watch.listeners]).toEqual([0])
      expect(watch.growth).toBeLessThan(FLAT)
    })
    await withTrack({}, async (_local, _remote, bob) => {
      const open = debug.handles().length
      const watch = new Watch(signal)
      for (let round = 0; round < 2000; round++) {
        const track = await bob.localParticipant.publishDataTrack({ name: 'again', signal })
        track.tryPush(new Uint8Array(1))
        await track.unpublish()
        if (round % 200 === 199) watch.sample()
      }
      expect(debug.handles()).toHaveLength(open)
      expect([...watch.listeners]).toEqual([0])
      expect(watch.growth).toBeLessThan(FLAT)
    })
  })
})

import { getEventListeners } from 'node:events'
import { describe, expect, it } from 'vitest'
import { DataTrackStreamError, DataTrackSubscribeError, debug } from '../../index'
import { publish, rejection, subscribe, take, thrown, turn, until, withPair } from '../helpers/rooms'

const payload = new Uint8Array([1, 2, 3])

function openStreams(): number {
  return debug.handles().filter(({ kind }) => kind === 'stream').length
}

describe('a loop over a stream', () => {
  it('unsubscribes when the loop is left by break', async () => {
    await withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      const stream = await subscribe(remote)
      expect(openStreams()).toBe(1)
      local.tryPush(payload)
      for await (const frame of stream) {
        expect(frame.payload).toEqual(payload)
        break
      }
      expect(openStreams()).toBe(0)
      await turn()
      // The SFU was told: what is pushed now goes nowhere.
      const { forwarded } = pair.sfu.stats()
      local.tryPush(payload)
      await until(() => pair.sfu.stats().noRoute === 1)
      expect(pair.sfu.stats().forwarded).toBe(forwarded)
    })
  })

  it('unsubscribes when its body throws', async () => {
    await withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      const stream = await subscribe(remote)
      local.tryPush(payload)
      const mine = new Error('mine')
      const loop = async () => {
        for await (const _ of stream) throw mine
      }
      expect(await rejection(loop())).toBe(mine)
      expect(openStreams()).toBe(0)
    })
  })

  it('throws the signal’s reason when the signal aborts during the wait or before it', async () => {
    await withPair(async (pair) => {
      const { remote } = await publish(pair)
      const controller = new AbortController()
      const stream = await subscribe(remote, { signal: controller.signal })
      expect(getEventListeners(controller.signal, 'abort')).toHaveLength(1)
      const waiting = stream.read()
      const reason = new Error('enough')
      controller.abort(reason)
      expect(await rejection(waiting)).toBe(reason)
      expect(await rejection(stream.read())).toBe(reason)
      expect(openStreams()).toBe(0)
      const late = remote.subscribe({ signal: controller.signal })
      expect(await rejection(late.read())).toBe(reason)
      expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0)
    })
  })

  it('ends normally when the track is unpublished, after the frames that arrived before', async () => {
    await withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      const stream = await subscribe(remote)
      for (let index = 0; index < 40; index++) local.tryPush(payload)
      await until(() => stream.stats().received === 40)
      await local.unpublish()
      let frames = 0
      for await (const _ of stream) frames++
      expect(frames).toBe(40)
      expect(remote.isPublished()).toBe(false)
      expect(openStreams()).toBe(0)
      expect(stream.stats()).toMatchObject({ received: 40, delivered: 40, buffered: 0 })
    })
  })

  it('ends normally when the application disconnects its room', async () => {
    await withPair(async (pair) => {
      const { remote } = await publish(pair)
      const stream = await subscribe(remote)
      const waiting = stream.read()
      await pair.bob.disconnect()
      expect(await waiting).toBeUndefined()
    })
  })

  it('throws when the SFU removes the participant', async () => {
    await withPair(async (pair) => {
      const { remote } = await publish(pair)
      const stream = await subscribe(remote)
      const waiting = rejection(stream.read())
      pair.sfu.kick('bob')
      const error = await waiting
      expect(error).toBeInstanceOf(DataTrackSubscribeError)
      expect(error.reason).toBe('disconnected')
      expect(openStreams()).toBe(0)
    })
  })

  it('throws if the track had ended before', async () => {
    await withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      await local.unpublish()
      await until(() => !remote.isPublished())
      const error = await rejection(remote.subscribe().read())
      expect(error).toBeInstanceOf(DataTrackSubscribeError)
      expect(error.reason).toBe('unpublished')
    })
  })

  it('leaves the stream open with preventCancel', async () => {
    await withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      const stream = await subscribe(remote)
      local.tryPush(payload)
      local.tryPush(payload)
      for await (const _ of stream.values({ preventCancel: true })) break
      expect(stream.locked).toBe(false)
      expect(await take(stream, 1)).toHaveLength(1)
    })
  })

  it('reads a million frames with one listener at its signal', { timeout: 60_000 }, async () => {
    await withPair(async (pair) => {
      const { local, remote } = await publish(pair, { maxQueueAge: Infinity })
      const { signal } = new AbortController()
      const stream = await subscribe(remote, { signal, maxBufferAge: Infinity, maxBufferFrames: 65_536 })
      const total = 1_000_000
      let received = 0
      const pushing = (async () => {
        for (let pushed = 0; pushed < total;) {
          for (let burst = 0; burst < 200; burst++, pushed++) local.tryPush(payload)
          await until(() => pushed - received < 4000)
        }
      })()
      let early = 0
      for await (const _ of stream) {
        received++
        if (received === 200_000) {
          gc!()
          early = process.memoryUsage().heapUsed
        }
        if (received % 100_000 === 0) expect(getEventListeners(signal, 'abort')).toHaveLength(1)
        if (received === total) break
      }
      await pushing
      gc!()
      expect(process.memoryUsage().heapUsed - early).toBeLessThan(4 * 1024 * 1024)
      expect(getEventListeners(signal, 'abort')).toHaveLength(0)
    })
  })
})

describe('a stream', () => {
  it('can have one reader at a time', async () => {
    await withPair(async (pair) => {
      const { remote } = await publish(pair)
      const stream = await subscribe(remote)
      const iterator = stream[Symbol.asyncIterator]()
      expect(stream.locked).toBe(true)
      for (const second of [() => stream.values(), () => stream.getReader(), () => stream.toNodeReadable()]) {
        const error = thrown(second)
        expect(error).toBeInstanceOf(DataTrackStreamError)
        expect(error.reason).toBe('locked')
      }
      expect((await rejection(stream.read())).reason).toBe('locked')
      await iterator.return!()
      expect(stream.locked).toBe(false)
      expect(await stream.read()).toBeUndefined()
    })
  })

  it('serves overlapping reads in order', async () => {
    await withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      const stream = await subscribe(remote)
      const reads = [stream.read(), stream.read(), stream.read()]
      for (let index = 0; index < 3; index++) local.tryPush(new Uint8Array([index]))
      const frames = await Promise.all(reads)
      expect(frames.map((frame) => frame!.payload[0])).toEqual([0, 1, 2])
      const ends = [stream.read(), stream.read()]
      stream.close()
      expect(await Promise.all(ends)).toEqual([undefined, undefined])
    })
  })

  it('works as a web stream: reader, pipe, cancel', async () => {
    await withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      const stream = await subscribe(remote)
      expect(stream).toBeInstanceOf(ReadableStream)
      const reader = stream.getReader()
      const read = reader.read()
      local.tryPush(payload)
      expect((await read).value!.payload).toEqual(payload)
      await reader.cancel()
      expect(openStreams()).toBe(0)

      const piped = await subscribe(remote)
      const seen: Uint8Array[] = []
      const sink = new WritableStream({ write: (frame) => void seen.push(frame.payload) })
      const piping = piped.pipeTo(sink)
      local.tryPush(payload)
      await until(() => seen.length === 1)
      await local.unpublish()
      await piping
      expect(seen).toEqual([payload])
    })
  })

  it('works as a Node stream', async () => {
    await withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      const stream = await subscribe(remote)
      for (let index = 0; index < 3; index++) local.tryPush(new Uint8Array([index]))
      const seen = []
      for await (const frame of stream.toNodeReadable()) {
        seen.push(frame.payload[0])
        if (seen.length === 3) break
      }
      expect(seen).toEqual([0, 1, 2])
      expect(openStreams()).toBe(0)
    })
  })

  it('keeps exactly the newest bufferSize frames', async () => {
    await withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      const stream = await subscribe(remote, { bufferSize: 3 })
      const push = async (first: number) => {
        const before = stream.stats().received
        for (let index = 0; index < 10; index++) local.tryPush(new Uint8Array([first + index]))
        await until(() => stream.stats().received === before + 10)
      }
      await push(0)
      const [oldest] = await take(stream, 1)
      expect(oldest.payload[0]).toBe(7)
      await push(10)
      const frames = await take(stream, 3)
      expect(frames.map((frame) => frame.payload[0])).toEqual([17, 18, 19])
      const { received, delivered, dropped, buffered } = stream.stats()
      expect({ received, delivered, tooSlow: dropped.tooSlow, buffered }).toEqual({
        received: 20,
        delivered: 4,
        tooSlow: 16,
        buffered: 0,
      })
    })
  })

  it('keeps exactly the newest bufferSize frames, also while a reader waits', async () => {
    await withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      const stream = await subscribe(remote, { bufferSize: 3 })
      const waiting = stream.read()
      for (let index = 0; index < 10; index++) local.tryPush(new Uint8Array([index]))
      // Without a turn of the event loop, so that all ten are there before the first is handed out.
      while (stream.stats().received < 10);
      expect((await waiting)!.payload[0]).toBe(7)
      for (let index = 10; index < 20; index++) local.tryPush(new Uint8Array([index]))
      await until(() => stream.stats().received === 20)
      const frames = await take(stream, 3)
      expect(frames.map((frame) => frame.payload[0])).toEqual([17, 18, 19])
      expect(stream.stats()).toMatchObject({ delivered: 4, buffered: 0, dropped: { tooSlow: 16 } })
    })
  })

  it('shares one subscription with the other streams of its track, each with its own buffer', async () => {
    await withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      const all = await subscribe(remote)
      const latest = await subscribe(remote, { bufferSize: 1 })
      for (let index = 0; index < 5; index++) local.tryPush(new Uint8Array([index]))
      await until(() => latest.stats().received === 5)
      expect(pair.sfu.stats().forwarded).toBe(5)
      expect((await take(latest, 1))[0].payload[0]).toBe(4)
      latest.close()
      expect((await take(all, 5)).map((frame) => frame.payload[0])).toEqual([0, 1, 2, 3, 4])
    })
  })

  it('subscribe() and setPipelineOptions() reject invalid options', async () => {
    await withPair(async (pair) => {
      const { remote } = await publish(pair)
      const wrong: [object, string][] = [
        [{ bufferSize: 0 }, 'bufferSize'],
        [{ bufferSize: 1.5 }, 'bufferSize'],
        [{ maxBufferFrames: -1 }, 'maxBufferFrames'],
        [{ maxBufferAge: NaN }, 'maxBufferAge'],
        [{ targetFps: '30' }, 'targetFps'],
        [{ signal: {} }, 'signal'],
        [{ ownedPayloads: 1 }, 'ownedPayloads'],
        [{ codec: {} }, 'codec'],
        [{ onDecodeError: 'panic' }, 'onDecodeError'],
      ]
      for (const [options, name] of wrong) {
        const error = thrown(() => remote.subscribe(options))
        expect(error.message).toContain(`options.${name}`)
        expect(['ERR_INVALID_ARG_TYPE', 'ERR_OUT_OF_RANGE']).toContain(error.code)
      }
      expect(thrown(() => remote.setPipelineOptions({ maxPartialFrames: 65 })).message).toContain('<= 64')
      remote.setPipelineOptions({ maxPartialFrames: 4, partialFrameTimeout: 100 })
      expect(openStreams()).toBe(0)
    })
  })
})

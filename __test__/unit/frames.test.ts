import { describe, expect, it } from 'vitest'
import { durationSince, now } from '../../index'
import { publish, subscribe, take, thrown, withPair } from '../helpers/rooms'

const MAX_U64 = 2n ** 64n - 1n

function pattern(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => (index * 31 + length) & 0xff)
}

describe('frames', () => {
  it('arrive unchanged, whatever their size', async () => {
    await withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      const stream = await subscribe(remote)
      // Around the alignment, the largest frame of a slab, one packet, and many packets.
      for (const length of [0, 1, 7, 8, 9, 255, 16_383, 16_384, 16_385, 15_988, 65_536, 200_000, 1_000_000]) {
        const payload = pattern(length)
        local.tryPush({ payload })
        const [frame] = await take(stream, 1)
        expect(frame.payload).toBeInstanceOf(Uint8Array)
        expect(Buffer.compare(frame.payload, payload), `${length} bytes`).toBe(0)
      }
    })
  })

  it('carry any unsigned 64-bit user timestamp, also 0n, or none', async () => {
    await withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      const stream = await subscribe(remote)
      const timestamps = [0n, 1n, 2n ** 53n - 1n, 2n ** 53n, MAX_U64, undefined]
      for (const userTimestamp of timestamps) local.tryPush({ payload: pattern(3), userTimestamp })
      const frames = await take(stream, timestamps.length)
      expect(frames.map((frame) => frame.userTimestamp)).toEqual(timestamps)
    })
  })

  it('have numbers and timestamps in the order of sending', async () => {
    await withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      const stream = await subscribe(remote)
      for (let index = 0; index < 100; index++) local.tryPush(pattern(index))
      const frames = await take(stream, 100)
      expect(frames.map((frame) => frame.number)).toEqual([...Array(100).keys()])
      expect(frames.map((frame) => frame.payload.byteLength)).toEqual([...Array(100).keys()])
      for (const { age, timestamp } of frames) {
        expect(age).toBeGreaterThanOrEqual(0)
        expect(Number.isInteger(timestamp)).toBe(true)
      }
    })
  })

  it('are copied before tryPush returns', async () => {
    await withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      const stream = await subscribe(remote)
      const payload = pattern(64)
      local.tryPush({ payload })
      payload.fill(0)
      const [frame] = await take(stream, 1)
      expect(Buffer.compare(frame.payload, pattern(64))).toBe(0)
    })
  })

  it('are refused with a TypeError or RangeError if they are invalid', async () => {
    await withPair(async (pair) => {
      const { local } = await publish(pair)
      const payload = pattern(1)
      for (const wrong of [
        undefined,
        null,
        1,
        'text',
        {},
        { payload: 'text' },
        { payload: new Uint16Array(1) },
      ]) {
        const error = thrown(() => local.tryPush(wrong))
        expect(error).toBeInstanceOf(TypeError)
        expect(error.code).toBe('ERR_INVALID_ARG_TYPE')
        expect(error.message).toContain('frame')
      }
      const shared = new Uint8Array(new SharedArrayBuffer(8))
      for (const frame of [shared, { payload: shared }]) {
        expect(thrown(() => local.tryPush(frame))).toBeInstanceOf(TypeError)
      }
      expect(thrown(() => local.tryPush({ payload, userTimestamp: 5 }))).toBeInstanceOf(TypeError)
      for (const userTimestamp of [-1n, MAX_U64 + 1n]) {
        const error = thrown(() => local.tryPush({ payload, userTimestamp }))
        expect(error).toBeInstanceOf(RangeError)
        expect(error.code).toBe('ERR_OUT_OF_RANGE')
        expect(error.message).toContain('userTimestamp')
      }
      expect(local.stats().pushed).toBe(0)
    })
  })

  it('stay intact if the buffer of another frame in the same slab is transferred', async () => {
    await withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      const stream = await subscribe(remote)
      local.tryPush(pattern(100))
      const [first] = await take(stream, 1)
      structuredClone(first.payload.buffer, { transfer: [first.payload.buffer] })
      expect(first.payload.byteLength).toBe(0)
      local.tryPush(pattern(101))
      const [second] = await take(stream, 1)
      expect(Buffer.compare(second.payload, pattern(101))).toBe(0)
    })
  })

  it('have a buffer of their own if the subscriber asks for it, and always if they are large', async () => {
    await withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      const stream = await subscribe(remote, { ownedPayloads: true })
      const shared = await subscribe(remote)
      for (const length of [0, 5, 16_384, 16_385]) local.tryPush(pattern(length))
      for (const { payload } of await take(stream, 4)) {
        expect(payload.byteOffset).toBe(0)
        expect(payload.buffer.byteLength).toBe(payload.byteLength)
      }
      const payloads = (await take(shared, 4)).map((frame) => frame.payload)
      expect(payloads[0].buffer.byteLength).toBe(65_536)
      expect(payloads[1].byteOffset % 8).toBe(0)
      expect(payloads[3].buffer.byteLength).toBe(16_385)
    })
  })
})

describe('timestamps', () => {
  it('follow Unix time in milliseconds', () => {
    const before = BigInt(Date.now())
    const time = now()
    expect(time >= before && time <= BigInt(Date.now())).toBe(true)
    expect(durationSince({ userTimestamp: time })).toBeGreaterThanOrEqual(0)
    expect(durationSince({ userTimestamp: time + 1_000_000n })).toBeLessThan(0)
    expect(durationSince({})).toBeUndefined()
  })
})

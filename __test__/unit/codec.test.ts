import { describe, expect, it } from 'vitest'
import { bytes, DataTrackDecodeError, DataTrackPushFrameError, json, text } from '../../index'
import type { DataTrackCodec } from '../../index'
import { publish, rejection, subscribe, take, thrown, until, withPair } from '../helpers/rooms'

describe('codecs', () => {
  it('turn values into frames and back', async () => {
    await withPair(async (pair) => {
      const codec = json<{ x: number }>()
      const { local, remote } = await publish(pair, { codec })
      const stream = await subscribe(remote, { codec })
      expect(remote.info.frameEncoding).toBe('json')
      local.tryPush({ x: 1 }, { userTimestamp: 5n })
      await local.push({ x: 2 })
      const frames = await take(stream, 2)
      expect(frames.map(({ value }) => value)).toEqual([{ x: 1 }, { x: 2 }])
      expect(frames.map(({ userTimestamp }) => userTimestamp)).toEqual([5n, undefined])
      expect(Buffer.from(frames[0].payload).toString()).toBe('{"x":1}')
    })
  })

  it('decode any value that they have encoded', () => {
    const round = <T>(codec: DataTrackCodec<T>, value: T) =>
      codec.decode(Uint8Array.from(codec.encode(value)))
    expect(round(json(), [1, 'é', null])).toEqual([1, 'é', null])
    expect(round(text(), '')).toBe('')
    expect(round(text(), '\ufeffé𝄞')).toBe('\ufeffé𝄞')
    expect(round(bytes(), new Uint8Array([1, 2]))).toEqual(new Uint8Array([1, 2]))
    expect(() => text().decode(new Uint8Array([0xff]))).toThrow(TypeError)
    expect(() => json().decode(Buffer.from('{'))).toThrow(SyntaxError)
  })

  it('name the schema and encoding of a track, which options of the publication override', async () => {
    await withPair(async ({ alice }) => {
      const codec: DataTrackCodec<number> = {
        encode: (value) => new Uint8Array([value]),
        decode: (payload) => payload[0]!,
        frameEncoding: 'custom:byte',
        schema: { name: 'byte', encoding: 'custom:text' },
      }
      const track = await alice.localParticipant.publishDataTrack({ name: 'a', codec })
      expect(track.info).toMatchObject({
        frameEncoding: 'custom:byte',
        schema: { name: 'byte', encoding: 'custom:text' },
      })
      const other = await alice.localParticipant.publishDataTrack({
        name: 'b',
        codec,
        frameEncoding: 'custom:b',
      })
      expect(other.info.frameEncoding).toBe('custom:b')
    })
  })

  it('that fail to encode cause a typed error with the value and the cause', async () => {
    await withPair(async (pair) => {
      const { local } = await publish(pair, { codec: json() })
      for (const value of [undefined, () => 1, 1n]) {
        const error = thrown(() => local.tryPush(value))
        expect(error).toBeInstanceOf(DataTrackPushFrameError)
        expect(error.reason).toBe('encodeFailed')
        expect(error.frame).toBe(value)
        expect(error.cause).toBeInstanceOf(TypeError)
        expect((await rejection(local.push(value))).reason).toBe('encodeFailed')
      }
    })
  })

  it('that fail to decode end the stream with a typed error, and the failure is counted', async () => {
    await withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      const stream = await subscribe(remote, { codec: json() })
      local.tryPush(Buffer.from('1'))
      local.tryPush(Buffer.from('{'))
      local.tryPush(Buffer.from('2'))
      const values: unknown[] = []
      const loop = async () => {
        for await (const { value } of stream) values.push(value)
      }
      const error = await rejection(loop())
      expect(error).toBeInstanceOf(DataTrackDecodeError)
      expect(error.cause).toBeInstanceOf(SyntaxError)
      expect(Buffer.from(error.frame.payload).toString()).toBe('{')
      expect(values).toEqual([1])
      expect(stream.stats().dropped.decodeFailed).toBe(1)
      expect(await rejection(stream.read())).toBe(error)
    })
  })

  it('skip frames that they cannot decode if the subscriber asked for it', async () => {
    await withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      const stream = await subscribe(remote, { codec: json(), onDecodeError: 'skip' })
      const read = stream.read()
      for (const payload of ['{', '1', '}', ']', '2']) local.tryPush(Buffer.from(payload))
      expect((await read)!.value).toBe(1)
      expect((await take(stream, 1))[0].value).toBe(2)
      await until(() => stream.stats().received === 5)
      const { received, delivered, dropped } = stream.stats()
      expect({ received, delivered, failed: dropped.decodeFailed }).toEqual({
        received: 5,
        delivered: 2,
        failed: 3,
      })
    })
  })
})

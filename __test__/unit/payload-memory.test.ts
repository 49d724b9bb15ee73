/** What is received has memory of its own: typed arrays over it work, whatever came before it in its message. */
import { describe, expect, it } from 'vitest'
import { RoomEvent } from '../../index'
import { receiveBytes } from '../helpers/data-streams'
import { until, withPair } from '../helpers/rooms'
import { event, same } from '../helpers/scene'

const values = (count: number): Float64Array => Float64Array.from({ length: count }, (_, index) => index / 3)
const bytesOf = ({ buffer, byteOffset, byteLength }: Float64Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength)
const read = ({ buffer, byteOffset }: Uint8Array): Float64Array => new Float64Array(buffer, byteOffset)

/** Topics of any length: what comes after them has any offset. */
const topics = Array.from({ length: 9 }, (_, length) => 'x'.repeat(length))

describe('received bytes have memory of their own, which typed arrays can use', () => {
  it.each([true, false])('as a packet, reliable: %s', (reliable) =>
    withPair(async ({ alice, bob }) => {
      for (const topic of topics) {
        const arriving = event(bob, RoomEvent.DataReceived)
        await alice.localParticipant.publishData(bytesOf(values(100)), { reliable, topic })
        expect(read((await arriving)[0])).toEqual(values(100))
      }
    }),
  )

  it.each([true, false])('as a byte stream, compressed: %s', (compress) =>
    withPair(async ({ alice, bob }) => {
      for (const topic of topics) {
        for (const count of [1, 1000, 100_000]) {
          const arriving = receiveBytes(bob, topic)
          await alice.localParticipant.sendBytes(bytesOf(values(count)), { topic, compress })
          const got = read((await arriving).bytes)
          expect([got.length, same(bytesOf(got), bytesOf(values(count)))]).toEqual([count, true])
        }
      }
    }),
  )

  it('as the pieces of a byte stream, for each of its readers', () =>
    withPair(async ({ alice, bob }) => {
      for (const topic of topics) {
        const got: Float64Array[][] = [[], []]
        const ended = got.map(
          (pieces) =>
            new Promise<void>((resolve) => {
              bob.registerByteStreamHandler(topic, async (reader) => {
                for await (const piece of reader) pieces.push(read(piece))
                resolve()
              })
            }),
        )
        const writer = await alice.localParticipant.streamBytes({ topic })
        for (const count of [1, 2, 3]) await writer.write(bytesOf(values(count)))
        await writer.close()
        await Promise.all(ended)
        for (const pieces of got) expect(pieces).toEqual([values(1), values(2), values(3)])
      }
    }))

  it('as a value of a typed call', () =>
    withPair(async ({ alice, bob }) => {
      await until(() => alice.remoteParticipants.has('bob'))
      const codec = { frameEncoding: 'custom:f64', encode: bytesOf, decode: read } as const
      const codecs = { requestCodec: codec, responseCodec: codec }
      bob.rpc.handle<Float64Array, Float64Array>('twice', (given) => given.map((value) => 2 * value), codecs)
      const twice = await alice.rpc.call<Float64Array, Float64Array>('bob', 'twice', values(3), codecs)
      expect(twice).toEqual(values(3).map((value) => 2 * value))
    }))
})

import {
  DataPacket,
  DataPacket_Kind,
  DataStream_Header,
  EncryptedPacketPayload,
  RpcRequest,
  SpeakerInfo,
  TrackInfo,
  UserPacket,
} from '@livekit/protocol'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { encode } from '../../src/base/packet-writer'

const text = fc.oneof(
  fc.string({ maxLength: 40 }),
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.constantFrom(
    '',
    'é',
    '…'.repeat(200),
    'a'.repeat(511),
    'a'.repeat(513),
    '\ud800',
    `${'a'.repeat(300)}🙂`,
  ),
)
const texts = fc.array(text, { maxLength: 4 })
const bytes = fc.uint8Array({ maxLength: 300 })
const uint32 = fc.oneof(fc.nat(300), fc.integer({ min: 0, max: 0xffff_ffff }))
const int32 = fc.oneof(fc.nat(300), fc.integer())
const uint64 = fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn })
const int64 = fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n })

const header = fc
  .record({
    streamId: text,
    timestamp: int64,
    totalLength: fc.option(uint64, { nil: undefined }),
    attributes: fc.dictionary(text, text, { maxKeys: 4, noNullPrototype: true }),
    version: int32,
    generated: fc.boolean(),
    attachedStreamIds: texts,
  })
  .map(
    ({ streamId, timestamp, totalLength, attributes, version, generated, attachedStreamIds }) =>
      new DataStream_Header({
        streamId,
        timestamp,
        ...(totalLength !== undefined && { totalLength }),
        attributes,
        contentHeader: { case: 'textHeader', value: { version, generated, attachedStreamIds } },
      }),
  )
const value = fc.oneof(
  header.map((each) => ({ case: 'streamHeader' as const, value: each })),
  fc.record({ id: text, payload: text, responseTimeoutMs: uint32 }).map((each) => ({
    case: 'rpcRequest' as const,
    value: new RpcRequest(each),
  })),
  fc.record({ payload: bytes, topic: text, destinationSids: texts, nonce: bytes }).map((each) => ({
    case: 'user' as const,
    value: new UserPacket(each),
  })),
  fc.record({ level: fc.float(), active: fc.boolean(), sid: text }).map((each) => ({
    case: 'speaker' as const,
    value: { speakers: [new SpeakerInfo(each)] },
  })),
)
const packet = fc
  .record({ destinationIdentities: texts, participantIdentity: text, sequence: uint32, value })
  .map((each) => new DataPacket({ kind: DataPacket_Kind.LOSSY, ...each }))

test('writes the bytes that the protobuf package writes', () => {
  fc.assert(
    fc.property(packet, (each) => {
      expect(encode(each)).toEqual(each.toBinary())
    }),
    { numRuns: 300 },
  )
})

test('keeps fields that the protocol package does not know, and writes enums and numbers of all kinds', () => {
  // Fields 500 to 503: a number, 8 bytes, a text and 4 bytes.
  const unknown = [
    [0xa0, 0x1f, 0xff, 0x7f],
    [0xa9, 0x1f, 1, 2, 3, 4, 5, 6, 7, 8],
    [0xb2, 0x1f, 2, 104, 105],
    [0xbd, 0x1f, 1, 2, 3, 4],
  ]
  const strange = TrackInfo.fromBinary(Uint8Array.from(unknown.flat()))
  strange.width = 0xffff_ffff
  expect(encode(strange)).toEqual(strange.toBinary())
})

test('writes large messages, and gives back memory of its own for each', () => {
  const large = new DataPacket({
    value: { case: 'user', value: { payload: new Uint8Array(70_000).fill(7) } },
  })
  const small = new EncryptedPacketPayload({ value: { case: 'user', value: { topic: 'topic' } } })
  const first = encode(large)
  const second = encode(small)
  expect(encode(large)).toEqual(large.toBinary())
  expect(first).toEqual(large.toBinary())
  expect(second).toEqual(small.toBinary())
  expect(second.buffer.byteLength).toBe(second.length)
})

test('refuses what the protobuf package refuses, and writes the next message right', () => {
  for (const wrong of [-1, 1.5, 2 ** 32, Number.NaN, '7' as unknown as number]) {
    const value = {
      case: 'rpcRequest' as const,
      value: new RpcRequest({ id: 'x', responseTimeoutMs: wrong }),
    }
    const bad = new DataPacket({ participantIdentity: 'alice', value })
    expect(() => bad.toBinary()).toThrow()
    expect(() => encode(bad)).toThrow()
    const good = new DataPacket({ participantIdentity: 'bob' })
    expect(encode(good)).toEqual(good.toBinary())
  }
})

/** What one participant can do to others by what it sends: it costs what the bounds say, and no one else's messages. */
import { deflateRawSync } from 'node:zlib'
import fc from 'fast-check'
import { afterEach, describe, expect, it, vi } from 'vitest'
import {
  DataPacket,
  DataStream_ByteHeader,
  DataStream_Chunk,
  DataStream_CompressionType,
  DataStream_Header,
  DataStream_Trailer,
  EncryptedPacket,
  UserPacket,
} from '@livekit/protocol'
import { ExternalE2EEKeyProvider, Loopback, RoomEvent } from '../../index'
import type { ByteStreamReader, DataStreamError, DataStreamLimits, TextStreamReader } from '../../index'
import { EventThrottle, MAX_KEYS } from '../../src/base/event-throttle'
import { MaxHeap } from '../../src/base/max-heap'
import { Shares } from '../../src/base/shares'
import { MessageIntake, TURN } from '../../src/data-packet/intake'
import {
  MAX_HELD_BYTES,
  MAX_SENDERS,
  MAX_TOTAL_HELD_BYTES,
  PacketReceiver,
} from '../../src/data-packet/receiver'
import { REPLAY_WINDOW, ReplayWindow } from '../../src/data-packet/replay-window'
import { IncomingStreams } from '../../src/data-stream/incoming'
import { checkLimits } from '../../src/data-stream/limits'
import { MAX_INFLATING_PER_SENDER } from '../../src/data-stream/piece-pool'
import { Places } from '../../src/data-stream/places'
import { RawRoom, unknownField } from '../helpers/raw-room'
import { rejection, turn, until } from '../helpers/rooms'

/** Streams of several senders, with the readers that they got. */
class Arrivals {
  readonly streams: IncomingStreams
  readonly bytes: ByteStreamReader[] = []
  readonly texts: TextStreamReader[] = []

  constructor(limits?: DataStreamLimits) {
    this.streams = new IncomingStreams(checkLimits(limits))
    this.streams.bytes.register('', (reader) => this.bytes.push(reader))
    this.streams.text.register('', (reader) => this.texts.push(reader))
  }

  header(sender: string, streamId: string, fields: Record<string, unknown> = {}): this {
    const contentHeader = { case: 'byteHeader', value: {} } as const
    const value = new DataStream_Header({ streamId, contentHeader, ...fields })
    this.streams.header({ value, ...from(sender) })
    return this
  }

  text(sender: string, streamId: string, fields: Record<string, unknown> = {}): this {
    return this.header(sender, streamId, { contentHeader: { case: 'textHeader', value: {} }, ...fields })
  }

  chunk(sender: string, streamId: string, index: number, content: Uint8Array): this {
    const value = new DataStream_Chunk({ streamId, chunkIndex: BigInt(index), content })
    this.streams.chunk({ value, ...from(sender) })
    return this
  }

  trailer(sender: string, streamId: string, attributes: Record<string, string> = {}): this {
    this.streams.trailer({ value: new DataStream_Trailer({ streamId, attributes }), ...from(sender) })
    return this
  }

  get held(): number {
    return this.streams.stats().bufferedBytes
  }
}

const from = (sender: string) =>
  ({ senderIdentity: sender, senderSid: `PA_${sender}`, channel: 'reliable', encrypted: false }) as const

const reasonOf = async (reading: Promise<unknown>): Promise<string> => (await rejection(reading)).reason

/** 14 kB that become 14.5 MB. */
const bomb = deflateRawSync(new Uint8Array(14_500_000), { level: 9 })

describe('content that decompresses to far more bytes', () => {
  it('counts for each reader that assembles it, and fails above the limit of all streams', async () => {
    const arrivals = new Arrivals({ maxTotalBufferedBytes: 20_000_000 })
    for (let id = 0; id < 10; id++)
      arrivals.text('mallory', String(id), { compression: 1, inlineContent: bomb })
    let most = 0
    const reading = Promise.all(
      arrivals.texts.map((reader) =>
        reader.readAll().then(
          () => 'whole',
          (error: unknown) => (error as DataStreamError).reason,
        ),
      ),
    )
    let reasons: string[] | undefined
    void reading.then((all) => (reasons = all))
    await until(() => {
      most = Math.max(most, arrivals.held)
      return reasons !== undefined
    })
    expect(reasons!.filter((reason) => reason === 'bufferFull').length).toBeGreaterThanOrEqual(8)
    expect(new Set(reasons)).toEqual(
      new Set(['bufferFull', ...reasons!.filter((reason) => reason === 'whole')]),
    )
    expect(most).toBeGreaterThan(1_000_000)
    expect(most).toBeLessThanOrEqual(20_000_000)
    expect(arrivals.held).toBe(0)
  })

  it('counts while it is assembled, also if it was not compressed', async () => {
    const arrivals = new Arrivals({ maxTotalBufferedBytes: 1_000_000 }).header('mallory', 's')
    const reading = reasonOf(arrivals.bytes[0]!.readAll())
    for (let index = 0; index < 100; index++) {
      arrivals.chunk('mallory', 's', index, new Uint8Array(15_000))
      await turn()
      expect(arrivals.held).toBeLessThanOrEqual(1_000_000)
    }
    expect(await reading).toBe('bufferFull')
    expect(arrivals.held).toBe(0)
  })

  it('is decompressed for a limited number of streams of a sender at a time; the others wait', async () => {
    const places = new Places(2)
    const inside: string[] = []
    const waiting = new Map<string, () => void>()
    const enter = async (name: string): Promise<void> => {
      if (await places.enter((giveUp) => waiting.set(name, giveUp))) inside.push(name)
      else inside.push(`not ${name}`)
    }
    const all = ['a', 'b', 'c', 'd', 'e'].map(enter)
    await turn()
    expect(inside).toEqual(['a', 'b'])
    waiting.get('c')!()
    places.leave()
    await turn()
    expect(inside).toEqual(['a', 'b', 'not c', 'd'])
    places.leave()
    await Promise.all(all)
    places.leave()
    places.leave()
    expect(places.idle).toBe(true)
  })

  it('is decompressed for 64 streams of one sender, and at the same time for another sender', async () => {
    const arrivals = new Arrivals()
    const content = deflateRawSync(new Uint8Array(100_000).fill(1))
    const begun: string[] = []
    const ended: Promise<unknown>[] = []
    const read = async (reader: ByteStreamReader): Promise<void> => {
      for await (const piece of reader) {
        if (piece.length > 0 && !begun.includes(reader.info.id)) begun.push(reader.info.id)
      }
    }
    const open = (sender: string, id: string): void => {
      arrivals.header(sender, id, { compression: 1 })
      ended.push(read(arrivals.bytes.at(-1)!))
      // Without its last byte: the stream stays open.
      arrivals.chunk(sender, id, 0, content.subarray(0, -1))
    }
    for (let id = 0; id < 2 * MAX_INFLATING_PER_SENDER; id++) open('mallory', `m${id}`)
    await until(() => begun.length === MAX_INFLATING_PER_SENDER)
    open('alice', 'a')
    await until(() => begun.includes('a'))
    expect(begun).toHaveLength(MAX_INFLATING_PER_SENDER + 1)
    // Who is done makes room for the next one.
    for (let id = 0; id < 2 * MAX_INFLATING_PER_SENDER; id++) {
      arrivals.chunk('mallory', `m${id}`, 1, content.subarray(-1)).trailer('mallory', `m${id}`)
    }
    arrivals.chunk('alice', 'a', 1, content.subarray(-1)).trailer('alice', 'a')
    await Promise.all(ended)
    expect(begun).toHaveLength(2 * MAX_INFLATING_PER_SENDER + 1)
  })

  it('of a hundred streams of one sender is read completely, a few streams at a time', async () => {
    const arrivals = new Arrivals()
    const content = deflateRawSync(new Uint8Array(100_000))
    for (let id = 0; id < 100; id++)
      arrivals.header('alice', String(id), { compression: 1, inlineContent: content })
    const all = await Promise.all(arrivals.bytes.map((reader) => reader.bytes()))
    expect(all.map(({ length }) => length)).toEqual(Array.from({ length: 100 }, () => 100_000))
    expect(arrivals.held).toBe(0)
  })

  it('of an RPC request does not reach the handler, and the caller gets an error', async () => {
    const sfu = new Loopback({ seed: 1 })
    try {
      const bob = sfu.join('bob')
      const mallory = new RawRoom()
      sfu.join('mallory', { room: mallory })
      let calls = 0
      bob.registerRpcMethod('echo', () => String(++calls))
      const codes: number[] = []
      const receive = mallory.engine.receiveMessage.bind(mallory.engine)
      mallory.engine.receiveMessage = (channel, data) => {
        const packet = DataPacket.fromBinary(data)
        if (packet.value.case === 'rpcResponse' && packet.value.value.value.case === 'error') {
          codes.push(packet.value.value.value.value.code)
        }
        receive(channel, data)
      }
      for (let id = 0; id < 50; id++) mallory.writePacket(request(String(id), bomb), 'reliable', ['bob'])
      await until(() => codes.length === 50)
      expect(new Set(codes)).toEqual(new Set([1402]))
      mallory.writePacket(request('small', deflateRawSync(Buffer.alloc(1024 * 1024, 'a'))), 'reliable', [
        'bob',
      ])
      await until(() => calls === 1)
    } finally {
      sfu.close()
    }
  })
})

/** A call of version 2 in one packet. */
function request(id: string, inlineContent: Uint8Array) {
  const attributes = {
    'lk.rpc_request_id': id,
    'lk.rpc_request_method': 'echo',
    'lk.rpc_request_response_timeout_ms': '60000',
    'lk.rpc_request_version': '2',
  }
  const value = new DataStream_Header({
    streamId: id,
    topic: 'lk.rpc_request',
    attributes,
    compression: DataStream_CompressionType.DEFLATE_RAW,
    inlineContent,
    contentHeader: { case: 'textHeader', value: {} },
  })
  return { case: 'streamHeader', value } as const
}

describe('streams that no handler reads', () => {
  it('in one packet count like open ones, and the oldest are dropped for new ones', async () => {
    const arrivals = new Arrivals({ maxStreamsPerSender: 2 })
    const inlineContent = Uint8Array.of(1)
    for (const id of ['a', 'b', 'c', 'd']) arrivals.header('mallory', id, { inlineContent })
    arrivals.header('alice', 'e', { inlineContent })
    const [a, b, c, d, e] = arrivals.bytes
    expect([await reasonOf(a!.bytes()), await reasonOf(b!.bytes())]).toEqual(['bufferFull', 'bufferFull'])
    for (const reader of [c, d, e]) expect(await reader!.bytes()).toEqual(inlineContent)
    expect(arrivals.streams.stats()).toMatchObject({ completed: 5, open: 0, bufferedBytes: 0, dropped: {} })
  })

  it('are not dropped while they are being read; new ones are dropped instead', async () => {
    const arrivals = new Arrivals({ maxStreamsPerSender: 2 }).header('mallory', 'a').header('mallory', 'b')
    const reading = arrivals.bytes.map((reader) => reader.bytes())
    arrivals.header('mallory', 'c')
    expect(arrivals.streams.stats().dropped).toEqual({ tooManyStreams: 1 })
    for (const id of ['a', 'b']) arrivals.trailer('mallory', id)
    await Promise.all(reading)
    arrivals.header('mallory', 'd')
    expect(arrivals.bytes).toHaveLength(3)
  })

  it('take no more memory than the limit, whatever they carry, and do not affect other senders', async () => {
    const arrivals = new Arrivals({ maxTotalBufferedBytes: 2_000_000 }).header('alice', 'large')
    for (let index = 0; index < 60; index++) arrivals.chunk('alice', 'large', index, new Uint8Array(15_000))
    const attributes = Object.fromEntries(Array.from({ length: 2000 }, (_, n) => [`k${n}`, '']))
    for (let id = 0; id < 3000; id++) {
      arrivals.header('mallory', `s${id}`)
      if (id % 10 === 0) arrivals.chunk('mallory', `s${id}`, 0, new Uint8Array(10_000))
      if (id % 7 === 0) arrivals.trailer('mallory', `s${id}`, attributes)
      expect(arrivals.held).toBeLessThanOrEqual(2_000_000)
    }
    arrivals.trailer('alice', 'large')
    expect((await arrivals.bytes[0]!.bytes()).length).toBe(900_000)
  })

  it('that failed with unread content are dropped for new ones, too', async () => {
    const arrivals = new Arrivals({ maxTotalBufferedBytes: 50_000 })
      .header('mallory', 'a')
      .header('alice', 'b')
    for (let index = 0; index < 2; index++) arrivals.chunk('mallory', 'a', index, new Uint8Array(15_000))
    arrivals.chunk('mallory', 'a', 7, new Uint8Array(1))
    for (let index = 0; index < 2; index++) arrivals.chunk('alice', 'b', index, new Uint8Array(15_000))
    arrivals.trailer('alice', 'b')
    expect(await reasonOf(arrivals.bytes[0]!.bytes())).toBe('incomplete')
    expect((await arrivals.bytes[1]!.bytes()).length).toBe(30_000)
  })
})

describe('the heaviest of many items', () => {
  it('is found at once after any change', () => {
    const steps = fc.array(fc.tuple(fc.nat(19), fc.option(fc.nat(1000), { nil: undefined })), {
      maxLength: 200,
    })
    fc.assert(
      fc.property(steps, (changes) => {
        const heap = new MaxHeap<{ weight: number; place: number }>()
        const items = Array.from({ length: 20 }, () => ({ weight: 0, place: -1 }))
        const inside = new Set<(typeof items)[number]>()
        for (const [which, weight] of changes) {
          const item = items[which]!
          if (weight === undefined) {
            heap.remove(item)
            inside.delete(item)
          } else {
            item.weight = weight
            heap.update(item)
            inside.add(item)
          }
          expect(heap.size).toBe(inside.size)
          const heaviest = inside.size === 0 ? undefined : Math.max(...[...inside].map((one) => one.weight))
          expect(heap.peek()?.weight).toBe(heaviest)
        }
      }),
    )
  })
})

describe('a share of a bounded amount', () => {
  it('leaves something for the next owner, and can be taken again after it was given back', () => {
    const shares = new Shares(16)
    const takes = (who: string): number => {
      let count = 0
      while (shares.take(who, 1)) count++
      return count
    }
    expect([takes('a'), takes('b'), takes('c'), takes('d')]).toEqual([8, 4, 2, 1])
    for (let count = 0; count < 8; count++) shares.give('a', 1)
    expect([takes('d'), takes('a')]).toEqual([4, 3])
  })
})

describe('unknown fields and spare bytes of a packet', () => {
  it('are not kept with the content of a stream, which has a buffer of its own', async () => {
    const streams = new IncomingStreams(checkLimits(undefined))
    const readers: ByteStreamReader[] = []
    streams.bytes.register('', (reader) => readers.push(reader))
    const receiver = new PacketReceiver(
      {
        streamHeader: (packet) => streams.header(packet),
        streamChunk: (packet) => streams.chunk(packet),
        streamTrailer: (packet) => streams.trailer(packet),
      },
      () => undefined,
    )
    const send = (packet: DataPacket): void => {
      packet.participantIdentity = 'mallory'
      packet.participantSid = 'PA_1'
      receiver.receive('reliable', Buffer.concat([packet.toBinary(), unknownField(999, 60_000)]))
    }
    const contentHeader = { case: 'byteHeader', value: new DataStream_ByteHeader() } as const
    const header = new DataStream_Header({ streamId: 's', contentHeader })
    send(new DataPacket({ value: { case: 'streamHeader', value: header } }))
    for (let index = 0; index < 3; index++) {
      const value = new DataStream_Chunk({
        streamId: 's',
        chunkIndex: BigInt(index),
        content: Uint8Array.of(1),
      })
      send(new DataPacket({ value: { case: 'streamChunk', value } }))
    }
    const trailer = new DataStream_Trailer({ streamId: 's' })
    send(new DataPacket({ value: { case: 'streamTrailer', value: trailer } }))
    const pieces = await readers[0]!.readAll()
    expect(pieces.map(({ buffer }) => buffer.byteLength)).toEqual([1, 1, 1])
  })

  it('count for packets that wait for a key, per sender and in total', () => {
    const receiver = new PacketReceiver({ user: () => undefined }, () => undefined)
    receiver.attach({ openMessage: () => 'wait' } as never, 'native')
    const sealed = (identity: string): Uint8Array => {
      const value = new EncryptedPacket({ iv: new Uint8Array(12), encryptedValue: Uint8Array.of(1) })
      const packet = new DataPacket({
        participantIdentity: identity,
        value: { case: 'encryptedPacket', value },
      })
      return Buffer.concat([packet.toBinary(), unknownField(999, 60_000)])
    }
    for (let count = 0; count < 100; count++) receiver.receive('reliable', sealed('mallory'))
    expect(receiver.stats().held * 60_000).toBeLessThanOrEqual(MAX_HELD_BYTES)
    for (let count = 0; count < 2000; count++) receiver.receive('reliable', sealed(`m${count % 200}`))
    expect(receiver.stats().held * 60_000).toBeLessThanOrEqual(MAX_TOTAL_HELD_BYTES)
    expect(receiver.stats().held * 61_200).toBeGreaterThan(MAX_TOTAL_HELD_BYTES - 1024 * 1024)
  })
})

describe('the last packet numbers of senders', () => {
  it('are kept for at most MAX_SENDERS senders; the sender that was silent the longest is forgotten', () => {
    const got: number[] = []
    const receiver = new PacketReceiver({ user: ({ value }) => got.push(value.payload[0]!) }, () => undefined)
    const send = (sender: number, sequence: number): void => {
      const value = new UserPacket({ payload: Uint8Array.of(1) })
      const participantSid = `PA_${sender}`
      receiver.receive(
        'reliable',
        new DataPacket({ participantSid, sequence, value: { case: 'user', value } }).toBinary(),
      )
    }
    for (let sender = 0; sender < 3 * MAX_SENDERS; sender++) {
      send(sender, 7)
      send(0, 8 + sender)
    }
    const states = receiver.receiveStates()
    expect(states).toHaveLength(MAX_SENDERS)
    expect(states.at(-1)).toEqual({ publisherSid: 'PA_0', lastSeq: 7 + 3 * MAX_SENDERS })
    // What comes twice is told from what is new, of those that are remembered.
    const before = got.length
    send(3 * MAX_SENDERS - 1, 7)
    expect(got).toHaveLength(before)
  })
})

describe('received messages', () => {
  afterEach(() => void vi.restoreAllMocks())

  it('are handled in order and in portions, with a turn of the event loop in between', async () => {
    let now = 0
    vi.spyOn(performance, 'now').mockImplementation(() => now)
    const waiting = Array.from({ length: 1000 }, (_, n) => ({
      channel: 'reliable' as const,
      data: Uint8Array.of(n % 256),
    }))
    const got: number[] = []
    let portion = 0
    let longest = 0
    const intake = new MessageIntake(
      () => waiting.splice(0, 64),
      ({ data }) => {
        got.push(data[0]!)
        // Half of the work is put off.
        now += 0.5
        portion += 0.5
        void Promise.resolve().then(() => {
          now += 0.5
          portion += 0.5
          longest = Math.max(longest, portion)
        })
      },
    )
    const turns = (): void => {
      portion = 0
      if (got.length < 1000) setImmediate(turns)
    }
    intake.wake()
    setImmediate(turns)
    await until(() => got.length === 1000)
    expect(got).toEqual(Array.from({ length: 1000 }, (_, n) => n % 256))
    expect(longest).toBeLessThanOrEqual(2 * (TURN + 8))
    waiting.push({ channel: 'reliable', data: Uint8Array.of(7) })
    intake.wake()
    expect(got.at(-1)).toBe(7)
    intake.close()
    waiting.push({ channel: 'reliable', data: Uint8Array.of(8) })
    intake.wake()
    expect(got.at(-1)).toBe(7)
  })
})

describe('encryption errors', () => {
  it('are reported once a second per sender, and in total for senders beyond MAX_KEYS', () => {
    let now = 0
    const throttle = new EventThrottle(() => now)
    let events = 0
    let counted = 0
    const count = (key: string): void => {
      const told = throttle.count(key)
      if (told > 0) events++
      counted += told
    }
    for (let name = 0; name < 50_000; name++) {
      count(`name ${name}`)
      count('name 0')
    }
    expect(events).toBe(MAX_KEYS + 1)
    now = 1000
    events = 0
    count('name 0')
    for (let name = 0; name < 50_000; name++) count(`other ${name}`)
    expect(events).toBeLessThanOrEqual(MAX_KEYS + 2)
    now = 2000
    for (let name = 0; name < 2 * MAX_KEYS; name++) count(`last ${name}`)
    now = 3000
    for (let name = 0; name < 2 * MAX_KEYS; name++) count(`end ${name}`)
    expect(counted).toBeGreaterThan(150_000)
  })
})

describe('an encrypted packet', () => {
  it('is handled once, even if the server changes its sender and its number', async () => {
    const keyProvider = new ExternalE2EEKeyProvider()
    await keyProvider.setKey('key')
    const sfu = new Loopback({ seed: 1 })
    try {
      const alice = sfu.join('alice', { encryption: { keyProvider } })
      const bob = sfu.join('bob', { encryption: { keyProvider } })
      const packets: Uint8Array[] = []
      const got: number[] = []
      bob.on(RoomEvent.DataReceived, (payload) => got.push(payload[0]!))
      const receive = bob.engine.receiveMessage.bind(bob.engine)
      bob.engine.receiveMessage = (channel, data) => {
        packets.push(data)
        receive(channel, data)
      }
      for (const number of [1, 2])
        await alice.localParticipant.publishData(Uint8Array.of(number), { reliable: true })
      await until(() => got.length === 2)
      for (const [index, bytes] of packets.entries()) {
        const packet = DataPacket.fromBinary(bytes)
        packet.sequence = 100 + index
        packet.participantIdentity = 'admin'
        packet.participantSid = 'PA_admin'
        receive('reliable', packet.toBinary())
        receive('lossy', packet.toBinary())
      }
      await alice.localParticipant.publishData(Uint8Array.of(3), { reliable: true })
      await until(() => got.length > 2)
      expect(got).toEqual([1, 2, 3])
    } finally {
      sfu.close()
    }
  })

  it('is recognized as repeated among the last REPLAY_WINDOW packets', () => {
    const window = new ReplayWindow()
    const iv = (number: number): Uint8Array => Buffer.from(String(number).padStart(12))
    const tag = new Uint8Array(16)
    for (let number = 0; number < 3 * REPLAY_WINDOW; number++) {
      expect(window.has(iv(number), tag)).toBe(false)
      window.add(iv(number), tag)
      expect(window.has(iv(Math.max(0, number - REPLAY_WINDOW + 1)), tag)).toBe(true)
    }
    expect(window.has(iv(0), tag)).toBe(false)
    expect(
      window.has(
        iv(3 * REPLAY_WINDOW - 1),
        Uint8Array.from({ length: 16 }, () => 1),
      ),
    ).toBe(false)
  })
})

describe('a user packet', () => {
  it('with thousands of destinations and unknown fields is delivered like any other', () => {
    const got: UserPacket[] = []
    const receiver = new PacketReceiver({ user: ({ value }) => got.push(value) }, () => undefined)
    const value = new UserPacket({
      payload: Uint8Array.of(1),
      destinationIdentities: Array.from({ length: 20_000 }, () => ''),
    })
    const packet = new DataPacket({ value: { case: 'user', value } }).toBinary()
    receiver.receive('lossy', Buffer.concat([packet, unknownField(500, 1000)]))
    expect([...got[0]!.payload]).toEqual([1])
  })
})

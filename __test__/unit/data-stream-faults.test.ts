import { deflateRawSync } from 'node:zlib'
import { describe, expect, it, vi } from 'vitest'
import { DataStream_Chunk, DataStream_Header, DataStream_Trailer } from '@livekit/protocol'
import { ExternalE2EEKeyProvider, Loopback, Room } from '../../index'
import type { ByteStreamReader, DataStreamLimits, TextStreamReader } from '../../index'
import { IncomingStreams } from '../../src/data-stream/incoming'
import { checkLimits } from '../../src/data-stream/limits'
import { nextBytes, nextText, receiveBytes } from '../helpers/data-streams'
import { rejection, thrown, turn, until, withPair } from '../helpers/rooms'
import { pattern, same } from '../helpers/scene'

/** Streams from the senders that a test names, with the readers that they got. */
class Arrivals {
  readonly streams: IncomingStreams
  readonly bytes: ByteStreamReader[] = []
  readonly texts: TextStreamReader[] = []
  /** Of the packets to come. */
  from = { senderIdentity: 'alice', senderSid: 'PA_1', channel: 'reliable' as const, encrypted: false }

  constructor(limits?: DataStreamLimits) {
    this.streams = new IncomingStreams(checkLimits(limits))
    this.streams.bytes.register('', (reader) => this.bytes.push(reader))
    this.streams.text.register('', (reader) => this.texts.push(reader))
  }

  header(streamId: string, fields: Record<string, unknown> = {}): this {
    const contentHeader = { case: 'byteHeader', value: {} } as const
    const value = new DataStream_Header({ streamId, contentHeader, ...fields })
    this.streams.header({ ...this.from, value })
    return this
  }

  text(streamId: string, fields: Record<string, unknown> = {}): this {
    return this.header(streamId, { contentHeader: { case: 'textHeader', value: {} }, ...fields })
  }

  chunk(streamId: string, index: number, content: Uint8Array = Uint8Array.of(index), version = 0): this {
    const value = new DataStream_Chunk({ streamId, chunkIndex: BigInt(index), content, version })
    this.streams.chunk({ ...this.from, value })
    return this
  }

  trailer(streamId: string, reason = '', attributes: Record<string, string> = {}): this {
    this.streams.trailer({ ...this.from, value: new DataStream_Trailer({ streamId, reason, attributes }) })
    return this
  }
}

const reasonOf = async (reading: Promise<unknown>): Promise<string> => {
  const error = await rejection(reading)
  expect(error.name).toBe('DataStreamError')
  return error.reason
}

describe('a stream', () => {
  it('consists of all chunks in order, also empty ones, and has the attributes of its trailer', async () => {
    const arrivals = new Arrivals().header('s', { attributes: { a: '1', b: '1' } })
    arrivals.chunk('s', 0).chunk('s', 1, new Uint8Array(0)).chunk('s', 2)
    const reader = arrivals.bytes[0]!
    expect(reader.info.attributes).toEqual({ a: '1', b: '1' })
    arrivals.trailer('s', '', { b: '2' })
    expect(await reader.readAll()).toEqual([Uint8Array.of(0), Uint8Array.of(2)])
    expect(reader.info.attributes).toEqual({ a: '1', b: '2' })
  })

  it('fails at a missing chunk, after the content before it was read', async () => {
    const arrivals = new Arrivals().header('gap')
    arrivals.chunk('gap', 0).chunk('gap', 2)
    const [gap] = arrivals.bytes as [ByteStreamReader]
    const pieces = gap[Symbol.asyncIterator]()
    expect((await pieces.next()).value).toEqual(Uint8Array.of(0))
    expect(await reasonOf(pieces.next())).toBe('incomplete')
    expect(await pieces.next()).toEqual({ done: true, value: undefined })
    expect(arrivals.streams.stats()).toMatchObject({ received: 1, failed: 1, open: 0, bufferedBytes: 0 })
  })

  it('ignores a repeated chunk, whatever it contains and whenever it arrives', async () => {
    const arrivals = new Arrivals().header('s').chunk('s', 0).chunk('s', 0).chunk('s', 1)
    arrivals.chunk('s', 0, Uint8Array.of(9)).chunk('s', 1, new Uint8Array(100_000)).chunk('s', 2).trailer('s')
    expect(await arrivals.bytes[0]!.bytes()).toEqual(Uint8Array.of(0, 1, 2))
    expect(arrivals.streams.stats()).toMatchObject({ completed: 1, failed: 0, open: 0, bufferedBytes: 0 })
  })

  it('that has arrived completely is read at once, in one piece and unchanged', async () => {
    const arrivals = new Arrivals()
    const inline = (content: Uint8Array, fields: Record<string, unknown> = {}): TextStreamReader =>
      arrivals.text(`s${arrivals.texts.length}`, { inlineContent: content, ...fields }).texts.at(-1)!
    const text = Buffer.from('größer')
    const whole = inline(text, { totalLength: BigInt(text.length) })
    expect(whole.readAtOnce()).toBe('größer')
    expect(await reasonOf(whole.readAll())).toBe('locked')
    expect(inline(new Uint8Array(0), { totalLength: 0n }).readAtOnce()).toBe('')
    expect(thrown(() => inline(text, { totalLength: 99n }).readAtOnce())).toMatchObject({
      reason: 'incomplete',
    })
    expect(thrown(() => inline(text, { totalLength: 1n }).readAtOnce())).toMatchObject({
      reason: 'lengthExceeded',
    })
    expect(thrown(() => inline(Uint8Array.of(0xc3)).readAtOnce())).toMatchObject({ reason: 'decodeFailed' })
    expect(arrivals.streams.stats()).toMatchObject({ completed: 5, open: 0, bufferedBytes: 0 })
    const compressed = inline(deflateRawSync(text), { compression: 1 })
    expect(compressed.readAtOnce()).toBeUndefined()
    expect(await compressed.readAll()).toBe('größer')
    const pieces = arrivals.text('p').chunk('p', 0, text).texts.at(-1)!
    expect(pieces.readAtOnce()).toBeUndefined()
    arrivals.chunk('p', 1, text).trailer('p')
    expect(pieces.readAtOnce()).toBeUndefined()
    expect(await pieces.readAll()).toBe('größergrößer')
  })

  it('is not changed by a new version of a chunk that was already read', async () => {
    const arrivals = new Arrivals().header('s').chunk('s', 0).chunk('s', 0, Uint8Array.of(9), 1)
    arrivals.chunk('s', 1).trailer('s')
    expect(await arrivals.bytes[0]!.bytes()).toEqual(Uint8Array.of(0, 1))
  })

  it('fails if it is shorter or longer than its header says; a declared size of 0 means unknown', async () => {
    const arrivals = new Arrivals()
    for (const [id, totalLength] of [
      ['short', 3n],
      ['long', 1n],
      ['none', 0n],
    ] as const) {
      arrivals.header(id, { totalLength }).chunk(id, 0).chunk(id, 1).trailer(id)
    }
    const [short, long, none] = arrivals.bytes as [ByteStreamReader, ByteStreamReader, ByteStreamReader]
    expect(await reasonOf(short.readAll())).toBe('incomplete')
    expect(await reasonOf(long.readAll())).toBe('lengthExceeded')
    expect(await none.bytes()).toEqual(Uint8Array.of(0, 1))
  })

  it('takes chunks of its sender only, and fails if a chunk has another encryption', async () => {
    const arrivals = new Arrivals().header('s').header('mixed')
    const { from } = arrivals
    arrivals.from = { ...from, senderIdentity: 'mallory', senderSid: 'PA_9' }
    arrivals.chunk('s', 0, Uint8Array.of(9)).trailer('s')
    arrivals.from = from
    arrivals.chunk('s', 0).trailer('s')
    arrivals.from = { ...from, encrypted: true }
    arrivals.chunk('mixed', 0)
    const [s, mixed] = arrivals.bytes as [ByteStreamReader, ByteStreamReader]
    expect(await s.bytes()).toEqual(Uint8Array.of(0))
    expect(await reasonOf(mixed.readAll())).toBe('encryptionTypeMismatch')
  })

  it('takes chunks of its sender only, also if the server names no sessions', async () => {
    const arrivals = new Arrivals()
    const from = { ...arrivals.from, senderSid: '' }
    arrivals.from = from
    arrivals.header('s')
    arrivals.from = { ...from, senderIdentity: 'mallory' }
    arrivals.chunk('s', 0, Uint8Array.of(9)).trailer('s')
    arrivals.from = from
    arrivals.chunk('s', 0).trailer('s')
    expect(await arrivals.bytes[0]!.bytes()).toEqual(Uint8Array.of(0))
  })

  it('that an agent sends in the name of a participant belongs to the agent’s session, and has the participant’s identity', async () => {
    const arrivals = new Arrivals()
    const agent = { ...arrivals.from, senderIdentity: 'agent', senderSid: 'PA_7' }
    let identity: string | undefined
    arrivals.streams.text.register('', (_reader, info) => (identity = info.identity))
    arrivals.from = { ...agent, senderIdentity: 'alice' }
    arrivals.text('s')
    arrivals.from = agent
    arrivals.chunk('s', 0, Buffer.from('hello')).trailer('s')
    expect(await arrivals.texts[0]!.readAll()).toBe('hello')
    expect(identity).toBe('alice')
    expect(arrivals.streams.stats()).toMatchObject({ completed: 1, open: 0 })
  })

  it('ends some time after the session of its sender has ended, and not after another session', async () => {
    vi.useFakeTimers()
    try {
      const arrivals = new Arrivals().header('left').header('going')
      const { from } = arrivals
      arrivals.from = { ...from, senderSid: 'PA_2' }
      arrivals.header('new')
      arrivals.streams.senderGone({ identity: 'alice', sid: 'PA_1' }, 'connectionLost')
      arrivals.from = from
      // The news may overtake the first packet of a stream.
      arrivals.header('late')
      vi.advanceTimersByTime(1900)
      arrivals.chunk('going', 0)
      vi.advanceTimersByTime(200)
      expect(arrivals.streams.stats()).toMatchObject({ failed: 2, open: 2 })
      arrivals.chunk('going', 1).trailer('going')
      vi.advanceTimersByTime(60_000)
      expect(arrivals.streams.stats()).toMatchObject({ failed: 2, completed: 1, open: 1 })
      expect(await reasonOf(arrivals.bytes[0]!.readAll())).toBe('connectionLost')
    } finally {
      vi.useRealTimers()
    }
  })

  it('ends when another stream uses its ID', async () => {
    const arrivals = new Arrivals().header('s').chunk('s', 0).header('s').chunk('s', 1).trailer('s')
    expect(arrivals.bytes.length).toBe(1)
    expect(await reasonOf(arrivals.bytes[0]!.readAll())).toBe('alreadyOpened')
    expect(arrivals.streams.stats()).toMatchObject({ received: 2, failed: 1, dropped: { alreadyOpened: 1 } })
  })

  it('of an unknown kind is dropped and counted', () => {
    const arrivals = new Arrivals().header('').header('s', { contentHeader: { case: undefined } })
    arrivals.header('t', { compression: 7 }).header('u', { topic: 'other' })
    expect(arrivals.bytes).toEqual([])
    expect(arrivals.streams.stats()).toMatchObject({ received: 4, dropped: { unsupported: 3, noHandler: 1 } })
  })

  it('of text fails if its bytes are not valid text', async () => {
    const arrivals = new Arrivals().text('s').chunk('s', 0, Uint8Array.of(0x61, 0xff)).trailer('s')
    expect(await reasonOf(arrivals.texts[0]!.readAll())).toBe('decodeFailed')
    const cut = new Arrivals().text('s').chunk('s', 0, Uint8Array.of(0xe4, 0xb8)).trailer('s')
    expect(await reasonOf(cut.texts[0]!.readAll())).toBe('decodeFailed')
    const bom = new Arrivals().text('s').chunk('s', 0, Buffer.from('\ufeffa')).trailer('s')
    expect(await bom.texts[0]!.readAll()).toBe('\ufeffa')
  })
})

describe('compressed content', () => {
  const zeros = deflateRawSync(new Uint8Array(100_000_000))

  it('that becomes larger than declared or allowed fails, and is not kept', async () => {
    const said = new Arrivals().header('s', { compression: 1, totalLength: 1000n })
    said.chunk('s', 0, zeros).trailer('s')
    expect(await reasonOf(said.bytes[0]!.readAll())).toBe('lengthExceeded')
    const inline = new Arrivals().header('s', { compression: 1, totalLength: 1000n, inlineContent: zeros })
    expect(await reasonOf(inline.bytes[0]!.readAll())).toBe('lengthExceeded')
    const unsaid = new Arrivals().header('s', { compression: 1 }).chunk('s', 0, zeros).trailer('s')
    expect(await reasonOf(unsaid.bytes[0]!.readAll({ maxLength: 1_000_000 }))).toBe('payloadTooLarge')
    const large = new Arrivals().header('s', { totalLength: 2n ** 40n })
    expect(await reasonOf(large.bytes[0]!.readAll())).toBe('payloadTooLarge')
  })

  it('is decompressed only as far as it is read', async () => {
    const arrivals = new Arrivals().header('s', { compression: 1 }).chunk('s', 0, zeros).trailer('s')
    const before = process.memoryUsage().arrayBuffers
    let length = 0
    for await (const piece of arrivals.bytes[0]!) {
      length += piece.length
      if (length > 10_000_000) break
      await turn()
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(20_000_000)
    expect(arrivals.streams.stats().bufferedBytes).toBe(0)
  })

  it('of a known size counts while a reader waits for all of it, and arrives unchanged', async () => {
    const content = pattern(100_000)
    const compressed = deflateRawSync(content, { level: 0 })
    const half = compressed.length >> 1
    const arrivals = new Arrivals().header('s', { compression: 1, totalLength: 100_000n })
    const reading = arrivals.bytes[0]!.bytes()
    arrivals.chunk('s', 0, compressed.subarray(0, half))
    await turn()
    expect(arrivals.streams.stats().bufferedBytes).toBeGreaterThanOrEqual(half)
    arrivals.chunk('s', 1, compressed.subarray(half)).trailer('s')
    expect(Buffer.compare(await reading, content)).toBe(0)
    expect(arrivals.streams.stats().bufferedBytes).toBe(0)
  })

  it('of a known size can be cancelled while a reader waits for all of it', async () => {
    const arrivals = new Arrivals().header('s', { compression: 1, totalLength: 100_000n })
    const [reader] = arrivals.bytes as [ByteStreamReader]
    const reading = reader.readAll()
    arrivals.chunk('s', 0, deflateRawSync(pattern(100_000)).subarray(0, 100))
    await turn()
    reader.cancel()
    expect(await reading).toEqual([])
    const aborted = new Arrivals().header('s', { compression: 1, totalLength: 100_000n })
    const controller = new AbortController()
    const waiting = aborted.bytes[0]!.readAll({ signal: controller.signal })
    controller.abort(new Error('enough'))
    await expect(waiting).rejects.toThrow('enough')
    for (const { streams } of [arrivals, aborted]) expect(streams.stats().bufferedBytes).toBe(0)
  })

  it.each([undefined, 1000n])('that is damaged or truncated fails, length: %s', async (totalLength) => {
    const whole = deflateRawSync(pattern(1000))
    for (const content of [whole.subarray(0, whole.length / 2), Buffer.alloc(100, 0xff)]) {
      const length = totalLength === undefined ? {} : { totalLength }
      const arrivals = new Arrivals().header('s', { compression: 1, ...length })
      arrivals.chunk('s', 0, content).trailer('s')
      arrivals.header('i', { compression: 1, ...length, inlineContent: content })
      for (const reader of arrivals.bytes) expect(await reasonOf(reader.readAll())).toBe('decodeFailed')
    }
  })
})

describe('limits', () => {
  it('a stream that is not read fails when too many of its bytes wait; other streams go on', async () => {
    const arrivals = new Arrivals({ maxBufferedBytes: 100_000 }).header('s').header('other')
    for (let index = 0; index < 20; index++) arrivals.chunk('s', index, new Uint8Array(15_000))
    arrivals.chunk('other', 0).trailer('other')
    const [full, other] = arrivals.bytes as [ByteStreamReader, ByteStreamReader]
    expect(await reasonOf(full.readAll())).toBe('bufferFull')
    expect(await other.bytes()).toEqual(Uint8Array.of(0))
    expect(arrivals.streams.stats()).toMatchObject({ cancelled: 1, completed: 1, bufferedBytes: 0 })
  })

  it('above the limit of all streams, the stream with the most unread bytes fails, not one that is being read', async () => {
    const arrivals = new Arrivals({ maxTotalBufferedBytes: 100_000 }).header('unread').header('read')
    const [unread, read] = arrivals.bytes as [ByteStreamReader, ByteStreamReader]
    for (let index = 0; index < 6; index++) arrivals.chunk('unread', index, new Uint8Array(15_000))
    const pieces = read[Symbol.asyncIterator]()
    for (let index = 0; index < 5; index++) {
      arrivals.chunk('read', 2 * index, new Uint8Array(15_000)).chunk('read', 2 * index + 1)
      await pieces.next()
      await pieces.next()
    }
    expect(await reasonOf(unread.readAll())).toBe('bufferFull')
    arrivals.trailer('read')
    expect((await pieces.next()).done).toBe(true)
  })

  it('tiny chunks and long headers count with the memory that they take', () => {
    const arrivals = new Arrivals({ maxBufferedBytes: 100_000 }).header('s')
    for (let index = 0; index < 2000; index++) arrivals.chunk('s', index)
    expect(arrivals.streams.stats()).toMatchObject({ cancelled: 1, bufferedBytes: 0 })
    const long = new Arrivals({ maxTotalBufferedBytes: 100_000 })
    for (let id = 0; id < 50; id++) long.header(String(id), { attributes: { a: 'x'.repeat(10_000) } })
    expect(long.streams.stats().bufferedBytes).toBeLessThanOrEqual(100_000)
  })

  it('a sender can have at most MAX_STREAMS_PER_SENDER open streams', () => {
    const arrivals = new Arrivals({ maxStreamsPerSender: 2 }).header('a').header('b').header('c')
    arrivals.trailer('a').header('d')
    arrivals.from = { ...arrivals.from, senderIdentity: 'carol', senderSid: 'PA_2' }
    arrivals.header('e')
    expect(arrivals.streams.stats()).toMatchObject({ open: 3, completed: 1, dropped: { tooManyStreams: 1 } })
  })

  it('a stream ends after the idle timeout, whether no packet arrives or it is not read', async () => {
    const arrivals = new Arrivals({ idleTimeout: 20 }).header('silent').header('unread')
    arrivals.chunk('unread', 0).trailer('unread')
    const [silent, unread] = arrivals.bytes as [ByteStreamReader, ByteStreamReader]
    expect(await reasonOf(silent.readAll())).toBe('timeout')
    await until(() => arrivals.streams.stats().bufferedBytes === 0)
    expect(await reasonOf(unread.readAll())).toBe('timeout')
  })

  it('an invalid limit is refused with an error that names it', () => {
    expect(() => new Room({ dataStreams: { maxBufferedBytes: 0 } })).toThrow(
      /options\.dataStreams\.maxBufferedBytes/,
    )
    expect(() => new Room({ dataStreams: { idleTimeout: 'long' as any } })).toThrow(/idleTimeout/)
  })
})

describe('aborting and cancelling', () => {
  it('a reader that leaves the loop, cancels or aborts gets no more data, and the sender goes on', () =>
    withPair(async ({ alice, bob }) => {
      const content = pattern(300_000)
      const left = nextBytes(bob)
      const sending = alice.localParticipant.sendBytes(content)
      for await (const piece of (await left).reader) if (piece.length > 0) break
      await sending
      expect(bob.dataStreamStats()).toMatchObject({ cancelled: 1, open: 0, bufferedBytes: 0 })

      const opened = nextBytes(bob)
      const writer = await alice.localParticipant.streamBytes()
      const { reader } = await opened
      const stop = new AbortController()
      const reading = rejection(reader.readAll({ signal: stop.signal }))
      stop.abort(new Error('enough'))
      expect((await reading).message).toBe('enough')
      await writer.write(content)
      await writer.close()

      const cancelled = nextBytes(bob)
      const other = await alice.localParticipant.streamBytes()
      const { reader: third } = await cancelled
      const all = third.readAll()
      third.cancel()
      expect(await all).toEqual([])
      expect(await reasonOf(third.readAll())).toBe('locked')
      await other.close()
    }))

  it('an aborted loop throws the reason of its signal', () =>
    withPair(async ({ alice, bob }) => {
      const opened = nextText(bob)
      const writer = await alice.localParticipant.streamText()
      const stop = new AbortController()
      const { reader } = await opened
      const looping = (async () => {
        for await (const piece of reader.withAbortSignal(stop.signal))
          if (piece === 'stop') stop.abort(new Error('x'))
      })()
      await writer.write('go')
      await writer.write('stop')
      expect((await rejection(looping)).message).toBe('x')
      await writer.close()
    }))

  it('a writer that aborts ends the stream at the recipient, with its reason', () =>
    withPair(async ({ alice, bob }) => {
      const opened = nextText(bob)
      const writer = await alice.localParticipant.streamText()
      await writer.write('half')
      await writer.abort('changed my mind')
      const { reader } = await opened
      const pieces = reader[Symbol.asyncIterator]()
      expect((await pieces.next()).value).toBe('half')
      const error = await rejection(pieces.next())
      expect([error.reason, error.message]).toEqual([
        'abnormalEnd',
        expect.stringContaining('changed my mind'),
      ])
      expect(await reasonOf(writer.write('more'))).toBe('closed')
      expect(await reasonOf(writer.close())).toBe('closed')
    }))

  it('a signal of the sender ends the stream at both ends', () =>
    withPair(
      async ({ sfu, alice, bob }) => {
        const stop = new AbortController()
        const opened = nextBytes(bob)
        const sending = rejection(
          alice.localParticipant.sendBytes(pattern(5_000_000), { compress: false, signal: stop.signal }),
        )
        const { reader } = await opened
        stop.abort(new Error('enough'))
        expect((await sending).message).toBe('enough')
        sfu.setNetwork({ bandwidth: 0 })
        expect(await reasonOf(reader.readAll())).toBe('abnormalEnd')
        const late = alice.localParticipant.sendText('text', { signal: stop.signal })
        expect((await rejection(late)).message).toBe('enough')
      },
      { bandwidth: 1_000_000 },
    ))

  it('a stream that does not match its declared size fails at both ends', () =>
    withPair(async ({ alice, bob }) => {
      for (const [size, reason] of [
        [3, 'incomplete'],
        [1, 'lengthExceeded'],
      ] as const) {
        const opened = nextBytes(bob)
        const writer = await alice.localParticipant.streamBytes({ totalSize: size })
        const writing = (async () => {
          await writer.write(Uint8Array.of(1, 2))
          await writer.close()
        })()
        expect(await reasonOf(writing)).toBe(reason)
        expect(await reasonOf((await opened).reader.readAll())).toBe('abnormalEnd')
      }
    }))

  it('a stream with a header that is too large is not sent', () =>
    withPair(async ({ alice, bob }) => {
      const attributes = { a: 'x'.repeat(15_000) }
      expect(await reasonOf(alice.localParticipant.sendText('', { attributes }))).toBe('headerTooLarge')
      expect(await reasonOf(alice.localParticipant.streamBytes({ attributes }))).toBe('headerTooLarge')
      expect(bob.dataStreamStats().received).toBe(0)
    }))

  it('a handler that throws does not affect the other handlers', () =>
    withPair(async ({ alice, bob }) => {
      bob.registerTextStreamHandler('t', (reader) => reader.readAll())
      const writer = await alice.localParticipant.streamText({ topic: 't' })
      await writer.abort()
      await until(() => bob.dataStreamStats().failed === 1)
      await turn()
    }))
})

describe('streams when the connection', () => {
  it.each(['alice', 'bob'])('of %s is resumed: all data arrives once', (who) =>
    withPair(
      async ({ sfu, alice, bob }) => {
        const content = pattern(3_000_000)
        const arriving = receiveBytes(bob)
        const sending = alice.localParticipant.sendBytes(content, { compress: false })
        for (let resume = 0; resume < 10; resume++) await sfu.reconnect(who, 'resume')
        await sending
        expect(same((await arriving).bytes, content)).toBe(true)
      },
      { delay: 1, bandwidth: 20_000_000 },
    ),
  )

  it.each(['alice', 'bob'])('of %s is rebuilt: incomplete streams fail with a typed error', (who) =>
    withPair(
      async ({ sfu, alice, bob }) => {
        const opened = nextBytes(bob)
        const sending = alice.localParticipant.sendBytes(pattern(3_000_000), { compress: false })
        const sent = sending.then(
          () => 'sent',
          (error: unknown) => (error as { reason: string }).reason,
        )
        const { reader } = await opened
        const reading = reasonOf(reader.readAll())
        await sfu.reconnect(who, 'full')
        expect(await sent).toBe(who === 'alice' ? 'connectionLost' : 'sent')
        expect(await reading).toBe('connectionLost')
        expect(bob.dataStreamStats()).toMatchObject({ open: 0, bufferedBytes: 0 })
      },
      { delay: 1, bandwidth: 20_000_000 },
    ),
  )

  it('of the sender ends: complete streams can be read, incomplete ones fail', () =>
    withPair(async ({ alice, bob }) => {
      const opened = nextText(bob)
      await alice.localParticipant.streamText()
      const { reader } = await opened
      const complete = nextText(bob)
      await alice.localParticipant.sendText('complete')
      await alice.disconnect()
      expect(await (await complete).reader.readAll()).toBe('complete')
      expect(await reasonOf(reader.readAll())).toBe('abnormalEnd')
    }))

  it('of the recipient ends: open streams fail at both ends, and complete ones can be read', () =>
    withPair(async ({ sfu, alice, bob }) => {
      const complete = nextText(bob)
      await alice.localParticipant.sendText('complete')
      const opened = nextText(bob)
      const writer = await alice.localParticipant.streamText()
      const { reader } = await opened
      await bob.disconnect()
      expect(await reasonOf(reader.readAll())).toBe('disconnected')
      expect(await (await complete).reader.readAll()).toBe('complete')
      sfu.close()
      expect((await rejection(writer.write('text'))).reason).toBe('disconnected')
      expect((await rejection(alice.localParticipant.sendText(''))).reason).toBe('disconnected')
    }))
})

describe('streams with end-to-end encryption', () => {
  it('arrive unchanged, and are marked as encrypted', async () => {
    const room = async () => {
      const keyProvider = new ExternalE2EEKeyProvider()
      await keyProvider.setKey('passphrase')
      return { encryption: { keyProvider } }
    }
    const sfu = new Loopback()
    const [alice, bob] = [sfu.join('alice', await room()), sfu.join('bob', await room())]
    for (const size of [10, 100_000]) {
      const arriving = receiveBytes(bob)
      const content = pattern(size)
      const sent = await alice.localParticipant.sendBytes(content)
      const { bytes, info } = await arriving
      expect(same(bytes, content)).toBe(true)
      expect([sent.encrypted, info.encrypted]).toEqual([true, true])
    }
    sfu.close()
  })
})

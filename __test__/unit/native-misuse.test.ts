/** What the addon itself makes of wrong values, wrong order and panics: never more than a typed error. */
import { createRequire } from 'node:module'
import { describe, expect, it } from 'vitest'
import { checkPublishOptions } from '../../src/data-track/publish-options'
import { checkSubscribeOptions } from '../../src/data-track/subscribe-options'
import { loadBinding } from '../../src/native/loader'
import { newConnection, sessionOptions } from '../helpers/native-session'
import { until } from '../helpers/rooms'
import { rustAddon } from '../helpers/rust-addon'
import { LARGE_FRAME, News, PushStatus, Row, RowFlag, SendStatus, SLAB_SIZE } from '../../src/native/native'
import type {
  NativeEvent,
  NativeSession,
  NativeSessionOptions,
  NativeTrackInfo,
} from '../../src/native/native'

const binding = loadBinding()

const publishOptions = {
  ...checkPublishOptions({ name: 'track' }, false).native,
  maxQueueBytes: 64 << 20,
  maxQueueAgeMs: Infinity,
}

const subscribeOptions = {
  ...checkSubscribeOptions(undefined).native,
  bufferSize: 1_000,
  maxBufferBytes: 64 << 20,
  maxBufferAgeMs: Infinity,
}

/** What `__test__/helpers/foreign-addon.rs` exports: it wraps something in an object. */
function foreignAddon(): (object: object) => object {
  const file = rustAddon('foreign-addon')
  return createRequire(file)(file) as (object: object) => object
}

function events(): NativeEvent[] {
  const all: NativeEvent[] = []
  for (;;) {
    const some = binding.pollEvents()
    if (some.length === 0) return all
    all.push(...some)
  }
}

/** A published track and a stream of it, without any transport: `move` carries the packets. */
function connected(options: Partial<NativeSessionOptions> = {}) {
  const publisher = binding.createSession({ ...sessionOptions, ...options })
  const subscriber = binding.createSession({ ...sessionOptions, ...options })
  const handle = publisher.publish(publishOptions)
  const info: NativeTrackInfo = {
    pubHandle: handle,
    sid: 'DTR_1',
    name: 'track',
    encrypted: false,
    frameEncoding: null,
    schemaName: null,
    schemaEncoding: null,
  }
  publisher.handlePublishResponse(info)
  subscriber.handlePublicationUpdate('alice', [info])
  const published = events().find((event) => event.type === 'trackPublished')
  if (published?.type !== 'trackPublished') throw new Error('the track was not announced')
  const stream = subscriber.subscribe(published.track, subscribeOptions)
  subscriber.handleSubscriberHandles([handle], ['DTR_1'])
  const packet = new Uint8Array(16_000)
  const move = () => {
    for (;;) {
      const length = publisher.pollTransmit(packet)
      if (length === 0) return
      subscriber.handlePacket(packet.subarray(0, length))
    }
  }
  return { publisher, subscriber, handle, stream, track: published.track, move }
}

/** The class, code and reason of what is thrown. */
function thrown(act: () => unknown): { type: string; code: unknown; reason: unknown } {
  try {
    act()
  } catch (error) {
    const { constructor, code, reason } = error as Error & { code?: unknown; reason?: unknown }
    return { type: constructor.name, code, reason }
  }
  return { type: 'nothing', code: undefined, reason: undefined }
}

const wrongType = { type: 'TypeError', code: 'INVALID_ARGUMENT', reason: null }
const outOfRange = { type: 'RangeError', code: 'INVALID_ARGUMENT', reason: null }

function detached(): Uint8Array {
  const bytes = new Uint8Array(SLAB_SIZE)
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] })
  return bytes
}

// What the types forbid is what is tested here.
const wrong = (value: unknown) => value as never
const slab = new Uint8Array(SLAB_SIZE)
const rows = new Uint32Array(64 * Row.Columns)

describe('messages to a native connection', () => {
  const { session, connection } = newConnection()
  const bytes = new Uint8Array(4)
  const iv = new Uint8Array(12)

  it.each<[string, () => unknown, object]>([
    ['an unknown channel', () => connection.send(wrong('other'), bytes, false), outOfRange],
    ['the channel of data tracks', () => connection.send(wrong('_data_track'), bytes, false), outOfRange],
    ['a message that is text', () => connection.send('reliable', wrong('text'), false), wrongType],
    ['a message that was transferred', () => connection.send('reliable', detached(), false), wrongType],
    ['more that is a number', () => connection.send('reliable', bytes, wrong(1)), wrongType],
    ['a level of −1', () => connection.watchBuffered('reliable', -1), outOfRange],
    ['the buffered amount of an unknown channel', () => connection.bufferedAmount(wrong(1)), wrongType],
    ['a message to seal that is text', () => session.sealMessage(wrong('text')), wrongType],
    ['sections of −1', () => connection.requireSections(-1, 0), outOfRange],
    ['sections that are text', () => connection.requireSections(0, wrong('1')), wrongType],
    ['half a missing section', () => connection.recoverSections(0.5), outOfRange],
    ['tracks of an unknown target', () => connection.setTracks('both', [], []), outOfRange],
    ['tracks without SIDs', () => connection.setTracks('publisher', ['0'], []), outOfRange],
    ['tracks that are no arrays', () => connection.setTracks('publisher', wrong('0'), []), wrongType],
    ['a SID that is a number', () => connection.setTracks('publisher', ['0'], [wrong(1)]), wrongType],
    [
      'too many tracks',
      () => connection.setTracks('publisher', new Array(257).fill('0'), new Array(257).fill('TR')),
      outOfRange,
    ],
    ['an IV of 11 bytes', () => session.openMessage('a', 0, new Uint8Array(11), bytes), outOfRange],
    ['a key index of 256', () => session.openMessage('a', 256, iv, bytes), outOfRange],
    ['a sender that is a number', () => session.openMessage(wrong(1), 0, iv, bytes), wrongType],
  ])('%s', (_, act, expected) => {
    expect(thrown(act)).toEqual(expected)
  })

  it('that are too large, too many, or sent after the end get a status instead of an exception', () => {
    expect(connection.send('reliable', new Uint8Array(65_536), false)).toBe(SendStatus.TooLarge)
    const large = new Uint8Array(65_535)
    let status: number = SendStatus.Queued
    for (let sent = 0; sent < 1000 && status === SendStatus.Queued; sent++) {
      status = connection.send('reliable', large, false)
    }
    expect(status).toBe(SendStatus.BufferFull)
    expect(connection.bufferedAmount('reliable')).toBeGreaterThan(1 << 20)
    connection.close()
    expect(connection.send('lossy', bytes, false)).toBe(SendStatus.Closed)
    session.close()
  })

  it('without keys are neither encrypted nor decrypted', () => {
    const plain = binding.createSession(sessionOptions)
    expect(plain.sealMessage(bytes)).toBe('missingKey')
    expect(plain.openMessage('alice', 0, iv, bytes)).toBe('missingKey')
    plain.close()
  })
})

describe('audio streams', () => {
  const { session, connection } = newConnection()

  it.each<[string, () => unknown, object]>([
    ['a SID that is a number', () => session.openAudioStream(wrong(1), 48_000, 1, 480, null), wrongType],
    ['a rate below 8 kHz', () => session.openAudioStream('TR', 7999, 1, 480, null), outOfRange],
    ['a rate above 48 kHz', () => session.openAudioStream('TR', 48_001, 1, 480, null), outOfRange],
    ['no channel', () => session.openAudioStream('TR', 48_000, 0, 480, null), outOfRange],
    ['three channels', () => session.openAudioStream('TR', 48_000, 3, 480, null), outOfRange],
    ['an empty frame', () => session.openAudioStream('TR', 48_000, 1, 0, null), outOfRange],
    [
      'a frame of more than a second',
      () => session.openAudioStream('TR', 48_000, 1, 48_001, null),
      outOfRange,
    ],
    ['half a sample', () => session.openAudioStream('TR', 48_000, 1, 0.5, null), outOfRange],
    ['a sender that is a number', () => session.openAudioStream('TR', 48_000, 1, 480, wrong(1)), wrongType],
    ['a trailer that is a text', () => session.setServerTrailer(wrong('trailer')), wrongType],
    ['a long trailer', () => session.setServerTrailer(new Uint8Array(1025)), outOfRange],
  ])('%s', (_, act, expected) => {
    expect(thrown(act)).toEqual(expected)
  })

  it('begin with silence, and can be closed more than once', async () => {
    const stream = session.openAudioStream('TR', 8000, 2, 80, null)
    expect(stream.read()).toBe(null)
    await until(() => events().some(({ source, type }) => source === stream.id && type === 'audioFrames'))
    const samples = stream.read()!
    expect(samples.length % (2 * 2 * 80)).toBe(0)
    expect(new Set(samples)).toEqual(new Set([0]))
    expect(binding.handles().filter(({ kind }) => kind === 'audioStream')).toHaveLength(1)
    stream.close()
    stream.close()
    expect(stream.read()).toBe(null)
    expect(stream.stats()).toMatchObject({ packetsReceived: 0, framesDelivered: samples.length / 320 })
    expect(binding.handles().filter(({ kind }) => kind === 'audioStream')).toEqual([])
    connection.close()
    session.close()
  })

  it('are those of a session with a server only', () => {
    const own = binding.createSession(sessionOptions)
    expect(thrown(() => own.openAudioStream('TR', 48_000, 1, 480, null))).toMatchObject({ code: 'CLOSED' })
    own.close()
  })
})

describe('push', () => {
  const { publisher, handle } = connected()
  const bytes = new Uint8Array(4)

  it.each<[string, unknown[], object]>([
    ['handle 0', [0, bytes, -1], outOfRange],
    ['handle 65,536', [65_536, bytes, -1], outOfRange],
    ['a handle that is text', ['1', bytes, -1], wrongType],
    ['a payload that is text', [handle, 'text', -1], wrongType],
    ['a payload of other numbers', [handle, new Float64Array(2), -1], wrongType],
    ['a payload that was transferred', [handle, detached(), -1], wrongType],
    ['a timestamp of −2', [handle, bytes, -2], outOfRange],
    ['a timestamp that is not whole', [handle, bytes, 1.5], outOfRange],
    ['a timestamp of NaN', [handle, bytes, NaN], outOfRange],
    ['a timestamp beyond 2^53 − 1', [handle, bytes, 2 ** 53], outOfRange],
    ['nothing at all', [], wrongType],
  ])('throws for %s', (_, values, error) => {
    expect(thrown(() => publisher.push(...(values as [number, Uint8Array, number])))).toEqual(error)
  })

  it('returns a status for a frame that has the right types but cannot be sent', () => {
    expect(publisher.push(handle, new Uint8Array(new SharedArrayBuffer(4)), -1)).toBe(PushStatus.SharedMemory)
    expect(publisher.push(handle, new Uint8Array(3_000_000), -1)).toBe(PushStatus.FrameTooLarge)
    expect(publisher.push(9, bytes, -1)).toBe(PushStatus.TrackUnpublished)
    expect(publisher.pushWithTimestamp(handle, bytes, 2n ** 64n - 1n)).toBe(PushStatus.Ok)
    expect(thrown(() => publisher.pushWithTimestamp(handle, bytes, 2n ** 64n))).toEqual(outOfRange)
    expect(thrown(() => publisher.pushWithTimestamp(handle, bytes, -1n))).toEqual(outOfRange)
    expect(thrown(() => publisher.pushSealed(handle, bytes, null, bytes, 0))).toEqual(outOfRange)
  })
})

describe('the last frame of a latched track', () => {
  const bytes = new Uint8Array(4)

  it.each<[string, unknown[], object]>([
    ['a payload that is text', ['text', 0, 0, null], wrongType],
    ['a payload that was transferred', [detached(), 0, 0, null], wrongType],
    ['a number of 17 bits', [bytes, 65_536, 0, null], outOfRange],
    ['a number of −1', [bytes, -1, 0, null], outOfRange],
    ['half a timestamp', [bytes, 0, 0.5, null], outOfRange],
    ['a user timestamp that is a number', [bytes, 0, 0, 1], wrongType],
  ])('refuses %s', (_, values, error) => {
    const { subscriber, stream } = connected()
    expect(thrown(() => subscriber.provideLatest(stream, ...(values as [null, 0, 0, null])))).toEqual(error)
  })

  it('goes to no stream that is unknown or closed, and is known by the publisher of a track only', () => {
    const { publisher, subscriber, handle, stream } = connected()
    subscriber.unsubscribe(stream)
    for (const number of [stream, 0xffff_ffff]) subscriber.provideLatest(number, bytes, 0, 0, 1n)
    expect(publisher.lastFrame(handle)).toBeNull()
    expect(publisher.lastFrame(77)).toBeNull()
    publisher.push(handle, bytes, -1)
    expect(publisher.lastFrame(handle)).toMatchObject({ number: 0 })
    expect(thrown(() => publisher.lastFrame(0))).toEqual(outOfRange)
  })

  it('is marked in its row', () => {
    const { publisher, subscriber, handle, track, move } = connected()
    const waiting = subscriber.subscribe(track, { ...subscribeOptions, latest: true })
    expect(events().filter(({ type }) => type === 'latestWanted')).toMatchObject([{ stream: waiting, track }])
    publisher.push(handle, bytes, -1)
    move()
    expect(subscriber.readStream(waiting, slab, 0, rows)).toBe(0)
    const { number, timestamp } = publisher.lastFrame(handle)!
    subscriber.provideLatest(waiting, Uint8Array.of(7), number, timestamp, 5n)
    expect(subscriber.readStream(waiting, slab, 0, rows)).toBe(1)
    expect((rows[Row.Flags] as number) & 0xff).toBe(RowFlag.Latched | RowFlag.HasUserTimestamp)
    expect(subscriber.streamStats(waiting)).toMatchObject({ delivered: 1, dropped: { superseded: 1 } })
  })
})

describe('options', () => {
  it('with a wrong value are refused with an error that names the field', () => {
    const session = binding.createSession(sessionOptions)
    expect(() => session.publish({ ...publishOptions, name: wrong(1) })).toThrow(
      'options.name must be a string',
    )
    expect(() => session.publish({ ...publishOptions, maxPacketsPerFrame: 0 })).toThrow(
      'options.maxPacketsPerFrame must be from 1 to 32767, not 0',
    )
    expect(() => session.publish(wrong({}))).toThrow('options.frameEncoding must be given')
    expect(thrown(() => session.publish(wrong(null)))).toEqual(wrongType)
    expect(thrown(() => session.publish({ ...publishOptions, name: '' }))).toEqual({
      type: 'Error',
      code: 'PUBLISH',
      reason: 'invalidName',
    })
    expect(thrown(() => binding.createSession({ ...sessionOptions, encryption: wrong('rot13') }))).toEqual(
      outOfRange,
    )
  })

  it('with a getter that throws pass its error on', () => {
    const mine = new Error('mine')
    const options = new Proxy(publishOptions, {
      get() {
        throw mine
      },
    })
    expect(() => binding.createSession(sessionOptions).publish(options)).toThrow(mine)
  })
})

describe('drain', () => {
  it.each<[string, unknown[], object]>([
    ['a slab that was transferred', [detached(), 0, rows], wrongType],
    ['a shared slab', [new Uint8Array(new SharedArrayBuffer(SLAB_SIZE)), 0, rows], wrongType],
    ['a slab that no frame fits in', [new Uint8Array(100), 0, rows], outOfRange],
    ['an offset beyond the slab', [slab, SLAB_SIZE + 1, rows], outOfRange],
    ['a negative offset', [slab, -1, rows], outOfRange],
    ['rows in the slab', [slab, 0, new Uint32Array(slab.buffer, 64, 8)], wrongType],
    ['rows of another type', [slab, 0, new Int32Array(8)], wrongType],
    ['rows that are an array', [slab, 0, []], wrongType],
  ])('throws for %s', (_, values, error) => {
    expect(thrown(() => binding.drain(...(values as [Uint8Array, number, Uint32Array])))).toEqual(error)
    const session = binding.createSession(sessionOptions)
    expect(thrown(() => session.readStream(1, ...(values as [Uint8Array, number, Uint32Array])))).toEqual(
      error,
    )
  })

  it('keeps frames that had no room for the next call', () => {
    const { publisher, subscriber, handle, stream, move } = connected()
    const frames = 10
    for (let frame = 0; frame < frames; frame++)
      publisher.push(handle, new Uint8Array(LARGE_FRAME).fill(frame), -1)
    move()
    const seen: number[] = []
    let calls = 0
    for (let count = 1; count > 0; calls++) {
      count = subscriber.readStream(stream, slab, 3, rows)
      for (let row = 0; row < count; row++) {
        const offset = rows[row * Row.Columns + Row.Offset] as number
        expect(offset % 8).toBe(0)
        expect(slab[offset + LARGE_FRAME - 1]).toBe(slab[offset])
        seen.push(slab[offset] as number)
      }
    }
    expect(seen).toEqual([...Array(frames).keys()])
    // Three fit, and the last call found nothing.
    expect(calls).toBe(Math.ceil(frames / 3) + 1)
  })

  it('gives large frames in order, and only into buffers of the right size', () => {
    const { publisher, subscriber, handle, stream, move } = connected()
    for (const fill of [1, 2]) publisher.push(handle, new Uint8Array(LARGE_FRAME + fill).fill(fill), -1)
    move()
    expect(subscriber.readStream(stream, slab, 0, rows)).toBe(2)
    expect((rows[Row.Flags] as number) & RowFlag.Large).toBe(RowFlag.Large)
    expect(thrown(() => binding.fillLarge(new Uint8Array(LARGE_FRAME)))).toEqual(outOfRange)
    for (const fill of [1, 2]) {
      const own = new Uint8Array(LARGE_FRAME + fill)
      binding.fillLarge(own)
      expect(own.every((byte) => byte === fill)).toBe(true)
    }
    expect(thrown(() => binding.fillLarge(slab)).code).toBe('CLOSED')
  })

  it('gives nothing for streams that are unknown or closed', () => {
    const { subscriber, stream } = connected()
    expect(subscriber.unsubscribe(stream)).toMatchObject({ delivered: 0 })
    expect(subscriber.unsubscribe(stream)).toBeNull()
    expect(subscriber.readStream(stream, slab, 0, rows)).toBe(0)
    expect(thrown(() => subscriber.streamStats(stream)).code).toBe('CLOSED')
  })
})

describe('methods', () => {
  it('refuse objects of another class as `this`', () => {
    const { publisher, handle } = connected()
    const hub = binding.createLoopback({
      seed: 0,
      loss: 0,
      duplicate: 0,
      reorder: 0,
      delayMs: 0,
      jitterMs: 0,
      bytesPerSecond: 0,
      stallMs: 0,
      stallEveryMs: 0,
    })
    const Constructor = publisher.constructor as new () => NativeSession
    for (const other of [{}, hub, new Constructor()]) {
      expect(() => publisher.push.call(wrong(other), handle, new Uint8Array(1), -1)).toThrow(TypeError)
    }
    hub.close()
    hub.close()
    expect(thrown(() => hub.join(sessionOptions)).code).toBe('CLOSED')
  })

  it('refuse objects that another addon has wrapped, also within an object of our class', () => {
    const { publisher, handle } = connected()
    const wrap = foreignAddon()
    const Constructor = publisher.constructor as new () => NativeSession
    for (const foreign of [wrap({}), wrap(new Constructor())]) {
      for (const method of ['push', 'close', 'packetStats', 'sendStats'] as const) {
        const call = Reflect.get(publisher, method) as (...args: unknown[]) => unknown
        expect(() => call.call(foreign, handle, new Uint8Array(1), -1), method).toThrow(TypeError)
      }
    }
    publisher.close()
  })

  it('of a closed session return, and closing it again does nothing', () => {
    const { publisher, handle } = connected()
    publisher.close()
    publisher.close()
    expect(publisher.push(handle, new Uint8Array(1), -1)).toBe(PushStatus.Disconnected)
    expect(thrown(() => publisher.publish(publishOptions)).reason).toBe('disconnected')
    expect(publisher.pollTransmit(new Uint8Array(16_000))).toBe(0)
  })
})

describe('a panic in Rust', () => {
  it('throws an error, and closes the session of the call only', () => {
    const { publisher, subscriber, handle, stream } = connected()
    events()
    expect(thrown(() => subscriber.testPanic())).toEqual({
      type: 'Error',
      code: 'NATIVE_PANIC',
      reason: null,
    })
    const told = events()
    expect(told).toContainEqual({
      source: subscriber.id,
      type: 'streamEnded',
      stream,
      reason: 'disconnected',
    })
    expect(told.map((event) => event.type)).toContain('failed')
    expect(thrown(() => subscriber.publish(publishOptions)).reason).toBe('disconnected')
    expect(publisher.push(handle, new Uint8Array(1), -1)).toBe(PushStatus.Ok)
  })

  it('on the runtime rejects the promise of the call', async () => {
    await expect(binding.testPanicAsync()).rejects.toMatchObject({ code: 'NATIVE_PANIC' })
  })
})

describe('keys', () => {
  it('that the session cannot use are rejected', async () => {
    const plain = binding.createSession(sessionOptions)
    const material = new TextEncoder().encode('a passphrase')
    await expect(plain.setKey(null, 0, material)).rejects.toMatchObject({
      code: 'E2EE',
      reason: 'unsupported',
    })
    const native = binding.createSession({ ...sessionOptions, encryption: 'native' })
    await expect(native.setKey(null, 16, material)).rejects.toMatchObject({ code: 'E2EE' })
    await expect(native.setKey(null, 0, new Uint8Array(0))).rejects.toMatchObject({ code: 'E2EE' })
    await expect(native.setKey(null, 0, material)).resolves.toBeUndefined()
    expect(thrown(() => native.setKey(null, 256, material))).toEqual(outOfRange)
    expect(thrown(() => native.setKey(null, 0, wrong('text')))).toEqual(wrongType)
  })
})

describe('cancel', () => {
  it('rejects only the promise with the given number', async () => {
    const [first, second] = [binding.testPanicAsync(1), binding.testPanicAsync(2)]
    binding.cancel(3)
    binding.cancel(1)
    await expect(first).rejects.toMatchObject({ code: 'CANCELLED' })
    binding.cancel(1)
    binding.cancel(2)
    await expect(second).rejects.toMatchObject({ code: 'CANCELLED' })
  })
})

describe('the doorbell', () => {
  it('rings for events, and again if there are too many for one call', async () => {
    events()
    const rings: number[] = []
    binding.setDoorbell((news) => rings.push(news))
    const sessions = Array.from({ length: 3 }, () => binding.createSession(sessionOptions))
    for (const session of sessions) {
      for (let track = 0; track < 600; track++) session.publish({ ...publishOptions, name: `${track}` })
    }
    await until(() => rings.length === 1)
    // There may be records of the log as well.
    expect(rings[0]! & News.Events).not.toBe(0)
    const first = binding.pollEvents().length
    expect(first).toBeLessThan(3 * 600)
    await until(() => rings.length === 2)
    expect(rings[1]! & News.Events).not.toBe(0)
    expect(first + binding.pollEvents().length).toBe(3 * 600)
    for (const session of sessions) session.close()
    binding.setDoorbell(() => undefined)
  })
})

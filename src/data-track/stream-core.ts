/**
 * The state of a stream of frames, shared by all ways to read it: it takes a frame if there is one, waits if there is
 * none, and ends once.
 *
 * Frames wait in Rust, where the queue's policy and counters are; JavaScript holds only a small batch. While frames are
 * available, reading creates no pending promise and no closure per frame.
 */
import { Deferred, onAbort } from '../base/abort'
import type { Environment, FrameSink } from '../native/environment'
import { DataTrackDecodeError, DataTrackSubscribeError } from '../base/errors'
import type { ErrorReason } from '../base/error-reasons'
import { log } from '../base/logging'
import type { NativeSession, NativeStreamStats } from '../native/native'
import type { ForwardedStreams } from './demand'
import { DataTrackFrame, DecodedDataTrackFrame, LatchedDataTrackFrame } from './frame'
import type { LatchedFrame } from './latch'
import type { DataTrackCodec } from '../base/codec'

/** A frame that JavaScript still has to decrypt. It is never handed to the application. */
export class SealedFrame extends DataTrackFrame {
  constructor(
    payload: Uint8Array,
    readonly iv: Uint8Array,
    readonly keyIndex: number,
    userTimestamp: bigint | undefined,
    number: number,
    timestamp: number,
    age: number,
  ) {
    super(payload, userTimestamp, number, timestamp, age)
  }
}

/** What a core needs from its session. */
export interface StreamSession {
  readonly environment: Environment
  readonly native: NativeSession
  /** Whether the application closed the session. Streams then end normally instead of with `disconnected`. */
  readonly closing: boolean
  /** Decrypts a frame with the custom provider. `undefined`: decryption failed, and the failure was reported. */
  openSealed(frame: SealedFrame, core: StreamCore): OpenedFrame | Promise<OpenedFrame>
}

export type OpenedFrame = DataTrackFrame | undefined

/** Options of a stream's core. */
export interface StreamCoreOptions {
  /** Whether `DataTrackSubscribeOptions.bufferSize` is set. */
  readonly exact: boolean
  readonly ownedPayloads: boolean
  readonly codec: DataTrackCodec<unknown> | null
  readonly skipUndecodable: boolean
  /** Whether frames may be encrypted for the custom provider. */
  readonly sealed: boolean
  readonly signal: AbortSignal | undefined
  /** The publisher of the frames, for the provider and for messages. */
  readonly publisherIdentity: string
  readonly trackName: string
  /** All streams of the track to which the SFU forwards. */
  readonly forwarded: ForwardedStreams
  /** Asks the publisher for the last frame that it keeps. It is used with `DataTrackSubscribeOptions.latest`. */
  readonly fetchLatest: FetchLatest
}

/** Fetches the last frame of a latched track; `undefined` if there is none. */
export type FetchLatest = (signal: AbortSignal) => Promise<LatchedFrame | undefined>

type Result = IteratorResult<DataTrackFrame, undefined>

interface Waiter {
  readonly resolve: (result: Result) => void
  readonly reject: (reason: unknown) => void
}

/** What is left to do after a stream was garbage-collected. It must hold no reference that leads back to the core. */
interface Remains {
  readonly environment: Environment
  readonly native: NativeSession
  readonly stream: number
  readonly forwarded: ForwardedStreams
  readonly stopListening: () => void
}

const collected = new FinalizationRegistry<Remains>(
  ({ environment, native, stream, forwarded, stopListening }) => {
    stopListening()
    forwarded.delete(stream)
    environment.removeStream(stream)
    native.unsubscribe(stream)
    environment.pump()
  },
)

export class StreamCore implements FrameSink {
  readonly stream: number
  readonly exact: boolean
  readonly publisherIdentity: string
  readonly trackName: string
  readonly #session: StreamSession
  readonly #owned: boolean
  readonly #codec: DataTrackCodec<unknown> | null
  readonly #skip: boolean
  readonly #transforms: boolean
  readonly #stopListening: () => void
  // A ring of frames, because `Array#shift` is slow and an emptied array gives its memory back each time.
  #ring: (DataTrackFrame | undefined)[] = new Array<DataTrackFrame | undefined>(16).fill(undefined)
  #head = 0
  #length = 0
  #waiter: Waiter | null = null
  #moreWaiters: Waiter[] | null = null
  #turn: Promise<unknown> | null = null
  readonly #forwarded: ForwardedStreams
  #subscribed = false
  #ready: Deferred<void> | null = null
  /** Whether a caller waits for {@link ready}. */
  #readyWaits = false
  #ended = false
  #endReason: ErrorReason<'DataTrackSubscribeError'> | null = null
  #finished = false
  #failed = false
  #error: unknown
  readonly #fetchLatest: FetchLatest
  /** Ends the request for the latched frame that is under way. */
  #stopFetching: AbortController | null = null
  #finalStats: NativeStreamStats = { received: 0, delivered: 0, dropped: {}, buffered: 0, bufferedBytes: 0 }
  readonly #finishers: ((failed: boolean, error: unknown) => void)[] = []

  /** @param stream the number of the native stream; −1 if there is none, then the caller fails the core */
  constructor(session: StreamSession, stream: number, options: StreamCoreOptions) {
    this.#session = session
    this.stream = stream
    this.exact = options.exact
    this.publisherIdentity = options.publisherIdentity
    this.trackName = options.trackName
    this.#owned = options.ownedPayloads
    this.#codec = options.codec
    this.#skip = options.skipUndecodable
    this.#forwarded = options.forwarded
    this.#fetchLatest = options.fetchLatest
    this.#transforms = options.codec !== null || options.sealed
    if (stream < 0) {
      this.#stopListening = () => undefined
      return
    }
    const { environment, native } = session
    environment.addStream(this)
    this.#stopListening = abortWeakly(this, options.signal)
    const remains = { environment, native, stream, forwarded: options.forwarded }
    collected.register(this, { ...remains, stopListening: this.#stopListening }, this)
  }

  read(slab: Uint8Array, offset: number, rows: Uint32Array): number {
    return this.#session.native.readStream(this.stream, slab, offset, rows)
  }

  /** Whether no more frames can come. */
  get finished(): boolean {
    return this.#finished
  }

  /** Calls `finisher` once when the stream ends for any reason. Does nothing if the stream has already ended. */
  whenFinished(finisher: (failed: boolean, error: unknown) => void): void {
    if (!this.#finished) this.#finishers.push(finisher)
  }

  /** The next frame, or the end. Several calls may wait; they are served in order. */
  next(): Promise<Result> {
    if (this.#transforms) return this.#nextTransformed()
    const frame = this.#take()
    if (frame !== undefined) return Promise.resolve({ value: frame, done: false })
    return this.#wait()
  }

  /** Ends the stream from this side. Waiting readers are told that it has ended. Idempotent. */
  close(): void {
    this.#finish(false, undefined)
  }

  /** Ends the stream with an error, for waiting and later reads. */
  fail(error: unknown): void {
    this.#finish(true, error)
  }

  stats(): NativeStreamStats {
    return this.#finished ? this.#finalStats : this.#session.native.streamStats(this.stream)
  }

  accept(
    payload: Uint8Array,
    iv: Uint8Array | null,
    keyIndex: number,
    userTimestamp: bigint | undefined,
    number: number,
    timestamp: number,
    age: number,
    latched: boolean,
  ): void {
    if (this.#finished) return
    const own = this.#owned && payload.byteLength !== payload.buffer.byteLength ? payload.slice() : payload
    let frame: DataTrackFrame
    if (iv !== null) frame = new SealedFrame(own, iv.slice(), keyIndex, userTimestamp, number, timestamp, age)
    else if (latched) frame = new LatchedDataTrackFrame(own, userTimestamp, number, timestamp, age)
    else frame = new DataTrackFrame(own, userTimestamp, number, timestamp, age)
    const waiter = this.#waiter
    if (waiter === null) {
      this.#enqueue(frame)
      return
    }
    this.#nextWaiter()
    waiter.resolve({ value: frame, done: false })
    // The native side's demand ended with this frame. Reading again registers the demand of the other waiters.
    if (this.#waiter !== null) queueMicrotask(() => this.#serve())
  }

  /** Settles when the SFU forwards to this stream, or when the stream ends before that. */
  get ready(): Promise<void> {
    this.#ready ??= this.#newReady()
    return this.#ready.promise
  }

  #newReady(): Deferred<void> {
    const ready = new Deferred<void>()
    // The same error is thrown by reading the stream.
    ready.promise.catch(() => undefined)
    if (this.#subscribed) ready.resolve()
    else if (this.#finished)
      ready.reject(this.#failed ? this.#error : new DataTrackSubscribeError('cancelled'))
    else if (this.#ended) ready.reject(new DataTrackSubscribeError(this.#endReason ?? 'unpublished'))
    else {
      this.#readyWaits = true
      this.#holdIfAwaited()
    }
    return ready
  }

  handleSubscribed(): void {
    this.#subscribed = true
    this.#forwarded.add(this.stream)
    this.#settleReady((ready) => ready.resolve())
  }

  handleLatestWanted(): void {
    this.#stopFetching?.abort()
    this.#stopFetching = new AbortController()
    const { native } = this.#session
    void provideLatest(native, this.stream, this.#fetchLatest, this.#stopFetching.signal)
  }

  #settleReady(settle: (ready: Deferred<void>) => void): void {
    if (this.#ready === null || !this.#readyWaits) return
    this.#readyWaits = false
    settle(this.#ready)
    this.#holdIfAwaited()
  }

  /** A stream that a caller waits for must not be collected. */
  #holdIfAwaited(): void {
    this.#session.environment.holdStream(this, this.#waiter !== null || this.#readyWaits)
  }

  handleEnded(reason: ErrorReason<'DataTrackSubscribeError'> | null): void {
    this.#ended = true
    this.#endReason = reason
    this.#forwarded.delete(this.stream)
    this.#settleReady((ready) => ready.reject(new DataTrackSubscribeError(reason ?? 'unpublished')))
    if (this.#waiter !== null) this.#serve()
  }

  #take(): DataTrackFrame | undefined {
    if (this.#waiter !== null) return undefined
    if (this.#length === 0) {
      if (this.#finished) return undefined
      this.#session.environment.read(this)
      // The type checker does not see that accept() changed the length.
      if ((this.#length as number) === 0) return undefined
    }
    const frame = this.#ring[this.#head]
    this.#ring[this.#head] = undefined
    this.#head = (this.#head + 1) & (this.#ring.length - 1)
    this.#length--
    return frame
  }

  #enqueue(frame: DataTrackFrame): void {
    const size = this.#ring.length
    if (this.#length === size) {
      const larger = new Array<DataTrackFrame | undefined>(size * 2).fill(undefined)
      for (let index = 0; index < size; index++) larger[index] = this.#ring[(this.#head + index) & (size - 1)]
      this.#ring = larger
      this.#head = 0
    }
    this.#ring[(this.#head + this.#length) & (this.#ring.length - 1)] = frame
    this.#length++
  }

  #wait(): Promise<Result> {
    // All frames have been read, so an announced end takes effect now.
    if (this.#ended && this.#waiter === null) this.#finishEnded()
    if (this.#finished) {
      // The reason of an abort is passed on as it is.
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
      return this.#failed ? Promise.reject(this.#error) : Promise.resolve({ value: undefined, done: true })
    }
    return new Promise<Result>((resolve, reject) => {
      const waiter = { resolve, reject }
      if (this.#waiter !== null) {
        this.#moreWaiters ??= []
        this.#moreWaiters.push(waiter)
        return
      }
      this.#waiter = waiter
      this.#session.environment.holdStream(this, true)
    })
  }

  #nextWaiter(): void {
    this.#waiter = this.#moreWaiters?.shift() ?? null
    if (this.#waiter === null) this.#holdIfAwaited()
  }

  /** Gives the available frames to the waiting readers, and registers the demand of the remaining ones. */
  #serve(): void {
    if (this.#waiter === null || this.#finished) return
    // accept() hands the frames to the waiting readers.
    this.#session.environment.read(this)
    if (this.#ended && (this.#waiter as Waiter | null) !== null) this.#finishEnded()
  }

  #finishEnded(): void {
    const reason = this.#endReason
    const ours = reason === 'disconnected' && this.#subscribed && this.#session.closing
    if (reason === null || ours) this.#finish(false, undefined)
    else this.#finish(true, new DataTrackSubscribeError(reason))
  }

  #finish(failed: boolean, error: unknown): void {
    if (this.#finished) return
    this.#finished = true
    this.#failed = failed
    this.#error = error
    this.#ring = [undefined]
    this.#length = 0
    this.#head = 0
    const first = this.#waiter
    const others = this.#moreWaiters
    this.#waiter = null
    this.#moreWaiters = null
    this.#settleReady((ready) => ready.reject(failed ? error : new DataTrackSubscribeError('cancelled')))
    if (this.stream >= 0) this.#release()
    for (const waiter of first === null ? [] : [first, ...(others ?? [])]) {
      if (failed) waiter.reject(error)
      else waiter.resolve({ value: undefined, done: true })
    }
    for (const finisher of this.#finishers) finisher(failed, error)
    this.#finishers.length = 0
  }

  /** The only place that unsubscribes. */
  #release(): void {
    const { environment, native } = this.#session
    this.#stopListening()
    this.#stopFetching?.abort()
    collected.unregister(this)
    this.#forwarded.delete(this.stream)
    environment.removeStream(this.stream)
    this.#finalStats = native.unsubscribe(this.stream) ?? this.#finalStats
    environment.pump()
  }

  /**
   * With a codec or a custom provider, frames are decrypted and decoded one after the other, so they keep their order.
   */
  #nextTransformed(): Promise<Result> {
    if (this.#turn === null) {
      // The usual case needs no turn: the frame is here and can be decoded synchronously.
      for (;;) {
        const frame = this.#take()
        if (frame === undefined) break
        if (frame instanceof SealedFrame) return this.#takeTurn(this.#transformAll(frame))
        const value = this.#decode(frame)
        if (value !== undefined) return Promise.resolve({ value, done: false })
        if (this.#failed) break
      }
    }
    const before = this.#turn
    if (before === null) return this.#takeTurn(this.#transformAll(undefined))
    const next = () => this.#transformAll(undefined)
    return this.#takeTurn(before.then(next, next))
  }

  #takeTurn(result: Promise<Result>): Promise<Result> {
    const turn = result.then(
      () => {
        if (this.#turn === turn) this.#turn = null
      },
      () => {
        if (this.#turn === turn) this.#turn = null
      },
    )
    this.#turn = turn
    return result
  }

  async #transformAll(first: DataTrackFrame | undefined): Promise<Result> {
    let frame: DataTrackFrame | undefined = first
    for (;;) {
      frame ??= this.#take()
      if (frame === undefined) {
        const result = await this.#wait()
        if (result.done === true) return result
        frame = result.value
      }
      const opened = frame instanceof SealedFrame ? await this.#session.openSealed(frame, this) : frame
      frame = undefined
      // The stream ended while the provider was decrypting, so the frame is dropped.
      if (this.#finished) continue
      const value = opened === undefined ? undefined : this.#decode(opened)
      if (value !== undefined) return { value, done: false }
    }
  }

  /** `undefined`: the frame could not be decoded. It was skipped, or the stream has failed. */
  #decode(frame: DataTrackFrame): DataTrackFrame | undefined {
    if (this.#codec === null) return frame
    try {
      return new DecodedDataTrackFrame(frame, this.#codec.decode(frame.payload))
    } catch (cause) {
      this.#session.native.countDecodeFailure(this.stream)
      if (!this.#skip) this.fail(new DataTrackDecodeError('decodeFailed', frame, { cause }))
      return undefined
    }
  }
}

/**
 * Fetches the last frame that the publisher keeps, and hands it to the native stream. If it cannot be had, only live
 * frames come. The stream's core is not referenced, so that it can be collected meanwhile.
 */
async function provideLatest(
  native: NativeSession,
  stream: number,
  fetch: FetchLatest,
  signal: AbortSignal,
): Promise<void> {
  const frame = await fetch(signal).catch((error: unknown) => {
    if (!signal.aborted) log('debug', 'datatrack', `the last frame of a latched track: ${String(error)}`)
    return undefined
  })
  if (signal.aborted) return
  const { payload = null, number = 0, timestamp = 0, userTimestamp = null } = frame ?? {}
  try {
    native.provideLatest(stream, payload, number, timestamp, userTimestamp)
  } catch {
    // The native session has failed, and its event ends the stream.
  }
}

/** Fails the stream when the signal aborts. A signal that outlives the stream does not keep it in memory. */
function abortWeakly(core: StreamCore, signal: AbortSignal | undefined): () => void {
  if (signal === undefined) return () => undefined
  const weak = new WeakRef(core)
  return onAbort(signal, () => {
    weak.deref()?.fail(signal.reason)
  })
}

/** Tracks that the local participant publishes. */
import { Writable } from 'node:stream'
import { WritableStream } from 'node:stream/web'
import { types } from 'node:util'
import * as check from '../base/arguments'
import { DataTrackPushFrameError } from '../base/errors'
import { log } from '../base/logging'
import { PushStatus } from '../native/native'
import type { DataTrackCodec } from '../base/codec'
import type { DataTrackFrameInit } from './frame'
import type { DataTrackInfo } from './info'
import { refused } from './publication'
import type { OutgoingFrame, Publication, PublicationLife } from './publication'
import { sendStats } from './stats'
import type { DataTrackSendStats } from './stats'

/** Options for pushing a value or bare bytes. A frame object carries its own timestamp. */
export interface PushValueOptions {
  /** As {@link DataTrackFrameInit.userTimestamp}. */
  readonly userTimestamp?: bigint | undefined
}

/** Options of an awaited push. */
export interface PushOptions extends PushValueOptions {
  /** Stops waiting. The promise then rejects with the signal's `reason`, and the frame is not sent. */
  readonly signal?: AbortSignal | undefined
}

/** What a track without a codec accepts: a frame object, or the payload alone. */
export type PushableFrame = DataTrackFrameInit | Uint8Array

/** Options of {@link LocalDataTrack.writable} and {@link LocalDataTrack.toNodeWritable}. */
export interface WritableOptions {
  /** Whether closing the stream unpublishes the track, after a flush. Default: `false`. */
  readonly unpublish?: boolean | undefined
}

// The registry holds the `PublicationLife`, not the `Publication`: the publication's final error holds in its stack the
// track whose unpublish() created it, so the track would never be collected.
const collected = new FinalizationRegistry<PublicationLife>((life) => {
  if (!life.published) return
  const name = JSON.stringify(life.name)
  log(
    'warn',
    'datatrack',
    `the data track ${name} was garbage-collected while still published, and stays published; call unpublish()`,
  )
})

/**
 * A published data track. `T` is the type that it accepts: frames of bytes, or values of its codec.
 *
 * The track stays published until `unpublish()`, the end of its scope (`withDataTrack`, `await using`), a decision of
 * the SFU, or the end of the room. `signal` aborts then. A rebuilt connection keeps the track, with a new SID. Dropping
 * the last reference to the object does not unpublish it.
 */
export class LocalDataTrack<T = PushableFrame> {
  readonly #publication: Publication
  readonly #codec: DataTrackCodec<unknown> | null
  readonly isLocal = true

  /** @internal */
  constructor(publication: Publication, codec: DataTrackCodec<unknown> | null) {
    this.#publication = publication
    this.#codec = codec
    collected.register(this, publication.life)
  }

  /** The SFU's description of the track. It stays readable after the track has ended. */
  get info(): DataTrackInfo {
    return this.#publication.info
  }

  /** The name that the track was published with. */
  get name(): string {
    return this.#publication.info.name
  }

  /** Aborts when the track ends for any reason. Its `reason` is a `DataTrackUnpublishedError` that says which. */
  get signal(): AbortSignal {
    return this.#publication.signal
  }

  /** Bytes waiting to be sent, headers included. 0 after the track has ended. */
  get bufferedAmount(): number {
    return this.#publication.bufferedAmount
  }

  /** The largest payload in bytes, with a user timestamp: about 2 MB unless `maxPacketsPerFrame` was set. */
  get maxFrameLength(): number {
    return this.#publication.maxFrameLength
  }

  /** Whether the track is published. It is `true` while the room is reconnecting, too. */
  isPublished(): boolean {
    return this.#publication.published
  }

  /**
   * Whether the track has subscribers: participants to which the SFU forwards. `undefined`: not known.
   *
   * If the server tells publishers whether they have subscribers, its answer counts (livekit-server 1.13 does not
   * tell). Otherwise the room asks the other participants, from the first read of this property on. Rooms of this
   * package answer. `true` means that one of them subscribes. `false` means that all participants have answered, and
   * none of them subscribes. Hidden participants cannot be asked.
   */
  get hasSubscribers(): boolean | undefined {
    return this.#publication.published ? this.#publication.demand.ask() : undefined
  }

  /**
   * Resolves when {@link hasSubscribers} is `true`. A frame that is pushed afterwards reaches a subscriber. If neither
   * the server nor a participant tells of subscribers, the promise stays pending, so pass a signal.
   *
   * @throws `DataTrackUnpublishedError` when the track ends; the signal's `reason`; `TypeError` that names the option
   */
  async waitForSubscriber(options: { readonly signal?: AbortSignal | undefined } = {}): Promise<void> {
    const signal = check.signal('options.signal', check.options('options', options).signal)
    signal?.throwIfAborted()
    if (!this.#publication.published) throw this.#publication.signal.reason
    await this.#publication.demand.wait(signal)
  }

  /**
   * Sends a frame, or a value if the track has a codec. The call is synchronous: when it returns, the frame is accepted
   * and its bytes are copied. An accepted frame is not sent yet; `stats()` and `flush()` tell when it is.
   *
   *     track.tryPush({ payload, userTimestamp: now() })
   *     track.tryPush({ x: 1 }, { userTimestamp: now() })       // with a codec
   *
   * @throws `DataTrackPushFrameError` with a `reason` and the `frame`; `TypeError` or `RangeError` if the argument is
   * not a valid frame
   */
  tryPush(frame: T, options?: PushValueOptions): void {
    if (this.#codec === null && !this.#publication.sealing) {
      // The fast path: no object between the caller's frame and the native call.
      const given = frame as unknown as DataTrackFrameInit
      const payload = (given as { payload?: unknown } | null | undefined)?.payload
      if (payload instanceof Uint8Array) {
        if (payload.length === 0) check.bytes('frame.payload', payload)
        const { userTimestamp } = given
        if (userTimestamp !== undefined && typeof userTimestamp !== 'bigint') {
          throw check.invalidType('frame.userTimestamp', 'a bigint', userTimestamp)
        }
        const status = this.#publication.push(payload, userTimestamp)
        if (status !== PushStatus.Ok) throw refused(status, frame)
        return
      }
    }
    this.#publication.tryPush(this.#outgoing(frame, options))
  }

  /**
   * Sends a frame or value like {@link tryPush}, but waits while the queue is full or the room is reconnecting, so that
   * no older frame is dropped for it. Several calls are sent in their order. `tryPush` does not wait for them.
   *
   * @throws what `tryPush` throws, except `queueFull` and `reconnecting`; the signal's `reason` when it aborts
   */
  async push(frame: T, options: PushOptions = {}): Promise<void> {
    const { signal } = check.options('options', options)
    check.signal('options.signal', signal)
    await this.#publication.pushWaiting(this.#outgoing(frame, options), signal)
  }

  /**
   * Waits until the queue is empty or the track has ended. Each pushed frame was then sent, that is, handed to the
   * transport, or dropped; `stats()` tells how many were dropped.
   *
   * @throws the signal's `reason` when it aborts
   */
  async flush(options: { readonly signal?: AbortSignal | undefined } = {}): Promise<void> {
    const { signal } = check.options('options', options)
    await this.#publication.flush(check.signal('options.signal', signal))
  }

  /** Unpublishes the track. Frames still in the queue are dropped; call `flush()` first to send them. Idempotent. */
  unpublish(): Promise<void> {
    this.#publication.unpublish()
    return Promise.resolve()
  }

  /** The track's counters. After the track has ended they keep their final values. */
  stats(): DataTrackSendStats {
    return sendStats(this.#publication.stats())
  }

  /**
   * A web stream that pushes every chunk written to it, and applies backpressure while the queue is full. Closing it
   * flushes. Aborting it drops no frame that was pushed before.
   */
  writable(options: WritableOptions = {}): WritableStream<T> {
    const close = this.#closer(options)
    const abort = new AbortController()
    return new WritableStream<T>({
      write: (chunk) => this.push(chunk, { signal: abort.signal }),
      close,
      abort: (reason) => abort.abort(reason),
    })
  }

  /** Like {@link writable}, as a Node stream in object mode for `pipeline` and `pipe`. */
  toNodeWritable(options: WritableOptions = {}): Writable {
    const close = this.#closer(options)
    const abort = new AbortController()
    return new Writable({
      objectMode: true,
      write: (chunk: T, _encoding, callback) => {
        this.push(chunk, { signal: abort.signal }).then(() => callback(), callback)
      },
      final: (callback) => {
        close().then(() => callback(), callback)
      },
      destroy: (error, callback) => {
        abort.abort(error ?? undefined)
        callback(error)
      },
    })
  }

  /** The same as {@link unpublish}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.unpublish()
  }

  #closer(options: WritableOptions): () => Promise<void> {
    const unpublish = check.boolean('options.unpublish', check.options('options', options).unpublish, false)
    return async () => {
      await this.flush()
      if (unpublish) await this.unpublish()
    }
  }

  #outgoing(given: T, options: PushValueOptions | undefined): OutgoingFrame {
    const beside = check.options('options', options).userTimestamp
    if (beside !== undefined) check.timestamp('options.userTimestamp', beside)
    if (this.#codec !== null) {
      let payload: Uint8Array
      try {
        payload = check.bytes('the result of codec.encode()', this.#codec.encode(given))
      } catch (cause) {
        throw new DataTrackPushFrameError('encodeFailed', given, { cause })
      }
      return { payload, userTimestamp: beside, given }
    }
    if (types.isUint8Array(given)) {
      return { payload: check.bytes('frame', given), userTimestamp: beside, given }
    }
    if (typeof given !== 'object' || given === null) {
      throw check.invalidType('frame', 'a frame { payload, userTimestamp? } or a Uint8Array', given)
    }
    const { payload, userTimestamp } = given as unknown as DataTrackFrameInit
    check.bytes('frame.payload', payload)
    if (userTimestamp !== undefined) check.timestamp('frame.userTimestamp', userTimestamp)
    return { payload, userTimestamp, given }
  }
}

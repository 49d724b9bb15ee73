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

/** Options of a push of a value, or of bare bytes: a frame object has its timestamp in itself. */
export interface PushValueOptions {
  /** As {@link DataTrackFrameInit.userTimestamp}. */
  readonly userTimestamp?: bigint | undefined
}

/** Options of an awaited push. */
export interface PushOptions extends PushValueOptions {
  /** Gives up waiting; the promise rejects with the signal's `reason`, and the frame was not sent. */
  readonly signal?: AbortSignal | undefined
}

/** What a track without a codec takes: a frame, or the bytes of one. */
export type PushableFrame = DataTrackFrameInit | Uint8Array

/** Options of {@link LocalDataTrack.writable} and {@link LocalDataTrack.toNodeWritable}. */
export interface WritableOptions {
  /** Unpublish when the stream is closed, after a flush. Default: `false`. */
  readonly unpublish?: boolean | undefined
}

// Not the publication: the error with which it ends has, in its stack, the track whose unpublish() made it.
const collected = new FinalizationRegistry<PublicationLife>((life) => {
  if (!life.published) return
  const name = JSON.stringify(life.name)
  log(
    'warn',
    'datatrack',
    `the data track ${name} was forgotten while it is published; it stays so until unpublish() or the end of its room`,
  )
})

/**
 * A published data track. `T` is what it takes: frames of bytes, or the values of its codec.
 *
 * It is published until `unpublish()`, the end of its scope (`withDataTrack`, `await using`), a decision of the SFU or
 * the end of the room; `signal` tells. A full reconnect keeps it, under a new SID. Letting go of the object ends nothing.
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

  /** What the SFU says of the track; it stays readable after the track has ended. */
  get info(): DataTrackInfo {
    return this.#publication.info
  }

  /** The name it was published with. */
  get name(): string {
    return this.#publication.info.name
  }

  /** Aborted when the track ends in whatever way; its `reason` is a `DataTrackUnpublishedError` that says how. */
  get signal(): AbortSignal {
    return this.#publication.signal
  }

  /** Bytes that wait to be sent, headers included. 0 when the track has ended. */
  get bufferedAmount(): number {
    return this.#publication.bufferedAmount
  }

  /** Bytes that a payload may have at most, with a user timestamp: about 2 MB unless `maxPacketsPerFrame` was set. */
  get maxFrameLength(): number {
    return this.#publication.maxFrameLength
  }

  /** Whether frames can be pushed; `true` also while the connection is being rebuilt. */
  isPublished(): boolean {
    return this.#publication.published
  }

  /**
   * Sends a frame, or a value if the track has a codec. Synchronous: when it returns, the frame was accepted and its
   * bytes copied. Accepted is not yet sent: `stats()` and `flush()` tell.
   *
   *     track.tryPush({ payload, userTimestamp: now() })
   *     track.tryPush({ x: 1 }, { userTimestamp: now() })       // with a codec
   *
   * @throws `DataTrackPushFrameError` with a `reason` and the `frame`; `TypeError` or `RangeError` for what is no frame
   */
  tryPush(frame: T, options?: PushValueOptions): void {
    if (this.#codec === null && !this.#publication.sealing) {
      // The fast path, without an object between the caller's frame and the native call.
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
   * Sends a frame or value like {@link tryPush}, but waits while the queue is full or the connection is being rebuilt,
   * so that nothing older is dropped for it. Several calls go out in their order; `tryPush` does not wait for them.
   *
   * @throws what `tryPush` throws, except `queueFull` and `reconnecting`; the signal's `reason` when it aborts
   */
  async push(frame: T, options: PushOptions = {}): Promise<void> {
    const { signal } = check.options('options', options)
    check.signal('options.signal', signal)
    await this.#publication.pushWaiting(this.#outgoing(frame, options), signal)
  }

  /**
   * Waits until everything that was pushed has left, or the track has ended: `stats()` then tells what was dropped.
   *
   * @throws the signal's `reason` when it aborts
   */
  async flush(options: { readonly signal?: AbortSignal | undefined } = {}): Promise<void> {
    const { signal } = check.options('options', options)
    await this.#publication.flush(check.signal('options.signal', signal))
  }

  /** Ends the publication; what is still queued is dropped (`flush` first). Idempotent. */
  unpublish(): Promise<void> {
    this.#publication.unpublish()
    return Promise.resolve()
  }

  /** The track's counters; after its end, those of its end. */
  stats(): DataTrackSendStats {
    return sendStats(this.#publication.stats())
  }

  /**
   * A web stream that pushes what is written, and holds its source back while the queue is full. Closing it flushes.
   * An abort drops nothing that was pushed before.
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

  /** The same as a Node stream in object mode, for `pipeline` and `pipe`. */
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

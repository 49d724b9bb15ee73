/** The stream that `subscribe()` returns. */
import { Readable } from 'node:stream'
import { ReadableStream } from 'node:stream/web'
import type {
  ReadableStreamBYOBReader,
  ReadableStreamDefaultController,
  ReadableStreamDefaultReader,
  ReadableStreamGetReaderOptions,
  ReadableStreamReader,
} from 'node:stream/web'
import { DataTrackStreamError } from '../base/errors'
import type { DataTrackFrame } from './frame'
import { streamStats } from './stats'
import type { DataTrackStreamStats } from './stats'
import type { StreamCore } from './stream-core'

/**
 * The frames of a remote track: a web `ReadableStream` that buffers nothing itself. Its iterator is faster than that of
 * other web streams.
 *
 *     for await (const frame of track.subscribe()) use(frame.payload)
 *
 * Leaving the loop in any way (`break`, `throw`, `return`, an abort) unsubscribes, once.
 *
 * The stream **ends normally** when the track is unpublished, and when the application closes the stream or disconnects
 * the room. It **throws** `DataTrackSubscribeError` if subscribing failed or the connection was lost for good,
 * `DataTrackDecodeError` if the codec failed (with `onDecodeError: 'throw'`), and the signal's `reason` if the signal
 * aborted.
 *
 * A resumed or rebuilt connection does not end the stream, nor does a new SID of the track. A stream that is
 * garbage-collected unsubscribes.
 */
export class DataTrackStream<F extends DataTrackFrame = DataTrackFrame> extends ReadableStream<F> {
  readonly #core: StreamCore

  /** @internal */
  constructor(core: StreamCore) {
    const source = new Source(core)
    super(source, { highWaterMark: 0 })
    this.#core = core
  }

  /**
   * Resolves when the SFU forwards to this stream: the stream gets each frame that the publisher sends afterwards,
   * unless the network loses it. The promise settles once; later interruptions do not change it.
   *
   *     const stream = track.subscribe()
   *     await stream.ready
   *
   * If the stream ends before that, the promise rejects with the error that reading the stream throws. If the
   * application closed the stream, it rejects with `DataTrackSubscribeError` (`cancelled`).
   */
  get ready(): Promise<void> {
    return this.#core.ready
  }

  /**
   * The next frame; `undefined` when the stream has ended. Calls may overlap; they are served in order.
   *
   * @throws what the class description lists, and `DataTrackStreamError` (`locked`) while a loop or a reader has the
   * stream
   */
  async read(): Promise<F | undefined> {
    if (this.locked) throw new DataTrackStreamError('locked')
    const { value } = await this.#core.next()
    return value as F | undefined
  }

  /** Unsubscribes and ends the stream; a waiting `read()` gets `undefined`. Frames not yet read are dropped. */
  close(): void {
    this.#core.close()
  }

  /** The stream's counters. After the stream has ended they keep their final values. */
  stats(): DataTrackStreamStats {
    return streamStats(this.#core.stats())
  }

  /** @throws `DataTrackStreamError` (`locked`) while a loop or another reader has the stream */
  override getReader(options: { mode: 'byob' }): ReadableStreamBYOBReader
  override getReader(): ReadableStreamDefaultReader<F>
  override getReader(options?: ReadableStreamGetReaderOptions): ReadableStreamReader<F> {
    if (this.locked) throw new DataTrackStreamError('locked')
    return super.getReader(options)
  }

  /**
   * The stream's frames, one after the other. With `preventCancel: true`, leaving the loop does not close the stream.
   *
   * @throws `DataTrackStreamError` (`locked`) while another loop or a reader has the stream
   */
  override values(options?: { preventCancel?: boolean }): AsyncIteratorObject<F, undefined> {
    // This takes the platform's lock, so that all of the platform's methods respect it.
    const iterator = new FrameIterator<F>(this.#core, this.getReader(), options?.preventCancel === true)
    return iterator
  }

  override [Symbol.asyncIterator](): AsyncIteratorObject<F, undefined> {
    return this.values()
  }

  /**
   * A Node stream in object mode that yields the frames. It reads one frame ahead. Destroying it closes this stream.
   *
   * @throws `DataTrackStreamError` (`locked`) while a loop or a reader has the stream
   */
  toNodeReadable(): Readable {
    const core = this.#core
    const reader = this.getReader()
    return new Readable({
      objectMode: true,
      highWaterMark: 1,
      read() {
        core.next().then(
          ({ value }) => this.push(value ?? null),
          (error: unknown) => this.destroy(error as Error),
        )
      },
      destroy(error, callback) {
        core.close()
        reader.releaseLock()
        callback(error)
      },
    })
  }

  /** The same as {@link close}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    this.close()
    return Promise.resolve()
  }
}

/** Feeds readers of the web stream. It takes a frame when a reader asks for one. */
class Source<F extends DataTrackFrame> {
  readonly #core: StreamCore
  #over = false

  constructor(core: StreamCore) {
    this.#core = core
  }

  start(controller: ReadableStreamDefaultController<F>): void {
    // The reader's `closed` promise must settle however the stream ends.
    this.#core.whenFinished((failed, error) => {
      if (this.#over) return
      this.#over = true
      if (failed) controller.error(error)
      else controller.close()
    })
  }

  async pull(controller: ReadableStreamDefaultController<F>): Promise<void> {
    const { value } = await this.#core.next()
    if (value !== undefined) {
      if (!this.#over) controller.enqueue(value as F)
    } else if (!this.#over) {
      this.#over = true
      controller.close()
    }
  }

  cancel(): void {
    this.#over = true
    this.#core.close()
  }
}

class FrameIterator<F extends DataTrackFrame> implements AsyncIterableIterator<F> {
  readonly #core: StreamCore
  readonly #reader: ReadableStreamDefaultReader<F>
  readonly #keep: boolean

  constructor(core: StreamCore, reader: ReadableStreamDefaultReader<F>, keep: boolean) {
    this.#core = core
    this.#reader = reader
    this.#keep = keep
    if (core.finished) reader.releaseLock()
    else core.whenFinished(() => reader.releaseLock())
  }

  next(): Promise<IteratorResult<F, undefined>> {
    return this.#core.next() as Promise<IteratorResult<F, undefined>>
  }

  /** The loop was left: by `break`, `return` or an error in its body. */
  return(value?: unknown): Promise<IteratorResult<F, undefined>> {
    if (!this.#keep) this.#core.close()
    this.#reader.releaseLock()
    return Promise.resolve({ done: true, value: value as undefined })
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.return().then(() => undefined)
  }
}

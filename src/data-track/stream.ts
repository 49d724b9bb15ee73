/** What `subscribe()` returns. */
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
 * The frames of a remote track. It is a web `ReadableStream` that buffers nothing itself, with a faster iterator of
 * its own:
 *
 *     for await (const frame of track.subscribe()) use(frame.payload)
 *
 * Leaving the loop in any way (`break`, `throw`, `return`, an abort) unsubscribes, once. It **ends normally** when the
 * track is unpublished, when you close the stream or disconnect the room. It **throws** `DataTrackSubscribeError` when
 * subscribing failed or the connection was lost for good, `DataTrackDecodeError` when the codec failed (with
 * `onDecodeError: 'throw'`), and the signal's `reason` when the signal aborted.
 *
 * A full reconnect of the room, and a new SID of the track, do not end it. A stream that is forgotten unsubscribes when
 * it is collected.
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
   * The next frame; `undefined` when the stream has ended. Calls may overlap; they are served in order.
   *
   * @throws what the class description says, and `DataTrackStreamError` (`locked`) while a loop or a reader has it
   */
  async read(): Promise<F | undefined> {
    if (this.locked) throw new DataTrackStreamError('locked')
    const { value } = await this.#core.next()
    return value as F | undefined
  }

  /** Unsubscribes and ends the stream: who waits for a frame learns that it is over. Frames not yet read are dropped. */
  close(): void {
    this.#core.close()
  }

  /** The stream's counters; after its end, those of its end. */
  stats(): DataTrackStreamStats {
    return streamStats(this.#core.stats())
  }

  /** @throws `DataTrackStreamError` (`locked`) while a loop or another reader has the stream */
  override getReader(options: { mode: 'byob' }): ReadableStreamBYOBReader
  override getReader(): ReadableStreamDefaultReader<F>
  override getReader(options?: ReadableStreamGetReaderOptions): ReadableStreamReader<F>
  override getReader(options?: ReadableStreamGetReaderOptions): ReadableStreamReader<F> {
    if (this.locked) throw new DataTrackStreamError('locked')
    return super.getReader(options)
  }

  /**
   * The stream's frames, one after the other. `preventCancel: true`: leaving the loop does not close the stream.
   *
   * @throws `DataTrackStreamError` (`locked`) while another loop or a reader has the stream
   */
  override values(options?: { preventCancel?: boolean }): ReturnType<ReadableStream<F>['values']> {
    // The platform's own lock, so that all of the platform's methods respect ours.
    const iterator = new FrameIterator<F>(this.#core, this.getReader(), options?.preventCancel === true)
    return iterator
  }

  override [Symbol.asyncIterator](): ReturnType<ReadableStream<F>['values']> {
    return this.values()
  }

  /**
   * A Node stream in object mode that yields the frames; it reads one ahead. Destroying it closes this stream.
   *
   * @throws `DataTrackStreamError` (`locked`)
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

/** Feeds the web stream's own readers: a frame is taken when one of them asks. */
class Source<F extends DataTrackFrame> {
  readonly #core: StreamCore
  #over = false

  constructor(core: StreamCore) {
    this.#core = core
  }

  start(controller: ReadableStreamDefaultController<F>): void {
    // However the end comes, the reader's `closed` must learn of it.
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

  /** A loop was left: `break`, `return` or an error of its body. */
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

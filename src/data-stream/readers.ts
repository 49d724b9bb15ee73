/** The readers that handlers of data streams get. The names are livekit-client's. */
import { Readable } from 'node:stream'
import { ReadableStream } from 'node:stream/web'
import { onAbort } from '../base/abort'
import * as check from '../base/arguments'
import { ownBytes } from '../base/bytes'
import { DataStreamError } from '../base/errors'
import { inflatedAtOnce, inflatesAtOnce, inflating } from './compression'
import type { Pieces } from './compression'
import type { BaseStreamInfo, ByteStreamInfo, TextStreamInfo } from './info'
import { MAX_READ_LENGTH } from './limits'
import type { PieceQueue } from './piece-queue'

/** Options of {@link TextStreamReader.readAll} and {@link ByteStreamReader.readAll}. */
export interface ReadAllOptions {
  /** Stops reading. The promise rejects with the signal's `reason`. */
  readonly signal?: AbortSignal | undefined
  /** The most bytes to return, before decoding. 0 to 2^53 − 1; default: 256 MiB. */
  readonly maxLength?: number | undefined
}

/** How the content of a stream is encoded. */
export type Content = 'plain' | 'compressed' | 'compressedInline'

/** @inline */
type Iterator<T> = AsyncIterableIterator<T, undefined, undefined> & AsyncDisposable

/** The base of the readers of text and byte streams. A stream can be read once, in one of the ways. */
export abstract class BaseStreamReader<T extends string | Uint8Array, Info extends BaseStreamInfo> {
  /** Called while the stream is read, with the share that was read, from 0 to 1; `undefined` if the size is unknown. */
  onProgress?: ((progress: number | undefined) => void) | undefined
  readonly #queue: PieceQueue
  readonly #content: Content
  #info: Info
  #pieces: Pieces<Uint8Array> | undefined
  #signal: AbortSignal | undefined
  #begun = false
  #done = false
  /** Whether the reader waits for the whole stream. */
  #collects = false
  #received = 0
  #stopListening: () => void = () => undefined
  /** The end of the pending reads. */
  #turn: Promise<unknown> | undefined

  /** @internal */
  constructor(info: Info, queue: PieceQueue, content: Content) {
    this.#info = info
    this.#queue = queue
    this.#content = content
  }

  /** The stream's description. Attributes that come with the stream's end are here once it has ended. */
  get info(): Info {
    const added = this.#queue.trailerAttributes
    if (added !== undefined) {
      this.#queue.trailerAttributes = undefined
      this.#info = { ...this.#info, attributes: { ...this.#info.attributes, ...added } }
    }
    return this.#info
  }

  /** Makes the next loop end with the signal's `reason` when it aborts. */
  withAbortSignal(signal: AbortSignal): this {
    this.#signal = check.signal('signal', signal)
    return this
  }

  /** Cancels the stream. A waiting read ends, and later packets are dropped. Idempotent. */
  cancel(): void {
    this.#finish()
    this.#queue.cancel()
    this.#pieces?.cancel()
  }

  /**
   * The pieces of the stream as they arrive. Leaving the loop cancels the stream.
   *
   * @throws `DataStreamError`; `locked`: the stream is already being read
   */
  [Symbol.asyncIterator](): Iterator<T> {
    this.#begin(this.#signal)
    const iterator: Iterator<T> = {
      next: async () => {
        const value = await this.#next()
        return value === undefined ? { done: true, value } : { done: false, value }
      },
      return: () => {
        this.cancel()
        return Promise.resolve({ done: true, value: undefined })
      },
      [Symbol.asyncIterator]: () => iterator,
      [Symbol.asyncDispose]: () => this[Symbol.asyncDispose](),
    }
    return iterator
  }

  /**
   * The stream as a web stream, which takes a piece when its reader asks for one.
   *
   * @throws `DataStreamError` (`locked`)
   */
  readable(): ReadableStream<T> {
    this.#begin(this.#signal)
    return new ReadableStream<T>(
      {
        pull: async (controller) => {
          const value = await this.#next()
          if (value === undefined) controller.close()
          else controller.enqueue(value)
        },
        cancel: () => this.cancel(),
      },
      { highWaterMark: 0 },
    )
  }

  /**
   * The stream as a Node stream of strings or bytes. Destroying it cancels the stream.
   *
   * @throws `DataStreamError` (`locked`)
   */
  toNodeReadable(): Readable {
    this.#begin(this.#signal)
    const readable: Readable = new Readable({
      ...this.nodeOptions(),
      read: (): void => {
        this.#next().then(
          (value) => readable.push(value ?? null),
          (error: unknown) => readable.destroy(error as Error),
        )
      },
      destroy: (error, callback): void => {
        this.cancel()
        callback(error)
      },
    })
    return readable
  }

  /** The same as {@link cancel}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    this.cancel()
    return Promise.resolve()
  }

  /** All pieces. */
  protected async collect(options: ReadAllOptions | undefined): Promise<T[]> {
    const { signal, maxLength } = check.options('options', options)
    const limit = check.integer('options.maxLength', maxLength, MAX_READ_LENGTH, 0, Number.MAX_SAFE_INTEGER)
    this.#begin(check.signal('options.signal', signal) ?? this.#signal)
    this.#collects = true
    const pieces: T[] = []
    if ((this.#info.size ?? 0) > limit) throw this.#tooLarge()
    try {
      for (let piece = await this.#next(); piece !== undefined; piece = await this.#next()) {
        if (this.#received > limit) throw this.#tooLarge()
        this.#queue.keep(piece.length)
        pieces.push(piece)
      }
      return pieces
    } catch (error) {
      this.cancel()
      throw error
    } finally {
      this.#queue.letGo()
    }
  }

  /** The whole stream if it has already arrived and was sent in one piece; `undefined` if it has to be read. */
  protected takeOnly(limit: number): Uint8Array | undefined {
    if (this.#begun || this.#content !== 'plain') return undefined
    const piece = this.#queue.takeOnly()
    if (piece === undefined) return undefined
    this.#begun = true
    this.#done = true
    if (piece.length > limit) throw new DataStreamError('payloadTooLarge')
    const { size = 0 } = this.#info
    if (size !== 0 && size !== piece.length) {
      throw new DataStreamError(piece.length > size ? 'lengthExceeded' : 'incomplete')
    }
    return piece
  }

  /** Decodes a piece; `undefined`: no output yet. The argument `undefined` stands for the end. */
  protected abstract decode(piece: Uint8Array | undefined): T | undefined
  /** Options of the Node stream. */
  protected abstract nodeOptions(): { readonly encoding?: 'utf8' }

  #tooLarge(): DataStreamError {
    this.cancel()
    return new DataStreamError('payloadTooLarge')
  }

  #begin(signal: AbortSignal | undefined): void {
    if (this.#begun) throw new DataStreamError('locked')
    this.#begun = true
    this.#signal = signal
    this.#stopListening = onAbort(signal, () => {
      this.#queue.cancel()
      this.#pieces?.cancel()
    })
  }

  /** The next piece. Several calls may wait; they are served in order. */
  #next(): Promise<T | undefined> {
    const turn = this.#turn === undefined ? this.#read() : this.#turn.then(() => this.#read())
    const settled: Promise<void> = turn.then(
      () => this.#settled(settled),
      () => this.#settled(settled),
    )
    this.#turn = settled
    return turn
  }

  #settled(turn: Promise<void>): void {
    if (this.#turn === turn) this.#turn = undefined
  }

  async #read(): Promise<T | undefined> {
    try {
      while (!this.#done) {
        this.#signal?.throwIfAborted()
        this.#pieces ??= await this.#open()
        const piece = await this.#pieces.next()
        this.#signal?.throwIfAborted()
        // The reader was cancelled in the meantime.
        if (this.#isDone()) return undefined
        const value = piece === undefined ? this.#end() : this.#take(piece)
        if (value !== undefined) return value
      }
      return undefined
    } catch (error) {
      const aborted = this.#signal?.aborted === true
      const given = this.#done
      this.cancel()
      if (aborted) throw this.#signal?.reason
      // An error after a cancel is not a failure.
      if (given) return undefined
      throw error
    }
  }

  #isDone(): boolean {
    return this.#done
  }

  async #open(): Promise<Pieces<Uint8Array>> {
    if (this.#content === 'plain') return this.#queue
    const { size } = this.#info
    // With `compressedInline` the header carries the whole content.
    const atOnce = this.#content === 'compressedInline' || this.#collects
    if (!atOnce || !inflatesAtOnce(size)) return await this.#inflating(this.#queue)
    let content: Uint8Array | undefined = inflatedAtOnce(await this.#all(), size)
    return {
      next: () => {
        const piece = content
        content = undefined
        return Promise.resolve(piece)
      },
      cancel: () => {
        content = undefined
      },
    }
  }

  /** All pieces as they arrived. The queue counts them until they are decompressed. */
  async #all(): Promise<Uint8Array> {
    const pieces: Uint8Array[] = []
    try {
      for (let piece = await this.#queue.next(); piece !== undefined; piece = await this.#queue.next()) {
        this.#queue.keep(piece.length)
        pieces.push(piece)
      }
    } finally {
      this.#queue.letGo()
    }
    return Buffer.concat(pieces)
  }

  /** Decompresses when it is the stream's turn, because only some streams of a sender are decompressed at a time. */
  async #inflating(source: Pieces<Uint8Array>): Promise<Pieces<Uint8Array>> {
    const leave = await this.#queue.inflater()
    const pieces = inflating(source)
    return {
      async next() {
        try {
          const piece = await pieces.next()
          if (piece === undefined) leave()
          return piece
        } catch (error) {
          leave()
          throw error
        }
      },
      cancel() {
        leave()
        pieces.cancel()
      },
    }
  }

  #take(piece: Uint8Array): T | undefined {
    const { size = 0 } = this.#info
    this.#received += piece.length
    // Some senders give a size of 0 if the size is unknown.
    if (size > 0 && this.#received > size) throw new DataStreamError('lengthExceeded')
    const value = this.decode(piece)
    this.onProgress?.(size > 0 ? this.#received / size : undefined)
    return value
  }

  #end(): T | undefined {
    const { size } = this.#info
    if (size !== undefined && this.#received < size) throw new DataStreamError('incomplete')
    const value = this.decode(undefined)
    this.#finish()
    if (size !== undefined && this.#received === 0) this.onProgress?.(1)
    return value
  }

  #finish(): void {
    this.#done = true
    this.#stopListening()
  }
}

/** A byte stream from a remote participant. Its pieces are non-empty `Uint8Array`s of any length. */
export class ByteStreamReader extends BaseStreamReader<Uint8Array, ByteStreamInfo> {
  /**
   * All pieces of the stream.
   *
   * @throws `DataStreamError`; the signal's `reason`
   */
  readAll(options?: ReadAllOptions): Promise<Uint8Array[]> {
    return this.collect(options)
  }

  /**
   * The whole stream as one array.
   *
   * @throws `DataStreamError`; the signal's `reason`
   */
  async bytes(options?: ReadAllOptions): Promise<Uint8Array> {
    const pieces = await this.collect(options)
    const [only] = pieces
    if (only !== undefined && pieces.length === 1) return only
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0)
    const all = new Uint8Array(length)
    let at = 0
    for (const piece of pieces) {
      all.set(piece, at)
      at += piece.length
    }
    return all
  }

  protected decode(piece: Uint8Array | undefined): Uint8Array | undefined {
    return piece && ownBytes(piece)
  }

  protected nodeOptions(): { readonly encoding?: 'utf8' } {
    return {}
  }
}

/** A text stream from a remote participant. Its pieces are strings, cut between characters. */
export class TextStreamReader extends BaseStreamReader<string, TextStreamInfo> {
  readonly #decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

  /**
   * The whole text.
   *
   * @throws `DataStreamError`; the signal's `reason`
   */
  async readAll(options?: ReadAllOptions): Promise<string> {
    return (await this.collect(options)).join('')
  }

  /** @internal The whole text without waiting, if it has arrived; `undefined`: {@link readAll} waits for it. */
  readAtOnce(maxLength: number = MAX_READ_LENGTH): string | undefined {
    const piece = this.takeOnly(maxLength)
    return piece === undefined ? undefined : this.#text(piece, false)
  }

  protected decode(piece: Uint8Array | undefined): string | undefined {
    const text = this.#text(piece, piece !== undefined)
    return text === '' ? undefined : text
  }

  protected nodeOptions(): { readonly encoding?: 'utf8' } {
    return { encoding: 'utf8' }
  }

  /** `stream`: more bytes follow, which may complete the last character. */
  #text(piece: Uint8Array | undefined, stream: boolean): string {
    try {
      return this.#decoder.decode(piece, { stream })
    } catch (cause) {
      throw new DataStreamError('decodeFailed', { cause })
    }
  }
}

/** The writers that `streamText` and `streamBytes` return. The names are livekit-client's. */
import { Writable } from 'node:stream'
import { WritableStream } from 'node:stream/web'
import { onAbort } from '../base/abort'
import * as check from '../base/arguments'
import { DataStreamError } from '../base/errors'
import { CHUNK_SIZE } from './header'
import type { BaseStreamInfo, ByteStreamInfo, TextStreamInfo } from './info'
import { checkAttributes } from './options'
import type { OutgoingStream } from './outgoing-stream'
import { byteChunks, endsWithHalf, textChunks } from './utf8'

/** Options of a writer's `close`. */
export interface CloseStreamOptions {
  /** Attributes that the sender did not know when the stream began. Default: none. */
  readonly attributes?: Readonly<Record<string, string>> | undefined
}

/** The base of the writers of text and byte streams. */
export abstract class BaseStreamWriter<T, Info extends BaseStreamInfo> {
  /** The stream's description, as receivers get it. */
  readonly info: Info
  readonly #stream: OutgoingStream
  readonly #stopListening: () => void
  #written = 0
  #closing: Promise<void> | undefined
  #ended = false
  #failure: { readonly error: unknown } | undefined
  /** The end of the pending writes. */
  #turn: Promise<unknown> | undefined

  /** @internal */
  constructor(info: Info, stream: OutgoingStream, signal: AbortSignal | undefined) {
    this.info = info
    this.#stream = stream
    this.#stopListening = onAbort(signal, () => this.#fail(signal?.reason))
  }

  /**
   * Sends a piece; a long one is split into several chunks. The promise resolves when the data channel has taken all
   * of it, so awaiting it keeps the writer in step with the connection. Do not change the bytes before that.
   * Overlapping writes are sent in order.
   *
   * @throws `DataStreamError` (`closed`, `lengthExceeded`, `connectionLost`), `PublishDataError`, the signal's
   * `reason`; `TypeError` for a piece of the wrong type
   */
  async write(chunk: T): Promise<void> {
    this.#assertOpen()
    const bytes = this.encode(chunk)
    this.#written += bytes.length
    if (this.info.size !== undefined && this.#written > this.info.size) {
      throw this.#fail(new DataStreamError('lengthExceeded'))
    }
    await this.#inTurn(() => this.#chunks(bytes))
  }

  /**
   * Ends the stream. The promise resolves when the server has acknowledged all of it. Further calls return the same
   * result.
   *
   * @param options attributes that receivers get when the stream ends. They replace attributes of the same names
   * @throws `TypeError` that names the option; `DataStreamError` (`incomplete`: less than `totalSize` was written;
   * `connectionLost`), `PublishDataError`, the signal's `reason`
   */
  async close(options?: CloseStreamOptions): Promise<void> {
    const attributes = checkAttributes(check.options('options', options).attributes)
    this.#closing ??= this.#close(attributes)
    await this.#closing
  }

  /** Aborts the stream. Receivers get an `abnormalEnd`, with `reason` if it is a string. */
  abort(reason?: unknown): Promise<void> {
    if (!this.#ended) this.#fail(new DataStreamError('closed'), reason)
    return Promise.resolve()
  }

  /**
   * A web stream that writes to this writer, with backpressure. Closing it closes the writer; aborting it aborts the
   * writer.
   */
  writable(): WritableStream<T> {
    return new WritableStream<T>({
      write: (chunk) => this.write(chunk),
      close: () => this.close(),
      abort: (reason) => this.abort(reason),
    })
  }

  /**
   * Like {@link writable}, as a Node stream for `pipeline` and `pipe`. Destroying it with an error aborts the writer.
   */
  toNodeWritable(): Writable {
    return new Writable({
      ...this.nodeOptions(),
      write: (chunk: T, _encoding, callback) => {
        this.write(chunk).then(() => callback(), callback)
      },
      final: (callback) => {
        this.close().then(() => callback(), callback)
      },
      destroy: (error, callback) => {
        void this.abort().then(() => callback(error))
      },
    })
  }

  /** Like {@link close}, for `await using`. Does nothing if the stream has already failed or was aborted. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#failure === undefined) await this.close()
  }

  /** Encodes a piece. */
  protected abstract encode(chunk: T): Uint8Array
  /** The bytes held back until the end. */
  protected abstract encodeRest(): Uint8Array
  protected abstract chunksOf(bytes: Uint8Array): Iterable<Uint8Array>
  protected abstract nodeOptions(): { readonly decodeStrings?: boolean }

  async #close(attributes: Readonly<Record<string, string>>): Promise<void> {
    this.#throwFailure()
    const rest = this.encodeRest()
    this.#written += rest.length
    if (this.info.size !== undefined && this.#written !== this.info.size) {
      throw this.#fail(new DataStreamError('incomplete'))
    }
    await this.#inTurn(async () => {
      await this.#chunks(rest)
      await this.#stream.end(attributes)
    })
    this.#ended = true
    this.#stopListening()
  }

  async #chunks(bytes: Uint8Array): Promise<void> {
    for (const chunk of this.chunksOf(bytes)) {
      this.#throwFailure()
      await this.#stream.chunk(chunk)
    }
  }

  #inTurn(send: () => Promise<void>): Promise<void> {
    const run = async (): Promise<void> => {
      this.#throwFailure()
      try {
        await send()
      } catch (error) {
        throw this.#fail(error)
      }
    }
    const turn = this.#turn === undefined ? run() : this.#turn.then(run)
    const settled: Promise<void> = turn
      .catch(() => undefined)
      .then(() => {
        if (this.#turn === settled) this.#turn = undefined
      })
    this.#turn = settled
    return turn
  }

  #assertOpen(): void {
    this.#throwFailure()
    if (this.#closing !== undefined) throw new DataStreamError('closed')
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error
  }

  /** Stops sending. Returns the error, or an earlier one. */
  #fail(error: unknown, reason?: unknown): unknown {
    if (this.#failure === undefined) {
      this.#failure = { error }
      this.#stopListening()
      this.#stream.abort(reason)
    }
    return this.#failure.error
  }
}

/** Writes a byte stream. */
export class ByteStreamWriter extends BaseStreamWriter<Uint8Array, ByteStreamInfo> {
  protected encode(chunk: Uint8Array): Uint8Array {
    return check.bytes('chunk', chunk)
  }

  protected encodeRest(): Uint8Array {
    return nothing
  }

  protected chunksOf(bytes: Uint8Array): Iterable<Uint8Array> {
    return byteChunks(bytes, CHUNK_SIZE)
  }

  protected nodeOptions(): { readonly decodeStrings?: boolean } {
    return {}
  }
}

/** Writes a text stream. */
export class TextStreamWriter extends BaseStreamWriter<string, TextStreamInfo> {
  /** The first half of a surrogate pair. The second half may come with the next piece. */
  #half = ''

  protected encode(chunk: string): Uint8Array {
    const text = this.#half + check.string('chunk', chunk)
    this.#half = endsWithHalf(text) ? text.slice(-1) : ''
    return Buffer.from(this.#half === '' ? text : text.slice(0, -1))
  }

  protected encodeRest(): Uint8Array {
    const rest = Buffer.from(this.#half)
    this.#half = ''
    return rest
  }

  protected chunksOf(bytes: Uint8Array): Iterable<Uint8Array> {
    return textChunks(bytes, CHUNK_SIZE)
  }

  protected nodeOptions(): { readonly decodeStrings?: boolean } {
    return { decodeStrings: false }
  }
}

const nothing = new Uint8Array(0)

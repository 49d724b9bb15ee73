/** Data streams in the shapes of `@livekit/rtc-node`. */
import { DataStreamError } from '../base/errors'
import type {
  BaseStreamInfo as OwnBaseInfo,
  ByteStreamInfo as OwnByteInfo,
  TextStreamInfo as OwnTextInfo,
} from '../data-stream/info'
import type {
  ByteStreamReader as OwnByteReader,
  TextStreamReader as OwnTextReader,
} from '../data-stream/readers'
import type {
  ByteStreamWriter as OwnByteWriter,
  TextStreamWriter as OwnTextWriter,
} from '../data-stream/writers'

/** The description of a stream. */
export interface BaseStreamInfo {
  streamId: string
  mimeType: string
  topic: string
  /** ms since 1970, by the sender's clock. */
  timestamp: number
  /** Bytes in all, if known. */
  totalSize?: number
  attributes?: Record<string, string>
}

/** The description of a byte stream. */
export type ByteStreamInfo = BaseStreamInfo & { name: string }

/** The description of a text stream. */
export type TextStreamInfo = BaseStreamInfo

function baseInfo({ id, mimeType, topic, timestamp, size, attributes }: OwnBaseInfo): BaseStreamInfo {
  return {
    streamId: id,
    mimeType,
    topic,
    timestamp,
    ...(size !== undefined && { totalSize: size }),
    attributes: { ...attributes },
  }
}

export function textInfo(info: OwnTextInfo): TextStreamInfo {
  return baseInfo(info)
}

export function byteInfo(info: OwnByteInfo): ByteStreamInfo {
  return { ...baseInfo(info), name: info.name }
}

interface OwnReader<T> {
  onProgress?: ((progress: number | undefined) => void) | undefined
  cancel(): void
  [Symbol.asyncIterator](): AsyncIterator<T>
}

/** A stream from a remote participant. It can be read once. */
abstract class BaseStreamReader<T extends string | Uint8Array> {
  readonly #own: OwnReader<T>
  readonly #maxBytes: number | undefined

  /** @internal */
  constructor(own: OwnReader<T>, maxBytes: number | undefined) {
    this.#own = own
    this.#maxBytes = maxBytes
  }

  /** Called with the share that was read, from 0 to 1; `undefined` if the size is unknown. */
  get onProgress(): ((progress: number | undefined) => void) | undefined {
    return this.#own.onProgress
  }

  set onProgress(listener: ((progress: number | undefined) => void) | undefined) {
    this.#own.onProgress = listener
  }

  /** Stops receiving the stream. A waiting read ends. Idempotent. */
  close(): Promise<void> {
    this.#own.cancel()
    return Promise.resolve()
  }

  /** The pieces as they arrive. Leaving the loop closes the reader. */
  [Symbol.asyncIterator](): {
    next: () => Promise<IteratorResult<T>>
    return: () => Promise<IteratorResult<T>>
  } {
    const pieces = this.#own[Symbol.asyncIterator]()
    let bytes = 0
    return {
      next: async () => {
        const result = await pieces.next()
        if (result.done !== true && this.#maxBytes !== undefined) {
          bytes += Buffer.byteLength(result.value)
          if (bytes > this.#maxBytes) {
            this.#own.cancel()
            throw new DataStreamError('payloadTooLarge')
          }
        }
        return result
      },
      return: async () => {
        await this.close()
        return { done: true, value: undefined }
      },
    }
  }

  protected get limit(): { readonly maxLength?: number } {
    return this.#maxBytes === undefined ? {} : { maxLength: this.#maxBytes }
  }
}

/** A text stream from a remote participant. Its pieces are strings, cut between characters. */
export class TextStreamReader extends BaseStreamReader<string> {
  readonly #text: OwnTextReader

  /** @internal */
  constructor(own: OwnTextReader, maxBytes: number | undefined) {
    super(own, maxBytes)
    this.#text = own
  }

  get info(): TextStreamInfo {
    return textInfo(this.#text.info)
  }

  /** The whole text. */
  readAll(): Promise<string> {
    return this.#text.readAll(this.limit)
  }
}

/** A byte stream from a remote participant. Its pieces are `Uint8Array`s of any length. */
export class ByteStreamReader extends BaseStreamReader<Uint8Array> {
  readonly #bytes: OwnByteReader

  /** @internal */
  constructor(own: OwnByteReader, maxBytes: number | undefined) {
    super(own, maxBytes)
    this.#bytes = own
  }

  get info(): ByteStreamInfo {
    return byteInfo(this.#bytes.info)
  }

  /** All pieces. */
  readAll(): Promise<Uint8Array[]> {
    return this.#bytes.readAll(this.limit)
  }
}

interface OwnWriter<T> {
  write(chunk: T): Promise<void>
  close(): Promise<void>
}

/** Writes a stream piece by piece. */
abstract class BaseStreamWriter<T extends string | Uint8Array, Info extends BaseStreamInfo> {
  readonly info: Info
  readonly #own: OwnWriter<T>

  /** @internal */
  constructor(own: OwnWriter<T>, info: Info) {
    this.info = info
    this.#own = own
  }

  /** Sends a piece. The promise resolves when the data channel has taken it. */
  write(chunk: T): Promise<void> {
    return this.#own.write(chunk)
  }

  /** Ends the stream. The promise resolves when the server has acknowledged all of it. */
  close(): Promise<void> {
    return this.#own.close()
  }
}

/** Writes a text stream. */
export class TextStreamWriter extends BaseStreamWriter<string, TextStreamInfo> {
  /** @internal */
  constructor(own: OwnTextWriter) {
    super(own, textInfo(own.info))
  }
}

/** Writes a byte stream. */
export class ByteStreamWriter extends BaseStreamWriter<Uint8Array, ByteStreamInfo> {
  /** @internal */
  constructor(own: OwnByteWriter) {
    super(own, byteInfo(own.info))
  }
}

/** Called with each text stream of a topic. */
export type TextStreamHandler = (reader: TextStreamReader, participantInfo: { identity: string }) => void
/** Called with each byte stream of a topic. */
export type ByteStreamHandler = (reader: ByteStreamReader, participantInfo: { identity: string }) => void

/** Options of streams. */
export interface DataStreamOptions {
  topic?: string
  destinationIdentities?: string[]
  attributes?: Record<string, string>
  mimeType?: string
}

/** Options of {@link LocalParticipant.sendFile}. */
export interface ByteStreamOptions extends DataStreamOptions {
  name?: string
  onProgress?: (progress: number) => void
  compress?: boolean
}

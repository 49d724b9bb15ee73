/** DEFLATE without a header, as a stream and in one piece. */
import { pipeline, Readable } from 'node:stream'
import { promisify } from 'node:util'
import { createDeflateRaw, createInflateRaw, deflateRaw, deflateRawSync, inflateRawSync } from 'node:zlib'
import { DataStreamError } from '../base/errors'
import { CHUNK_SIZE } from './header'

const deflateRawAsync = promisify(deflateRaw)

/**
 * Content up to this many bytes is compressed synchronously. Larger content is compressed without blocking the event
 * loop.
 */
const SYNC_BYTES = 16 * 1024
/** Bytes at the beginning that decide whether a long stream is worth compressing. */
const SAMPLE_BYTES = 64 * 1024
/** A sample must shrink to at most this share of its size. */
const WORTHWHILE = 0.9
/**
 * A fast level rather than a small result, so that compression and network keep pace with each other. For 100 kB of
 * JSON or prose, level 6 takes 0.5 to 0.9 ms longer and saves 6 to 9 % of the compressed bytes. That is worth its time
 * only on lines of less than some 25 Mbit/s.
 */
const FAST_LEVEL = 3
/**
 * Content with an announced size up to this many bytes is decompressed synchronously, if the reader waits for all of it:
 * 0.1 ms for 100 kB of JSON. A zlib stream takes 0.4 ms, and many times that for the first content of a process.
 */
const SYNC_INFLATED_BYTES = 128 * 1024
/** Bytes to decompress at once. */
const INFLATE_BYTES = 64 * 1024

/** The compressed content if it is smaller than the content; else `undefined`. */
export async function compressed(content: Uint8Array): Promise<Uint8Array | undefined> {
  const result =
    content.length <= SYNC_BYTES
      ? deflateRawSync(content)
      : await deflateRawAsync(content, { level: FAST_LEVEL })
  return result.length < content.length ? result : undefined
}

/** Whether content with this beginning is worth compressing. */
export async function worthCompressing(beginning: Uint8Array): Promise<boolean> {
  if (beginning.length === 0) return false
  const sample = beginning.subarray(0, SAMPLE_BYTES)
  const result = await deflateRawAsync(sample, { level: FAST_LEVEL })
  return result.length <= sample.length * WORTHWHILE
}

/** Compresses pieces as they come. Yields chunks of at most {@link CHUNK_SIZE} bytes. */
export function compressing(pieces: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  const deflate = createDeflateRaw({ level: FAST_LEVEL, chunkSize: CHUNK_SIZE })
  // The reader of the output gets the error.
  pipeline(Readable.from(pieces, { objectMode: true, highWaterMark: 1 }), deflate, () => undefined)
  return deflate
}

/** A source of pieces, one after the other. */
export interface Pieces<T> {
  /** The next piece; `undefined` at the end. One call at a time. */
  next(): Promise<T | undefined>
  /** Gives up the remaining pieces. */
  cancel(): void
}

/** Whether content of this size is decompressed in one piece. `undefined`: the sender gave no size. */
export function inflatesAtOnce(size: number | undefined): size is number {
  return size !== undefined && size > 0 && size <= SYNC_INFLATED_BYTES
}

/**
 * Decompresses small content in one piece.
 *
 * @throws `DataStreamError`
 */
export function inflatedAtOnce(content: Uint8Array, size: number): Uint8Array {
  try {
    return inflateRawSync(content, { maxOutputLength: size })
  } catch (cause) {
    throw inflateError(cause)
  }
}

/** Decompresses pieces as the reader asks for them. At most about 64 KiB are decompressed ahead. */
export function inflating(source: Pieces<Uint8Array>): Pieces<Uint8Array> {
  const inflate = createInflateRaw({ chunkSize: INFLATE_BYTES })
  pipeline(Readable.from(drain(source), { objectMode: true, highWaterMark: 1 }), inflate, () => undefined)
  const output = inflate[Symbol.asyncIterator]() as AsyncIterator<Uint8Array, undefined>
  return {
    async next() {
      try {
        const { value } = await output.next()
        return value
      } catch (error) {
        throw inflateError(error)
      }
    },
    cancel() {
      inflate.destroy()
      source.cancel()
    },
  }
}

async function* drain(source: Pieces<Uint8Array>): AsyncGenerator<Uint8Array, undefined> {
  for (;;) {
    const piece = await source.next()
    if (piece === undefined) return
    yield piece
  }
}

/** zlib's errors become typed ones. Others stay unchanged. */
function inflateError(error: unknown): unknown {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined
  if (code === 'ERR_BUFFER_TOO_LARGE') return new DataStreamError('lengthExceeded')
  if (code?.startsWith('Z_') === true) return new DataStreamError('decodeFailed', { cause: error })
  return error
}

/** DEFLATE without a header, as a stream and in one piece. */
import { pipeline, Readable } from 'node:stream'
import { promisify } from 'node:util'
import { createDeflateRaw, createInflateRaw, deflateRaw, deflateRawSync, inflateRawSync } from 'node:zlib'
import { DataStreamError } from '../base/errors'
import { CHUNK_SIZE } from './header'

const deflateRawAsync = promisify(deflateRaw)

/**
 * Content up to this many bytes is compressed synchronously: 0.06 ms for 14 kB of JSON. Larger content is compressed
 * without blocking the event loop, unless it is the first one in its turn of the loop.
 */
const SYNC_BYTES = 16 * 1024
/**
 * The first content of a turn is compressed synchronously up to this many bytes: 0.6 ms for 100 kB of JSON. On
 * zlib's thread it takes twice the CPU time, and two ways there and back, because zlib returns 16 kB at a time.
 */
const SYNC_FIRST_BYTES = 128 * 1024
/** Bytes at the beginning that decide whether a long stream is worth compressing. */
const SAMPLE_BYTES = 64 * 1024
/** A sample must shrink to at most this share of its size. */
const WORTHWHILE = 0.9
/**
 * A fast level rather than a small result, so that compression and network keep pace with each other. For 100 kB of
 * JSON or prose, level 6 takes 0.7 to 0.8 ms longer and saves 7 to 8 % of the compressed bytes, and level 3 takes 0.1 to
 * 0.2 ms longer and saves 2 %. That is worth its time only on lines of less than some 25 Mbit/s.
 */
const FAST_LEVEL = 2
/** The largest hash table and buffers save a fifth of the time for 14 kB. */
const FAST = { level: FAST_LEVEL, memLevel: 9 } as const
/**
 * Content with an announced size up to this many bytes is decompressed synchronously, if the reader waits for all of it:
 * 0.1 ms for 100 kB of JSON. A zlib stream takes 0.4 ms, and many times that for the first content of a process.
 */
const SYNC_INFLATED_BYTES = 128 * 1024
/** Bytes to decompress at once. */
const INFLATE_BYTES = 64 * 1024

/** Whether larger content was compressed synchronously in this turn of the event loop. */
let isTurnUsed = false

/** The compressed content if it is smaller than the content; else `undefined`. */
export async function compressed(content: Uint8Array): Promise<Uint8Array | undefined> {
  if (compressesAtOnce(content.length)) return compressedAtOnce(content)
  return smaller(await deflateRawAsync(content, FAST), content)
}

/** Whether content of this size can be compressed now by {@link compressedAtOnce}. */
export function compressesAtOnce(length: number): boolean {
  return length <= SYNC_BYTES || (length <= SYNC_FIRST_BYTES && !isTurnUsed)
}

/** As {@link compressed}, without waiting. Larger content uses up the turn. */
export function compressedAtOnce(content: Uint8Array): Uint8Array | undefined {
  if (content.length > SYNC_BYTES) {
    isTurnUsed = true
    setImmediate(() => {
      isTurnUsed = false
    })
  }
  return smaller(deflateRawSync(content, FAST), content)
}

function smaller(result: Uint8Array, content: Uint8Array): Uint8Array | undefined {
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

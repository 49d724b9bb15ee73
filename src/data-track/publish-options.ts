/** Options that a track is published with. */
import * as check from '../base/arguments'
import type { NativePublishOptions } from '../native/native'
import { checkCodec } from '../base/codec'
import type { DataTrackCodec, DataTrackFrameEncoding, DataTrackSchema } from '../base/codec'

/** Options of `publishDataTrack`. */
export interface DataTrackPublishOptions<T = never> {
  /** 1 to 256 bytes of UTF-8. Unique among the participant's data tracks. */
  readonly name: string
  /** Encodes the pushed values. Default: none; frames are bytes. */
  readonly codec?: DataTrackCodec<T> | undefined
  /** The encoding of the payloads, announced to subscribers. Default: the codec's `frameEncoding`, if any. */
  readonly frameEncoding?: DataTrackFrameEncoding | undefined
  /**
   * The schema of the payloads, announced to subscribers. Default: the codec's `schema`, if any.
   *
   * LiveKit allows these pairs of a frame encoding and a schema's encoding: `ros1` with `ros1msg`; `cdr` with
   * `ros2msg`, `ros2idl` or `omgidl`; `protobuf` and `flatbuffer` with their own; `json` with `jsonschema` or none;
   * `cbor` and `msgpack` with none; a custom encoding with any. Other pairs fail with `invalidSchema`.
   */
  readonly schema?: DataTrackSchema | undefined
  /** Cancels publishing. The promise then rejects with the signal's `reason`. No effect once the track is published. */
  readonly signal?: AbortSignal | undefined
  /** Bytes that may wait to be sent, headers included: 1 to 2^31 − 1. Default: 1 MiB. */
  readonly maxQueueBytes?: number | undefined
  /** A frame older than this is dropped if a newer one is behind it, in ms. `Infinity` turns it off. Default: 100. */
  readonly maxQueueAge?: number | undefined
  /**
   * When the queue is full, `dropOldest` drops the oldest frame (the default) and `refuse` refuses the new one
   * (`queueFull`).
   */
  readonly whenFull?: 'dropOldest' | 'refuse' | undefined
  /**
   * Packets that a frame may have, 1 to 32,767. Default: 128, about 2 MB: other LiveKit SDKs reassemble no more. Larger
   * frames reach only subscribers that use this package and raise the limit in their pipeline options.
   */
  readonly maxPacketsPerFrame?: number | undefined
  /**
   * Whether the publisher keeps the last frame in memory, so that {@link RemoteDataTrack.latest} can fetch it. A frame
   * of more than 16 MiB is not kept. Default: `false`.
   */
  readonly latch?: boolean | undefined
}

/** Bytes that may wait to be sent, by default. */
export const MAX_QUEUE_BYTES = 1_048_576
/** Age in ms above which a frame is dropped if a newer one is behind it, by default. */
export const MAX_QUEUE_AGE = 100
/** Packets per frame that the other LiveKit SDKs reassemble. */
export const MAX_PACKETS_PER_FRAME = 128
/** The most packets that a frame can have: half of the sequence numbers. */
export const PACKET_LIMIT = 32_767

/** @internal */
export interface CheckedPublishOptions {
  readonly native: NativePublishOptions
  readonly codec: DataTrackCodec<unknown> | null
  readonly signal: AbortSignal | undefined
  readonly latch: boolean
}

/** @internal Checks everything except names and schemas. The native side checks those; it knows LiveKit's rules. */
export function checkPublishOptions<T>(
  options: DataTrackPublishOptions<T>,
  encrypted: boolean,
): CheckedPublishOptions {
  if (typeof options !== 'object' || (options as unknown) === null) {
    throw check.invalidType('options', 'an object', options)
  }
  const codec = checkCodec('options.codec', options.codec)
  const frameEncoding = options.frameEncoding ?? codec?.frameEncoding
  const schema = options.schema ?? codec?.schema
  const maxQueueAge = options.maxQueueAge
  return {
    native: {
      name: check.string('options.name', options.name),
      encrypted,
      frameEncoding:
        frameEncoding === undefined ? null : check.string('options.frameEncoding', frameEncoding),
      schemaName: schema === undefined ? null : check.string('options.schema.name', schema.name),
      schemaEncoding: schema === undefined ? null : check.string('options.schema.encoding', schema.encoding),
      maxQueueBytes: check.integer(
        'options.maxQueueBytes',
        options.maxQueueBytes,
        MAX_QUEUE_BYTES,
        1,
        0x7fff_ffff,
        ' bytes',
      ),
      maxQueueAgeMs: check.number('options.maxQueueAge', maxQueueAge, MAX_QUEUE_AGE, 0, Infinity, ' ms'),
      refuseWhenFull:
        check.oneOf('options.whenFull', options.whenFull, 'dropOldest', ['dropOldest', 'refuse']) ===
        'refuse',
      maxPacketsPerFrame: check.integer(
        'options.maxPacketsPerFrame',
        options.maxPacketsPerFrame,
        MAX_PACKETS_PER_FRAME,
        1,
        PACKET_LIMIT,
      ),
    },
    codec: codec,
    signal: check.signal('options.signal', options.signal),
    latch: check.boolean('options.latch', options.latch, false),
  }
}

/** What a track is published with. */
import * as check from '../base/arguments'
import type { NativePublishOptions } from '../native/native'
import { checkCodec } from '../base/codec'
import type { DataTrackCodec, DataTrackFrameEncoding, DataTrackSchema } from '../base/codec'

/** Options of `publishDataTrack`. */
export interface DataTrackPublishOptions<T = never> {
  /** 1 to 256 bytes of UTF-8, unique among the participant's data tracks. */
  readonly name: string
  /** Values that are pushed go through this; default: none, frames are bytes. */
  readonly codec?: DataTrackCodec<T> | undefined
  /** How payloads are encoded, told to subscribers. Default: what the codec says, or nothing. */
  readonly frameEncoding?: DataTrackFrameEncoding | undefined
  /**
   * What describes the payloads, told to subscribers. Default: what the codec says, or nothing. LiveKit's pairs: `ros1`
   * with `ros1msg`; `cdr` with `ros2msg`, `ros2idl` or `omgidl`; `protobuf`, `flatbuffer` with their own; `json` with
   * `jsonschema` or none; `cbor`, `msgpack` with none; a custom encoding with any. Others: `invalidSchema`.
   */
  readonly schema?: DataTrackSchema | undefined
  /** Gives up publishing; the promise rejects with the signal's `reason`. Nothing happens once it is published. */
  readonly signal?: AbortSignal | undefined
  /** Bytes that wait to be sent, headers included: 1 to 2^31 − 1. Default: 1 MiB. */
  readonly maxQueueBytes?: number | undefined
  /** Frames older than this go when a newer one is behind them, in ms; `Infinity` turns it off. Default: 100. */
  readonly maxQueueAge?: number | undefined
  /** When the queue is full: the oldest frame goes (the default), or the new one is refused (`queueFull`). */
  readonly whenFull?: 'dropOldest' | 'refuse' | undefined
  /**
   * Packets a frame may have, 1 to 32,767. Default: 128, which is what other LiveKit SDKs can put together (about
   * 2 MB); more reaches only subscribers of this package whose pipeline options allow it.
   */
  readonly maxPacketsPerFrame?: number | undefined
}

/** Bytes that wait to be sent, unless more is asked for. */
export const MAX_QUEUE_BYTES = 1_048_576
/** ms that a frame may be old when a newer one is behind it. */
export const MAX_QUEUE_AGE = 100
/** Packets that other SDKs put together. */
export const MAX_PACKETS_PER_FRAME = 128
/** Packets of a frame at most: half of the sequence numbers. */
export const PACKET_LIMIT = 32_767

/** @internal */
export interface CheckedPublishOptions {
  readonly native: NativePublishOptions
  readonly codec: DataTrackCodec<unknown> | null
  readonly signal: AbortSignal | undefined
}

/** @internal Checks all; names and schemas are left to the native side, which knows LiveKit's rules. */
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
  }
}

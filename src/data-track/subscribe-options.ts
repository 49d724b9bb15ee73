/** Options that a remote track is subscribed with. */
import * as check from '../base/arguments'
import type { NativePipelineOptions, NativeSubscribeOptions } from '../native/native'
import { checkCodec } from '../base/codec'
import type { DataTrackCodec } from '../base/codec'
import { MAX_PACKETS_PER_FRAME, PACKET_LIMIT } from './publish-options'

/** Options of `RemoteDataTrack.subscribe`. Each stream has its own. */
export interface DataTrackSubscribeOptions {
  /**
   * When it aborts, the stream unsubscribes, and a waiting read rejects with the signal's `reason`. The stream adds one
   * listener to the signal, and removes it when the stream ends.
   */
  readonly signal?: AbortSignal | undefined
  /**
   * Buffers exactly this many frames, 1 to 65,536, and drops the oldest for a newer one. Use 1 if the reader only needs
   * the latest frame. It replaces the three limits below, and costs one native call per frame instead of one per batch.
   * Default: the three limits.
   */
  readonly bufferSize?: number | undefined
  /** Frames that may wait for the reader, 1 to 65,536. Default: 1,024. */
  readonly maxBufferFrames?: number | undefined
  /**
   * Memory in bytes of the frames that wait for the reader: their payloads, and 128 for each packet that they arrived
   * in. 1 to 2^31 − 1; a single frame may be larger. Default: 4 MiB.
   */
  readonly maxBufferBytes?: number | undefined
  /**
   * A frame older than this is dropped if more than 16 newer ones are behind it, in ms. `Infinity`: never. Default:
   * 200.
   */
  readonly maxBufferAge?: number | undefined
  /** Frames per second that the subscriber asks for, 1 to 65,535. livekit-server 1.13 ignores it. Default: all. */
  readonly targetFps?: number | undefined
  /**
   * In a room with `encryption`: accept frames of a track that is not encrypted. Default: `false`; subscribing to such
   * a track fails with `unencrypted`.
   */
  readonly allowUnencrypted?: boolean | undefined
  /**
   * Whether the last frame of a latched track comes before the live frames: see {@link RemoteDataTrack.subscribe}.
   * Default: `false`.
   */
  readonly latest?: boolean | undefined
  /** Whether each payload has its own buffer, which can be transferred or kept. It costs a copy. Default: `false`. */
  readonly ownedPayloads?: boolean | undefined
}

/** Options of `RemoteDataTrack.subscribe` with a codec. */
export interface DecodingSubscribeOptions<T> extends DataTrackSubscribeOptions {
  /** Decodes the frames: `frame.value` is the decoded payload. */
  readonly codec: DataTrackCodec<T>
  /**
   * What happens if the codec cannot decode a frame: `throw` (the default) ends the stream with a
   * `DataTrackDecodeError`; `skip` drops the frame. Both count it as `decodeFailed`.
   */
  readonly onDecodeError?: 'throw' | 'skip' | undefined
}

/** How the frames of a remote track are reassembled: for all its streams, from now on. */
export interface RemoteDataTrackPipelineOptions {
  /** Incomplete frames at once, 1 to 64. A higher value tolerates more reordering of packets. Default: 2. */
  readonly maxPartialFrames?: number | undefined
  /** How long an incomplete frame waits for its next packet, in ms, 1 to 60,000. Default: 500. */
  readonly partialFrameTimeout?: number | undefined
  /** Packets that a frame may have, 1 to 32,767. Default: 128. */
  readonly maxPacketsPerFrame?: number | undefined
  /** Bytes that a frame may have, 1 to 2^31 − 1. Default: 16 MiB. */
  readonly maxFrameBytes?: number | undefined
}

const BUFFER_LIMIT = 65_536
const MAX_BUFFER_FRAMES = 1024
const MAX_BUFFER_BYTES = 4 * 1024 * 1024
const MAX_BUFFER_AGE = 200
const MAX_BYTES = 0x7fff_ffff
const MAX_PARTIAL_FRAMES = 2
const PARTIAL_FRAME_TIMEOUT = 500
const MAX_FRAME_BYTES = 16 * 1024 * 1024

/** @internal */
export interface CheckedSubscribeOptions {
  readonly native: NativeSubscribeOptions
  readonly signal: AbortSignal | undefined
  readonly ownedPayloads: boolean
  readonly codec: DataTrackCodec<unknown> | null
  readonly skipUndecodable: boolean
}

/** @internal */
export function checkSubscribeOptions(
  given: (DataTrackSubscribeOptions & Partial<DecodingSubscribeOptions<never>>) | undefined,
): CheckedSubscribeOptions {
  const options = check.options('options', given)
  const { bufferSize, maxBufferFrames, maxBufferBytes, maxBufferAge, targetFps } = options
  const name = (option: string) => `options.${option}`
  return {
    native: {
      bufferSize:
        bufferSize === undefined ? null : check.integer(name('bufferSize'), bufferSize, 1, 1, BUFFER_LIMIT),
      maxBufferFrames: check.integer(
        name('maxBufferFrames'),
        maxBufferFrames,
        MAX_BUFFER_FRAMES,
        1,
        BUFFER_LIMIT,
      ),
      maxBufferBytes: check.integer(
        name('maxBufferBytes'),
        maxBufferBytes,
        MAX_BUFFER_BYTES,
        1,
        MAX_BYTES,
        ' bytes',
      ),
      maxBufferAgeMs: check.number(name('maxBufferAge'), maxBufferAge, MAX_BUFFER_AGE, 0, Infinity, ' ms'),
      targetFps: targetFps === undefined ? 0 : check.integer(name('targetFps'), targetFps, 0, 1, 65_535),
      allowUnencrypted: check.boolean(name('allowUnencrypted'), options.allowUnencrypted, false),
      latest: check.boolean(name('latest'), options.latest, false),
    },
    signal: check.signal(name('signal'), options.signal),
    ownedPayloads: check.boolean(name('ownedPayloads'), options.ownedPayloads, false),
    codec: checkCodec(name('codec'), options.codec),
    skipUndecodable:
      check.oneOf(name('onDecodeError'), options.onDecodeError, 'throw', ['throw', 'skip']) === 'skip',
  }
}

/** @internal */
export function checkPipelineOptions(given: RemoteDataTrackPipelineOptions): NativePipelineOptions {
  const options = check.options('options', given)
  return {
    maxPartialFrames: check.integer(
      'options.maxPartialFrames',
      options.maxPartialFrames,
      MAX_PARTIAL_FRAMES,
      1,
      64,
    ),
    partialFrameTimeoutMs: check.number(
      'options.partialFrameTimeout',
      options.partialFrameTimeout,
      PARTIAL_FRAME_TIMEOUT,
      1,
      60_000,
      ' ms',
    ),
    maxPacketsPerFrame: check.integer(
      'options.maxPacketsPerFrame',
      options.maxPacketsPerFrame,
      MAX_PACKETS_PER_FRAME,
      1,
      PACKET_LIMIT,
    ),
    maxFrameBytes: check.integer(
      'options.maxFrameBytes',
      options.maxFrameBytes,
      MAX_FRAME_BYTES,
      1,
      MAX_BYTES,
      ' bytes',
    ),
  }
}

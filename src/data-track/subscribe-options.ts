/** How a remote track is subscribed to. */
import * as check from '../base/arguments'
import type { NativePipelineOptions, NativeSubscribeOptions } from '../native/native'
import { checkCodec } from '../base/codec'
import type { DataTrackCodec } from '../base/codec'
import { MAX_PACKETS_PER_FRAME, PACKET_LIMIT } from './publish-options'

/** Options of `RemoteDataTrack.subscribe`. Each stream has its own. */
export interface DataTrackSubscribeOptions {
  /** Unsubscribes; who reads gets the signal's `reason`. One listener, gone with the stream. */
  readonly signal?: AbortSignal | undefined
  /**
   * Buffer exactly so many frames, 1 to 65,536, and drop the oldest for a newer one: 1 for a reader that only wants
   * the latest. It replaces the three limits below, and costs a crossing per frame instead of one per batch. Default:
   * the three limits.
   */
  readonly bufferSize?: number | undefined
  /** Frames that wait for the reader, 1 to 65,536. Default: 1,024. */
  readonly maxBufferFrames?: number | undefined
  /**
   * Memory of the frames that wait for the reader, in bytes: their payloads, and 128 for each packet that they came in.
   * 1 to 2^31 − 1; a single frame may be larger. Default: 4 MiB.
   */
  readonly maxBufferBytes?: number | undefined
  /** Frames older than this go when more than 16 newer ones are behind them, in ms; `Infinity`: never. Default: 200. */
  readonly maxBufferAge?: number | undefined
  /** Frames a second that are wanted, 1 to 65,535. A wish: livekit-server 1.13 ignores it. Default: all. */
  readonly targetFps?: number | undefined
  /**
   * With `encryption`: take frames of a track that is not encrypted. Default: `false`, subscribing to it fails with
   * `unencrypted`.
   */
  readonly allowUnencrypted?: boolean | undefined
  /** Give each payload a buffer of its own, which can be transferred or kept. Default: `false`; costs a copy. */
  readonly ownedPayloads?: boolean | undefined
}

/** Options of `RemoteDataTrack.subscribe` with a codec. */
export interface DecodingSubscribeOptions<T> extends DataTrackSubscribeOptions {
  /** Frames come decoded: `frame.value`. */
  readonly codec: DataTrackCodec<T>
  /**
   * What a frame does that the codec cannot decode: `throw` (the default) ends the stream with a
   * `DataTrackDecodeError`; `skip` drops it. It is counted as `decodeFailed` either way.
   */
  readonly onDecodeError?: 'throw' | 'skip' | undefined
}

/** How the frames of a remote track are put together; for all of its streams, from now on. */
export interface RemoteDataTrackPipelineOptions {
  /** Frames in the making at once, 1 to 64. More: more tolerance for reordered packets. Default: 2. */
  readonly maxPartialFrames?: number | undefined
  /** How long a frame may be in the making without another packet of it, in ms, 1 to 60,000. Default: 500. */
  readonly partialFrameTimeout?: number | undefined
  /** Packets a frame may have, 1 to 32,767. Default: 128. */
  readonly maxPacketsPerFrame?: number | undefined
  /** Bytes a frame may have, 1 to 2^31 − 1. Default: 16 MiB. */
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

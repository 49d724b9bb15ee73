/** The stream of a track, in the shape of `@livekit/rtc-node`. */
import { RtcNodeError } from '../base/errors'
import { AudioStream as OwnAudioStream } from '../media/audio-stream'
import type { AudioStreamOptions as OwnOptions } from '../media/audio-stream'
import { isFrameProcessor } from './frame-processor'
import type { FrameProcessor } from './frame-processor'
import { RemoteAudioTrack } from './tracks'
import type { Track } from './tracks'

/** A noise cancellation that is a plugin for libwebrtc. It is not supported. */
export interface NoiseCancellationOptions {
  moduleId: string
  options: Record<string, unknown>
}

/** Options of an {@link AudioStream}. */
export interface AudioStreamOptions {
  /** Processes each frame before the program gets it. */
  noiseCancellation?: NoiseCancellationOptions | FrameProcessor
  /** Whether the processor is closed when the stream ends. Default: `true`. */
  autoCloseNoiseCancellation?: boolean
  /** Samples a second and channel, 8000 to 48000. Default: 48000. */
  sampleRate?: number
  /** 1 or 2. Default: 1. */
  numChannels?: number
  /** The length of a frame in ms. Default: 10. */
  frameSizeMs?: number
}

/**
 * The sound of a remote track as frames of 16-bit samples. It ends with the subscription. Unlike rtc-node's, at most a
 * second of frames waits for the reader; then the oldest ones are dropped.
 */
export class AudioStream extends OwnAudioStream {
  /**
   * @throws `RtcNodeError`: `localStream` for a track of the local participant, `audioFilter` for a noise cancellation
   * that is a native plugin; `TypeError` or `RangeError` that names the option
   */
  constructor(track: Track, sampleRate?: number, numChannels?: number)

  constructor(track: Track, options: AudioStreamOptions)
  constructor(track: Track, sampleRateOrOptions?: number | AudioStreamOptions, numChannels?: number) {
    if (!(track instanceof RemoteAudioTrack)) throw new RtcNodeError('localStream')
    super(
      track.own,
      typeof sampleRateOrOptions === 'object'
        ? checkProcessor(sampleRateOrOptions)
        : { sampleRate: sampleRateOrOptions, numChannels },
    )
  }
}

function checkProcessor(options: AudioStreamOptions): OwnOptions {
  const { noiseCancellation, ...others } = options
  if (noiseCancellation === undefined) return others
  if (isFrameProcessor(noiseCancellation)) return { ...others, noiseCancellation }
  throw new RtcNodeError('audioFilter', { detail: noiseCancellation.moduleId })
}

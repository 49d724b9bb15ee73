/** The stream of a track, in the shape of `@livekit/rtc-node`. */
import { ReadableStream } from 'node:stream/web'
import type { ReadableStreamDefaultController, ReadableStreamDefaultReader } from 'node:stream/web'
import { RtcNodeError } from '../base/errors'
import { log } from '../base/logging'
import type { AudioFrame } from '../media/audio-frame'
import { AudioStream as OwnAudioStream } from '../media/audio-stream'
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
  noiseCancellation?: NoiseCancellationOptions | FrameProcessor<AudioFrame>
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
export class AudioStream extends ReadableStream<AudioFrame> {
  /**
   * @throws `RtcNodeError`: `localStream` for a track of the local participant, `audioFilter` for a noise cancellation
   * that is a native plugin; `TypeError` or `RangeError` that names the option
   */
  constructor(track: Track)
  constructor(track: Track, sampleRate: number)
  constructor(track: Track, sampleRate: number, numChannels: number)
  constructor(track: Track, options: AudioStreamOptions)
  constructor(track: Track, sampleRateOrOptions?: number | AudioStreamOptions, numChannels?: number) {
    const options =
      typeof sampleRateOrOptions === 'object'
        ? sampleRateOrOptions
        : { sampleRate: sampleRateOrOptions, numChannels }
    super(new Source(track, options as AudioStreamOptions), { highWaterMark: 0 })
  }
}

/** Feeds the readers of an {@link AudioStream}. */
class Source {
  readonly #reader: ReadableStreamDefaultReader<AudioFrame>
  readonly #track: RemoteAudioTrack
  readonly #processor: FrameProcessor<AudioFrame> | undefined
  readonly #closesProcessor: boolean
  #over = false

  constructor(track: Track, options: AudioStreamOptions) {
    const { noiseCancellation, autoCloseNoiseCancellation = true, ...form } = options
    if (!(track instanceof RemoteAudioTrack)) throw new RtcNodeError('localStream')
    if (noiseCancellation !== undefined && !isFrameProcessor(noiseCancellation))
      throw new RtcNodeError('audioFilter', { detail: noiseCancellation.moduleId })
    this.#track = track
    this.#processor = noiseCancellation as FrameProcessor<AudioFrame> | undefined
    this.#closesProcessor = autoCloseNoiseCancellation
    this.#reader = new OwnAudioStream(track.own, form).getReader()
    if (this.#processor !== undefined) track.context.add(this.#processor)
  }

  async pull(controller: ReadableStreamDefaultController<AudioFrame>): Promise<void> {
    const { value } = await this.#reader.read()
    if (this.#over) return
    if (value === undefined) {
      this.#end()
      controller.close()
    } else controller.enqueue(this.#process(value))
  }

  async cancel(): Promise<void> {
    this.#end()
    await this.#reader.cancel()
  }

  #process(frame: AudioFrame): AudioFrame {
    if (this.#processor?.isEnabled() !== true) return frame
    try {
      return this.#processor.process(frame)
    } catch (error) {
      log('warn', 'media', `a frame processor failed, and its frame is passed on as it was: ${String(error)}`)
      return frame
    }
  }

  #end(): void {
    if (this.#over) return
    this.#over = true
    if (this.#processor === undefined) return
    this.#track.context.remove(this.#processor)
    if (this.#closesProcessor) this.#processor.close()
  }
}

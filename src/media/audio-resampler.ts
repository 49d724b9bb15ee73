/** Converts audio to another sample rate. */
import * as check from '../base/arguments'
import { AudioProcessingError } from '../base/errors'
import { environment } from '../native/environment'
import type { NativeResampler } from '../native/native'
import { AudioFrame, checkedFrame, MAX_SAMPLE_RATE } from './audio-frame'
import type { CapturedFrame } from './audio-frame'

/**
 * How good an {@link AudioResampler} is: the share of the lower rate's band that it passes, by how long it delays the
 * sound. Names and numbers are those of `@livekit/rtc-node`. What is beyond the band is damped by 80 dB and more with
 * each of them.
 */
export const AudioResamplerQuality = {
  /** Passes 43 % of the band, and delays by 16 samples of the lower rate. */
  QUICK: 0,
  /** 70 %, 32 samples. */
  LOW: 1,
  /** 85 %, 64 samples: 4 ms if the lower rate is 16 kHz. */
  MEDIUM: 2,
  /** 90 %, 96 samples. */
  HIGH: 3,
  /** 92 %, 128 samples. */
  VERY_HIGH: 4,
} as const

/** One of the values of {@link AudioResamplerQuality}. */
export type AudioResamplerQuality = (typeof AudioResamplerQuality)[keyof typeof AudioResamplerQuality]

/**
 * Converts a sound to another sample rate.
 *
 *     const resampler = new AudioResampler(44_100, 16_000)
 *     for (const frame of frames) recognizer.write(...resampler.push(frame))
 *     recognizer.write(...resampler.flush())
 *
 * The converted sound is as long as the original one, and in step with it. It works on the thread of the caller.
 * `AudioStream` and `AudioSource` convert by themselves; they need none.
 */
export class AudioResampler {
  /** Samples a second and channel of what is pushed. */
  readonly inputRate: number
  /** Samples a second and channel of what is returned. */
  readonly outputRate: number
  /** 1 or 2. */
  readonly channels: number
  readonly #native: NativeResampler
  #closed = false

  /**
   * @param inputRate samples a second and channel, 8000 to 192,000
   * @param outputRate samples a second and channel, 8000 to 192,000
   * @param channels 1 or 2. Default: 1
   * @param quality Default: `AudioResamplerQuality.MEDIUM`
   * @throws `TypeError` or `RangeError` that names the argument
   */
  constructor(
    inputRate: number,
    outputRate: number,
    channels = 1,
    quality: AudioResamplerQuality = AudioResamplerQuality.MEDIUM,
  ) {
    this.inputRate = check.requiredInteger('inputRate', inputRate, 8000, MAX_SAMPLE_RATE)
    this.outputRate = check.requiredInteger('outputRate', outputRate, 8000, MAX_SAMPLE_RATE)
    this.channels = check.integer('channels', channels, 1, 1, 2)
    const checked = check.integer('quality', quality, AudioResamplerQuality.MEDIUM, 0, 4)
    this.#native = environment().binding.createResampler(inputRate, outputRate, this.channels, checked)
  }

  /** Whether {@link close} was called. */
  get isClosed(): boolean {
    return this.#closed
  }

  /**
   * Converts a frame of any length.
   *
   * @returns what is ready, in one frame, with the `userdata` of the frame that was pushed; an empty array if nothing
   * is. The last samples wait for the next frame or for {@link flush}
   * @throws `AudioProcessingError` (`closed`); `TypeError` or `RangeError` that names what is wrong with the frame
   */
  push(frame: CapturedFrame & { readonly userdata?: Record<string, unknown> }): AudioFrame[] {
    const { data, userdata } = checkedFrame('frame', frame, this.inputRate, this.channels)
    this.#checkOpen()
    const bytes = check.bytes('frame.data', new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
    return this.#framesOf(this.#native.push(bytes), userdata)
  }

  /**
   * Ends the sound. What is pushed after that begins a new one.
   *
   * @returns the rest of it, in one frame; an empty array if there is none
   * @throws `AudioProcessingError` (`closed`)
   */
  flush(): AudioFrame[] {
    this.#checkOpen()
    return this.#framesOf(this.#native.flush())
  }

  /** Frees its memory at once, and not only when the object is collected. What was not flushed is lost. Idempotent. */
  close(): void {
    this.#closed = true
    this.#native.close()
  }

  /** The same as {@link close}, for `using`. */
  [Symbol.dispose](): void {
    this.close()
  }

  #checkOpen(): void {
    if (this.#closed) throw new AudioProcessingError('closed')
  }

  #framesOf(bytes: Uint8Array, userdata?: Record<string, unknown>): AudioFrame[] {
    if (bytes.length === 0) return []
    const data = new Int16Array(bytes.buffer)
    return [new AudioFrame(data, this.outputRate, this.channels, data.length / this.channels, userdata)]
  }
}

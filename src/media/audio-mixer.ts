/** Mixes the frames of several streams into one. */
import * as check from '../base/arguments'
import { Deferred } from '../base/abort'
import { AudioProcessingError } from '../base/errors'
import { log } from '../base/logging'
import { AudioFrame, MAX_SAMPLE_RATE } from './audio-frame'
import { MixerInput } from './mixer-input'
import type { FrameStream } from './mixer-input'

/** @internal The most mixed frames that may wait. */
export const MAX_CAPACITY = 10_000

/** Options of an {@link AudioMixer}. The names are those of `@livekit/rtc-node`. */
export interface AudioMixerOptions {
  /** Samples of each channel in a mixed frame, 1 to ten seconds. Default, and for 0: a tenth of the sample rate. */
  readonly blocksize?: number | undefined
  /**
   * ms for which the mixer waits for the next frame of a stream, 1 to 600,000. Then it mixes without the stream until
   * the frame is there. Default: 100.
   */
  readonly streamTimeoutMs?: number | undefined
  /** Mixed frames that may wait for the program, 1 to 10,000. Then the mixer takes no more of its streams. Default: 100. */
  readonly capacity?: number | undefined
  /**
   * Called when a stream fails, or has a frame of another rate or with other channels. The mixer goes on without that
   * stream. Default: the error is logged as a warning.
   */
  readonly onStreamError?: ((error: unknown, stream: FrameStream) => void) | undefined
}

/**
 * Mixes the frames of several streams into one stream: samples that sound at the same time are added, and kept within
 * 16 bits.
 *
 *     const mixer = new AudioMixer(48_000, 1)
 *     for (const track of tracks) mixer.addStream(new AudioStream(track))
 *     for await (const frame of mixer) await source.captureFrame(frame)
 *
 * The mixer takes frames of all streams at the same pace. A stream that has nothing in time is silent. The loop ends
 * when all streams have ended, after {@link endInput} or without; leaving the loop does not end the mixer, so that the
 * program can go on reading later.
 */
export class AudioMixer implements AsyncIterable<AudioFrame> {
  /** Samples a second and channel, of the streams and of the mixed frames. */
  readonly sampleRate: number
  /** 1 or 2. */
  readonly numChannels: number
  readonly #blocksize: number
  readonly #timeout: number
  readonly #capacity: number
  readonly #failed: (error: unknown, stream: FrameStream) => void
  readonly #inputs = new Map<FrameStream, MixerInput>()
  readonly #frames: AudioFrame[] = []
  readonly #readers: Deferred<IteratorResult<AudioFrame, undefined>>[] = []
  readonly #closing = new Deferred<void>()
  /** Settled when a stream is added, the input ends, or a frame is taken. */
  #wake = new Deferred<void>()
  /** No stream may be added any more. */
  #ending = false
  #closed = false
  /** No frame will be made any more. */
  #over = false
  readonly #mixing: Promise<void>

  /**
   * @param sampleRate samples a second and channel, 1 to 192,000
   * @param numChannels 1 or 2
   * @throws `TypeError` or `RangeError` that names the argument
   */
  constructor(sampleRate: number, numChannels: number, options: AudioMixerOptions = {}) {
    this.sampleRate = check.requiredInteger('sampleRate', sampleRate, 1, MAX_SAMPLE_RATE)
    this.numChannels = check.requiredInteger('numChannels', numChannels, 1, 2)
    const { blocksize, streamTimeoutMs, capacity, onStreamError } = check.options('options', options)
    const block = check.integer('options.blocksize', blocksize, 0, 0, 10 * MAX_SAMPLE_RATE)
    this.#blocksize = block === 0 ? Math.max(Math.floor(sampleRate / 10), 1) : block
    this.#timeout = check.integer('options.streamTimeoutMs', streamTimeoutMs, 100, 1, 600_000)
    this.#capacity = check.integer('options.capacity', capacity, 100, 1, MAX_CAPACITY)
    if (onStreamError !== undefined && typeof onStreamError !== 'function')
      throw check.invalidType('options.onStreamError', 'a function', onStreamError)
    this.#failed = onStreamError ?? logError
    this.#mixing = this.#run()
  }

  /**
   * Adds a stream: an `AudioStream`, or any other async iterable of frames. Adding it again does nothing.
   *
   * @throws `AudioProcessingError` (`closed`) after {@link endInput}, {@link aclose} or the end of all streams;
   * `TypeError` if it is no async iterable
   */
  addStream(stream: FrameStream): void {
    const given: unknown = stream
    if (!check.isObject(given) || typeof (given as Partial<FrameStream>)[Symbol.asyncIterator] !== 'function')
      throw check.invalidType('stream', 'an async iterable of AudioFrames', stream)
    if (this.#ending) throw new AudioProcessingError('closed')
    if (this.#inputs.has(stream)) return
    const input = new MixerInput(stream, this.sampleRate, this.numChannels, this.#closing.promise)
    this.#inputs.set(stream, input)
    this.#wake.resolve()
  }

  /** Takes a stream out, and ends its iteration, as leaving a loop does. Does nothing for a stream that is not in. */
  removeStream(stream: FrameStream): void {
    this.#inputs.get(stream)?.leave()
    this.#inputs.delete(stream)
    this.#wake.resolve()
  }

  /** No streams will be added any more. Those that are in are mixed to their ends, and then the loop ends. */
  endInput(): void {
    this.#ending = true
    this.#wake.resolve()
  }

  /** Ends the mixer at once. Frames that were not taken are dropped, and all streams are taken out. Idempotent. */
  async aclose(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true
      this.#ending = true
      for (const stream of [...this.#inputs.keys()]) this.removeStream(stream)
      this.#frames.length = 0
      this.#closing.resolve()
    }
    await this.#mixing
  }

  /** The same as {@link aclose}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.aclose()
  }

  /** The mixed frames. Several iterators share them: each frame goes to one of them. */
  [Symbol.asyncIterator](): AsyncIterator<AudioFrame, undefined> {
    return { next: () => this.#next() }
  }

  #next(): Promise<IteratorResult<AudioFrame, undefined>> {
    const frame = this.#frames.shift()
    if (frame !== undefined) {
      this.#wake.resolve()
      return Promise.resolve({ done: false, value: frame })
    }
    if (this.#over) return Promise.resolve({ done: true, value: undefined })
    const reader = new Deferred<IteratorResult<AudioFrame, undefined>>()
    this.#readers.push(reader)
    return reader.promise
  }

  async #run(): Promise<void> {
    // The streams that are added right after the mixer was made are in its first frame.
    await Promise.resolve()
    while (!this.#closed && !(this.#ending && this.#inputs.size === 0)) {
      if (this.#inputs.size === 0 || this.#frames.length >= this.#capacity) await this.#changed()
      else await this.#mix()
    }
    this.#over = true
    for (const reader of this.#readers.splice(0)) reader.resolve({ done: true, value: undefined })
  }

  async #changed(): Promise<void> {
    this.#wake = new Deferred<void>()
    await Promise.race([this.#wake.promise, this.#closing.promise])
  }

  /** Makes a frame of what all streams have. */
  async #mix(): Promise<void> {
    const values = this.#blocksize * this.numChannels
    const inputs = [...this.#inputs.values()]
    await Promise.all(inputs.map((input) => input.gather(values, this.#timeout)))
    if (this.#closed) return
    const sum = new Int32Array(values)
    let mixed = false
    for (const input of inputs) {
      if (!this.#has(input)) continue
      mixed = input.addTo(sum) || mixed
      if (input.error !== undefined) this.#report(input)
      if (!input.isExhausted) continue
      this.#inputs.delete(input.stream)
      if (this.#inputs.size === 0) this.#ending = true
    }
    if (mixed)
      this.#offer(new AudioFrame(within16Bits(sum), this.sampleRate, this.numChannels, this.#blocksize))
  }

  /** Whether the input is still in: it may have been taken out while its frames were awaited. */
  #has(input: MixerInput): boolean {
    return this.#inputs.get(input.stream) === input
  }

  #offer(frame: AudioFrame): void {
    const reader = this.#readers.shift()
    if (reader === undefined) this.#frames.push(frame)
    else reader.resolve({ done: false, value: frame })
  }

  #report(input: MixerInput): void {
    const { error } = input
    input.error = undefined
    try {
      this.#failed(error?.reason, input.stream)
    } catch (thrown) {
      logError(thrown)
    }
  }
}

function within16Bits(sum: Int32Array): Int16Array {
  const samples = new Int16Array(sum.length)
  for (let index = 0; index < sum.length; index += 1)
    samples[index] = Math.max(-0x8000, Math.min(0x7fff, sum[index] ?? 0))
  return samples
}

function logError(error: unknown): void {
  log('warn', 'datatrack::audio', `a stream of an audio mixer failed: ${String(error)}`)
}

/** A piece of audio. */
import { types } from 'node:util'
import * as check from '../base/arguments'

/** @internal The most samples of each channel in a frame that {@link AudioFrame.create} makes. */
const MAX_SAMPLES = 0x1000_0000

/** @internal The most samples a second and channel of a frame, and of what converts frames. */
export const MAX_SAMPLE_RATE = 192_000

/** 16-bit samples of one or two channels. The names are those of `@livekit/rtc-node`. */
export class AudioFrame {
  /**
   * The samples, interleaved: left, right, left, … for two channels. In frames that this package makes it owns the whole
   * of its `buffer`.
   */
  readonly data: Int16Array
  /** Samples a second and channel. */
  readonly sampleRate: number
  /** 1 or 2. */
  readonly channels: number
  /** Samples of each channel. */
  readonly samplesPerChannel: number
  #userdata: Record<string, unknown> | undefined

  /**
   * A frame of these samples, which are not copied. What takes frames checks that the numbers agree with each other.
   *
   * @param userdata what the program wants to keep with the frame. It stays in the process. Default: an empty object
   */
  constructor(
    data: Int16Array,
    sampleRate: number,
    channels: number,
    samplesPerChannel: number,
    userdata?: Record<string, unknown>,
  ) {
    this.data = data
    this.sampleRate = sampleRate
    this.channels = channels
    this.samplesPerChannel = samplesPerChannel
    this.#userdata = userdata
  }

  /**
   * A frame of silence, whose `data` the program can fill.
   *
   * @param sampleRate samples a second and channel, 1 to 192,000
   * @param channels 1 or 2
   * @param samplesPerChannel samples of each channel, 0 to 2^28
   * @param userdata what the program wants to keep with the frame
   * @throws `TypeError` or `RangeError` that names the argument
   */
  static create(
    sampleRate: number,
    channels: number,
    samplesPerChannel: number,
    userdata?: Record<string, unknown>,
  ): AudioFrame {
    check.requiredInteger('sampleRate', sampleRate, 1, MAX_SAMPLE_RATE)
    check.requiredInteger('channels', channels, 1, 2)
    check.requiredInteger('samplesPerChannel', samplesPerChannel, 0, MAX_SAMPLES)
    const data = new Int16Array(channels * samplesPerChannel)
    return new AudioFrame(data, sampleRate, channels, samplesPerChannel, userdata)
  }

  /** How long the frame takes to play, in ms. */
  get durationMs(): number {
    return (1000 * this.samplesPerChannel) / this.sampleRate
  }

  /** What the program keeps with the frame. It is not sent. */
  get userdata(): Record<string, unknown> {
    return (this.#userdata ??= {})
  }
}

/** The form of a frame that is taken: that of an {@link AudioFrame}, of this package or of `@livekit/rtc-node`. */
export type CapturedFrame = Pick<AudioFrame, 'data' | 'sampleRate' | 'channels' | 'samplesPerChannel'>

/**
 * Combines frames into one, with the samples of all in their order. A single frame that is not in an array is returned
 * as it is.
 *
 * @returns a frame with samples of its own, and with the `userdata` of all: of later frames if names are equal
 * @throws `TypeError` or `RangeError` that names the frame: an empty array, rates or channels that differ from those of
 * the first frame, or samples that are not as many as a frame says
 */
export function combineAudioFrames(frames: AudioFrame | readonly AudioFrame[]): AudioFrame {
  if (!Array.isArray(frames)) return checkedFrame('frames', frames as AudioFrame)
  const list = frames as readonly AudioFrame[]
  const [first] = list
  if (first === undefined) throw check.outOfRange('frames.length', '>= 1', list.length)
  const { sampleRate, channels } = checkedFrame('frames[0]', first)
  let samples = 0
  list.forEach((frame, index) => {
    samples += checkedFrame(`frames[${index}]`, frame, sampleRate, channels).samplesPerChannel
  })
  const data = new Int16Array(samples * channels)
  const userdata: Record<string, unknown> = {}
  let at = 0
  for (const frame of list) {
    data.set(frame.data, at)
    at += frame.data.length
    Object.assign(userdata, frame.userdata)
  }
  return new AudioFrame(data, sampleRate, channels, samples, userdata)
}

/** @internal A frame whose numbers agree with each other, and with those that are given. */
export function checkedFrame<T extends CapturedFrame>(
  name: string,
  frame: T,
  rate?: number,
  count?: number,
): T {
  if (!check.isObject(frame)) throw check.invalidType(name, 'an AudioFrame', frame)
  const { data, sampleRate, channels, samplesPerChannel } = frame
  if (!types.isInt16Array(data)) throw check.invalidType(`${name}.data`, 'an Int16Array', data)
  if (rate !== undefined && sampleRate !== rate)
    throw check.outOfRange(`${name}.sampleRate`, `${rate}`, sampleRate)
  if (count !== undefined && channels !== count)
    throw check.outOfRange(`${name}.channels`, `${count}`, channels)
  if (rate === undefined) check.requiredInteger(`${name}.sampleRate`, sampleRate, 1, MAX_SAMPLE_RATE)
  if (count === undefined) check.requiredInteger(`${name}.channels`, channels, 1, 2)
  if (data.length !== samplesPerChannel * channels)
    throw check.outOfRange(`${name}.data.length`, `${samplesPerChannel * channels}`, data.length)
  return frame
}

/** A piece of audio. */

/** 16-bit samples of one or two channels. The names are those of `@livekit/rtc-node`. */
export class AudioFrame {
  /** The samples, interleaved: left, right, left, … for two channels. It owns the whole of its `buffer`. */
  readonly data: Int16Array
  /** Samples a second and channel. */
  readonly sampleRate: number
  /** 1 or 2. */
  readonly channels: number
  /** Samples of each channel. */
  readonly samplesPerChannel: number

  constructor(data: Int16Array, sampleRate: number, channels: number, samplesPerChannel: number) {
    this.data = data
    this.sampleRate = sampleRate
    this.channels = channels
    this.samplesPerChannel = samplesPerChannel
  }

  /** How long the frame takes to play, in ms. */
  get durationMs(): number {
    return (1000 * this.samplesPerChannel) / this.sampleRate
  }
}

/** Tracks of this package that have tones. */
import { AudioFrame, AudioSource, LocalAudioTrack } from '../../index'

/** The amplitude of the tones. */
export const AMPLITUDE = 12_000

/** A track whose source has a sine for each channel, until it is closed. */
export class Tone {
  readonly source: AudioSource
  readonly track: LocalAudioTrack
  readonly #playing: Promise<void>

  constructor(name: string, tones: readonly number[], sampleRate = 48_000, frameMs = 20) {
    this.source = new AudioSource(sampleRate, tones.length, 200)
    this.track = LocalAudioTrack.createAudioTrack(name, this.source)
    this.#playing = this.#play(tones, (sampleRate * frameMs) / 1000)
  }

  async #play(tones: readonly number[], samples: number): Promise<void> {
    const { sampleRate, numChannels } = this.source
    for (let at = 0; !this.source.isClosed; at += samples) {
      const data = new Int16Array(samples * numChannels)
      for (let index = 0; index < samples; index++) {
        for (const [channel, tone] of tones.entries()) {
          const angle = (2 * Math.PI * tone * (at + index)) / sampleRate
          data[index * numChannels + channel] = AMPLITUDE * Math.sin(angle)
        }
      }
      await this.source.captureFrame(new AudioFrame(data, sampleRate, numChannels, samples)).catch(() => {})
    }
  }

  async close(): Promise<void> {
    await this.track.close()
    await this.#playing
  }
}

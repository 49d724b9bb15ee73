/** Tones, and what is heard of them. */
import { AudioFrame } from '../../index'

/** `ms` of a sine with a level of 10,000, from the sample number `at` on, on each channel. */
export function toneOf(
  tone: number,
  sampleRate: number,
  ms: number,
  { at = 0, channels = 1 } = {},
): AudioFrame {
  const frame = AudioFrame.create(sampleRate, channels, Math.round((sampleRate * ms) / 1000))
  for (let index = 0; index < frame.data.length; index += 1) {
    const angle = (2 * Math.PI * tone * (at + Math.floor(index / channels))) / sampleRate
    frame.data[index] = Math.round(10_000 * Math.sin(angle))
  }
  return frame
}

/** The share of one channel's energy that has that frequency, and the level of the channel. */
export function heard(
  { data, sampleRate, channels }: AudioFrame,
  tone: number,
  channel = 0,
): { readonly share: number; readonly level: number } {
  let [real, imaginary, energy, count] = [0, 0, 0, 0]
  for (let index = channel; index < data.length; index += channels) {
    const sample = data[index] ?? 0
    const angle = (2 * Math.PI * tone * count) / sampleRate
    real += sample * Math.sin(angle)
    imaginary += sample * Math.cos(angle)
    energy += sample * sample
    count += 1
  }
  if (energy === 0) return { share: 0, level: 0 }
  return {
    share: (2 * (real * real + imaginary * imaginary)) / (count * energy),
    level: Math.sqrt((2 * energy) / count),
  }
}

/** Resamplers, as programs use them. The filters themselves are tested in `crates/media`. */
import { describe, expect, it } from 'vitest'
import {
  AudioFrame,
  AudioProcessingError,
  AudioResampler,
  AudioResamplerQuality,
  combineAudioFrames,
  debug,
} from '../../index'
import { heard, toneOf } from '../helpers/tones'

describe('a resampler', () => {
  it.each([
    [44_100, 16_000, 1],
    [16_000, 48_000, 2],
    [8000, 192_000, 1],
    [192_000, 8000, 2],
    [47_999, 11_025, 1],
    [24_000, 24_000, 2],
  ])('converts %i Hz to %i Hz, %i channels', (from, to, channels) => {
    for (const quality of Object.values(AudioResamplerQuality)) {
      const resampler = new AudioResampler(from, to, channels, quality)
      const tone = toneOf(1000, from, 500, { channels })
      const frames: AudioFrame[] = []
      const portion = channels * 441
      for (let at = 0; at < tone.data.length; at += portion) {
        const data = tone.data.subarray(at, at + portion)
        frames.push(...resampler.push(new AudioFrame(data, from, channels, data.length / channels)))
      }
      frames.push(...resampler.flush())
      const all = combineAudioFrames(frames)
      expect(all).toMatchObject({ sampleRate: to, channels })
      expect(Math.abs(all.samplesPerChannel - tone.samplesPerChannel * (to / from))).toBeLessThan(1)
      for (let channel = 0; channel < channels; channel += 1) {
        const { share, level } = heard(all, 1000, channel)
        expect(share).toBeGreaterThan(0.999)
        expect(Math.abs(level / 10_000 - 1)).toBeLessThan(0.01)
      }
      resampler.close()
    }
  })

  it('returns frames that own their samples, with what the program keeps beside the pushed one', () => {
    using resampler = new AudioResampler(48_000, 24_000)
    const userdata = { speaker: 'ann' }
    const [frame] = resampler.push({ ...fieldsOf(toneOf(440, 48_000, 20)), userdata })
    expect(frame?.userdata).toBe(userdata)
    expect(frame?.data.buffer.byteLength).toBe(frame?.data.byteLength)
  })

  it('returns nothing while it has nothing, and begins a new sound after the end of one', () => {
    const resampler = new AudioResampler(48_000, 16_000)
    expect(resampler.flush()).toEqual([])
    expect(resampler.push(AudioFrame.create(48_000, 1, 0))).toEqual([])
    expect(resampler.push(AudioFrame.create(48_000, 1, 3))).toEqual([])
    const first = resampler.flush()
    expect(first.map(({ samplesPerChannel }) => samplesPerChannel)).toEqual([1])
    const tone = toneOf(440, 48_000, 40)
    const once = combineAudioFrames([...resampler.push(tone), ...resampler.flush()])
    const again = combineAudioFrames([...resampler.push(tone), ...resampler.flush()])
    expect(again.data).toEqual(once.data)
  })

  it('needs no end, and has none of the things that the program has to end', () => {
    const before = debug.handles()
    new AudioResampler(8000, 16_000)
    expect(debug.handles()).toEqual(before)
  })

  it('refuses everything after its end', () => {
    const resampler = new AudioResampler(8000, 16_000)
    expect(resampler.isClosed).toBe(false)
    resampler.close()
    resampler.close()
    expect(resampler.isClosed).toBe(true)
    expect(() => resampler.push(AudioFrame.create(8000, 1, 80))).toThrow(AudioProcessingError)
    expect(() => resampler.flush()).toThrow(
      expect.objectContaining({ reason: 'closed', code: 'ERR_DATATRACK_AUDIO_PROCESSING' }),
    )
  })

  it.each([
    ['inputRate', [7999, 8000]],
    ['inputRate', [192_001, 8000]],
    ['outputRate', [8000, 0]],
    ['outputRate', [8000, 16_000.5]],
    ['channels', [8000, 16_000, 3]],
    ['channels', [8000, 16_000, 0]],
    ['quality', [8000, 16_000, 1, 5]],
  ])('refuses a wrong %s: %j', (name, [from, to, channels, quality]) => {
    const make = (): unknown => new AudioResampler(from!, to!, channels, quality as AudioResamplerQuality)
    expect(make).toThrow(
      expect.objectContaining({ name: 'RangeError', message: expect.stringContaining(`"${name}"`) }),
    )
  })

  it('refuses wrong frames', () => {
    using resampler = new AudioResampler(8000, 16_000, 2)
    for (const [name, frame] of [
      ['frame.sampleRate', AudioFrame.create(16_000, 2, 1)],
      ['frame.channels', AudioFrame.create(8000, 1, 1)],
      ['frame.data.length', new AudioFrame(new Int16Array(3), 8000, 2, 2)],
    ] as const)
      expect(() => resampler.push(frame)).toThrow(
        expect.objectContaining({ name: 'RangeError', message: expect.stringContaining(`"${name}"`) }),
      )
    const push = (given: unknown): unknown => resampler.push(given as AudioFrame)
    expect(() => push(undefined)).toThrow(TypeError)
    const shared = new Int16Array(new SharedArrayBuffer(4))
    expect(() => push(new AudioFrame(shared, 8000, 2, 1))).toThrow(TypeError)
  })
})

function fieldsOf({ data, sampleRate, channels, samplesPerChannel }: AudioFrame): {
  readonly [name in 'data' | 'sampleRate' | 'channels' | 'samplesPerChannel']: AudioFrame[name]
} {
  return { data, sampleRate, channels, samplesPerChannel }
}

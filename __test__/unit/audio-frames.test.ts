/** Frames of audio: how a program makes and combines them. */
import { describe, expect, it } from 'vitest'
import { AudioFrame, combineAudioFrames } from '../../index'

const frameOf = (samples: number[], channels = 1, userdata?: Record<string, unknown>): AudioFrame =>
  new AudioFrame(new Int16Array(samples), 16_000, channels, samples.length / channels, userdata)

const isTypeError = (naming: string): unknown =>
  expect.objectContaining({
    name: 'TypeError',
    code: 'ERR_INVALID_ARG_TYPE',
    message: expect.stringContaining(`"${naming}"`) as unknown,
  })

const isRangeError = (naming: string): unknown =>
  expect.objectContaining({
    name: 'RangeError',
    code: 'ERR_OUT_OF_RANGE',
    message: expect.stringContaining(`"${naming}"`) as unknown,
  })

describe('AudioFrame.create', () => {
  it('makes silence that the program can fill', () => {
    const frame = AudioFrame.create(24_000, 2, 240)
    expect(frame).toMatchObject({ sampleRate: 24_000, channels: 2, samplesPerChannel: 240, durationMs: 10 })
    expect(frame.data).toEqual(new Int16Array(480))
    expect(frame.data.buffer.byteLength).toBe(960)
    expect(AudioFrame.create(8000, 1, 0).durationMs).toBe(0)
  })

  it('keeps what the program wants to keep with a frame, for each frame apart', () => {
    expect(AudioFrame.create(8000, 1, 80, { speaker: 'ann' }).userdata).toEqual({ speaker: 'ann' })
    const [one, other] = [AudioFrame.create(8000, 1, 80), AudioFrame.create(8000, 1, 80)]
    one.userdata['speaker'] = 'bob'
    expect(one.userdata).toEqual({ speaker: 'bob' })
    expect(other.userdata).toEqual({})
  })

  it.each([
    ['sampleRate', [0, 1, 1]],
    ['sampleRate', [192_001, 1, 1]],
    ['sampleRate', [Number.NaN, 1, 1]],
    ['channels', [8000, 0, 1]],
    ['channels', [8000, 3, 1]],
    ['samplesPerChannel', [8000, 1, -1]],
    ['samplesPerChannel', [8000, 1, 1.5]],
    ['samplesPerChannel', [8000, 1, 2 ** 28 + 1]],
  ] as const)('refuses another %s than there can be: %j', (name, [rate, channels, samples]) => {
    let thrown: unknown
    try {
      AudioFrame.create(rate, channels, samples)
    } catch (error) {
      thrown = error
    }
    expect(thrown).toEqual(isRangeError(name))
  })

  it('refuses what is no number', () => {
    const create = (given: readonly unknown[]): unknown =>
      AudioFrame.create(...(given as [number, number, number]))
    for (const [name, given] of [
      ['sampleRate', ['8000', 1, 1]],
      ['channels', [8000, undefined, 1]],
      ['samplesPerChannel', [8000, 1, null]],
    ] as const)
      expect(() => create(given)).toThrow(isTypeError(name))
  })
})

describe('combineAudioFrames', () => {
  it('puts the samples of all into one frame, in order', () => {
    const left = frameOf([1, 2, 3, 4], 2, { a: 1, b: 1 })
    // The second one is a part of a larger array.
    const right = new AudioFrame(new Int16Array([0, 5, 6, 0]).subarray(1, 3), 16_000, 2, 1, { b: 2 })
    const combined = combineAudioFrames([left, right])
    expect(combined).toMatchObject({ sampleRate: 16_000, channels: 2, samplesPerChannel: 3 })
    expect([...combined.data]).toEqual([1, 2, 3, 4, 5, 6])
    expect(combined.data.byteLength).toBe(combined.data.buffer.byteLength)
    expect(combined.userdata).toEqual({ a: 1, b: 2 })
    combined.data.fill(0)
    expect([...left.data]).toEqual([1, 2, 3, 4])
  })

  it('returns a single frame as it is', () => {
    const frame = frameOf([1])
    expect(combineAudioFrames(frame)).toBe(frame)
    expect(combineAudioFrames([frame])).not.toBe(frame)
  })

  it('combines as many frames as six minutes have', () => {
    const frames = Array.from({ length: 36_000 }, (_, index) => frameOf([index % 100]))
    expect(combineAudioFrames(frames).samplesPerChannel).toBe(36_000)
  })

  it.each([
    ['frames.length', []],
    ['frames[1].sampleRate', [frameOf([1]), new AudioFrame(new Int16Array(1), 8000, 1, 1)]],
    ['frames[1].channels', [frameOf([1]), frameOf([1, 2], 2)]],
    ['frames[0].channels', [new AudioFrame(new Int16Array(3), 8000, 3, 1)]],
    ['frames[0].data.length', [new AudioFrame(new Int16Array(3), 8000, 1, 2)]],
    ['frames[0].sampleRate', [new AudioFrame(new Int16Array(3), 0, 1, 3)]],
  ])('refuses wrong frames: %s', (name, frames) => {
    expect(() => combineAudioFrames(frames)).toThrow(isRangeError(name))
  })

  it('refuses what is no frame', () => {
    const combine = combineAudioFrames as (given: unknown) => AudioFrame
    for (const [name, given] of [
      ['frames', undefined],
      ['frames', 'frame'],
      ['frames[0]', [null]],
      ['frames.data', {}],
      [
        'frames[1].data',
        [frameOf([1]), { data: new Uint8Array(2), sampleRate: 16_000, channels: 1, samplesPerChannel: 1 }],
      ],
    ] as const)
      expect(() => combine(given)).toThrow(isTypeError(name))
  })
})

/** Sources of audio tracks, without a room: what they take, and when. The pacing itself is tested in `crates/media`. */
import { afterEach, describe, expect, it } from 'vitest'
import { MAX_QUEUE } from '../../src/media/audio-source'
import { AudioFrame, AudioSource, AudioSourceError, debug } from '../../index'

const sources: AudioSource[] = []

function sourceOf(...options: ConstructorParameters<typeof AudioSource>): AudioSource {
  const source = new AudioSource(...options)
  sources.push(source)
  return source
}

afterEach(async () => {
  for (const source of sources.splice(0)) await source.close()
  expect(debug.handles().filter(({ kind }) => kind === 'audioSource')).toEqual([])
})

const frame = (ms: number, sampleRate = 48_000, channels = 1): AudioFrame => {
  const samples = (sampleRate * ms) / 1000
  return new AudioFrame(new Int16Array(samples * channels).fill(1), sampleRate, channels, samples)
}

describe('a source', () => {
  it('takes what fits at once, and the rest in real time', async () => {
    const source = sourceOf(48_000, 1, 100)
    await source.captureFrame(frame(60))
    expect(source.queuedDuration).toBeGreaterThan(30)
    const settled: string[] = []
    const calls = ['first', 'second', 'third'].map(async (name) => {
      await source.captureFrame(frame(100))
      settled.push(name)
    })
    expect(source.queuedDuration).toBeGreaterThan(200)
    await Promise.all(calls)
    expect(settled).toEqual(['first', 'second', 'third'])
    await source.waitForPlayout()
    expect(source.queuedDuration).toBe(0)
  })

  it('of sound in real time keeps no more than 40 ms and one call, and drops what is older', async () => {
    const source = sourceOf(48_000, 1, 0)
    const calls = Array.from({ length: 100 }, () => source.captureFrame(frame(20)))
    const [queued, dropped] = [source.queuedDuration, source.droppedDuration]
    expect(queued).toBeLessThanOrEqual(60)
    expect(dropped).toBeGreaterThan(1000)
    expect(dropped + queued).toBeLessThanOrEqual(2000)
    await Promise.all(calls)
    // A call that is awaited loses nothing, however long its frame is.
    await source.captureFrame(frame(200))
    await source.captureFrame(frame(0))
    await source.captureFrame(frame(200))
    await source.waitForPlayout()
    expect(source.droppedDuration).toBe(dropped)
    const played = source.waitForPlayout()
    await Promise.all([played, source.captureFrame(frame(100)), source.captureFrame(frame(20))])
    await source.waitForPlayout()
  })

  it('holds MAX_QUEUE ms at most', async () => {
    const source = sourceOf(8000, 1, MAX_QUEUE)
    await source.captureFrame(frame(MAX_QUEUE, 8000))
    const more = source.captureFrame(frame(10_000, 8000))
    expect(source.queuedDuration).toBeGreaterThan(MAX_QUEUE)
    source.clearQueue()
    await more
  })

  it('copies what it is given', async () => {
    const source = sourceOf(48_000, 1, 40)
    const given = frame(200)
    const captured = source.captureFrame(given)
    given.data.fill(7)
    await captured
    await source.waitForPlayout()
  })

  it('drops what waits when the queue is cleared, and all calls resolve', async () => {
    const source = sourceOf(48_000, 2, 1000)
    const calls = [
      source.captureFrame(frame(60_000, 48_000, 2)),
      source.captureFrame(frame(60_000, 48_000, 2)),
    ]
    const played = source.waitForPlayout()
    expect(source.queuedDuration).toBeGreaterThan(119_000)
    source.clearQueue()
    expect(source.queuedDuration).toBe(0)
    await Promise.all([...calls, played])
    await source.captureFrame(frame(20, 48_000, 2))
  })

  it('that is closed rejects what waits and what comes', async () => {
    const source = sourceOf(48_000, 1)
    const waiting = source.captureFrame(frame(10_000))
    const played = source.waitForPlayout()
    const refused = expect(waiting).rejects.toMatchObject({
      code: 'ERR_DATATRACK_AUDIO_SOURCE',
      reason: 'closed',
    })
    await source.close()
    await source.close()
    await Promise.all([refused, played])
    await expect(source.captureFrame(frame(10))).rejects.toBeInstanceOf(AudioSourceError)
    source.clearQueue()
    await source.waitForPlayout()
    expect([source.isClosed, source.queuedDuration]).toEqual([true, 0])
  })

  it('has nothing to do with an empty frame', async () => {
    const source = sourceOf(48_000, 1)
    await source.captureFrame(frame(0))
    expect(source.queuedDuration).toBe(0)
    await source.waitForPlayout()
  })

  it('takes the part of a buffer that a frame has', async () => {
    const source = sourceOf(48_000, 1)
    const whole = new Int16Array(4800)
    await source.captureFrame(new AudioFrame(whole.subarray(960, 1920), 48_000, 1, 960))
    expect(source.queuedDuration).toBeLessThanOrEqual(20)
  })

  it.each([
    [frame(10, 24_000), RangeError, 'frame.sampleRate'],
    [frame(10, 48_000, 2), RangeError, 'frame.channels'],
    [new AudioFrame(new Int16Array(10), 48_000, 1, 11), RangeError, 'frame.data.length'],
    [new AudioFrame(new Uint8Array(10) as never, 48_000, 1, 10), TypeError, 'frame.data'],
    [new AudioFrame(new Int16Array(new SharedArrayBuffer(20)), 48_000, 1, 10), TypeError, 'frame.data'],
    [undefined, TypeError, 'frame'],
  ])('refuses a frame (%#)', async (given, type, name) => {
    const source = sourceOf(48_000, 1)
    const refused = source.captureFrame(given as never)
    await expect(refused).rejects.toBeInstanceOf(type)
    await expect(refused).rejects.toThrow(name)
    expect(source.queuedDuration).toBe(0)
  })

  it.each([
    [[7999, 1], 'sampleRate'],
    [[48_001, 1], 'sampleRate'],
    [[48_000, 0], 'numChannels'],
    [[48_000, 3], 'numChannels'],
    [[48_000, 1, -1], 'queueSize'],
    [[48_000, 1, 600_001], 'queueSize'],
  ] as const)('cannot be made of %j', (options, name) => {
    expect(() => sourceOf(...(options as unknown as [number, number, number]))).toThrow(RangeError)
    expect(() => sourceOf(...(options as unknown as [number, number, number]))).toThrow(name)
  })

  it.each([8000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000])('has a rate of %i', async (sampleRate) => {
    const source = sourceOf(sampleRate, 2, 500)
    await source.captureFrame(frame(400, sampleRate, 2))
    expect(source.queuedDuration).toBeGreaterThan(300)
    expect(source.queuedDuration).toBeLessThanOrEqual(400)
  })
})

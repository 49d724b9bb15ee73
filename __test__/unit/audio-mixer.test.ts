/** Mixers: what they make of the frames of several streams. */
import { setImmediate } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { AudioFrame, AudioMixer, AudioProcessingError } from '../../index'
import type { AudioMixerOptions, FrameStream } from '../../index'
import { MAX_CAPACITY } from '../../src/media/audio-mixer'

const RATE = 1000

const frameOf = (value: number, samples: number, channels = 1, rate = RATE): AudioFrame =>
  new AudioFrame(new Int16Array(samples * channels).fill(value), rate, channels, samples)

/** A stream whose frames a test hands out. */
class Hand implements AsyncIterable<AudioFrame> {
  readonly #frames: AudioFrame[] = []
  #asked: ((result: IteratorResult<AudioFrame>) => void)[] = []
  #failing: ((error: Error) => void)[] = []
  asks = 0
  left = false

  give(...frames: AudioFrame[]): void {
    for (const frame of frames) {
      const asked = this.#asked.shift()
      if (asked === undefined) this.#frames.push(frame)
      else asked({ done: false, value: frame })
    }
  }

  fail(error: Error): void {
    this.#failing.shift()?.(error)
  }

  [Symbol.asyncIterator](): AsyncIterator<AudioFrame> {
    return {
      next: () => {
        this.asks += 1
        const frame = this.#frames.shift()
        if (frame !== undefined) return Promise.resolve({ done: false, value: frame })
        return new Promise((resolve, reject) => {
          this.#asked.push(resolve)
          this.#failing.push(reject)
        })
      },
      return: () => {
        this.left = true
        return Promise.resolve({ done: true, value: undefined })
      },
    }
  }
}

async function* streamOf(...frames: AudioFrame[]): AsyncGenerator<AudioFrame> {
  for (const frame of frames) yield await Promise.resolve(frame)
}

const mixerOf = (options: AudioMixerOptions = {}, channels = 1): AudioMixer =>
  new AudioMixer(RATE, channels, { blocksize: 10, ...options })

/** The values of the mixed frames: each of them, or the only one of a frame that has the same everywhere. */
async function mixed(mixer: AudioMixer): Promise<(number | number[])[]> {
  const all: (number | number[])[] = []
  for await (const { data } of mixer) {
    const values = [...new Set(data)]
    all.push(values.length === 1 ? values[0]! : [...data])
  }
  return all
}

describe('a mixer', () => {
  it('adds what sounds at the same time, whatever the lengths of the frames', async () => {
    const mixer = mixerOf()
    mixer.addStream(streamOf(frameOf(100, 25), frameOf(100, 5)))
    mixer.addStream(streamOf(...Array.from({ length: 30 }, () => frameOf(20, 1))))
    expect(await mixed(mixer)).toEqual([120, 120, 120])
  })

  it('makes frames of a tenth of a second, unless told otherwise', async () => {
    for (const [options, samples] of [
      [{}, 2400],
      [{ blocksize: 0 }, 2400],
      [{ blocksize: 77 }, 77],
    ] as const) {
      const mixer = new AudioMixer(24_000, 2, options)
      mixer.addStream(streamOf(frameOf(1, samples, 2, 24_000)))
      const { value } = await mixer[Symbol.asyncIterator]().next()
      expect(value).toMatchObject({ sampleRate: 24_000, channels: 2, samplesPerChannel: samples })
      expect(value?.data.byteLength).toBe(value?.data.buffer.byteLength)
      await mixer.aclose()
    }
  })

  it('keeps the sum within 16 bits', async () => {
    const mixer = mixerOf()
    for (let stream = 0; stream < 3; stream += 1)
      mixer.addStream(streamOf(frameOf(20_000, 10), frameOf(-20_000, 10), frameOf(-5, 10)))
    expect(await mixed(mixer)).toEqual([32_767, -32_768, -15])
  })

  it('fills the last frame of a stream with silence, and ends with the last stream', async () => {
    const mixer = mixerOf()
    mixer.addStream(streamOf(frameOf(1, 12)))
    mixer.addStream(streamOf(frameOf(2, 10)))
    const end = [1, 1, ...Array.from({ length: 8 }, () => 0)]
    expect(await mixed(mixer)).toEqual([3, end])
    expect(() => mixer.addStream(streamOf())).toThrow(AudioProcessingError)
  })

  it('mixes without a stream that has nothing in time, and loses nothing of it', async () => {
    const mixer = mixerOf({ streamTimeoutMs: 1 })
    const [slow, steady] = [new Hand(), new Hand()]
    mixer.addStream(slow)
    mixer.addStream(steady)
    const frames = mixer[Symbol.asyncIterator]()
    steady.give(frameOf(1, 10))
    expect((await frames.next()).value?.data[0]).toBe(1)
    // The frame answers the call for which the mixer did not wait any longer.
    slow.give(frameOf(50, 10))
    steady.give(frameOf(2, 10))
    expect((await frames.next()).value?.data[0]).toBe(52)
    expect(slow.asks).toBeLessThanOrEqual(2)
    await mixer.aclose()
  })

  it('takes streams in and out at any time, and ends the iteration of those that it takes out', async () => {
    const mixer = mixerOf({ streamTimeoutMs: 1 })
    const frames = mixer[Symbol.asyncIterator]()
    const first = frames.next()
    const [one, other] = [new Hand(), new Hand()]
    mixer.addStream(one)
    mixer.addStream(one)
    one.give(frameOf(1, 10))
    expect((await first).value?.data[0]).toBe(1)
    mixer.addStream(other)
    mixer.removeStream(one)
    expect([one.left, other.left]).toEqual([true, false])
    one.give(frameOf(100, 10))
    other.give(frameOf(2, 10))
    expect((await frames.next()).value?.data[0]).toBe(2)
    mixer.removeStream(streamOf())
    await mixer.aclose()
    expect(other.left).toBe(true)
  })

  it('takes no more of its streams than the program takes of it', async () => {
    const mixer = mixerOf({ capacity: 2 })
    const stream = new Hand()
    stream.give(...Array.from({ length: 10 }, (_, index) => frameOf(index, 10)))
    mixer.addStream(stream)
    const settle = async (): Promise<number> => {
      for (let turn = 0; turn < 20; turn += 1) await setImmediate()
      return stream.asks
    }
    expect(await settle()).toBe(2)
    const frames = mixer[Symbol.asyncIterator]()
    expect((await frames.next()).value?.data[0]).toBe(0)
    expect(await settle()).toBe(3)
    await mixer.aclose()
    expect((await frames.next()).done).toBe(true)
  })

  it('holds MAX_CAPACITY frames at most', async () => {
    const mixer = new AudioMixer(RATE, 1, { blocksize: 1, capacity: MAX_CAPACITY })
    let given = 0
    async function* endless(): AsyncGenerator<AudioFrame> {
      for (;;) {
        given += 100
        yield await Promise.resolve(frameOf(1, 100))
      }
    }
    mixer.addStream(endless())
    for (let before = -1; before !== given;) {
      before = given
      for (let turn = 0; turn < 100; turn += 1) await setImmediate()
    }
    expect(given).toBe(MAX_CAPACITY)
    await mixer.aclose()
    expect(() => mixerOf({ capacity: MAX_CAPACITY + 1 })).toThrow(RangeError)
  })

  it('goes on being read after a loop was left', async () => {
    const mixer = mixerOf()
    mixer.addStream(streamOf(frameOf(1, 10), frameOf(2, 10)))
    for await (const { data } of mixer) {
      expect(data[0]).toBe(1)
      break
    }
    expect(await mixed(mixer)).toEqual([2])
  })

  it('ends when its input has ended', async () => {
    const empty = mixerOf()
    const reading = mixed(empty)
    empty.endInput()
    expect(await reading).toEqual([])
    const mixer = mixerOf()
    mixer.addStream(streamOf(frameOf(1, 10), frameOf(2, 10)))
    mixer.endInput()
    expect(() => mixer.addStream(streamOf())).toThrow(
      expect.objectContaining({ reason: 'closed', code: 'ERR_DATATRACK_AUDIO_PROCESSING' }),
    )
    expect(await mixed(mixer)).toEqual([1, 2])
  })

  it('closes at once, whatever its streams wait for', async () => {
    const mixer = mixerOf({ streamTimeoutMs: 600_000 })
    const stream = new Hand()
    mixer.addStream(stream)
    const reading = mixed(mixer)
    await setImmediate()
    await mixer.aclose()
    await mixer[Symbol.asyncDispose]()
    expect(await reading).toEqual([])
    expect(stream.left).toBe(true)
  })
})

describe('a stream that fails', () => {
  it('is taken out, and told once; the others go on', async () => {
    const errors: [unknown, unknown][] = []
    const mixer = mixerOf({ onStreamError: (error, stream) => errors.push([error, stream]) })
    const wrong: FrameStream[] = [
      streamOf(frameOf(7, 10, 1, 8000)),
      streamOf(frameOf(7, 10, 2)),
      streamOf('frame' as unknown as AudioFrame),
      {
        [Symbol.asyncIterator]: () => {
          throw new Error('locked')
        },
      },
    ]
    for (const stream of wrong) mixer.addStream(stream)
    mixer.addStream(streamOf(frameOf(1, 10), frameOf(2, 10)))
    expect(await mixed(mixer)).toEqual([1, 2])
    expect(errors.map(([, stream]) => stream)).toEqual(wrong)
    expect(errors.map(([error]) => String(error))).toEqual([
      expect.stringContaining('"frame.sampleRate"'),
      expect.stringContaining('"frame.channels"'),
      expect.stringContaining('"frame"'),
      'Error: locked',
    ])
  })

  it('is heard to where it failed', async () => {
    const errors: unknown[] = []
    const mixer = mixerOf({
      onStreamError: (error) => {
        errors.push(error)
        throw new Error('of the program')
      },
    })
    const stream = new Hand()
    mixer.addStream(stream)
    const reading = mixed(mixer)
    stream.give(frameOf(3, 10), frameOf(4, 5))
    await setImmediate()
    stream.fail(new Error('lost'))
    expect(await reading).toEqual([3, [4, 4, 4, 4, 4, 0, 0, 0, 0, 0]])
    expect(errors.map(String)).toEqual(['Error: lost'])
  })
})

describe('wrong arguments', () => {
  it.each([
    ['sampleRate', [0, 1]],
    ['sampleRate', [192_001, 1]],
    ['numChannels', [8000, 3]],
    ['options.blocksize', [8000, 1, { blocksize: -1 }]],
    ['options.blocksize', [8000, 1, { blocksize: 1_920_001 }]],
    ['options.streamTimeoutMs', [8000, 1, { streamTimeoutMs: 0 }]],
    ['options.capacity', [8000, 1, { capacity: 0 }]],
    ['options.capacity', [8000, 1, { capacity: 1.5 }]],
    ['options.onStreamError', [8000, 1, { onStreamError: 'log' }]],
    ['options', [8000, 1, 'options']],
  ])('are refused by their names: %s', (name, args) => {
    const make = (): unknown => new AudioMixer(...(args as [number, number]))
    expect(make).toThrow(
      expect.objectContaining({ message: expect.stringContaining(`"${name}"`) as unknown }),
    )
  })

  it('a stream must be an async iterable', async () => {
    const mixer = mixerOf()
    for (const stream of [undefined, 'frames', {}, [frameOf(1, 1)]])
      expect(() => mixer.addStream(stream as unknown as FrameStream)).toThrow(
        /"stream" must be an async iterable/,
      )
    await mixer.aclose()
  })
})

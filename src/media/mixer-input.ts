/** One stream of an audio mixer: its frames that were taken and are not mixed yet. */
import { checkedFrame } from './audio-frame'
import type { CapturedFrame } from './audio-frame'

/** What an `AudioMixer` takes frames from: an `AudioStream`, or any other async iterable of frames. */
export type FrameStream = AsyncIterable<CapturedFrame>

/** @internal See the top of this file. */
export class MixerInput {
  readonly stream: FrameStream
  readonly #sampleRate: number
  readonly #channels: number
  /** Settled when the mixer is closed. */
  readonly #closing: Promise<void>
  #iterator: AsyncIterator<CapturedFrame> | undefined
  /** The call of the iterator that has not been answered. It may be, after the mixer waited for it long enough. */
  #pending: Promise<void> | undefined
  readonly #chunks: Int16Array[] = []
  #values = 0
  #done = false
  /** Why the stream has failed. The mixer takes it. */
  error: { readonly reason: unknown } | undefined

  constructor(stream: FrameStream, sampleRate: number, channels: number, closing: Promise<void>) {
    this.stream = stream
    this.#sampleRate = sampleRate
    this.#channels = channels
    this.#closing = closing
  }

  /** Whether the stream has ended, and all of it was mixed. */
  get isExhausted(): boolean {
    return this.#done && this.#values === 0
  }

  /** Waits until there are so many samples, the stream has ended, or its next frame does not come in time. */
  async gather(values: number, timeout: number): Promise<void> {
    while (this.#values < values && !this.#done) {
      this.#pending ??= this.#take()
      let timer: NodeJS.Timeout | undefined
      const late = new Promise<'late'>((resolve) => {
        timer = setTimeout(() => resolve('late'), timeout)
      })
      const answer = await Promise.race([this.#pending, late, this.#closing.then(() => 'late' as const)])
      clearTimeout(timer)
      if (answer === 'late') return
    }
  }

  /** Adds the samples to the sum, as far as there are some. Returns whether there were any. */
  addTo(sum: Int32Array): boolean {
    let at = 0
    for (let chunk = this.#chunks[0]; chunk !== undefined && at < sum.length; chunk = this.#chunks[0]) {
      const part = chunk.subarray(0, sum.length - at)
      for (const sample of part) {
        sum[at] = (sum[at] ?? 0) + sample
        at += 1
      }
      if (part.length === chunk.length) this.#chunks.shift()
      else this.#chunks[0] = chunk.subarray(part.length)
    }
    this.#values -= at
    return at > 0
  }

  /** Ends the iteration. */
  leave(): void {
    this.#end()
    this.#chunks.length = 0
    this.#values = 0
  }

  async #take(): Promise<void> {
    try {
      this.#iterator ??= this.stream[Symbol.asyncIterator]()
      const result = await this.#iterator.next()
      if (this.#done) return
      if (result.done === true) this.#done = true
      else this.#add(result.value)
    } catch (reason) {
      if (!this.#done) this.error = { reason }
      this.#end()
    } finally {
      this.#pending = undefined
    }
  }

  #add(frame: CapturedFrame): void {
    const { data } = checkedFrame('frame', frame, this.#sampleRate, this.#channels)
    if (data.length === 0) return
    this.#chunks.push(data)
    this.#values += data.length
  }

  #end(): void {
    if (this.#done) return
    this.#done = true
    // The stream may be waiting for its next frame, so its answer is not awaited, and its errors come too late.
    void Promise.resolve(this.#iterator?.return?.()).catch(() => {})
  }
}

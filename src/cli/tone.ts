/** Listens to frames of one channel, and measures the frequency of a tone in them. */

/** Waves whose lengths are kept. */
const MOST = 1000

/** See the top of this file. */
export class Tone {
  /** The mean square of the samples from which on a frame has the tone: half of that of the whole tone. */
  readonly #loud: number
  #sounding = false
  /** Samples of the current tone, the last one of them, and where its last rising zero crossing was. */
  #at = 0
  #before = 0
  #crossing: number | undefined
  /** The last waves' lengths, in s. */
  readonly #waves: number[] = []

  constructor(amplitude: number) {
    this.#loud = amplitude ** 2 / 4
  }

  /** The frequency, in Hz; `undefined`: nothing was heard. A wave that a loss has cut does not change the median. */
  get hertz(): number | undefined {
    const sorted = [...this.#waves].sort((one, other) => one - other)
    const median = sorted[Math.floor(sorted.length / 2)]
    return median === undefined ? undefined : 1 / median
  }

  /** Whether the tone begins with this frame; `undefined` if it is not in it. */
  hear(samples: Int16Array, sampleRate: number): boolean | undefined {
    let squares = 0
    for (const sample of samples) squares += sample * sample
    const begins = !this.#sounding
    this.#sounding = squares / samples.length >= this.#loud
    if (!this.#sounding) return undefined
    if (begins) {
      this.#at = 0
      this.#before = 0
      this.#crossing = undefined
    }
    for (const sample of samples) {
      // Between two samples, the crossing is where the line between them is 0.
      if (this.#before < 0 && sample >= 0)
        this.#crosses(this.#at - sample / (sample - this.#before), sampleRate)
      this.#before = sample
      this.#at += 1
    }
    return begins
  }

  #crosses(at: number, sampleRate: number): void {
    if (this.#crossing !== undefined) this.#waves.push((at - this.#crossing) / sampleRate)
    if (this.#waves.length > MOST) this.#waves.shift()
    this.#crossing = at
  }
}

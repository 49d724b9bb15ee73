/**
 * A histogram of latencies. Its memory does not grow with the number of frames, and its percentiles are within 2.5 % of
 * the exact ones.
 */

/** All durations below this one fall into the first bucket, ms. */
const SMALLEST = 0.001
/** Each bucket is wider than the one below it by this factor. */
const GROWTH = 1.05
const BUCKETS = 512

const LOG_GROWTH = Math.log(GROWTH)

/** Counts durations in ms, from 1 µs to some hours, on a logarithmic scale. */
export class LatencyHistogram {
  readonly #buckets = new Float64Array(BUCKETS)
  #count = 0

  /** How many durations were recorded. */
  get count(): number {
    return this.#count
  }

  /** Records a duration, ms. A negative one (the clock was set back) counts as the smallest one. */
  record(ms: number): void {
    const exponent = Math.log(Math.max(ms, SMALLEST) / SMALLEST) / LOG_GROWTH
    const bucket = Math.min(Math.floor(exponent), BUCKETS - 1)
    this.#buckets[bucket] = (this.#buckets[bucket] ?? 0) + 1
    this.#count += 1
  }

  /** The duration below which the share `quantile` (0 to 1) of all durations is, ms. `undefined` if there are none. */
  percentile(quantile: number): number | undefined {
    if (this.#count === 0) return undefined
    const rank = Math.max(1, Math.ceil(quantile * this.#count))
    let seen = 0
    for (const [bucket, count] of this.#buckets.entries()) {
      seen += count
      if (seen >= rank) return SMALLEST * GROWTH ** (bucket + 0.5)
    }
    return undefined
  }

  /** Removes all recorded durations. */
  clear(): void {
    this.#buckets.fill(0)
    this.#count = 0
  }
}

/** How long to wait before the next attempt to reconnect. */

/** Attempts before a room gives up: with the delays below, after about a minute. */
export const RECONNECT_ATTEMPTS = 12

/** ms; the first attempt comes at once, since most losses are of one connection and not of the network. */
const FIRST_DELAY = 300
const LONGEST_DELAY = 7000

/**
 * The delay before the attempt of that number (0 is the first), ms: quadratic, at most 7 s, and up to a third shorter by
 * chance, so that the clients of a server that restarted do not all come at once.
 */
export function reconnectDelay(attempt: number, random: () => number = Math.random): number {
  const delay = Math.min(FIRST_DELAY * attempt * attempt, LONGEST_DELAY)
  return Math.round(delay * (1 - random() / 3))
}

/** ms that a connection must last for its loss to count as the first one. */
export const STABLE_TIME = 10_000

/**
 * The delay before the first attempt after a loss. A server that takes a connection and drops it at once is not asked again
 * at once, but as if the attempt had failed.
 */
export class LossPace {
  #losses = 0
  #recoveredAt = -Infinity

  /** The connection is lost, by that monotonic clock. Returns ms. */
  lost(now: number, random?: () => number): number {
    this.#losses = now - this.#recoveredAt < STABLE_TIME ? this.#losses + 1 : 0
    return reconnectDelay(this.#losses, random)
  }

  /** The connection is back. */
  recovered(now: number): void {
    this.#recoveredAt = now
  }

  /** The next loss is asked for. */
  reset(): void {
    this.#recoveredAt = -Infinity
  }
}

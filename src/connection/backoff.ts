/** How long to wait before the next attempt to reconnect. */

/** Attempts before a room gives up: with the delays below, after about a minute. */
export const RECONNECT_ATTEMPTS = 12

/** ms; the first attempt comes at once, since most losses are of one connection and not of the network. */
const FIRST_DELAY = 300
const LONGEST_DELAY = 7000

/**
 * The delay before an attempt in ms; the first attempt is 0. It grows quadratically, to at most 7 s, and is randomly up
 * to a third shorter, so that the clients of a restarted server do not all reconnect at once.
 */
export function reconnectDelay(attempt: number, random: () => number = Math.random): number {
  const delay = Math.min(FIRST_DELAY * attempt * attempt, LONGEST_DELAY)
  return Math.round(delay * (1 - random() / 3))
}

/** Losses for which the next attempt is made at once. */
export const QUICK_LOSSES = 30
/** ms after which one such loss is allowed again. */
export const QUICK_LOSS_INTERVAL = 2000

/**
 * The delay before the first attempt after a loss. If a connection is lost a few times in a row, each attempt is made
 * at once. A server that accepts every connection and drops it uses up {@link QUICK_LOSSES}. Then the delays grow, as
 * if the attempts had failed.
 */
export class LossPace {
  #quick = QUICK_LOSSES
  #granted = 0
  #slow = 0
  #asked = false

  /** The connection is lost; `now` is a monotonic clock in ms. Returns the delay in ms. */
  lost(now: number, random?: () => number): number {
    const asked = this.#asked
    this.#asked = false
    const granted = Math.floor((now - this.#granted) / QUICK_LOSS_INTERVAL)
    this.#quick = Math.min(this.#quick + granted, QUICK_LOSSES)
    this.#granted += granted * QUICK_LOSS_INTERVAL
    if (asked || this.#quick > 0) {
      if (!asked) this.#quick -= 1
      this.#slow = 0
      return 0
    }
    this.#slow += 1
    return reconnectDelay(this.#slow, random)
  }

  /** The application asked for the next loss, so it does not count. */
  reset(): void {
    this.#asked = true
  }
}

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

/** Losses after which the next attempt still comes at once. */
export const QUICK_LOSSES = 30
/** ms after which one of them is granted again. */
export const QUICK_LOSS_INTERVAL = 2000

/**
 * The delay before the first attempt after a loss. A connection may be lost a few times in a row: then each attempt comes at
 * once. A server that takes every connection and drops it again uses {@link QUICK_LOSSES} up, and is then asked later and
 * later, as if the attempts had failed.
 */
export class LossPace {
  #quick = QUICK_LOSSES
  #granted = 0
  #slow = 0
  #asked = false

  /** The connection is lost, by that monotonic clock. Returns ms. */
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

  /** The program asks for the next loss: it is not counted. */
  reset(): void {
    this.#asked = true
  }
}

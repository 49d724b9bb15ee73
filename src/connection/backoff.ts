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

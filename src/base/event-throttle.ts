/** Tells of what happens often only now and then, with how often it was. */

/** At most one event for each key in this many ms; what happens between is counted. */
const INTERVAL = 1000
/** Keys that are told apart; those above share one, so that names that others choose neither fill memory nor flood listeners. */
export const MAX_KEYS = 1024

interface Count {
  since: number
  count: number
}

/** See the top of this file. */
export class EventThrottle {
  readonly #now: () => number
  /** By key, those told of last at the end. */
  readonly #told = new Map<string, Count>()
  /** What is counted for all keys that had no room. */
  readonly #others: Count = { since: -Infinity, count: 0 }

  /** `now`: the time in ms. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** Counts an event. Returns how many there were since the last one that was told, this one included; 0: not to be told now. */
  count(key: string): number {
    const now = this.#now()
    const entry = this.#entry(key, now)
    entry.count++
    if (now - entry.since < INTERVAL) return 0
    const { count } = entry
    entry.since = now
    entry.count = 0
    if (entry !== this.#others) {
      this.#told.delete(key)
      this.#told.set(key, entry)
    }
    return count
  }

  #entry(key: string, now: number): Count {
    const there = this.#told.get(key)
    if (there !== undefined) return there
    if (this.#told.size >= MAX_KEYS) {
      const [oldest] = this.#told
      if (oldest === undefined || now - oldest[1].since < INTERVAL) return this.#others
      this.#told.delete(oldest[0])
      // What was not told of it is told with others.
      this.#others.count += oldest[1].count
    }
    const entry = { since: -Infinity, count: 0 }
    this.#told.set(key, entry)
    return entry
  }
}

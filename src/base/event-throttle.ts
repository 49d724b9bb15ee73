/** Reports a frequent event only now and then, with the number of occurrences. */

/** ms between two reports for the same key. Occurrences in between are counted. */
const INTERVAL = 1000
/**
 * Keys counted separately. Further keys share one count, because remote participants can choose keys: their number must
 * neither fill the memory nor flood the listeners.
 */
export const MAX_KEYS = 1024

interface Count {
  since: number
  count: number
}

/** Throttles events by key. */
export class EventThrottle {
  readonly #now: () => number
  /** By key; the key reported last is at the end. */
  readonly #told = new Map<string, Count>()
  /** The shared count of the keys that had no room. */
  readonly #others: Count = { since: -Infinity, count: 0 }

  /** @param now the time in ms */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /**
   * Counts an occurrence. Returns the number of occurrences since the last report, this one included; 0 if it must not
   * be reported now.
   */
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
      // Its unreported occurrences move to the shared count.
      this.#others.count += oldest[1].count
    }
    const entry = { since: -Infinity, count: 0 }
    this.#told.set(key, entry)
    return entry
  }
}

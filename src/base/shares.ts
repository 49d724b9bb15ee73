/** A bounded amount that several share so that none of them takes it all. */

/**
 * Each may have as much as is left for the others: one alone gets half, the next one half of the rest. So a newcomer gets
 * something, however much the others ask for.
 */
export class Shares {
  readonly #total: number
  readonly #taken = new Map<string, number>()
  #used = 0

  constructor(total: number) {
    this.#total = total
  }

  /** Takes an amount; whether it was there. */
  take(who: string, amount: number): boolean {
    const own = (this.#taken.get(who) ?? 0) + amount
    if (own > this.#total - this.#used) return false
    this.#taken.set(who, own)
    this.#used += amount
    return true
  }

  /** Gives back what was taken. */
  give(who: string, amount: number): void {
    const left = (this.#taken.get(who) ?? 0) - amount
    if (left > 0) this.#taken.set(who, left)
    else this.#taken.delete(who)
    this.#used -= amount
  }
}

/** A bounded amount, shared so that no participant can take all of it. */

/**
 * Each participant may hold as much as is left for the others. A single one gets half, the next one half of the rest.
 * So a newcomer always gets something, however much the others ask for.
 */
export class Shares {
  readonly #total: number
  readonly #taken = new Map<string, number>()
  #used = 0

  constructor(total: number) {
    this.#total = total
  }

  /** Takes an amount. Returns whether it was available. */
  take(who: string, amount: number): boolean {
    const own = (this.#taken.get(who) ?? 0) + amount
    if (own > this.#total - this.#used) return false
    this.#taken.set(who, own)
    this.#used += amount
    return true
  }

  /** Gives back an amount that was taken. */
  give(who: string, amount: number): void {
    const left = (this.#taken.get(who) ?? 0) - amount
    if (left > 0) this.#taken.set(who, left)
    else this.#taken.delete(who)
    this.#used -= amount
  }
}

/** Pseudo-random numbers from a seed. Never for secrets. */
export class Dice {
  #state: number

  /** The sequence of a seed. Each name has its own sequence. */
  constructor(seed: number, name: string) {
    // FNV-1a over the text of both.
    let hash = 0x811c9dc5
    for (const unit of `${seed} ${name}`) hash = Math.imul(hash ^ (unit.codePointAt(0) ?? 0), 0x01000193)
    this.#state = hash
  }

  /** The next number, from 0 to 1 (exclusive). */
  next(): number {
    // Mulberry32.
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Limits how many streams of one sender are decompressed at a time. */

/** A number of places, taken in the order of the requests. */
export class Places {
  readonly #waiting = new Set<() => void>()
  readonly #places: number
  #free: number

  constructor(places: number) {
    this.#places = places
    this.#free = places
  }

  /** Whether all places are free. */
  get idle(): boolean {
    return this.#free === this.#places
  }

  /**
   * Waits for a place; {@link leave} frees it. `givenUp` gets a function that ends the wait. Returns whether there is a
   * place.
   */
  async enter(givenUp: (giveUp: () => void) => void): Promise<boolean> {
    if (this.#free > 0) {
      this.#free--
      return true
    }
    return await new Promise<boolean>((resolve) => {
      const turn = (): void => resolve(true)
      this.#waiting.add(turn)
      givenUp(() => {
        if (this.#waiting.delete(turn)) resolve(false)
      })
    })
  }

  leave(): void {
    for (const turn of this.#waiting) {
      this.#waiting.delete(turn)
      turn()
      return
    }
    this.#free++
  }
}

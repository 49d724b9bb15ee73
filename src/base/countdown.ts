/** A time limit that counts only while it runs. */

/** See the top of this file. It does not run at first. */
export class Countdown {
  readonly #over: () => void
  #left: number
  #since = 0
  #timer: NodeJS.Timeout | undefined

  /** `over`: called once, when it has run for so many ms. */
  constructor(ms: number, over: () => void) {
    this.#left = ms
    this.#over = over
  }

  run(): void {
    if (this.#timer !== undefined) return
    this.#since = performance.now()
    this.#timer = setTimeout(this.#over, this.#left)
  }

  stop(): void {
    if (this.#timer === undefined) return
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#left = Math.max(0, this.#left - (performance.now() - this.#since))
  }
}

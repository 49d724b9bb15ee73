/** Timeouts of RPC, and timers that can be longer than JavaScript's own. */

/** ms from the call until the answer must have arrived, by default. */
export const RESPONSE_TIMEOUT = 15_000
/** ms from the call until the recipient must have acknowledged it, by default. */
export const MAX_ROUND_TRIP_LATENCY = 7_000

/** JavaScript's timers fire at once for longer delays. */
const LONGEST_TIMER = 2 ** 31 - 1
/** The largest value of `RpcRequest.response_timeout_ms`. */
const LARGEST_ON_WIRE = 2 ** 32 - 1

/** Calls a function once after any number of ms; `Infinity` means never. */
export class Alarm {
  readonly #ring: () => void
  readonly #weak: boolean
  #left: number
  #timer: NodeJS.Timeout | undefined

  /** `weak`: the alarm does not keep the process alive. */
  constructor(ms: number, ring: () => void, weak = false) {
    this.#left = ms
    this.#ring = ring
    this.#weak = weak
    this.#wait()
  }

  /** Does nothing if the alarm has already fired. */
  cancel(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #wait(): void {
    if (this.#left === Infinity) return
    const part = Math.min(this.#left, LONGEST_TIMER)
    this.#left -= part
    this.#timer = setTimeout(() => {
      if (this.#left > 0) this.#wait()
      else this.#ring()
    }, part)
    if (this.#weak) this.#timer.unref()
  }
}

/** A timeout as sent to the recipient: whole ms that fit the field. */
export function timeoutOnWire(ms: number): number {
  return Math.min(Math.ceil(ms), LARGEST_ON_WIRE)
}

/** Calls to a room that wait until the room is ready, because its new session is still being set up. */

/**
 * Bytes in memory that may be held while the peer connections of a new session are set up: updates, and packets of
 * participants that were faster.
 */
export const MAX_HELD_BYTES = 67_108_864
/** Overhead of each of them, in bytes, besides its content. */
const HELD_ENTRY_BYTES = 256

/** See the top of this file. */
export class HeldCalls {
  #held: (() => void)[] | null = null
  #bytes = 0
  readonly #overflow: () => void

  /** `overflow`: called when more than {@link MAX_HELD_BYTES} wait. They are discarded. */
  constructor(overflow: () => void) {
    this.#overflow = overflow
  }

  get isHolding(): boolean {
    return this.#held !== null
  }

  /** Holds the calls that follow. Those of an earlier session that failed are discarded. */
  hold(): void {
    this.#held = []
    this.#bytes = 0
  }

  /** Calls now, or after {@link release}. `weight`: the content's bytes. */
  tell(call: () => void, weight: number): void {
    if (this.#held === null) {
      call()
      return
    }
    this.#held.push(call)
    this.#bytes += weight + HELD_ENTRY_BYTES
    if (this.#bytes <= MAX_HELD_BYTES) return
    this.#held = []
    this.#overflow()
  }

  /** The room is ready. Makes the calls that were held, until `stop` aborts: a call may end the connection. */
  release(stop: AbortSignal): void {
    const held = this.#held ?? []
    this.#held = null
    for (const call of held) {
      if (stop.aborted) return
      call()
    }
  }
}

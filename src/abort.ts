/** One listener per operation, gone when the operation is settled. */

/**
 * Calls `onAbort` when the signal aborts; not if it has already (look at `signal.aborted` first).
 *
 * Returns what takes the listener away; call it when the operation is settled, more than once if need be.
 */
export function onAbort(signal: AbortSignal | undefined, listener: () => void): () => void {
  if (signal === undefined) return nothing
  signal.addEventListener('abort', listener, { once: true })
  return () => signal.removeEventListener('abort', listener)
}

function nothing(): void {
  // There is no signal to listen to.
}

/** A promise with its two ends, and at most one listener on a signal. */
export class Deferred<T> {
  readonly promise: Promise<T>
  #resolve!: (value: T) => void
  #reject!: (reason: unknown) => void
  #stop: () => void = nothing

  constructor() {
    this.promise = new Promise<T>((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  /** Rejects with the signal's reason when it aborts, after `cleanup`. */
  abortWith(signal: AbortSignal | undefined, cleanup: () => void): this {
    this.#stop = onAbort(signal, () => {
      cleanup()
      this.reject(signal?.reason)
    })
    return this
  }

  resolve(value: T): void {
    this.#stop()
    this.#resolve(value)
  }

  reject(reason: unknown): void {
    this.#stop()
    this.#reject(reason)
  }
}

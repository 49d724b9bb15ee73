/** One listener per signal, gone when the last operation that has the signal is settled. */

/** Who waits for a signal. It has one listener of ours, however many: Node warns of a leak at eleven. */
const waiting = new WeakMap<AbortSignal, Set<() => void>>()

/**
 * Calls `listener` when the signal aborts; not if it has already (look at `signal.aborted` first).
 *
 * Returns what takes the listener away; call it when the operation is settled, more than once if need be.
 */
export function onAbort(signal: AbortSignal | undefined, listener: () => void): () => void {
  if (signal === undefined) return nothing
  const listeners = waiting.get(signal) ?? new Set()
  if (listeners.size === 0) {
    waiting.set(signal, listeners)
    signal.addEventListener('abort', aborted)
  }
  // Wrapped: the same function may be waiting twice.
  const entry = () => listener()
  listeners.add(entry)
  return () => {
    if (!listeners.delete(entry) || listeners.size > 0) return
    waiting.delete(signal)
    signal.removeEventListener('abort', aborted)
  }
}

/** The one listener. */
function aborted(this: AbortSignal): void {
  const listeners = waiting.get(this)
  waiting.delete(this)
  this.removeEventListener('abort', aborted)
  if (listeners === undefined) return
  for (const listener of [...listeners]) {
    // One that was settled by another before it is gone from the set.
    if (!listeners.delete(listener)) continue
    try {
      listener()
    } catch (error) {
      // As the platform does it: the others are called all the same.
      reportUncaught(error)
    }
  }
}

/**
 * A signal that aborts with the first of `signals`, or with a `TimeoutError` after `ms`. It keeps no process alive.
 *
 * Not `AbortSignal.any` over `AbortSignal.timeout`: in Node 20 a garbage collection takes that timeout away.
 */
export function withDeadline(ms: number, ...signals: readonly (AbortSignal | undefined)[]): AbortSignal {
  const controller = new AbortController()
  const stops: (() => void)[] = []
  const end = (reason: unknown): void => {
    clearTimeout(timer)
    for (const stop of stops) stop()
    controller.abort(reason)
  }
  const late = (): void => end(new DOMException('The operation was aborted due to timeout', 'TimeoutError'))
  const timer = setTimeout(late, ms).unref()
  for (const signal of signals) {
    if (signal?.aborted === true) {
      end(signal.reason)
      break
    }
    stops.push(onAbort(signal, () => end(signal?.reason)))
  }
  return controller.signal
}

/** Throws an error of the application's listener in a turn of its own: it stays uncaught, and what follows it still runs. */
export function reportUncaught(error: unknown): void {
  queueMicrotask(() => {
    throw error
  })
}

function nothing(): void {
  // There is no signal to listen to.
}

/** A promise with its two ends, which a signal can reject. */
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

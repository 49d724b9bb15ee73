/**
 * Abort signals with one listener per signal, which is removed when the last operation that uses the signal settles.
 */

/** The listeners of each signal. The signal itself has only one, because Node warns of a leak at eleven. */
const waiting = new WeakMap<AbortSignal, Set<() => void>>()

/**
 * Calls `listener` when the signal aborts. It does not if the signal has already aborted, so check `signal.aborted`
 * first.
 *
 * Returns a function that removes the listener. Call it when the operation settles; calling it again has no effect.
 */
export function onAbort(signal: AbortSignal | undefined, listener: () => void): () => void {
  if (signal === undefined) return nothing
  const listeners = waiting.get(signal) ?? new Set()
  if (listeners.size === 0) {
    waiting.set(signal, listeners)
    signal.addEventListener('abort', aborted)
  }
  // Wrapped, because the same function may be registered twice.
  const entry = () => listener()
  listeners.add(entry)
  return () => {
    if (!listeners.delete(entry) || listeners.size > 0) return
    waiting.delete(signal)
    signal.removeEventListener('abort', aborted)
  }
}

/** The one listener of each signal. */
function aborted(this: AbortSignal): void {
  const listeners = waiting.get(this)
  waiting.delete(this)
  this.removeEventListener('abort', aborted)
  if (listeners === undefined) return
  for (const listener of [...listeners]) {
    // A listener whose operation was settled by an earlier listener is no longer in the set.
    if (!listeners.delete(listener)) continue
    try {
      listener()
    } catch (error) {
      // As in the platform's own `EventTarget`, an exception does not keep the other listeners from being called.
      reportUncaught(error)
    }
  }
}

/**
 * A signal that aborts with the first of `signals`, or with a `TimeoutError` after `ms`. It keeps no process alive.
 *
 * `AbortSignal.any` over `AbortSignal.timeout` does not work: in Node 20 the timeout signal can be garbage-collected.
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

/**
 * An abort signal that is created on first use. Where few applications use the signal, creating it costs more than all
 * else.
 */
export class LazySignal {
  #controller: AbortController | undefined
  #reason: Error | undefined

  /** Why it was aborted; `undefined` before that. */
  get reason(): Error | undefined {
    return this.#reason
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#reason !== undefined) this.#controller.abort(this.#reason)
    }
    return this.#controller.signal
  }

  /** Only the first call has an effect. */
  abort(reason: Error): void {
    if (this.#reason !== undefined) return
    this.#reason = reason
    this.#controller?.abort(reason)
  }
}

/**
 * Throws an error of an application's listener in its own microtask. The error stays uncaught, and the code after the
 * call still runs.
 */
export function reportUncaught(error: unknown): void {
  queueMicrotask(() => {
    throw error
  })
}

function nothing(): void {
  // There is no signal to listen to.
}

/** A promise with its `resolve` and `reject`. A signal can reject it. */
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

  /** Rejects with the signal's reason when it aborts, after calling `cleanup`. */
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

/** Waits for a value, or until the signal aborts, whatever happens to the value. Throws the signal's `reason`. */
export async function abortable<T>(value: T | PromiseLike<T>, signal: AbortSignal): Promise<T> {
  let stop = (): void => undefined
  const aborted = new Promise<never>((_resolve, reject) => {
    stop = onAbort(signal, () => reject(signal.reason as Error))
  })
  try {
    return await Promise.race([value, aborted])
  } finally {
    stop()
  }
}

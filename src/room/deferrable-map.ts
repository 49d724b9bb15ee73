/** livekit-client's map of tracks by name. */
import { Deferred } from '../base/abort'
import * as check from '../base/arguments'

/** A map that can be asked for what is not there yet. */
export class DeferrableMap<K, V> extends Map<K, V> {
  readonly #waiting = new Map<K, Set<Deferred<V>>>()

  /**
   * The value of `key`, as soon as there is one.
   *
   * @throws the signal's `reason` when it aborts first; without a signal it may wait for ever
   */
  async getDeferred(key: K, signal?: AbortSignal): Promise<V> {
    check.signal('signal', signal)
    signal?.throwIfAborted()
    const there = this.get(key)
    if (there !== undefined) return there
    const deferred = new Deferred<V>()
    const waiting = this.#waiting.get(key) ?? new Set()
    this.#waiting.set(key, waiting.add(deferred))
    deferred.abortWith(signal, () => {
      waiting.delete(deferred)
      if (waiting.size === 0 && this.#waiting.get(key) === waiting) this.#waiting.delete(key)
    })
    return await deferred.promise
  }

  /** @internal Not `set`: a user's map must not resolve what the room has not announced. */
  announce(key: K): void {
    const value = this.get(key)
    const waiting = this.#waiting.get(key)
    if (value === undefined || waiting === undefined) return
    this.#waiting.delete(key)
    for (const deferred of waiting) deferred.resolve(value)
  }
}

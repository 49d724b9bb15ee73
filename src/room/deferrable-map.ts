/** livekit-client's map of tracks by name. */
import { Deferred } from '../base/abort'
import * as check from '../base/arguments'

/** A map whose future entries can be awaited. */
export class DeferrableMap<K, V> extends Map<K, V> {
  readonly #waiting = new Map<K, Set<Deferred<V>>>()

  /**
   * The value of `key`, as soon as the map has one.
   *
   * @throws the signal's `reason` when it aborts; without a signal the promise may stay pending forever
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

  /** @internal Separate from `set`: an entry that the application sets must not resolve the room's announcements. */
  announce(key: K): void {
    const value = this.get(key)
    const waiting = this.#waiting.get(key)
    if (value === undefined || waiting === undefined) return
    this.#waiting.delete(key)
    for (const deferred of waiting) deferred.resolve(value)
  }
}

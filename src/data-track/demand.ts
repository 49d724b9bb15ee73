/** Whether a track has subscribers: what a publication knows of it, and what a subscriber's session knows. */
import { Deferred } from '../base/abort'
import type { DataTrackUnpublishedError } from '../base/errors'

/** What a publication knows of its subscribers. */
export class PublicationDemand {
  readonly #changed: (hasSubscribers: boolean | undefined) => void
  readonly #wanted: () => void
  readonly #waiting = new Set<Deferred<void>>()
  #told: boolean | undefined
  #announced: boolean | undefined

  /** `wanted`: the application asks. `changed`: called after each change of {@link value}. */
  constructor(wanted: () => void, changed: (hasSubscribers: boolean | undefined) => void) {
    this.#wanted = wanted
    this.#changed = changed
  }

  /** `undefined`: not known. What the server says comes first. */
  get value(): boolean | undefined {
    return this.#told ?? this.#announced
  }

  /** The same as {@link value}, for the application: from now on the participants are asked. */
  ask(): boolean | undefined {
    this.#wanted()
    return this.value
  }

  /** What the server says; `undefined` when that is no longer true for sure. */
  tell(hasSubscribers: boolean | undefined): void {
    this.#change(() => (this.#told = hasSubscribers))
  }

  /** What the participants say. */
  announce(hasSubscribers: boolean | undefined): void {
    this.#change(() => (this.#announced = hasSubscribers))
  }

  /** Resolves when there is a subscriber. Rejects with the signal's reason, and with the track's end. */
  async wait(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted()
    if (this.ask() === true) return
    const deferred = new Deferred<void>()
    this.#waiting.add(deferred.abortWith(signal, () => this.#waiting.delete(deferred)))
    await deferred.promise
  }

  /** The track has ended. */
  end(reason: DataTrackUnpublishedError): void {
    for (const deferred of this.#taken()) deferred.reject(reason)
  }

  #change(change: () => void): void {
    const before = this.value
    change()
    if (this.value === before) return
    if (this.value === true) for (const deferred of this.#taken()) deferred.resolve()
    this.#changed(this.value)
  }

  #taken(): Deferred<void>[] {
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    return waiting
  }
}

/** The streams of one remote track to which the SFU forwards. */
export class ForwardedStreams {
  readonly #streams = new Set<number>()
  readonly #changed: () => void

  /** `changed`: called when the first stream begins, and when the last one has ended. */
  constructor(changed: () => void) {
    this.#changed = changed
  }

  /** Whether there are any. */
  get any(): boolean {
    return this.#streams.size > 0
  }

  /** The SFU forwards to this stream. */
  add(stream: number): void {
    const before = this.any
    this.#streams.add(stream)
    if (!before) this.#changed()
  }

  /** The stream has ended. */
  delete(stream: number): void {
    if (this.#streams.delete(stream) && !this.any) this.#changed()
  }
}

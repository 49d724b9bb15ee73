/** `room.dataTracks()`: the existing tracks, then new ones. */
import { Deferred, onAbort } from '../base/abort'
import type { RemoteDataTrack } from '../data-track/remote'

/** Which tracks to yield. */
export interface TrackFilter {
  readonly name: string | undefined
  readonly identity: string | undefined
}

type Result = IteratorResult<RemoteDataTrack, undefined>

/** One loop over a room's tracks. */
export class TrackQueue implements AsyncIterableIterator<RemoteDataTrack> {
  readonly #filter: TrackFilter
  readonly #stop: (queue: TrackQueue) => void
  readonly #stopListening: () => void
  readonly #tracks = new Set<RemoteDataTrack>()
  readonly #waiters: Deferred<Result>[] = []
  #ended = false
  #failed = false
  #error: unknown

  /** @param stop called once at the end */
  constructor(filter: TrackFilter, signal: AbortSignal | undefined, stop: (queue: TrackQueue) => void) {
    this.#filter = filter
    this.#stop = stop
    this.#stopListening = onAbort(signal, () => this.#finish(true, signal?.reason))
    if (signal?.aborted === true) this.#finish(true, signal.reason)
  }

  add(track: RemoteDataTrack): void {
    const { name, identity } = this.#filter
    if (this.#ended) return
    if (name !== undefined && track.name !== name) return
    if (identity !== undefined && track.publisherIdentity !== identity) return
    const waiter = this.#waiters.shift()
    if (waiter === undefined) this.#tracks.add(track)
    else waiter.resolve({ value: track, done: false })
  }

  /** A track that ended before the loop reached it is skipped. */
  remove(track: RemoteDataTrack): void {
    this.#tracks.delete(track)
  }

  /** The room was disconnected. */
  end(): void {
    this.#finish(false, undefined)
  }

  next(): Promise<Result> {
    const [track] = this.#tracks
    if (track !== undefined) this.#tracks.delete(track)
    if (track !== undefined) return Promise.resolve({ value: track, done: false })
    const deferred = new Deferred<Result>()
    if (this.#failed) deferred.reject(this.#error)
    else if (this.#ended) deferred.resolve({ value: undefined, done: true })
    else this.#waiters.push(deferred)
    return deferred.promise
  }

  return(): Promise<Result> {
    this.#tracks.clear()
    this.#finish(false, undefined)
    return Promise.resolve({ value: undefined, done: true })
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.return().then(() => undefined)
  }

  #finish(failed: boolean, error: unknown): void {
    if (this.#ended) return
    this.#ended = true
    this.#failed = failed
    this.#error = error
    if (failed) this.#tracks.clear()
    this.#stopListening()
    this.#stop(this)
    for (const waiter of this.#waiters.splice(0)) {
      if (failed) waiter.reject(error)
      else waiter.resolve({ value: undefined, done: true })
    }
  }
}

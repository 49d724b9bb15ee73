/**
 * Participants who may be coming back. A publisher with a new session is announced without tracks first and publishes
 * them again a moment later; after a restart of the server, others come back one by one. Their tracks are kept so long.
 */
import { guarded } from '../base/guard'
import type { DataTrackInfo } from '../data-track/info'
import type { RemoteSignalHandlers } from '../signal/dispatch'

/**
 * ms that tracks of a publisher who may be coming back are kept: longer than the longest delay between two attempts to
 * reconnect (7 s), shorter than a subscription may take (10 s), which goes on meanwhile.
 */
export const RETURN_TIME = 9000

/** Stands before a session and completes the lists of tracks that the SFU sends. */
export class ReturningParticipants implements RemoteSignalHandlers {
  readonly #session: RemoteSignalHandlers
  readonly #expired: (identity: string) => void
  readonly #failed: () => void
  readonly #timers = new Map<string, NodeJS.Timeout>()
  /** What the SFU last said of each publisher, and what the session has been told. */
  readonly #said = new Map<string, readonly DataTrackInfo[]>()
  readonly #told = new Map<string, readonly DataTrackInfo[]>()

  /**
   * `expired`: a participant's time is over; tracks that did not come back have ended by then. `failed`: that could not be
   * handled.
   */
  constructor(
    session: RemoteSignalHandlers,
    expired: (identity: string) => void,
    failed: () => void = () => {},
  ) {
    this.#session = session
    this.#expired = expired
    this.#failed = failed
  }

  /** The participant has a new session, or we have: what is published now is kept for a while. */
  expect(identity: string): void {
    this.settle(identity)
    // Whoever is not named before the time is over publishes nothing.
    this.#said.delete(identity)
    const timer = setTimeout(() => {
      this.#timers.delete(identity)
      guarded('room', 'the end of a wait', () => this.#over(identity), this.#failed)
    }, RETURN_TIME)
    this.#timers.set(identity, timer.unref())
  }

  #over(identity: string): void {
    this.handlePublicationUpdate(identity, this.#said.get(identity) ?? [])
    this.#expired(identity)
  }

  /** The participant is not waited for any more: the SFU's next list is taken as it is. */
  settle(identity: string): void {
    clearTimeout(this.#timers.get(identity))
    this.#timers.delete(identity)
  }

  /** Waits for nobody any more, and tells nothing. */
  close(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer)
    this.#timers.clear()
  }

  handlePublicationUpdate(identity: string, tracks: readonly DataTrackInfo[]): void {
    const kept = this.#timers.has(identity) ? this.#missing(identity, tracks) : []
    if (kept.length === 0) this.settle(identity)
    const all = [...tracks, ...kept]
    if (tracks.length === 0) this.#said.delete(identity)
    else this.#said.set(identity, tracks)
    if (all.length === 0) this.#told.delete(identity)
    else this.#told.set(identity, all)
    this.#session.handlePublicationUpdate(identity, all)
  }

  handleSubscriberHandles(table: ReadonlyMap<number, string>): void {
    this.#session.handleSubscriberHandles(table)
  }

  /** What was published before and has not come back. A name or a number that is taken anew ends its old track. */
  #missing(identity: string, tracks: readonly DataTrackInfo[]): DataTrackInfo[] {
    const before = this.#told.get(identity) ?? []
    const names = new Set(tracks.map(({ name }) => name))
    const handles = new Set(tracks.map(({ pubHandle }) => pubHandle))
    return before.filter(({ name, pubHandle }) => !names.has(name) && !handles.has(pubHandle))
  }
}

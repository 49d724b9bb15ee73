/**
 * Participants that may be coming back. A publisher with a new session is first announced without tracks, and publishes
 * them again a moment later. After a restart of the server the participants come back one by one. Their tracks are kept
 * for that long.
 */
import { guarded } from '../base/guard'
import type { DataTrackInfo } from '../data-track/info'
import type { RemoteSignalHandlers } from '../signal/dispatch'

/**
 * ms for which the tracks of such a publisher are kept. That is longer than the longest delay between two attempts to
 * reconnect (7 s), and shorter than the timeout of a subscription (10 s), which keeps running.
 */
export const RETURN_TIME = 9000

/** Stands in front of a session, and completes the track lists that the SFU sends. */
export class ReturningParticipants implements RemoteSignalHandlers {
  readonly #session: RemoteSignalHandlers
  readonly #expired: (identity: string) => void
  readonly #failed: () => void
  readonly #timers = new Map<string, NodeJS.Timeout>()
  /** The last list from the SFU for each publisher, and the last list given to the session. */
  readonly #said = new Map<string, readonly DataTrackInfo[]>()
  readonly #told = new Map<string, readonly DataTrackInfo[]>()

  /**
   * `expired`: called when a participant's time is over; tracks that did not come back have ended by then. `failed`:
   * called if handling that failed.
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

  /** The participant's or the local connection was rebuilt. Its current tracks are kept for a while. */
  expect(identity: string): void {
    this.settle(identity)
    // A participant that the SFU does not mention in time publishes nothing.
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

  /** Stops waiting for the participant. The SFU's next list is used as it is. */
  settle(identity: string): void {
    clearTimeout(this.#timers.get(identity))
    this.#timers.delete(identity)
  }

  /** Stops waiting for all participants, without telling the session. */
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

  handleSubscriptionPermission(trackSid: string, allowed: boolean): void {
    this.#session.handleSubscriptionPermission?.(trackSid, allowed)
  }

  /**
   * Tracks that were published before and have not come back. If a name or handle is in use again, its old track has
   * ended.
   */
  #missing(identity: string, tracks: readonly DataTrackInfo[]): DataTrackInfo[] {
    const before = this.#told.get(identity) ?? []
    const names = new Set(tracks.map(({ name }) => name))
    const handles = new Set(tracks.map(({ pubHandle }) => pubHandle))
    return before.filter(({ name, pubHandle }) => !names.has(name) && !handles.has(pubHandle))
  }
}

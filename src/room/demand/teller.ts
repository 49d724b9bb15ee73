/** The subscriber's side: tells the publishers that ask to which of their tracks this room is subscribed. */
import { log } from '../../base/logging'
import { announcementText, DEMAND_METHOD } from './messages'
import type { DemandRoom } from './participants'

/** How often an announcement is sent that does not reach its publisher. */
const TELL_ATTEMPTS = 3

/** A publisher that has asked, in one session. */
interface Publisher {
  readonly sid: string
  count: number
  /** Whether it has yet to be told of a change. */
  changed: boolean
  telling: boolean
}

/** See the top of this file. */
export class DemandTeller {
  readonly #room: DemandRoom
  /** Only participants of the room are in it. */
  readonly #publishers = new Map<string, Publisher>()
  /** The handles of the tracks that the server forwards, by publisher. */
  readonly #forwarded = new Map<string, Set<number>>()

  constructor(room: DemandRoom) {
    this.#room = room
  }

  /** The server forwards a track, or does so no longer. */
  forwarded(publisherIdentity: string, handle: number, forwarded: boolean): void {
    const handles = this.#forwarded.get(publisherIdentity) ?? new Set()
    if (forwarded) handles.add(handle)
    else handles.delete(handle)
    if (handles.size > 0) this.#forwarded.set(publisherIdentity, handles)
    else this.#forwarded.delete(publisherIdentity)
    const publisher = this.#publishers.get(publisherIdentity)
    if (publisher === undefined) return
    publisher.changed = true
    if (publisher.telling) return
    publisher.telling = true
    // Several changes of one turn are told together.
    queueMicrotask(() => void this.#tell(publisherIdentity, publisher))
  }

  /** A publisher asks. From now on it is told of each change. Returns what is so now. */
  asked(identity: string): string {
    const sid = this.#room.participants.get(identity)?.sid ?? ''
    const before = this.#publishers.get(identity)
    const publisher = before?.sid === sid ? before : { sid, count: 0, changed: false, telling: false }
    this.#publishers.set(identity, publisher)
    return this.#next(identity, publisher)
  }

  /** A participant has left or has a new session. It has to ask again. */
  forget(identity: string): void {
    this.#publishers.delete(identity)
  }

  /** The room is disconnected. */
  close(): void {
    this.#publishers.clear()
    this.#forwarded.clear()
  }

  #next(identity: string, publisher: Publisher): string {
    publisher.changed = false
    publisher.count += 1
    return announcementText({
      count: publisher.count,
      tracks: [...(this.#forwarded.get(identity) ?? [])],
    })
  }

  async #tell(identity: string, publisher: Publisher): Promise<void> {
    let failures = 0
    while (publisher.changed && this.#publishers.get(identity) === publisher) {
      try {
        await this.#room.call(identity, DEMAND_METHOD, this.#next(identity, publisher))
        failures = 0
      } catch (error) {
        failures += 1
        publisher.changed = true
        const reason = error instanceof Error ? error.message : 'unknown'
        log('debug', 'room', `a publisher could not be told of a subscription: ${reason}`)
        if (failures === TELL_ATTEMPTS) this.#publishers.delete(identity)
      }
    }
    publisher.telling = false
  }
}

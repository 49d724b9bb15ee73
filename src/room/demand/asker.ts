/** The publisher's side: asks the participants which tracks they are subscribed to, and keeps what they say. */
import { RpcError } from '../../rpc/rpc-error'
import { announceable } from './participants'
import type { DemandParticipant, DemandRoom } from './participants'
import { ASK, DEMAND_METHOD, parseDemand } from './messages'
import type { Announcement } from './messages'

/** Participants that are asked at a time, so that a large room does not get thousands of calls at once. */
export const MAX_ASKS = 32
/** Announced subscriptions that are kept, of all participants together. Beyond them, a participant counts as silent. */
export const MAX_ANNOUNCED = 262_144
/** ms that a participant may take to answer the question. SDKs that know no RPC never do. */
const ASK_TIMEOUT = 3000
/**
 * How often a participant is asked that does not answer. livekit-server drops a question or an answer if a data channel
 * of its recipient is not open yet.
 */
export const ASK_ATTEMPTS = 3

/** What is known of a participant's session: that it is asked, what it said, or that it does not say anything. */
interface Asked {
  readonly sid: string
  /** How often it was asked. */
  questions: number
  said: Announcement | undefined
}

/** The tracks of this room, for which the answers are. */
export interface DemandedTracks {
  readonly handles: () => Iterable<number>
  /** Whether the track with this handle has subscribers, as far as the participants say. */
  readonly announce: (handle: number, hasSubscribers: boolean | undefined) => void
}

/** See the top of this file. */
export class DemandAsker {
  readonly #room: DemandRoom
  readonly #tracks: DemandedTracks
  #wanted = false
  readonly #asked = new Map<string, Asked>()
  readonly #queue = new Set<string>()
  #asking = 0
  /** How many participants have said anything, how many subscribe to each handle, and how many subscriptions that is. */
  #speakers = 0
  readonly #subscribers = new Map<number, number>()
  #announced = 0
  /** Handles that have their first subscriber, or no longer any, since the last {@link #settle}. */
  readonly #touched = new Set<number>()
  /** Whether each participant of the room speaks. */
  #complete = false
  /** Counts sessions of this room, so that answers to questions of an older one do not count. */
  #session = 0

  constructor(room: DemandRoom, tracks: DemandedTracks) {
    this.#room = room
    this.#tracks = tracks
  }

  /** The application wants to know. From now on the participants are asked. */
  want(): void {
    if (this.#wanted) return
    this.#wanted = true
    this.#askAll()
  }

  /** What is known of a track. */
  value(handle: number): boolean | undefined {
    if (!this.#wanted) return undefined
    if ((this.#subscribers.get(handle) ?? 0) > 0) return true
    return this.#complete ? false : undefined
  }

  /** A track was published. */
  published(handle: number): void {
    this.#tracks.announce(handle, this.value(handle))
  }

  /** A participant is active. */
  active({ identity }: DemandParticipant): void {
    if (!this.#wanted || this.#asked.get(identity)?.sid === this.#room.participants.get(identity)?.sid) return
    this.#forget(identity)
    this.#enqueue(identity)
    this.#settle()
  }

  /** A participant has joined, has left, or has a new session. */
  changed(identity: string): void {
    if (!this.#wanted) return
    this.#forget(identity)
    this.#settle()
  }

  /** This room has a new session. What was said was said to the old one. */
  rebuilt(): void {
    this.#session += 1
    this.#clear()
  }

  /** Follows {@link rebuilt}: the participants of the new session are known. */
  rejoined(): void {
    if (this.#wanted) this.#askAll()
  }

  /** The room is disconnected. */
  close(): void {
    this.#session += 1
    this.#clear()
    this.#wanted = false
  }

  /** A participant says something. */
  heard(identity: string, said: Announcement): void {
    const asked = this.#asked.get(identity)
    if (asked === undefined || asked.sid !== this.#room.participants.get(identity)?.sid) return
    if (asked.said !== undefined && said.count <= asked.said.count) return
    this.#unsay(asked)
    if (this.#announced + said.tracks.length > MAX_ANNOUNCED) {
      this.#settle()
      return
    }
    // A handle that comes twice would count twice.
    asked.said = { count: said.count, tracks: [...new Set(said.tracks)] }
    this.#speakers += 1
    for (const handle of asked.said.tracks) this.#count(handle, 1)
    this.#settle()
  }

  #askAll(): void {
    for (const { identity, sid, isActive } of this.#room.participants.values())
      if (isActive && this.#asked.get(identity)?.sid !== sid) this.#enqueue(identity)
    this.#settle()
  }

  #enqueue(identity: string): void {
    this.#queue.add(identity)
    this.#askNext()
  }

  #askNext(): void {
    for (const identity of this.#queue) {
      if (this.#asking >= MAX_ASKS) return
      this.#queue.delete(identity)
      const participant = this.#room.participants.get(identity)
      if (participant === undefined || !participant.isActive) continue
      const before = this.#asked.get(identity)
      const { sid } = participant
      const asked = before?.sid === sid ? before : { sid, questions: 0, said: undefined }
      this.#asked.set(identity, asked)
      if (!announceable(participant)) continue
      this.#asking += 1
      void this.#ask(identity, asked)
    }
  }

  async #ask(identity: string, asked: Asked): Promise<void> {
    const session = this.#session
    const current = (): boolean => session === this.#session && this.#asked.get(identity) === asked
    asked.questions += 1
    try {
      const answer = parseDemand(await this.#room.call(identity, DEMAND_METHOD, ASK, ASK_TIMEOUT))
      if (current() && typeof answer === 'object') this.heard(identity, answer)
    } catch (error) {
      // Otherwise, the participant does not know the method, or has left. It stays silent.
      const again = isTimeout(error) && asked.said === undefined && asked.questions < ASK_ATTEMPTS
      if (again && current()) this.#queue.add(identity)
    } finally {
      this.#asking -= 1
      this.#askNext()
    }
  }

  #forget(identity: string): void {
    this.#queue.delete(identity)
    const asked = this.#asked.get(identity)
    if (asked === undefined) return
    this.#asked.delete(identity)
    this.#unsay(asked)
  }

  #unsay(asked: Asked): void {
    if (asked.said === undefined) return
    this.#speakers -= 1
    for (const handle of asked.said.tracks) this.#count(handle, -1)
    asked.said = undefined
  }

  #count(handle: number, by: 1 | -1): void {
    const count = (this.#subscribers.get(handle) ?? 0) + by
    this.#announced += by
    if (count === 0 || count === by) this.#touched.add(handle)
    if (count === 0) this.#subscribers.delete(handle)
    else this.#subscribers.set(handle, count)
  }

  /** Tells the tracks for which something may have changed what is known now. */
  #settle(): void {
    const complete = this.#speakers === this.#room.participants.size
    const handles = complete === this.#complete ? [...this.#touched] : this.#tracks.handles()
    this.#complete = complete
    this.#touched.clear()
    for (const handle of handles) this.#tracks.announce(handle, this.value(handle))
  }

  #clear(): void {
    this.#asked.clear()
    this.#queue.clear()
    this.#subscribers.clear()
    this.#touched.clear()
    this.#speakers = 0
    this.#announced = 0
    this.#complete = false
    for (const handle of this.#tracks.handles()) this.#tracks.announce(handle, undefined)
  }
}

/** Whether a call failed because its request or its answer is late, or was lost. */
function isTimeout(error: unknown): boolean {
  const { code } = error as { code?: unknown }
  return code === RpcError.ErrorCode.CONNECTION_TIMEOUT || code === RpcError.ErrorCode.RESPONSE_TIMEOUT
}

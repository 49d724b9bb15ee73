/** Who is in a room: who joined, changed and left, by what the server says. */
import * as check from '../base/arguments'
import type { Session } from '../session/session'
import { SignalDispatcher } from '../signal/dispatch'
import { ParticipantState } from '../signal/messages'
import type { ParticipantInfoMessage, SignalResponseLike } from '../signal/messages'
import { RoomEvent } from './events'
import type { RoomEvents } from './events'
import { RemoteParticipant } from './participant'
import type { LocalParticipant } from './participant'
import { isParticipant } from './participant-info'
import type { ParticipantChanges } from './participant-info'
import { ParticipantLimits } from './participant-limits'
import { ReturningParticipants } from './returning'

/** What a roster does to its room. */
export interface RosterOwner {
  readonly tell: <Name extends keyof RoomEvents>(event: Name, ...args: Parameters<RoomEvents[Name]>) => void
  /** The server has told how things stand with the local participant. */
  localUpdated(changes: ParticipantChanges): void
  joined(identity: string): void
  /** A remote participant has a new session; it is still known by the old one. */
  replaced(participant: RemoteParticipant): void
  left(participant: RemoteParticipant): void
  /** What a timer caused could not be handled. */
  failed(): void
}

/** See the top of this file. Made with its room; connections come and go. */
export class Roster {
  readonly #local: LocalParticipant
  readonly #remote: Map<string, RemoteParticipant>
  readonly #owner: RosterOwner
  #dispatcher = new SignalDispatcher({})
  #returning: ReturningParticipants | undefined
  /** Who was there before our connection was rebuilt, and has not been named since. */
  readonly #absent = new Set<string>()
  readonly #limits = new ParticipantLimits()

  constructor(local: LocalParticipant, remote: Map<string, RemoteParticipant>, owner: RosterOwner) {
    this.#local = local
    this.#remote = remote
    this.#owner = owner
  }

  /** Tracks of remote participants go to that session. */
  attach(session: Session, identity: string): void {
    const returning = new ReturningParticipants(
      session,
      (absent) => this.#returnExpired(absent),
      () => this.#owner.failed(),
    )
    this.#returning = returning
    this.#dispatcher = new SignalDispatcher({ local: session, remote: returning, identity })
  }

  /**
   * The connection is over. A room that lives on must not keep its last connection: a closure made beside another has all
   * that both see.
   */
  detach(): void {
    this.#returning?.close()
    this.#returning = undefined
    this.#dispatcher = new SignalDispatcher({})
  }

  /** All have left, as far as we can tell. */
  clear(): void {
    for (const participant of [...this.#remote.values()]) this.#left(participant)
    this.#limits.clear()
  }

  /** A message about tracks. */
  dispatch(response: SignalResponseLike): void {
    this.#dispatcher.dispatch(response)
  }

  /** Our connection was rebuilt: remote participants may be on their way back, too. */
  rebuilt(): void {
    for (const identity of this.#remote.keys()) {
      this.#absent.add(identity)
      this.#returning?.expect(identity)
    }
  }

  /** The local participant of a `join` message. `first`: nothing was known of it before. */
  joinedAs(participant: unknown, first: boolean): void {
    if (!isParticipant(participant)) return
    if (first) this.#local.update(participant)
    else this.#came(participant)
  }

  /** The remote participants of a `join` message. After a rebuild, those not named have left or are on their way back. */
  joinedBy(response: SignalResponseLike): void {
    for (const info of participantsIn(response, 'otherParticipants')) this.#came(info)
    this.#dispatcher.dispatch(response)
  }

  /** An `update` message. */
  updated(response: SignalResponseLike): void {
    const participants = participantsIn(response, 'participants')
    for (const { identity, sid, state } of participants) {
      const there = this.#remote.get(identity)
      if (state === ParticipantState.Disconnected) {
        if (there?.sid === sid) this.#returning?.settle(identity)
      } else if (there !== undefined && there.sid !== sid) {
        this.#returning?.expect(identity)
      }
    }
    for (const info of participants) if (info.state !== ParticipantState.Disconnected) this.#came(info)
    this.#dispatcher.dispatch(response)
    for (const { identity, sid, state } of participants) {
      const there = this.#remote.get(identity)
      // A participant that came back under a new SID is not gone because its old session ends.
      if (state === ParticipantState.Disconnected && there?.sid === sid) this.#left(there)
    }
  }

  /**
   * A `roomMoved` message: the local participant is in another room. Everyone of the old one has left, as livekit-client
   * tells it; a participant that is in both joins anew. `arrived` is called in between.
   */
  moved(response: SignalResponseLike, arrived: () => void): void {
    for (const there of [...this.#remote.values()]) {
      const { identity, sid } = there
      this.#returning?.settle(identity)
      const gone = { identity, sid, state: ParticipantState.Disconnected }
      this.#dispatcher.dispatch({ message: { case: 'update', value: { participants: [gone] } } })
      this.#left(there)
    }
    arrived()
    const { value } = response.message
    this.joinedAs(check.isObject(value) ? value['participant'] : undefined, false)
    this.joinedBy(response)
  }

  #came(info: ParticipantInfoMessage): void {
    if (info.identity !== this.#local.identity && !this.#limits.admit(info)) return
    this.#absent.delete(info.identity)
    if (info.identity === this.#local.identity) {
      const changes = this.#local.update(info)
      this.#tellChanges(this.#local, changes)
      this.#owner.localUpdated(changes)
      return
    }
    const there = this.#remote.get(info.identity)
    if (there !== undefined) {
      if (there.sid !== info.sid) this.#owner.replaced(there)
      this.#tellChanges(there, there.update(info))
      return
    }
    const participant = new RemoteParticipant(info)
    this.#remote.set(info.identity, participant)
    this.#owner.joined(info.identity)
    this.#owner.tell(RoomEvent.ParticipantConnected, participant)
  }

  #left(participant: RemoteParticipant): void {
    this.#absent.delete(participant.identity)
    if (!this.#remote.delete(participant.identity)) return
    this.#limits.left(participant.identity)
    this.#owner.left(participant)
    this.#owner.tell(RoomEvent.ParticipantDisconnected, participant)
  }

  #returnExpired(identity: string): void {
    const participant = this.#remote.get(identity)
    if (this.#absent.has(identity) && participant !== undefined) this.#left(participant)
  }

  #tellChanges(
    participant: LocalParticipant | RemoteParticipant,
    { name, metadata, attributes, permissions }: ParticipantChanges,
  ): void {
    const { tell } = this.#owner
    if (name !== undefined) tell(RoomEvent.ParticipantNameChanged, name, participant)
    if (metadata !== undefined) tell(RoomEvent.ParticipantMetadataChanged, metadata, participant)
    if (attributes !== undefined) tell(RoomEvent.ParticipantAttributesChanged, attributes, participant)
    if (permissions !== undefined) {
      tell(RoomEvent.ParticipantPermissionsChanged, permissions.before, participant)
    }
  }
}

/** The participants in a list of a message; what makes no sense is left out. */
function participantsIn({ message }: SignalResponseLike, list: string): ParticipantInfoMessage[] {
  const participants = check.isObject(message.value) ? message.value[list] : undefined
  return Array.isArray(participants) ? participants.filter(isParticipant) : []
}

/** The participants of a room: those who joined, changed and left, according to the server. */
import * as check from '../base/arguments'
import { disconnectReason } from '../connection/disconnect-reason'
import type { DisconnectReason } from '../connection/disconnect-reason'
import { log } from '../base/logging'
import type { Session } from '../session/session'
import { SignalDispatcher } from '../signal/dispatch'
import { ParticipantState } from '../signal/messages'
import type { ParticipantInfoMessage, SignalResponseLike } from '../signal/messages'
import { StateCheck } from './participant-state'
import { RoomEvent } from './events'
import type { TellRoomEvent } from './events'
import { RemoteParticipant } from './remote-participant'
import type { LocalParticipant } from './local-participant'
import { isOlder, isParticipant } from './participant-info'
import type { ParticipantChanges } from './participant-info'
import { ParticipantLimits } from './participant-limits'
import { ReturningParticipants } from './returning'

/** What a roster tells its room. */
export interface RosterOwner {
  readonly tell: TellRoomEvent
  /** The server has sent the current state of the local participant. */
  localUpdated(changes: ParticipantChanges): void
  joined(identity: string): void
  /** The server has described a remote participant, with its audio tracks. It was told of the participant. */
  described(participant: RemoteParticipant, info: ParticipantInfoMessage): void
  /** A remote participant can be sent to. */
  active(participant: RemoteParticipant): void
  /** A remote participant has a new session. It still has its old description. */
  replaced(participant: RemoteParticipant): void
  left(participant: RemoteParticipant): void
  /** Handling a timer failed. */
  failed(): void
}

/** The participants of a room. It lives as long as the room, across connections. */
export class Roster {
  readonly #local: LocalParticipant
  readonly #remote: Map<string, RemoteParticipant>
  readonly #owner: RosterOwner
  #dispatcher = new SignalDispatcher({})
  #returning: ReturningParticipants | undefined
  /** Participants that were there before the local connection was rebuilt, and have not been mentioned since. */
  readonly #absent = new Set<string>()
  readonly #limits = new ParticipantLimits()
  readonly #states = new StateCheck()
  #warned = false

  constructor(local: LocalParticipant, remote: Map<string, RemoteParticipant>, owner: RosterOwner) {
    this.#local = local
    this.#remote = remote
    this.#owner = owner
  }

  /** Passes the tracks of remote participants to this session. */
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
   * The connection has ended. The room must not keep its last connection: closures that are created together share all
   * variables that either of them uses.
   */
  detach(): void {
    this.#returning?.close()
    this.#returning = undefined
    this.#dispatcher = new SignalDispatcher({})
  }

  /** All participants count as left. */
  clear(): void {
    for (const participant of [...this.#remote.values()]) this.#left(participant)
    this.#local.setState(ParticipantState.Disconnected)
    this.#limits.clear()
    this.#states.clear()
  }

  /** Handles a message about tracks. */
  dispatch(response: SignalResponseLike): void {
    this.#dispatcher.dispatch(response)
  }

  /** The local connection was rebuilt. Remote participants may still be reconnecting, too. */
  rebuilt(): void {
    for (const identity of this.#remote.keys()) {
      this.#absent.add(identity)
      this.#returning?.expect(identity)
    }
  }

  /** The local participant of a `join` message. `first`: nothing was known of it before. */
  joinedAs(participant: unknown, first: boolean): void {
    if (!isParticipant(participant)) return
    if (first) this.#local.update(connected(participant))
    else this.#came(participant)
  }

  /**
   * The remote participants of a `join` message. After a rebuild, anyone missing from `join` has left or is still
   * reconnecting.
   */
  joinedBy(response: SignalResponseLike): void {
    for (const info of participantsIn(response, 'otherParticipants')) this.#came(info)
    for (const identity of this.#absent) this.#remote.get(identity)?.setState(ParticipantState.Joining)
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
    for (const { identity, sid, state, disconnectReason: number } of participants) {
      const there = this.#remote.get(identity)
      // If a participant came back with a new SID, the end of its old session does not remove it.
      if (state === ParticipantState.Disconnected && there?.sid === sid) {
        const reason = disconnectReason(number)
        this.#left(there, reason === 'unknownReason' ? undefined : reason)
      }
    }
    const listed = snapshotIn(response)
    if (listed !== undefined) this.#keepOnly(listed)
  }

  /**
   * The server has listed all participants: those that are missing have left. It happens after a resume, during which
   * their end was not heard. Participants that were there before the local connection was rebuilt are still waited for.
   */
  #keepOnly(listed: ReadonlySet<string>): void {
    const { identity, permissions } = this.#local
    if (!listed.has(identity) && permissions?.hidden !== true) {
      if (!this.#warned) log('warn', 'room', 'a list of all participants lacks the local one, and is ignored')
      this.#warned = true
      return
    }
    for (const there of [...this.#remote.values()]) {
      if (!listed.has(there.identity) && !this.#absent.has(there.identity)) this.#gone(there)
    }
  }

  /** Ends the tracks of a participant that has left, and tells so. */
  #gone(there: RemoteParticipant): void {
    const { identity, sid } = there
    this.#returning?.settle(identity)
    const gone = { identity, sid, state: ParticipantState.Disconnected }
    this.#dispatcher.dispatch({ message: { case: 'update', value: { participants: [gone] } } })
    this.#left(there)
  }

  /**
   * A `roomMoved` message: the local participant is in another room. All participants of the old room have left, as
   * livekit-client reports it; a participant that is in both rooms joins again. `arrived` is called in between.
   */
  moved(response: SignalResponseLike, arrived: () => void): void {
    for (const there of [...this.#remote.values()]) this.#gone(there)
    arrived()
    const { value } = response.message
    this.joinedAs(check.isObject(value) ? value['participant'] : undefined, false)
    this.joinedBy(response)
  }

  #came(given: ParticipantInfoMessage): void {
    const there = this.#remote.get(given.identity)
    const info = this.#states.checked(given, there?.info.state)
    if (info.identity !== this.#local.identity && !this.#limits.admit(info)) return
    this.#absent.delete(info.identity)
    if (info.identity === this.#local.identity) {
      const changes = this.#local.update(connected(info))
      this.#tellChanges(this.#local, changes)
      this.#owner.localUpdated(changes)
      return
    }
    if (there !== undefined) {
      if (there.sid !== info.sid) this.#owner.replaced(there)
      const overtaken = isOlder(info, there.info)
      this.#tellChanges(there, there.update(info))
      if (!overtaken) this.#owner.described(there, info)
      return
    }
    const participant = new RemoteParticipant(info)
    this.#remote.set(info.identity, participant)
    this.#owner.joined(info.identity)
    this.#owner.tell(RoomEvent.ParticipantConnected, participant)
    if (participant.isActive) this.#active(participant)
    this.#owner.described(participant, info)
  }

  #left(participant: RemoteParticipant, reason?: DisconnectReason): void {
    this.#absent.delete(participant.identity)
    if (!this.#remote.delete(participant.identity)) return
    this.#limits.left(participant.identity)
    participant.leftFor(reason)
    participant.setState(ParticipantState.Disconnected)
    this.#owner.left(participant)
    this.#owner.tell(RoomEvent.ParticipantDisconnected, participant, reason)
  }

  #returnExpired(identity: string): void {
    const participant = this.#remote.get(identity)
    if (this.#absent.has(identity) && participant !== undefined) this.#left(participant)
  }

  #tellChanges(
    participant: LocalParticipant | RemoteParticipant,
    { name, metadata, attributes, permissions, active }: ParticipantChanges,
  ): void {
    const { tell } = this.#owner
    if (name !== undefined) tell(RoomEvent.ParticipantNameChanged, name, participant)
    if (metadata !== undefined) tell(RoomEvent.ParticipantMetadataChanged, metadata, participant)
    if (attributes !== undefined) tell(RoomEvent.ParticipantAttributesChanged, attributes, participant)
    if (permissions !== undefined) {
      tell(RoomEvent.ParticipantPermissionsChanged, permissions.before, participant)
    }
    if (active === true && participant !== this.#local) this.#active(participant as RemoteParticipant)
  }

  #active(participant: RemoteParticipant): void {
    this.#owner.active(participant)
    this.#owner.tell(RoomEvent.ParticipantActive, participant)
  }
}

/**
 * The local participant's description. The room learns of its session when data can flow, and the server does not tell a
 * participant that it is active.
 */
function connected(info: ParticipantInfoMessage): ParticipantInfoMessage {
  return { ...info, state: ParticipantState.Active }
}

/** The participants in a list of a message. Invalid entries are skipped. */
function participantsIn({ message }: SignalResponseLike, list: string): ParticipantInfoMessage[] {
  const participants = check.isObject(message.value) ? message.value[list] : undefined
  return Array.isArray(participants) ? participants.filter(isParticipant) : []
}

/** The identities of all participants, in the last part of an update that lists them all. */
function snapshotIn({ message }: SignalResponseLike): ReadonlySet<string> | undefined {
  const listed = check.isObject(message.value) ? message.value['snapshotOf'] : undefined
  return Array.isArray(listed) ? new Set(listed as string[]) : undefined
}

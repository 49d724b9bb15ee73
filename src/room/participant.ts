/** What local and remote participants have in common. */
import * as check from '../base/arguments'
import { ActiveParticipant } from './activity'
import { DataTrackClosedError } from '../base/errors'
import { changesOf, isOlder, joinedAtOf, keptOf, keptPermission } from './participant-info'
import { kindDetailsOf, kindOf, permissionsOf } from './participant-info'
import type { ParticipantChanges, ParticipantKind, ParticipantKindDetail } from './participant-info'
import type { ParticipantPermissions } from './participant-info'
import { ActiveWaiters, stateOf } from './participant-state'
import type { ParticipantState } from './participant-state'
import type { ParticipantInfoMessage } from '../signal/messages'

/** Properties of local and remote participants. */
export abstract class Participant extends ActiveParticipant {
  #info: ParticipantInfoMessage
  readonly #active = new ActiveWaiters()

  /** @internal */
  constructor(info: ParticipantInfoMessage) {
    super()
    this.#info = keptOf(info)
  }

  /**
   * The identity, unique in the room. It stays the same when the participant reconnects. Empty before the room is
   * connected.
   */
  get identity(): string {
    return this.#info.identity
  }

  /** The server's ID of the participant (`PA_…`). It changes when the participant's connection is rebuilt. */
  get sid(): string {
    return this.#info.sid
  }

  /** The display name. May be empty. */
  get name(): string {
    return this.#info.name ?? ''
  }

  /** The participant's metadata, which the application sets. May be empty. */
  get metadata(): string {
    return this.#info.metadata ?? ''
  }

  /** The participant's attributes, which the application sets. */
  get attributes(): Readonly<Record<string, string>> {
    return this.#info.attributes ?? {}
  }

  /** @internal */
  get info(): ParticipantInfoMessage {
    return this.#info
  }

  /** What the participant may do; `undefined` until the server has told. */
  get permissions(): ParticipantPermissions | undefined {
    return permissionsOf(this.#info.permission)
  }

  /** The kind of participant: `standard`, `agent`, `sip` … */
  get kind(): ParticipantKind {
    return kindOf(this.#info.kind)
  }

  /** More about the {@link kind}. Often empty. */
  get kindDetails(): readonly ParticipantKindDetail[] {
    return kindDetailsOf(this.#info.kindDetails)
  }

  /** Whether the participant is an agent, by its {@link kind} or by its token. */
  get isAgent(): boolean {
    return this.kind === 'agent' || this.#info.permission?.agent === true
  }

  /** When the participant joined, by the server's clock; `undefined` until the server has told. */
  get joinedAt(): Date | undefined {
    return joinedAtOf(this.#info)
  }

  /** The participant's state: `joining`, `joined`, `active` or `disconnected`. */
  get state(): ParticipantState {
    return stateOf(this.#info.state)
  }

  /** Whether data can be sent to the participant. The local participant is active while its room is connected. */
  get isActive(): boolean {
    return this.state === 'active'
  }

  /**
   * Resolves when data can be sent to the participant. If that is so already, it resolves at once.
   *
   * @throws `DataTrackClosedError` (`participantDisconnected`) if the participant leaves, or the room is disconnected;
   * the signal's `reason`; `TypeError` that names the option
   */
  async waitUntilActive(options: { readonly signal?: AbortSignal | undefined } = {}): Promise<void> {
    const signal = check.signal('options.signal', check.options('options', options).signal)
    signal?.throwIfAborted()
    if (this.isActive) return
    if (this.hasLeft) throw new DataTrackClosedError('participantDisconnected')
    await this.#active.wait(signal)
  }

  /** @internal Whether the participant can never become active again. The local participant can connect again. */
  protected get hasLeft(): boolean {
    return this.state === 'disconnected'
  }

  /** @internal The room has learned the state from something other than a description. */
  setState(state: number): void {
    this.#info = { ...this.#info, state }
    this.#active.changed(this.state)
  }

  /** @internal Applies a new description. Returns what has changed. */
  update(info: ParticipantInfoMessage): ParticipantChanges {
    const before = this.#info
    if (isOlder(info, before)) return {}
    this.#info = { ...keptOf(info), permission: keptPermission(info.permission) ?? before.permission }
    this.#active.changed(this.state)
    return changesOf(before, this.#info)
  }
}

/** Whether a participant can be sent to. */
import { Deferred } from '../base/abort'
import { DataTrackClosedError } from '../base/errors'
import { log } from '../base/logging'
import { ParticipantState as StateNumber } from '../signal/messages'
import type { ParticipantInfoMessage } from '../signal/messages'

/** Names of `livekit.ParticipantInfo.State`, by number. */
const names = ['joining', 'joined', 'active', 'disconnected'] as const

/**
 * The state of a participant. `joining`, `joined`: it is connecting, or it is coming back. `active`: its connection is
 * complete, and data can be sent to it. `disconnected`: it is not in the room.
 */
export type ParticipantState = (typeof names)[number]

/** @internal A number that LiveKit does not have counts as `joining`; {@link StateCheck} lets none pass. */
export function stateOf(number: number): ParticipantState {
  return names[number] ?? 'joining'
}

/** @internal Whether a description says that the participant became active: for the first time in its session. */
export function becameActive(before: ParticipantInfoMessage, now: ParticipantInfoMessage): boolean {
  if (now.state !== StateNumber.Active) return false
  return before.state !== StateNumber.Active || before.sid !== now.sid
}

/** @internal The callers that wait until a participant is active. */
export class ActiveWaiters {
  readonly #waiting = new Set<Deferred<void>>()

  /** @throws `DataTrackClosedError` (`participantDisconnected`) if the participant leaves; the signal's `reason` */
  async wait(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted()
    const deferred = new Deferred<void>()
    this.#waiting.add(deferred.abortWith(signal, () => this.#waiting.delete(deferred)))
    await deferred.promise
  }

  /** The participant's state may have changed. */
  changed(state: ParticipantState): void {
    if (state !== 'active' && state !== 'disconnected') return
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const deferred of waiting) {
      if (state === 'active') deferred.resolve()
      else deferred.reject(new DataTrackClosedError('participantDisconnected'))
    }
  }
}

/** @internal Replaces states that LiveKit does not have. */
export class StateCheck {
  #warned = false

  /** The description; with the state `before` if it has none of LiveKit's. */
  checked(info: ParticipantInfoMessage, before: number = StateNumber.Joining): ParticipantInfoMessage {
    // Most messages have one. Those are not copied.
    if (names[info.state] !== undefined) return info
    // In plain objects of bufbuild 2, fields with the value zero are absent.
    const { state = StateNumber.Joining } = info as { readonly state?: unknown }
    if (typeof state === 'number' && names[state] !== undefined) return { ...info, state }
    if (!this.#warned) {
      this.#warned = true
      log('warn', 'room', 'the server sent a state of a participant that is not known; it is ignored')
    }
    return { ...info, state: before }
  }

  /** The room is disconnected. The next connection may warn again. */
  clear(): void {
    this.#warned = false
  }
}

/** RPC calls between rooms, in either version. */
import { setTimeout as delay } from 'node:timers/promises'
import type { Room } from '../../index'
import { turn } from './rooms'

/** Makes the rooms believe that the other participants support RPC of this version at most. */
export function speakVersion(version: 1 | 2, ...rooms: Room[]): void {
  if (version === 2) return
  for (const room of rooms) {
    for (const participant of room.remoteParticipants.values()) {
      Object.defineProperty(participant, 'clientProtocol', { value: 0, configurable: true })
    }
  }
}

/** A call as a test makes it. */
export function call(
  room: Room,
  destinationIdentity: string,
  method: string,
  payload = '',
  options: { responseTimeout?: number; maxRoundTripLatency?: number; signal?: AbortSignal } = {},
): Promise<string> {
  return room.localParticipant.performRpc({ destinationIdentity, method, payload, ...options })
}

/** The outcome of a call. */
export interface Outcome {
  readonly answer: string | undefined
  readonly code: number | undefined
}

/** Waits for the outcome of a call. Fails if the call rejects with an error that is no `RpcError`. */
export async function outcome(answer: Promise<string>): Promise<Outcome> {
  try {
    return { answer: await answer, code: undefined }
  } catch (error) {
    if ((error as Error).name !== 'RpcError') throw error
    return { answer: undefined, code: (error as { code: number }).code }
  }
}

/**
 * Whether a call settles in so many ms. A busy machine's timers are late, all of them. So the time is measured by a timer
 * of this process: what is due before it has happened in the turn of the event loop in which it fires.
 */
export async function settlesWithin(ms: number, call: Promise<unknown>): Promise<boolean> {
  let settled = false
  const over = new AbortController()
  const settling = call.then(() => {
    settled = true
    over.abort()
  })
  const late = delay(ms, undefined, { signal: over.signal }).then(turn, () => undefined)
  await Promise.race([settling, late])
  return settled
}

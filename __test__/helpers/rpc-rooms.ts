/** RPC calls between rooms, in either version. */
import type { Room } from '../../index'

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
  /** ms from the call until it settled. */
  readonly took: number
}

/** Waits for the outcome of a call. Fails if the call rejects with an error that is no `RpcError`. */
export async function outcome(answer: Promise<string>): Promise<Outcome> {
  const begun = performance.now()
  try {
    return { answer: await answer, code: undefined, took: performance.now() - begun }
  } catch (error) {
    if ((error as Error).name !== 'RpcError') throw error
    return { answer: undefined, code: (error as { code: number }).code, took: performance.now() - begun }
  }
}

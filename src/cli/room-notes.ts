/** Reports on standard error what happens to a room's connection. */
import { printable } from '../base/printable'
import { RoomEvent } from '../room/events'
import type { Room } from '../room/room'
import { note } from './output'

/**
 * Reports when the connection is lost, and when it is back. The returned signal aborts when the user's signal aborts.
 * It also aborts, with an error, when the connection has ended for good.
 */
export function untilDisconnected(room: Room, signal: AbortSignal): AbortSignal {
  const ended = new AbortController()
  room.on(RoomEvent.Reconnecting, () => note('The connection is lost; looking for another.'))
  room.on(RoomEvent.Reconnected, () => note('The connection is back.'))
  room.on(RoomEvent.Disconnected, (reason) => {
    if (reason !== 'clientInitiated') ended.abort(new Error(`the connection has ended: ${reason}`))
  })
  room.on(RoomEvent.EncryptionError, ({ message, participantIdentity }) => {
    note(
      `${participantIdentity === undefined ? 'One frame or more of ours' : 'A frame or more of others'}: ${message}`,
    )
  })
  return AbortSignal.any([signal, ended.signal])
}

/** Waits until a participant is in the room. */
export async function participantIn(room: Room, identity: string, signal: AbortSignal): Promise<void> {
  if (room.remoteParticipants.has(identity)) return
  note(`Waiting for ${printable(identity)}.`)
  await new Promise<void>((resolve, reject) => {
    const came = (participant: { readonly identity: string }): void => {
      if (participant.identity !== identity) return
      room.off(RoomEvent.ParticipantConnected, came)
      resolve()
    }
    room.on(RoomEvent.ParticipantConnected, came)
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
  })
}

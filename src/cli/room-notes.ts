/** Reports on standard error what happens to a room's connection. */
import { abortable, Deferred } from '../base/abort'
import { printable } from '../base/printable'
import { RoomEvent } from '../room/events'
import type { RemoteParticipant } from '../room/remote-participant'
import type { Room } from '../room/room'
import { note, Stopped } from './output'

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

/**
 * Waits until the command has `enough`. Returns `false` if the user stops it before.
 *
 * @throws the reason of `ended`, if the connection has ended
 */
export async function untilEnough(enough: Promise<unknown>, ended: AbortSignal): Promise<boolean> {
  try {
    await abortable(enough, ended)
    return true
  } catch (error) {
    if (error instanceof Stopped) return false
    throw error
  }
}

/** Waits until a participant is in the room and data can be sent to it. Throws the signal's `reason`. */
export async function participantIn(room: Room, identity: string, signal: AbortSignal): Promise<void> {
  let participant = room.remoteParticipants.get(identity)
  if (participant === undefined) {
    note(`Waiting for ${printable(identity)}.`)
    const coming = new Deferred<RemoteParticipant>().abortWith(signal, () => undefined)
    const came = (each: RemoteParticipant): void => {
      if (each.identity === identity) coming.resolve(each)
    }
    room.on(RoomEvent.ParticipantConnected, came)
    participant = await coming.promise.finally(() => room.off(RoomEvent.ParticipantConnected, came))
  }
  await participant.waitUntilActive({ signal })
}

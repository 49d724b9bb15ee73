/** The server's description of the room itself. */
import { isObject } from '../base/arguments'
import type { ParticipantInfoMessage, SignalResponseLike } from '../signal/messages'
import { isParticipant } from './participant-info'
import type { Profile } from './profile'

/** `livekit.Room`, the fields used here. */
export interface RoomInfo {
  readonly sid: string
  readonly name: string
  readonly metadata: string
}

/** Before the first connection. */
export const noRoom: RoomInfo = { sid: '', name: '', metadata: '' }

/** Missing fields count as empty. */
export function roomInfoOf(message: unknown): RoomInfo {
  if (!isObject(message)) return noRoom
  const text = (value: unknown): string => (typeof value === 'string' ? value : '')
  return { sid: text(message['sid']), name: text(message['name']), metadata: text(message['metadata']) }
}

/** The local participant's profile in a join message. */
export function profileIn(join: SignalResponseLike): Profile {
  const { value } = join.message
  const participant = isObject(value) ? value['participant'] : undefined
  const info: Partial<ParticipantInfoMessage> = isParticipant(participant) ? participant : {}
  return { name: info.name ?? '', metadata: info.metadata ?? '', attributes: info.attributes ?? {} }
}

/** The server's version in a join message. Older servers give it in a separate field. */
export function serverVersionIn(join: Readonly<Record<string, unknown>>): string | undefined {
  const info = join['serverInfo']
  const version = (isObject(info) && info['version']) || join['serverVersion']
  return typeof version === 'string' ? version : undefined
}

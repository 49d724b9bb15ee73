/** What the server says of a room itself. */
import { isObject } from '../base/arguments'

/** `livekit.Room`, as far as it is used here. */
export interface RoomInfo {
  readonly sid: string
  readonly name: string
  readonly metadata: string
}

/** Before the first connection. */
export const noRoom: RoomInfo = { sid: '', name: '', metadata: '' }

/** What is missing counts as empty. */
export function roomInfoOf(message: unknown): RoomInfo {
  if (!isObject(message)) return noRoom
  const text = (value: unknown): string => (typeof value === 'string' ? value : '')
  return { sid: text(message['sid']), name: text(message['name']), metadata: text(message['metadata']) }
}

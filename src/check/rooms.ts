/** Connects rooms for the checks and the commands. */
import { randomBytes } from 'node:crypto'
import type { ConnectOptions } from '../connection/connect-options'
import { Room } from '../room/room'
import type { RoomOptions } from '../room/room-options'

/** Tokens of two participants in one room. */
export interface TokenPair {
  readonly publisher: string
  readonly subscriber: string
}

/** The prefix with a random suffix, so that two runs in one room do not use the same name. */
export function uniqueName(prefix: string): string {
  return `${prefix}-${randomBytes(4).toString('hex')}`
}

/** Connects a publisher and a subscriber to one room. */
export async function connectPair(
  url: string,
  tokens: TokenPair,
  options: ConnectOptions,
): Promise<[Room, Room]> {
  const publisher = await joinRoom(url, tokens.publisher, options)
  try {
    return [publisher, await joinRoom(url, tokens.subscriber, options)]
  } catch (error) {
    await publisher.disconnect()
    throw error
  }
}

/** Connects a room. `before` is called with the room before it connects, so that it can add listeners in time. */
export async function joinRoom(
  url: string,
  token: string,
  options: RoomOptions & ConnectOptions,
  before?: (room: Room) => void,
): Promise<Room> {
  const room = new Room(options)
  before?.(room)
  await room.connect(url, token, options)
  return room
}

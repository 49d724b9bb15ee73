/** Rooms for checks and commands. */
import { randomBytes } from 'node:crypto'
import type { ConnectOptions } from '../connection/connect-options'
import { Room } from '../room/room'
import type { RoomOptions } from '../room/room-options'

/** Tokens of two participants of one room. */
export interface TokenPair {
  readonly publisher: string
  readonly subscriber: string
}

/** A unique name. */
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

/** Connects; `before` gets the room first, to listen to it. */
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

/**
 * How two rooms of this package tell each other who subscribes: an RPC method that is reserved, with JSON as payload.
 * docs/wire.md describes it.
 */
import { isObject } from '../../base/arguments'
import { RESERVED_PREFIX } from '../../rpc/transport'
import { isHandle } from '../../signal/convert'
import { MAX_TRACKS_OF_PARTICIPANT } from '../../signal/limits'

/** The method. */
export const DEMAND_METHOD = `${RESERVED_PREFIX}demand`

/** A publisher asks a participant which of its tracks it is subscribed to, now and from then on. */
export const ASK = JSON.stringify({ ask: true })

/** What a subscriber says of the tracks of one publisher. */
export interface Announcement {
  /** Counts the announcements of a subscriber to a publisher. An older one that comes late does not count. */
  readonly count: number
  /** The publisher's handles of the tracks that the server forwards to the subscriber. */
  readonly tracks: readonly number[]
}

/** The text of an announcement. */
export function announcementText({ count, tracks }: Announcement): string {
  return JSON.stringify({ count, tracks })
}

/** Reads a payload; `undefined`: it is neither an announcement nor a question. */
export function parseDemand(payload: string): Announcement | 'ask' | undefined {
  let message: unknown
  try {
    message = JSON.parse(payload)
  } catch {
    return undefined
  }
  if (!isObject(message)) return undefined
  if (message['ask'] === true) return 'ask'
  const { count, tracks } = message
  if (typeof count !== 'number' || !Number.isSafeInteger(count) || count < 0) return undefined
  if (!Array.isArray(tracks) || tracks.length > MAX_TRACKS_OF_PARTICIPANT) return undefined
  return tracks.every(isHandle) ? { count, tracks } : undefined
}

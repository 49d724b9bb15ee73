/** Limits of the participants that a room keeps, and of their descriptions. */
import { isObject } from '../base/arguments'
import { log } from '../base/logging'
import { MAX_PARTICIPANTS } from '../signal/limits'
import type { ParticipantInfoMessage } from '../signal/messages'

/** Bytes in memory of the descriptions of all participants of a room: metadata, attributes, names, audio tracks. */
export const MAX_PARTICIPANT_BYTES = 268_435_456
/** Bytes of one participant besides its texts, of one attribute, and of one audio track. */
const PARTICIPANT_BYTES = 1024
const ATTRIBUTE_BYTES = 64
const AUDIO_TRACK_BYTES = 512

/** Counts the memory of a room's participants. */
export class ParticipantLimits {
  readonly #sizes = new Map<string, number>()
  #bytes = 0
  #warned = false

  /** Whether there is room for the participant's new description. If so, the description is counted. */
  admit(info: ParticipantInfoMessage): boolean {
    const before = this.#sizes.get(info.identity)
    const size = sizeOf(info)
    const bytes = this.#bytes - (before ?? 0) + size
    const fits =
      bytes <= MAX_PARTICIPANT_BYTES && (before !== undefined || this.#sizes.size < MAX_PARTICIPANTS)
    if (fits) {
      this.#sizes.set(info.identity, size)
      this.#bytes = bytes
    } else if (!this.#warned) {
      this.#warned = true
      log(
        'warn',
        'room',
        'some participants, or changes of them, are left out: there are too many, or they are too large',
      )
    }
    return fits
  }

  /** The participant has left. */
  left(identity: string): void {
    this.#bytes -= this.#sizes.get(identity) ?? 0
    this.#sizes.delete(identity)
  }

  /** All participants have left. */
  clear(): void {
    this.#sizes.clear()
    this.#bytes = 0
    this.#warned = false
  }
}

function sizeOf(info: ParticipantInfoMessage): number {
  const { identity, name = '', metadata = '', attributes = {} } = info
  const tracks: readonly unknown[] = Array.isArray(info.tracks) ? info.tracks : []
  let characters = identity.length + name.length + metadata.length
  const entries = Object.entries(attributes)
  for (const [key, value] of entries) characters += key.length + value.length
  for (const track of tracks) {
    for (const text of isObject(track) ? [track['sid'], track['name'], track['mimeType']] : [])
      if (typeof text === 'string') characters += text.length
  }
  return (
    PARTICIPANT_BYTES + 2 * characters + ATTRIBUTE_BYTES * entries.length + AUDIO_TRACK_BYTES * tracks.length
  )
}

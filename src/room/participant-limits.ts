/** Limits of the participants that a room keeps, and of their descriptions. */
import { log } from '../base/logging'
import { MAX_PARTICIPANTS } from '../signal/limits'
import type { ParticipantInfoMessage } from '../signal/messages'

/** Bytes in memory of the descriptions of all participants of a room: metadata, attributes, names. */
export const MAX_PARTICIPANT_BYTES = 268_435_456
/** Bytes of one participant besides its texts, and of one attribute. */
const PARTICIPANT_BYTES = 1024
const ATTRIBUTE_BYTES = 64

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

function sizeOf({ identity, name = '', metadata = '', attributes = {} }: ParticipantInfoMessage): number {
  let characters = identity.length + name.length + metadata.length
  const entries = Object.entries(attributes)
  for (const [key, value] of entries) characters += key.length + value.length
  return PARTICIPANT_BYTES + 2 * characters + ATTRIBUTE_BYTES * entries.length
}

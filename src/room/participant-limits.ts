/** How many participants a room keeps, and how much of what they say of themselves. */
import { log } from '../base/logging'
import { MAX_PARTICIPANTS } from '../signal/limits'
import type { ParticipantInfoMessage } from '../signal/messages'

/** Bytes in memory of all participants of a room: metadata, attributes, names. */
export const MAX_PARTICIPANT_BYTES = 268_435_456
/** … of one, beside its texts; and of an attribute. */
const PARTICIPANT_BYTES = 1024
const ATTRIBUTE_BYTES = 64

/** Counts what is kept of a room's participants. */
export class ParticipantLimits {
  readonly #sizes = new Map<string, number>()
  #bytes = 0
  #warned = false

  /** Whether the participant, as the server now describes it, is kept: it is counted then. Otherwise nothing changes. */
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

  /** The participant is gone. */
  left(identity: string): void {
    this.#bytes -= this.#sizes.get(identity) ?? 0
    this.#sizes.delete(identity)
  }

  /** All are gone. */
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

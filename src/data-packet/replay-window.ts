/** Which sealed packets were opened lately, so that a server cannot have one of them handled twice. */

/** Packets that are remembered, at least; and twice as many at most. Each takes some 100 bytes. */
export const REPLAY_WINDOW = 16_384

/** Bytes of the tag, which stands behind the ciphertext. */
const TAG_LENGTH = 16

/**
 * A packet is known by its initialization vector and its tag: with the same vector and key, another packet has another tag.
 * What the server says of it (sender, number) is not authenticated, and does not count.
 */
export class ReplayWindow {
  #recent = new Set<string>()
  #older = new Set<string>()

  /** Whether that packet was opened lately. */
  has(iv: Uint8Array, sealed: Uint8Array): boolean {
    const key = keyOf(iv, sealed)
    return this.#recent.has(key) || this.#older.has(key)
  }

  /** That packet was opened: only those count, or a sender without the key could fill the window. */
  add(iv: Uint8Array, sealed: Uint8Array): void {
    this.#recent.add(keyOf(iv, sealed))
    if (this.#recent.size < REPLAY_WINDOW) return
    this.#older = this.#recent
    this.#recent = new Set()
  }
}

function keyOf(iv: Uint8Array, sealed: Uint8Array): string {
  return latin1(iv) + latin1(sealed.subarray(Math.max(0, sealed.length - TAG_LENGTH)))
}

function latin1({ buffer, byteOffset, length }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, length).toString('latin1')
}

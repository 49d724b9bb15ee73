/** Remembers the encrypted packets that were recently accepted, so that a server cannot replay them. */

/** The least number of packets remembered; the most is twice as many. Each takes about 100 bytes. */
export const REPLAY_WINDOW = 16_384

/** Bytes of the tag, which follows the ciphertext. */
const TAG_LENGTH = 16

/**
 * Identifies a packet by its initialization vector and its tag: another packet with the same vector and key has another
 * tag. The sender and number that the server gives are not authenticated, so they are not used.
 */
export class ReplayWindow {
  #recent = new Set<string>()
  #older = new Set<string>()

  /** Whether this packet was recently accepted. */
  has(iv: Uint8Array, sealed: Uint8Array): boolean {
    const key = keyOf(iv, sealed)
    return this.#recent.has(key) || this.#older.has(key)
  }

  /**
   * Remembers a packet that was decrypted. Other packets do not count; else a sender without the key could fill the
   * window.
   */
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

/** The last frame of a track, kept for participants that come later. */

/** Bytes of a frame that is kept. */
export const MAX_LATCHED_BYTES = 16_777_216

/** A frame that is kept. */
export interface LatchedFrame {
  readonly payload: Uint8Array
  readonly userTimestamp: bigint | undefined
}

/** Keeps a copy of the last frame. */
export class Latch {
  #frame: LatchedFrame | undefined

  get frame(): LatchedFrame | undefined {
    return this.#frame
  }

  /** A frame was accepted. One that is too large leaves none: an older one would be wrong. */
  keep(payload: Uint8Array, userTimestamp: bigint | undefined): void {
    const fits = payload.byteLength <= MAX_LATCHED_BYTES
    this.#frame = fits ? { payload: Uint8Array.from(payload), userTimestamp } : undefined
  }
}

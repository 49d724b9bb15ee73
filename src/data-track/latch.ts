/** The last frame of a track, kept for participants that come later. */

/** Bytes of a frame that is kept. */
export const MAX_LATCHED_BYTES = 16_777_216

/** A frame that is kept. */
export interface KeptFrame {
  readonly payload: Uint8Array
  readonly userTimestamp: bigint | undefined
}

/** A frame that is kept, with what tells it from the track's other frames. */
export interface LatchedFrame extends KeptFrame {
  /** As {@link DataTrackFrame.number}. */
  readonly number: number
  /** As {@link DataTrackFrame.timestamp}. */
  readonly timestamp: number
}

/** Keeps a copy of the last frame. */
export class Latch {
  #frame: KeptFrame | undefined

  get frame(): KeptFrame | undefined {
    return this.#frame
  }

  /** A frame was accepted. One that is too large leaves none: an older one would be wrong. */
  keep(payload: Uint8Array, userTimestamp: bigint | undefined): void {
    const fits = payload.byteLength <= MAX_LATCHED_BYTES
    this.#frame = fits ? { payload: Uint8Array.from(payload), userTimestamp } : undefined
  }
}

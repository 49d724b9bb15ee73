/** Frames, and the clock that user timestamps follow. */

/** A frame to be sent. livekit-client has the same shape. */
export interface DataTrackFrameInit {
  /**
   * The bytes, 0 to {@link LocalDataTrack.maxFrameLength} of them. They are copied before the call returns, so the
   * buffer can be used again at once. Shared memory is refused with a `TypeError`.
   */
  readonly payload: Uint8Array
  /**
   * Any number from 0n to 2n ** 64n - 1n that travels with the frame; by custom Unix milliseconds, as {@link now}
   * gives them. Default: none, which saves 12 bytes. It is not encrypted, not even on an encrypted track.
   */
  readonly userTimestamp?: bigint | undefined
}

/** A frame as it arrived: whole, and decrypted if the track is encrypted. */
export class DataTrackFrame {
  /**
   * The bytes. Small frames share a buffer of 64 KiB with their neighbours (never with frames above 16 KiB): keeping
   * one keeps that. Subscribe with `ownedPayloads: true` if you transfer payloads to a worker, or keep them for long.
   */
  readonly payload: Uint8Array
  /** What the publisher sent as `userTimestamp`, or `undefined`. Not authenticated, even on an encrypted track. */
  readonly userTimestamp: bigint | undefined
  /** The publisher's frame number, modulo 65,536: frames come in the order of completion, this tells that of sending. */
  readonly number: number
  /** The time of sending on the publisher's packet clock: ticks of 90 kHz from a random start, modulo 2^32. */
  readonly timestamp: number
  /** How long the complete frame waited here for its reader, in ms. */
  readonly age: number

  /** @internal */
  constructor(
    payload: Uint8Array,
    userTimestamp: bigint | undefined,
    number: number,
    timestamp: number,
    age: number,
  ) {
    this.payload = payload
    this.userTimestamp = userTimestamp
    this.number = number
    this.timestamp = timestamp
    this.age = age
  }
}

/** A frame of a stream that has a codec: `value` is what the codec made of `payload`. */
export class DecodedDataTrackFrame<T> extends DataTrackFrame {
  /** The decoded payload. */
  readonly value: T

  /** @internal */
  constructor(frame: DataTrackFrame, value: T) {
    super(frame.payload, frame.userTimestamp, frame.number, frame.timestamp, frame.age)
    this.value = value
  }
}

/**
 * The time for `userTimestamp`: milliseconds since 1970 (Unix time) by this machine's clock. It is 0 where the clock is set
 * to a time before 1970, which no timestamp can be.
 */
export function now(): bigint {
  return BigInt(Math.max(0, Date.now()))
}

/**
 * Milliseconds from the frame's `userTimestamp` (taken as Unix milliseconds) until now; `undefined` if it has none.
 *
 * Between two machines that is the latency plus the difference of their clocks, so it can be negative.
 */
export function durationSince(frame: { readonly userTimestamp?: bigint | undefined }): number | undefined {
  const { userTimestamp } = frame
  return userTimestamp === undefined ? undefined : Number(BigInt(Date.now()) - userTimestamp)
}

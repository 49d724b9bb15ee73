/** Frames, and the clock that user timestamps follow. */

/** A frame to send. livekit-client's has the same shape. */
export interface DataTrackFrameInit {
  /**
   * The bytes: 0 to {@link LocalDataTrack.maxFrameLength}. They are copied before the call returns, so the caller can
   * reuse the buffer at once. Shared memory is refused with a `TypeError`.
   */
  readonly payload: Uint8Array
  /**
   * Any number from 0n to 2n ** 64n - 1n that travels with the frame; by convention Unix milliseconds, as {@link now}
   * gives them. Default: none, which saves 12 bytes. It is never encrypted, not even on an encrypted track.
   */
  readonly userTimestamp?: bigint | undefined
}

/** A received frame: complete, and decrypted if the track is encrypted. */
export class DataTrackFrame {
  /**
   * The bytes. Frames of up to 16 KiB share a buffer of 64 KiB with their neighbours, so keeping one payload keeps the
   * whole buffer. Subscribe with `ownedPayloads: true` if you transfer payloads to a worker or keep them for long.
   */
  readonly payload: Uint8Array
  /**
   * The `userTimestamp` that the publisher sent, or `undefined`. It is not authenticated, not even on an encrypted
   * track.
   */
  readonly userTimestamp: bigint | undefined
  /**
   * The publisher's frame number, modulo 65,536. Frames arrive in the order of completion; the number gives the order
   * of sending.
   */
  readonly number: number
  /** The time of sending on the publisher's packet clock: 90 kHz ticks from a random start, modulo 2^32. */
  readonly timestamp: number
  /** How long the complete frame waited for the reader, in ms. */
  readonly age: number

  /**
   * Whether the publisher had kept the frame: {@link RemoteDataTrack.latest} fetched it, or a subscription with
   * `latest: true`.
   */
  get latched(): boolean {
    return false
  }

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

/** A frame that the publisher had kept. */
export class LatchedDataTrackFrame extends DataTrackFrame {
  override get latched(): boolean {
    return true
  }
}

/** A frame of a stream with a codec: `value` is the decoded `payload`. */
export class DecodedDataTrackFrame<T> extends DataTrackFrame {
  /** The decoded payload. */
  readonly value: T
  readonly #latched: boolean

  /** @internal */
  constructor(frame: DataTrackFrame, value: T) {
    super(frame.payload, frame.userTimestamp, frame.number, frame.timestamp, frame.age)
    this.value = value
    this.#latched = frame.latched
  }

  override get latched(): boolean {
    return this.#latched
  }
}

/**
 * The current Unix time in milliseconds, for `userTimestamp`. It is 0 if this machine's clock is set to before 1970,
 * because a timestamp cannot be negative.
 */
export function now(): bigint {
  return BigInt(Math.max(0, Date.now()))
}

/**
 * Milliseconds from the frame's `userTimestamp` (read as Unix milliseconds) until now; `undefined` if it has none.
 *
 * Between two machines the result is the latency plus the difference of their clocks, so it can be negative.
 */
export function durationSince(frame: { readonly userTimestamp?: bigint | undefined }): number | undefined {
  const { userTimestamp } = frame
  return userTimestamp === undefined ? undefined : Number(BigInt(Date.now()) - userTimestamp)
}

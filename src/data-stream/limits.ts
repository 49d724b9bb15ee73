/** Limits of the data streams that a room receives. */
import * as check from '../base/arguments'

/**
 * Limits of the data streams that a room receives.
 *
 * Senders do not wait for readers, so unread data is kept, up to these limits. A stream beyond them fails with
 * `DataStreamError`. Other streams and the connection go on.
 */
export interface DataStreamLimits {
  /** Unread bytes of one stream. 1 to 2^53 − 1; default: 64 MiB. */
  readonly maxBufferedBytes?: number | undefined
  /**
   * Unread bytes of all streams. Beyond it, a stream of the sender with the most unread bytes fails. Default: 256 MiB.
   */
  readonly maxTotalBufferedBytes?: number | undefined
  /**
   * Streams of one participant that may be open or not yet read to their end. A further stream takes the place of the
   * oldest one that has arrived completely and that no handler has begun to read. If there is none, the further stream
   * is dropped. 1 to 2^53 − 1; default: 4,096.
   */
  readonly maxStreamsPerSender?: number | undefined
  /**
   * ms without a packet of a stream and without a read of it. 1 to 2^31 − 1, or `Infinity` for no limit. Default: 10
   * min.
   */
  readonly idleTimeout?: number | undefined
}

/** Unread bytes of one stream. */
export const MAX_BUFFERED_BYTES = 64 * 1024 * 1024
/** Unread bytes of all streams. */
export const MAX_TOTAL_BUFFERED_BYTES = 256 * 1024 * 1024
/** Streams that one participant may have open. */
export const MAX_STREAMS_PER_SENDER = 4096
/** ms without any activity on a stream. */
export const IDLE_TIMEOUT = 600_000
/** The most bytes that `readAll` returns. */
export const MAX_READ_LENGTH = 256 * 1024 * 1024

/** The limits with their defaults. */
export type CheckedLimits = { readonly [Name in keyof DataStreamLimits]-?: number }

/** @internal */
export function checkLimits(given: DataStreamLimits | undefined): CheckedLimits {
  const limits = check.options('options.dataStreams', given)
  const whole = (
    name: 'maxBufferedBytes' | 'maxTotalBufferedBytes' | 'maxStreamsPerSender',
    fallback: number,
  ) => check.integer(`options.dataStreams.${name}`, limits[name], fallback, 1, Number.MAX_SAFE_INTEGER)
  const { idleTimeout } = limits
  return {
    maxBufferedBytes: whole('maxBufferedBytes', MAX_BUFFERED_BYTES),
    maxTotalBufferedBytes: whole('maxTotalBufferedBytes', MAX_TOTAL_BUFFERED_BYTES),
    maxStreamsPerSender: whole('maxStreamsPerSender', MAX_STREAMS_PER_SENDER),
    idleTimeout:
      idleTimeout === Infinity
        ? Infinity
        : check.number('options.dataStreams.idleTimeout', idleTimeout, IDLE_TIMEOUT, 1, 0x7fff_ffff, ' ms'),
  }
}

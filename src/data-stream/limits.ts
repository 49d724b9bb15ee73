/** What may be kept of streams that others send. */
import * as check from '../base/arguments'

/**
 * Limits of the data streams that a room receives. Senders do not wait for readers: what is not read is kept, up to
 * these. Over them a stream fails with `DataStreamError`; others and the connection go on.
 */
export interface DataStreamLimits {
  /** Bytes of one stream that nobody has read. 1 to 2^53 − 1; default: 64 MiB. */
  readonly maxBufferedBytes?: number | undefined
  /** Bytes of all streams that nobody has read; over it, the stream fails that holds most. Default: 256 MiB. */
  readonly maxTotalBufferedBytes?: number | undefined
  /** Streams that one participant may have open at a time; more are dropped. Default: 4,096. */
  readonly maxStreamsPerSender?: number | undefined
  /** ms in which nothing comes of a stream and nothing is read of it. 1 to 2^31 − 1, `Infinity`: no limit. Default: 10 min. */
  readonly idleTimeout?: number | undefined
}

/** Bytes of one stream that nobody has read. */
export const MAX_BUFFERED_BYTES = 64 * 1024 * 1024
/** Bytes of all streams that nobody has read. */
export const MAX_TOTAL_BUFFERED_BYTES = 256 * 1024 * 1024
/** Streams that one participant may have open. */
export const MAX_STREAMS_PER_SENDER = 4096
/** ms in which nothing happens on a stream. */
export const IDLE_TIMEOUT = 600_000
/** Bytes that `readAll` puts together. */
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

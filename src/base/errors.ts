/**
 * Every error of the package: one class per operation, one stable `code` per class, one `reason` per cause.
 *
 * Match on `code` and `reason`, never on `message`. Wrong arguments throw a `TypeError` or a `RangeError` with Node's
 * own codes (`arguments.ts`). A call aborted by a signal rejects with the signal's `reason`, as everywhere in the
 * platform.
 */
import { errorReasons } from './error-reasons'
import { printableLines } from './printable'
import type { ErrorName, ErrorReason } from './error-reasons'

/** The `code` of each error class. */
export const errorCodes = {
  DataTrackPublishError: 'ERR_DATATRACK_PUBLISH',
  DataTrackPushFrameError: 'ERR_DATATRACK_PUSH_FRAME',
  DataTrackSubscribeError: 'ERR_DATATRACK_SUBSCRIBE',
  DataTrackStreamError: 'ERR_DATATRACK_STREAM',
  DataTrackDecodeError: 'ERR_DATATRACK_DECODE',
  DataTrackUnpublishedError: 'ERR_DATATRACK_UNPUBLISHED',
  DataTrackE2eeError: 'ERR_DATATRACK_E2EE',
  DataTrackConnectionError: 'ERR_DATATRACK_CONNECTION',
  SignalRequestError: 'ERR_DATATRACK_SIGNAL_REQUEST',
  DataTrackClosedError: 'ERR_DATATRACK_CLOSED',
  PublishDataError: 'ERR_DATATRACK_PUBLISH_DATA',
  DataStreamError: 'ERR_DATATRACK_DATA_STREAM',
  TrackPublishError: 'ERR_DATATRACK_TRACK_PUBLISH',
  AudioSourceError: 'ERR_DATATRACK_AUDIO_SOURCE',
  AudioProcessingError: 'ERR_DATATRACK_AUDIO_PROCESSING',
  RtcNodeError: 'ERR_DATATRACK_RTC_NODE',
} as const satisfies Record<ErrorName, string>

/** The `code` of any error of this package. */
export type DataTrackErrorCode = (typeof errorCodes)[ErrorName]
/** Reasons of {@link DataTrackPublishError}. */
export type DataTrackPublishErrorReason = ErrorReason<'DataTrackPublishError'>
/** Reasons of {@link DataTrackPushFrameError}. */
export type DataTrackPushFrameErrorReason = ErrorReason<'DataTrackPushFrameError'>
/** Reasons of {@link DataTrackSubscribeError}. */
export type DataTrackSubscribeErrorReason = ErrorReason<'DataTrackSubscribeError'>
/** Reasons of {@link DataTrackStreamError}. */
export type DataTrackStreamErrorReason = ErrorReason<'DataTrackStreamError'>
/** Reasons of {@link DataTrackDecodeError}. */
export type DataTrackDecodeErrorReason = ErrorReason<'DataTrackDecodeError'>
/** Reasons of {@link DataTrackUnpublishedError}. */
export type DataTrackUnpublishedErrorReason = ErrorReason<'DataTrackUnpublishedError'>
/** Reasons of {@link DataTrackE2eeError}. */
export type DataTrackE2eeErrorReason = ErrorReason<'DataTrackE2eeError'>
/** Reasons of {@link DataTrackConnectionError}. */
export type DataTrackConnectionErrorReason = ErrorReason<'DataTrackConnectionError'>
/** Reasons of {@link SignalRequestError}. */
export type SignalRequestErrorReason = ErrorReason<'SignalRequestError'>
/** Reasons of {@link DataTrackClosedError}. */
export type DataTrackClosedErrorReason = ErrorReason<'DataTrackClosedError'>
/** Reasons of {@link PublishDataError}. */
export type PublishDataErrorReason = ErrorReason<'PublishDataError'>
/** Reasons of {@link DataStreamError}. */
export type DataStreamErrorReason = ErrorReason<'DataStreamError'>
/** Reasons of {@link TrackPublishError}. */
export type TrackPublishErrorReason = ErrorReason<'TrackPublishError'>
/** Reasons of {@link AudioSourceError}. */
export type AudioSourceErrorReason = ErrorReason<'AudioSourceError'>
/** Reasons of {@link AudioProcessingError}. */
export type AudioProcessingErrorReason = ErrorReason<'AudioProcessingError'>
/** Reasons of {@link RtcNodeError}. */
export type RtcNodeErrorReason = ErrorReason<'RtcNodeError'>

/** Options of the constructors of all errors. */
export interface DataTrackErrorOptions {
  /** Details of this error, appended to the reason's message. */
  readonly detail?: string | undefined
  /** The error that caused this one: a codec's or a key provider's, for example. */
  readonly cause?: unknown
}

/** Marks an error of this package, across copies of the package. */
const BRAND = Symbol.for('node-datatrack.error')

/**
 * The base class of all errors of this package.
 *
 * `instanceof` works across copies of the package (two versions in one program, for example). It checks a
 * registered symbol instead of the prototype.
 */
export abstract class DataTrackError extends Error {
  /** The class's code. Stable: match on it. */
  abstract readonly code: DataTrackErrorCode
  /** Why it failed. Stable: one of the strings that the class's `reason` type lists. */
  abstract readonly reason: string
  /** @internal */
  readonly [BRAND]: string

  /** @internal */
  protected constructor(name: ErrorName, reason: string, options: DataTrackErrorOptions) {
    const reasons: Readonly<Record<string, { readonly message: string }>> = errorReasons[name]
    const message = reasons[reason]?.message ?? reason
    super(
      message + detailOf(options.detail),
      options.cause === undefined ? undefined : { cause: options.cause },
    )
    this[BRAND] = name
    // Not enumerable, as in JavaScript's own errors.
    Object.defineProperty(this, BRAND, { enumerable: false })
    Object.defineProperty(this, 'name', { value: name, configurable: true, writable: true })
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    if (typeof value !== 'object' || value === null) return false
    const brand = (value as { readonly [BRAND]?: unknown })[BRAND]
    if (this === DataTrackError) return typeof brand === 'string'
    // A class that an application derived from one of these has no brand, so the prototype decides.
    const own = brands.get(this)
    if (own !== undefined) return brand === own
    return Function.prototype[Symbol.hasInstance].call(this, value)
  }
}

/** Characters of a detail that are repeated. */
const MAX_DETAIL = 2000

/** Details are often the words of a server or a participant, and end in logs and on terminals. */
function detailOf(detail = ''): string {
  return detail === '' ? '' : `: ${printableLines(detail.slice(0, MAX_DETAIL))}`
}

/** Publishing a track failed. Nothing is published. */
export class DataTrackPublishError extends DataTrackError {
  readonly code = errorCodes.DataTrackPublishError
  readonly reason: DataTrackPublishErrorReason
  constructor(reason: DataTrackPublishErrorReason, options: DataTrackErrorOptions = {}) {
    super('DataTrackPublishError', reason, options)
    this.reason = reason
  }
}

/** A frame was not accepted. It still belongs to the caller, as `frame`. */
export class DataTrackPushFrameError extends DataTrackError {
  readonly code = errorCodes.DataTrackPushFrameError
  readonly reason: DataTrackPushFrameErrorReason
  /** The argument of `tryPush` or `push`, unchanged. */
  readonly frame: unknown
  constructor(reason: DataTrackPushFrameErrorReason, frame: unknown, options: DataTrackErrorOptions = {}) {
    super('DataTrackPushFrameError', reason, options)
    this.reason = reason
    this.frame = frame
  }
}

/** A subscription failed, or ended because the connection was lost for good. */
export class DataTrackSubscribeError extends DataTrackError {
  readonly code = errorCodes.DataTrackSubscribeError
  readonly reason: DataTrackSubscribeErrorReason
  constructor(reason: DataTrackSubscribeErrorReason, options: DataTrackErrorOptions = {}) {
    super('DataTrackSubscribeError', reason, options)
    this.reason = reason
  }
}

/** A stream was read in a way that streams do not allow. */
export class DataTrackStreamError extends DataTrackError {
  readonly code = errorCodes.DataTrackStreamError
  readonly reason: DataTrackStreamErrorReason
  constructor(reason: DataTrackStreamErrorReason, options: DataTrackErrorOptions = {}) {
    super('DataTrackStreamError', reason, options)
    this.reason = reason
  }
}

/** Connecting a room failed. */
export class DataTrackConnectionError extends DataTrackError {
  readonly code = errorCodes.DataTrackConnectionError
  readonly reason: DataTrackConnectionErrorReason
  /** The HTTP status with which the server refused the request; `undefined` if it did not refuse by HTTP. */
  readonly status: number | undefined
  constructor(
    reason: DataTrackConnectionErrorReason,
    options: DataTrackErrorOptions & { readonly status?: number } = {},
  ) {
    super('DataTrackConnectionError', reason, options)
    this.reason = reason
    this.status = options.status
  }
}

/**
 * A codec could not decode a frame (its stream has ended) or the answer of an RPC call. The codec's error is the
 * `cause`.
 */
export class DataTrackDecodeError extends DataTrackError {
  readonly code = errorCodes.DataTrackDecodeError
  readonly reason: DataTrackDecodeErrorReason
  /** The frame with its payload, or the text of the answer, as received. */
  readonly frame: unknown
  constructor(reason: DataTrackDecodeErrorReason, frame: unknown, options: DataTrackErrorOptions = {}) {
    super('DataTrackDecodeError', reason, options)
    this.reason = reason
    this.frame = frame
  }
}

/** The `reason` of a local track's `signal`: why the publication ended. */
export class DataTrackUnpublishedError extends DataTrackError {
  readonly code = errorCodes.DataTrackUnpublishedError
  readonly reason: DataTrackUnpublishedErrorReason
  constructor(reason: DataTrackUnpublishedErrorReason, options: DataTrackErrorOptions = {}) {
    super('DataTrackUnpublishedError', reason, options)
    this.reason = reason
  }
}

/** Setting a key failed, or frames could not be encrypted or decrypted. The latter come in `encryptionError` events. */
export class DataTrackE2eeError extends DataTrackError {
  readonly code = errorCodes.DataTrackE2eeError
  readonly reason: DataTrackE2eeErrorReason
  /** The sender of the frames or packets; `undefined` for the local participant, and for packets of the server. */
  readonly participantIdentity: string | undefined
  /** The index of the key. */
  readonly keyIndex: number | undefined
  /** Frames dropped for this reason since the last such event; 0 if the error concerns no frame. */
  readonly count: number
  constructor(
    reason: DataTrackE2eeErrorReason,
    options: DataTrackErrorOptions & {
      readonly participantIdentity?: string | undefined
      readonly keyIndex?: number | undefined
      readonly count?: number
    } = {},
  ) {
    super('DataTrackE2eeError', reason, options)
    this.reason = reason
    this.participantIdentity = options.participantIdentity
    this.keyIndex = options.keyIndex
    this.count = options.count ?? 0
  }
}

/**
 * A request to the server failed: to change the local participant's metadata, name or attributes, or about a schema.
 * The name is livekit-client's.
 */
export class SignalRequestError extends DataTrackError {
  readonly code = errorCodes.SignalRequestError
  readonly reason: SignalRequestErrorReason
  constructor(reason: SignalRequestErrorReason, options: DataTrackErrorOptions = {}) {
    super('SignalRequestError', reason, options)
    this.reason = reason
  }
}

/** The object was closed before the call, or the native part failed. */
export class DataTrackClosedError extends DataTrackError {
  readonly code = errorCodes.DataTrackClosedError
  readonly reason: DataTrackClosedErrorReason
  constructor(reason: DataTrackClosedErrorReason, options: DataTrackErrorOptions = {}) {
    super('DataTrackClosedError', reason, options)
    this.reason = reason
  }
}

/** A data packet was not sent, or its arrival is unknown. The name is livekit-client's. */
export class PublishDataError extends DataTrackError {
  readonly code = errorCodes.PublishDataError
  readonly reason: PublishDataErrorReason
  /** With `packetTooLarge`: the packet's size in bytes, header included; else `undefined`. */
  readonly size: number | undefined
  /** With `packetTooLarge`: the largest size in bytes that the connection carries; else `undefined`. */
  readonly maxSize: number | undefined
  constructor(
    reason: PublishDataErrorReason,
    options: DataTrackErrorOptions & {
      readonly size?: number | undefined
      readonly maxSize?: number | undefined
    } = {},
  ) {
    const { size, maxSize, detail } = options
    const sizes =
      size === undefined || maxSize === undefined ? undefined : `${size} bytes, of ${maxSize} at most`
    super('PublishDataError', reason, { ...options, detail: detail ?? sizes })
    this.reason = reason
    this.size = size
    this.maxSize = maxSize
  }
}

/** A data stream ended before it was complete, or was used in a way that streams do not allow. */
export class DataStreamError extends DataTrackError {
  readonly code = errorCodes.DataStreamError
  readonly reason: DataStreamErrorReason
  constructor(reason: DataStreamErrorReason, options: DataTrackErrorOptions = {}) {
    super('DataStreamError', reason, options)
    this.reason = reason
  }
}

/** Publishing an audio track failed. Nothing is published. */
export class TrackPublishError extends DataTrackError {
  readonly code = errorCodes.TrackPublishError
  readonly reason: TrackPublishErrorReason
  constructor(reason: TrackPublishErrorReason, options: DataTrackErrorOptions = {}) {
    super('TrackPublishError', reason, options)
    this.reason = reason
  }
}

/** An audio source did not take a frame. */
export class AudioSourceError extends DataTrackError {
  readonly code = errorCodes.AudioSourceError
  readonly reason: AudioSourceErrorReason
  constructor(reason: AudioSourceErrorReason, options: DataTrackErrorOptions = {}) {
    super('AudioSourceError', reason, options)
    this.reason = reason
  }
}

/** An audio resampler or mixer was used after its end. */
export class AudioProcessingError extends DataTrackError {
  readonly code = errorCodes.AudioProcessingError
  readonly reason: AudioProcessingErrorReason
  constructor(reason: AudioProcessingErrorReason, options: DataTrackErrorOptions = {}) {
    super('AudioProcessingError', reason, options)
    this.reason = reason
  }
}

/** A program that uses `node-datatrack/rtc-node` in place of `@livekit/rtc-node` used what only the latter has. */
export class RtcNodeError extends DataTrackError {
  readonly code = errorCodes.RtcNodeError
  readonly reason: RtcNodeErrorReason
  constructor(reason: RtcNodeErrorReason, options: DataTrackErrorOptions = {}) {
    super('RtcNodeError', reason, options)
    this.reason = reason
  }
}

/** Keyed by the class, because minifiers change class names. */
const brands = new Map<unknown, ErrorName>([
  [DataTrackPublishError, 'DataTrackPublishError'],
  [DataTrackPushFrameError, 'DataTrackPushFrameError'],
  [DataTrackSubscribeError, 'DataTrackSubscribeError'],
  [DataTrackStreamError, 'DataTrackStreamError'],
  [DataTrackDecodeError, 'DataTrackDecodeError'],
  [DataTrackUnpublishedError, 'DataTrackUnpublishedError'],
  [DataTrackE2eeError, 'DataTrackE2eeError'],
  [DataTrackConnectionError, 'DataTrackConnectionError'],
  [SignalRequestError, 'SignalRequestError'],
  [DataTrackClosedError, 'DataTrackClosedError'],
  [PublishDataError, 'PublishDataError'],
  [DataStreamError, 'DataStreamError'],
  [TrackPublishError, 'TrackPublishError'],
  [AudioSourceError, 'AudioSourceError'],
  [AudioProcessingError, 'AudioProcessingError'],
  [RtcNodeError, 'RtcNodeError'],
])

/** One row for each reason of each class. The documentation prints the table, and a test checks it. */
export function errorTable(): readonly {
  readonly name: ErrorName
  readonly code: DataTrackErrorCode
  readonly reason: string
  readonly message: string
  readonly doc: string
}[] {
  const names = Object.keys(errorCodes) as ErrorName[]
  return names.flatMap((name) =>
    Object.entries<{ message: string; doc: string }>(errorReasons[name]).map(
      ([reason, { message, doc }]) => ({
        name,
        code: errorCodes[name],
        reason,
        message,
        doc,
      }),
    ),
  )
}

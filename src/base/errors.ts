/**
 * Every error of the package: a class per operation, a stable `code` per class, a `reason` per cause.
 *
 * Match on `code` and `reason`, never on `message`. Wrong arguments are a `TypeError` or a `RangeError` with Node's own
 * codes (`arguments.ts`), and what a signal aborts rejects with that signal's `reason`, as everywhere in the platform.
 */
import { errorReasons } from './error-reasons'
import { printableLines } from './printable'
import type { ErrorName, ErrorReason } from './error-reasons'

/** `code` of each class of errors. */
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
} as const satisfies Record<ErrorName, string>

/** `code` of any error of this package. */
export type DataTrackErrorCode = (typeof errorCodes)[ErrorName]
/** Why {@link DataTrackPublishError}. */
export type DataTrackPublishErrorReason = ErrorReason<'DataTrackPublishError'>
/** Why {@link DataTrackPushFrameError}. */
export type DataTrackPushFrameErrorReason = ErrorReason<'DataTrackPushFrameError'>
/** Why {@link DataTrackSubscribeError}. */
export type DataTrackSubscribeErrorReason = ErrorReason<'DataTrackSubscribeError'>
/** Why {@link DataTrackStreamError}. */
export type DataTrackStreamErrorReason = ErrorReason<'DataTrackStreamError'>
/** Why {@link DataTrackDecodeError}. */
export type DataTrackDecodeErrorReason = ErrorReason<'DataTrackDecodeError'>
/** Why {@link DataTrackUnpublishedError}. */
export type DataTrackUnpublishedErrorReason = ErrorReason<'DataTrackUnpublishedError'>
/** Why {@link DataTrackE2eeError}. */
export type DataTrackE2eeErrorReason = ErrorReason<'DataTrackE2eeError'>
/** Why {@link DataTrackConnectionError}. */
export type DataTrackConnectionErrorReason = ErrorReason<'DataTrackConnectionError'>
/** Why {@link SignalRequestError}. */
export type SignalRequestErrorReason = ErrorReason<'SignalRequestError'>
/** Why {@link DataTrackClosedError}. */
export type DataTrackClosedErrorReason = ErrorReason<'DataTrackClosedError'>
/** Why {@link PublishDataError}. */
export type PublishDataErrorReason = ErrorReason<'PublishDataError'>
/** Why {@link DataStreamError}. */
export type DataStreamErrorReason = ErrorReason<'DataStreamError'>

/** What the constructors of all errors take beside the reason. */
export interface DataTrackErrorOptions {
  /** What happened in particular; put behind the reason's own message. */
  readonly detail?: string | undefined
  /** What caused it, an error of a codec or a key provider for example. */
  readonly cause?: unknown
}

/** Marks an error of this package, whichever copy of the package made it. */
const BRAND = Symbol.for('node-datatrack.error')

/**
 * The base of all errors of this package.
 *
 * `instanceof` works across copies of the package (two versions in one program, `import` beside `require`): it asks for
 * a registered symbol, not for the prototype.
 */
export abstract class DataTrackError extends Error {
  /** Stable; what to match on. */
  abstract readonly code: DataTrackErrorCode
  /** Stable; one of a few strings that the class's `reason` type lists. */
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
    // Not enumerable, as in the errors of the language itself.
    Object.defineProperty(this, BRAND, { enumerable: false })
    Object.defineProperty(this, 'name', { value: name, configurable: true, writable: true })
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    if (typeof value !== 'object' || value === null) return false
    const brand = (value as { readonly [BRAND]?: unknown })[BRAND]
    if (this === DataTrackError) return typeof brand === 'string'
    // A class that a user derived from ours has no brand of its own: the prototype decides.
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

/** Publishing a track failed; nothing is published. */
export class DataTrackPublishError extends DataTrackError {
  readonly code = errorCodes.DataTrackPublishError
  readonly reason: DataTrackPublishErrorReason
  constructor(reason: DataTrackPublishErrorReason, options: DataTrackErrorOptions = {}) {
    super('DataTrackPublishError', reason, options)
    this.reason = reason
  }
}

/** A frame was not accepted; it is the caller's still, as `frame`. */
export class DataTrackPushFrameError extends DataTrackError {
  readonly code = errorCodes.DataTrackPushFrameError
  readonly reason: DataTrackPushFrameErrorReason
  /** What was handed to `tryPush` or `push`, unchanged. */
  readonly frame: unknown
  constructor(reason: DataTrackPushFrameErrorReason, frame: unknown, options: DataTrackErrorOptions = {}) {
    super('DataTrackPushFrameError', reason, options)
    this.reason = reason
    this.frame = frame
  }
}

/** A subscription failed, or was cut off by the loss of the connection. */
export class DataTrackSubscribeError extends DataTrackError {
  readonly code = errorCodes.DataTrackSubscribeError
  readonly reason: DataTrackSubscribeErrorReason
  constructor(reason: DataTrackSubscribeErrorReason, options: DataTrackErrorOptions = {}) {
    super('DataTrackSubscribeError', reason, options)
    this.reason = reason
  }
}

/** A stream was read in a way that a stream does not allow. */
export class DataTrackStreamError extends DataTrackError {
  readonly code = errorCodes.DataTrackStreamError
  readonly reason: DataTrackStreamErrorReason
  constructor(reason: DataTrackStreamErrorReason, options: DataTrackErrorOptions = {}) {
    super('DataTrackStreamError', reason, options)
    this.reason = reason
  }
}

/** A room could not be connected. */
export class DataTrackConnectionError extends DataTrackError {
  readonly code = errorCodes.DataTrackConnectionError
  readonly reason: DataTrackConnectionErrorReason
  /** The HTTP status with which the server refused; `undefined` if it was not by HTTP. */
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

/** A codec could not decode a frame (its stream has ended) or the answer of a call. The codec's own error is the `cause`. */
export class DataTrackDecodeError extends DataTrackError {
  readonly code = errorCodes.DataTrackDecodeError
  readonly reason: DataTrackDecodeErrorReason
  /** The frame with its payload, or the answer's text, as it arrived. */
  readonly frame: unknown
  constructor(reason: DataTrackDecodeErrorReason, frame: unknown, options: DataTrackErrorOptions = {}) {
    super('DataTrackDecodeError', reason, options)
    this.reason = reason
    this.frame = frame
  }
}

/** The `reason` of a local track's `signal`: how the publication ended. */
export class DataTrackUnpublishedError extends DataTrackError {
  readonly code = errorCodes.DataTrackUnpublishedError
  readonly reason: DataTrackUnpublishedErrorReason
  constructor(reason: DataTrackUnpublishedErrorReason, options: DataTrackErrorOptions = {}) {
    super('DataTrackUnpublishedError', reason, options)
    this.reason = reason
  }
}

/** Setting a key failed, or frames could not be sealed or opened (then it comes as an `encryptionError` event). */
export class DataTrackE2eeError extends DataTrackError {
  readonly code = errorCodes.DataTrackE2eeError
  readonly reason: DataTrackE2eeErrorReason
  /** Whose frames; `undefined`: one's own. */
  readonly participantIdentity: string | undefined
  /** The index of the key. */
  readonly keyIndex: number | undefined
  /** Frames dropped for it since the last such event; 0 where no frame is concerned. */
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

/** A request to the server failed: one's metadata, name or attributes, or a schema. The name is livekit-client's. */
export class SignalRequestError extends DataTrackError {
  readonly code = errorCodes.SignalRequestError
  readonly reason: SignalRequestErrorReason
  constructor(reason: SignalRequestErrorReason, options: DataTrackErrorOptions = {}) {
    super('SignalRequestError', reason, options)
    this.reason = reason
  }
}

/** The object was closed before, or the native part gave up. */
export class DataTrackClosedError extends DataTrackError {
  readonly code = errorCodes.DataTrackClosedError
  readonly reason: DataTrackClosedErrorReason
  constructor(reason: DataTrackClosedErrorReason, options: DataTrackErrorOptions = {}) {
    super('DataTrackClosedError', reason, options)
    this.reason = reason
  }
}

/** A data packet was not sent, or it is not known whether it arrived. The name is livekit-client's. */
export class PublishDataError extends DataTrackError {
  readonly code = errorCodes.PublishDataError
  readonly reason: PublishDataErrorReason
  /** With `packetTooLarge`: bytes of the packet, its header included; else `undefined`. */
  readonly size: number | undefined
  /** With `packetTooLarge`: bytes that the connection carries at most; else `undefined`. */
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

/** A data stream ended before it was complete, or was used in a way that a stream does not allow. */
export class DataStreamError extends DataTrackError {
  readonly code = errorCodes.DataStreamError
  readonly reason: DataStreamErrorReason
  constructor(reason: DataStreamErrorReason, options: DataTrackErrorOptions = {}) {
    super('DataStreamError', reason, options)
    this.reason = reason
  }
}

/** By class and not by the class's name, which minifiers change. */
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
])

/** One row for each reason of each class: what the documentation prints and a test walks. */
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

/** Errors of RPC calls. The codes, names and limits are livekit-client's. */

/** Bytes of an error's message in UTF-8. The rest is cut off. */
const MAX_MESSAGE_BYTES = 256
/** Bytes of an error's data in UTF-8. The rest is cut off. */
const MAX_DATA_BYTES = 15_360

/** Codes of the errors that RPC itself creates. Applications use other numbers; 1001 to 1999 are LiveKit's. */
const errorCode = {
  APPLICATION_ERROR: 1500,
  CONNECTION_TIMEOUT: 1501,
  RESPONSE_TIMEOUT: 1502,
  RECIPIENT_DISCONNECTED: 1503,
  RESPONSE_PAYLOAD_TOO_LARGE: 1504,
  SEND_FAILED: 1505,
  UNSUPPORTED_METHOD: 1400,
  RECIPIENT_NOT_FOUND: 1401,
  REQUEST_PAYLOAD_TOO_LARGE: 1402,
  UNSUPPORTED_SERVER: 1403,
  UNSUPPORTED_VERSION: 1404,
} as const

/** Name of a built-in error. */
export type RpcErrorName = keyof typeof errorCode

/** @internal The one table: message and advice of each built-in error. The messages are livekit-client's. */
export const rpcErrors: Readonly<Record<RpcErrorName, { readonly message: string; readonly doc: string }>> = {
  UNSUPPORTED_METHOD: {
    message: 'Method not supported at destination',
    doc: 'The recipient has no handler for that method.',
  },
  RECIPIENT_NOT_FOUND: {
    message: 'Recipient not found',
    doc: 'No participant with that identity is known, and no acknowledgement of the request came within `maxRoundTripLatency`.',
  },
  REQUEST_PAYLOAD_TOO_LARGE: {
    message: 'Request payload too large',
    doc: 'The recipient speaks RPC version 1, which carries 15,360 bytes; nothing was sent. Or the recipient limits requests (this package: 1 MiB, `rpc.maxRequestBytes`); its handler has not run.',
  },
  UNSUPPORTED_SERVER: {
    message: 'RPC not supported by server',
    doc: 'The server is older than 1.8.0. Nothing was sent.',
  },
  UNSUPPORTED_VERSION: {
    message: 'Unsupported RPC version',
    doc: 'The recipient does not know the version of the request.',
  },
  APPLICATION_ERROR: {
    message: 'Application error in method handler',
    doc: "The handler threw an error that is not an `RpcError`; the recipient's log has its text. Or the recipient already runs too many calls. Or the answer was malformed.",
  },
  CONNECTION_TIMEOUT: {
    message: 'Connection timeout',
    doc: 'The recipient did not acknowledge the request within `maxRoundTripLatency`. Its handler may have run.',
  },
  RESPONSE_TIMEOUT: {
    message: 'Response timeout',
    doc: 'No answer came within `responseTimeout`. The handler may have run, or may still run.',
  },
  RECIPIENT_DISCONNECTED: {
    message: 'Recipient disconnected',
    doc: "The recipient left before it answered. Or the caller's room was disconnected; then `cause` is a `DataTrackClosedError`.",
  },
  RESPONSE_PAYLOAD_TOO_LARGE: {
    message: 'Response payload too large',
    doc: 'The caller speaks RPC version 1, which carries 15,360 bytes. The handler has run.',
  },
  SEND_FAILED: {
    message: 'Failed to send',
    doc: 'The request could not be sent (the `cause` says why), or the recipient could not send its answer.',
  },
}

/** Options of the constructor of {@link RpcError}. */
export interface RpcErrorOptions {
  /** The error that caused this one. It is never sent. */
  readonly cause?: unknown
  /** See {@link RpcError.timeout}. It is never sent. */
  readonly timeout?: number | undefined
}

/** Marks an error of this class, across copies of the package. */
const BRAND = Symbol.for('node-datatrack.rpc-error')

/**
 * The error of a failed call. If a handler throws one, its caller gets the `code`, `message` and `data`. Anything else
 * that a handler throws becomes `APPLICATION_ERROR`, without its text.
 */
export class RpcError extends Error {
  /** The most bytes of `message` in UTF-8. The rest is cut off. */
  static readonly MAX_MESSAGE_BYTES: number = MAX_MESSAGE_BYTES
  /** The most bytes of `data` in UTF-8. The rest is cut off. */
  static readonly MAX_DATA_BYTES: number = MAX_DATA_BYTES
  /** Codes of the built-in errors. */
  static readonly ErrorCode: typeof errorCode = errorCode

  /** One of {@link RpcError.ErrorCode}, or the application's own code. */
  readonly code: number
  /** Data that the handler added; `undefined` if none. */
  readonly data: string | undefined
  /** For a timeout on this side: the timeout in ms; else `undefined`. */
  readonly timeout: number | undefined
  /** @internal */
  readonly [BRAND]: true

  /**
   * @param code a whole number of 32 bits; 1001 to 1999 are LiveKit's
   * @param message at most 256 bytes; more is cut off
   * @param data at most 15,360 bytes; more is cut off
   */
  constructor(code: number, message: string, data?: string, options: RpcErrorOptions = {}) {
    super(
      truncateBytes(message, MAX_MESSAGE_BYTES),
      'cause' in options ? { cause: options.cause } : undefined,
    )
    this.code = code
    this.data = data === undefined || data === '' ? undefined : truncateBytes(data, MAX_DATA_BYTES)
    this.timeout = options.timeout
    this[BRAND] = true
    // Not enumerable, as in JavaScript's own errors.
    Object.defineProperty(this, BRAND, { enumerable: false })
    Object.defineProperty(this, 'name', { value: 'RpcError', configurable: true, writable: true })
  }

  /** Works across copies of the package: it checks a registered symbol instead of the prototype. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    if (this !== RpcError) return Function.prototype[Symbol.hasInstance].call(this, value)
    return typeof value === 'object' && value !== null && (value as { [BRAND]?: unknown })[BRAND] === true
  }

  /** @internal A built-in error with its own message. */
  static builtIn(name: RpcErrorName, data?: string, options?: RpcErrorOptions): RpcError {
    return new RpcError(errorCode[name], rpcErrors[name].message, data, options)
  }
}

/** The longest prefix of a text that has at most `maxBytes` bytes in UTF-8 and ends between two characters. */
export function truncateBytes(text: string, maxBytes: number): string {
  if (Buffer.byteLength(text) <= maxBytes) return text
  // Each UTF-16 unit is at least one byte, so units beyond `maxBytes` cannot fit.
  const bytes = Buffer.from(text.slice(0, maxBytes + 1), 'utf8')
  let end = maxBytes
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--
  return bytes.toString('utf8', 0, end)
}

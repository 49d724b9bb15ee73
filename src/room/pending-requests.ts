/**
 * Requests that the server answers by their number. Each settles by its deadline, whatever happens to the connection.
 */
import { Deferred } from '../base/abort'
import { SignalRequestError } from '../base/errors'
import type { SignalRequestErrorReason } from '../base/errors'
import { isObject } from '../base/arguments'
import { RequestResponseReason } from '../signal/messages'
import type { NumberedSignalRequest } from '../signal/messages'

/** ms that the server may take to answer, reconnects included. */
export const REQUEST_TIMEOUT = 10_000
const MAX_REQUEST_ID = 0xffff_ffff

/** How a request is cancelled, and how it completes without an answer. */
export interface PendingRequestOptions {
  readonly signal: AbortSignal | undefined
  /** The request's timeout in ms. Default: that of all requests. */
  readonly timeoutMs?: number
  /** Checked after each {@link PendingRequests.updated}: an older server carries out the request without answering. */
  readonly done?: () => boolean
}

interface PendingRequest {
  readonly request: NumberedSignalRequest
  readonly deferred: Deferred<Readonly<Record<string, unknown>>>
  readonly timer: NodeJS.Timeout
  readonly done: (() => boolean) | undefined
}

/** The unanswered requests of one connection. */
export class PendingRequests {
  readonly #send: (request: NumberedSignalRequest) => void
  readonly #timeoutMs: number
  readonly #pending = new Map<number, PendingRequest>()
  #lastId = 0
  #closed = false

  /** `send` may lose a request while the room is reconnecting. {@link resend} is called afterwards. */
  constructor(send: (request: NumberedSignalRequest) => void, timeoutMs = REQUEST_TIMEOUT) {
    this.#send = send
    this.#timeoutMs = timeoutMs
  }

  /** Requests without a connection: each fails. */
  static closed(): PendingRequests {
    const requests = new PendingRequests(() => undefined)
    requests.close()
    return requests
  }

  /**
   * Sends a request and resolves with the answer; with an empty object if `done` completed it.
   *
   * @throws `SignalRequestError`; the signal's `reason`
   */
  async request(
    make: (requestId: number) => NumberedSignalRequest,
    { signal, timeoutMs = this.#timeoutMs, done }: PendingRequestOptions,
  ): Promise<Readonly<Record<string, unknown>>> {
    signal?.throwIfAborted()
    if (this.#closed) throw new SignalRequestError('disconnected')
    const id = this.#freeId()
    const request = make(id)
    const deferred = new Deferred<Readonly<Record<string, unknown>>>().abortWith(signal, () => this.#take(id))
    const timer = setTimeout(() => this.#fail(id, 'timeout'), timeoutMs)
    this.#pending.set(id, { request, deferred, timer, done })
    this.#send(request)
    return await deferred.promise
  }

  /** Handles a message of the server. Returns whether it answered one of these requests. */
  handle(kind: string | undefined, value: unknown): boolean {
    if (!isObject(value)) return false
    const { requestId } = value
    if (typeof requestId !== 'number' || !this.#pending.has(requestId)) return false
    switch (kind) {
      case 'requestResponse':
        this.#answered(requestId, value['reason'], value['message'])
        return true
      case 'storeDataBlobResponse':
      case 'getDataBlobResponse':
        this.#take(requestId)?.deferred.resolve(value)
        return true
      case undefined:
      default:
        return false
    }
  }

  /** The server has sent the current state. */
  updated(): void {
    for (const [id, { done }] of [...this.#pending]) {
      if (done?.() === true) this.#take(id)?.deferred.resolve({})
    }
  }

  /**
   * The connection is back, but requests or answers may be lost. The requests are sent again with the same numbers,
   * after those that `before` sends.
   */
  resend(before?: () => void): void {
    const lost = [...this.#pending.values()]
    before?.()
    for (const { request } of lost) this.#send(request)
  }

  /** The room is disconnected. All requests fail, and so do later ones. */
  close(): void {
    this.#closed = true
    for (const id of [...this.#pending.keys()]) this.#fail(id, 'disconnected')
  }

  #answered(id: number, reason: unknown, message: unknown): void {
    switch (reason) {
      case RequestResponseReason.Ok:
        this.#take(id)?.deferred.resolve({})
        return
      case RequestResponseReason.Queued:
        return
      default:
        this.#fail(id, reasonOf(reason), typeof message === 'string' ? message : undefined)
    }
  }

  #fail(id: number, reason: SignalRequestErrorReason, detail?: string): void {
    this.#take(id)?.deferred.reject(new SignalRequestError(reason, { detail }))
  }

  #take(id: number): PendingRequest | undefined {
    const pending = this.#pending.get(id)
    this.#pending.delete(id)
    clearTimeout(pending?.timer)
    return pending
  }

  /** 0 stands for a request without a number. */
  #freeId(): number {
    do this.#lastId = this.#lastId === MAX_REQUEST_ID ? 1 : this.#lastId + 1
    while (this.#pending.has(this.#lastId))
    return this.#lastId
  }
}

function reasonOf(reason: unknown): SignalRequestErrorReason {
  switch (reason) {
    case RequestResponseReason.NotFound:
      return 'notFound'
    case RequestResponseReason.NotAllowed:
      return 'notAllowed'
    case RequestResponseReason.LimitExceeded:
      return 'limitExceeded'
    case RequestResponseReason.UnsupportedType:
      return 'unsupported'
    case RequestResponseReason.InvalidName:
    case RequestResponseReason.InvalidRequest:
      return 'invalidRequest'
    default:
      return 'internal'
  }
}

/** Requests that the server answers by their number: each settles by its deadline, whatever happens to the connection. */
import { Deferred } from '../base/abort'
import { SignalRequestError } from '../base/errors'
import type { SignalRequestErrorReason } from '../base/errors'
import { isObject } from '../base/arguments'
import { RequestResponseReason } from '../signal/messages'
import type { NumberedSignalRequest } from '../signal/messages'

/** ms that the server may take to answer, reconnects included. */
export const REQUEST_TIMEOUT = 10_000
const MAX_REQUEST_ID = 0xffff_ffff

/** How a request is given up, and how else than by an answer it is done. */
export interface PendingRequestOptions {
  readonly signal: AbortSignal | undefined
  /** ms that it may take. Default: as for all. */
  readonly timeoutMs?: number
  /** Looked at after each {@link PendingRequests.updated}: an older server shows the effect and says nothing. */
  readonly done?: () => boolean
}

interface PendingRequest {
  readonly request: NumberedSignalRequest
  readonly deferred: Deferred<Readonly<Record<string, unknown>>>
  readonly timer: NodeJS.Timeout
  readonly done: (() => boolean) | undefined
}

/** The requests of one connection that are not answered yet. */
export class PendingRequests {
  readonly #send: (request: NumberedSignalRequest) => void
  readonly #timeoutMs: number
  readonly #pending = new Map<number, PendingRequest>()
  #lastId = 0
  #closed = false

  /** `send` may lose a request while the connection is being rebuilt; {@link resend} is called afterwards. */
  constructor(send: (request: NumberedSignalRequest) => void, timeoutMs = REQUEST_TIMEOUT) {
    this.#send = send
    this.#timeoutMs = timeoutMs
  }

  /** Of no connection: each fails. */
  static closed(): PendingRequests {
    const requests = new PendingRequests(() => undefined)
    requests.close()
    return requests
  }

  /**
   * Sends a request and resolves with the answer; with an empty object when it only shows its effect.
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

  /** Takes a message of the server. Returns whether it was the answer to one of these requests. */
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

  /** The server has told how things stand now. */
  updated(): void {
    for (const [id, { done }] of [...this.#pending]) {
      if (done?.() === true) this.#take(id)?.deferred.resolve({})
    }
  }

  /**
   * The connection is back: what was asked for, or its answer, may be lost. It is sent again under the same numbers, after
   * what `before` asks for.
   */
  resend(before?: () => void): void {
    const lost = [...this.#pending.values()]
    before?.()
    for (const { request } of lost) this.#send(request)
  }

  /** The room is disconnected: all fail, and so do those to come. */
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

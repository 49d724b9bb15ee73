/** The recipient's side of RPC: handlers by method, running calls, and answers. */
import type { RpcRequest } from '@livekit/protocol'
import * as check from '../base/arguments'
import { LazySignal } from '../base/abort'
import type { ReceivedPacket } from '../data-packet/receiver'
import { DataStreamError, DataTrackClosedError, PublishDataError } from '../base/errors'
import type { SentPacket } from '../data-packet/sender'
import type { OutgoingText } from '../data-stream/outgoing'
import { loadProtocol } from '../base/lazy'
import { log } from '../base/logging'
import { Shares } from '../base/shares'
import { RpcInterceptors } from './interceptors'
import type { RpcInvocationData, RpcMethodHandler } from './invocation'
import { MAX_REQUEST_BYTES } from './limits'
import type { CheckedRpcLimits } from './limits'
import { RpcError } from './rpc-error'
import { Alarm } from './timeouts'
import {
  CLIENT_PROTOCOL_STREAM_RPC,
  MAX_V1_PAYLOAD_BYTES,
  RESERVED_PREFIX,
  RESPONSE_TOPIC,
  RPC_VERSION_PACKETS,
  RPC_VERSION_STREAMS,
  rpcAttributes,
} from './transport'
import type { IncomingText, RpcPacket, RpcTransport } from './transport'

/** Calls that may run at a time; one caller may have at most half of them. Further calls are answered with an error. */
export const MAX_RUNNING_CALLS = 16_384
/**
 * Bytes of callers' data (ids, methods, requests) that may be kept, as text in memory, and {@link CALL_BYTES} for each
 * call. One caller may use at most half. Calls whose time is over count as long as their handlers run.
 */
export const MAX_RUNNING_BYTES = 64 * 1024 * 1024
/**
 * Bytes of acknowledgements and errors that may wait to be sent. Further ones are not sent, and their callers time out.
 * It is half of the bytes that may wait in all, so that remote calls do not block this side's own messages.
 */
export const MAX_WAITING_ANSWER_BYTES = 8 * 1024 * 1024
/** Bytes of a call besides its texts: its objects, its timer, and the promise of its handler. */
export const CALL_BYTES = 1024
/** The most bytes that a packet has besides its texts. */
const PACKET_OVERHEAD = 96

/** How often an answer is sent, each time over another connection. */
export const ANSWER_ATTEMPTS = 3

/** ms. If a handler returns sooner than this, its acknowledgement may be sent together with the answer. */
const QUICK = 1

interface Handler {
  readonly run: RpcMethodHandler
  /** Whether the handler's last call returned at once. */
  quick: boolean
}

interface Call {
  readonly key: string
  readonly id: string
  readonly callerIdentity: string
  readonly responseTimeout: number
  /** Whether the request came as a stream. */
  readonly streams: boolean
  readonly end: LazySignal
  readonly alarm: Alarm
  /** The number of the connection that the request came on. */
  readonly connection: number
  /** Bytes that the call holds of the caller's share. */
  bytes: number
  /** Whether the caller has left or the room is disconnected, so no answer is expected. */
  abandoned: boolean
}

/** See the top of this file. */
export class RpcServerManager {
  readonly #transport: RpcTransport
  readonly #handlers = new Map<string, Handler>()
  /** By caller and id. */
  readonly #calls = new Map<string, Call>()
  readonly #limits: CheckedRpcLimits
  readonly #interceptors: RpcInterceptors
  readonly #slots = new Shares(MAX_RUNNING_CALLS)
  readonly #bytes = new Shares(MAX_RUNNING_BYTES)
  readonly #waiting = new Shares(MAX_WAITING_ANSWER_BYTES)
  /** Answers of several packets that the channel has not accepted yet. */
  readonly #longAnswers = new Set<Promise<void>>()
  /** Counts connections. An answer is only sent on the connection of its request. */
  #connection = 0

  constructor(
    transport: RpcTransport,
    limits: CheckedRpcLimits = { maxRequestBytes: MAX_REQUEST_BYTES },
    interceptors = new RpcInterceptors(),
  ) {
    this.#transport = transport
    this.#limits = limits
    this.#interceptors = interceptors
  }

  /** Calls that are running. */
  get running(): number {
    return this.#calls.size
  }

  /**
   * Resolves when the channel has accepted all answers of several packets, or they have failed. Those of one packet need
   * no waiting: the channel has them at once, and `room.disconnect()` waits for it.
   */
  async longAnswersSent(): Promise<void> {
    while (this.#longAnswers.size > 0) await Promise.allSettled(this.#longAnswers)
  }

  /** See {@link Room.registerRpcMethod}. */
  registerRpcMethod(method: string, handler: RpcMethodHandler): void {
    check.string('method', method)
    check.callback('handler', handler)
    if (method.startsWith(RESERVED_PREFIX)) {
      throw check.outOfRange('method', `one that does not begin with "${RESERVED_PREFIX}"`, method)
    }
    if (this.#handlers.has(method)) {
      throw check.outOfRange('method', 'one that has no handler (unregisterRpcMethod takes it away)', method)
    }
    this.#handlers.set(method, { run: handler, quick: false })
  }

  /** Handles a method of this package, whose name begins with {@link RESERVED_PREFIX}. */
  registerReserved(method: string, handler: RpcMethodHandler): void {
    this.#handlers.set(method, { run: handler, quick: true })
  }

  /** See {@link Room.unregisterRpcMethod}. */
  unregisterRpcMethod(method: string): void {
    if (!check.string('method', method).startsWith(RESERVED_PREFIX)) this.#handlers.delete(method)
  }

  /** Handles a request of version 1. */
  handleRequest({ value: request, senderIdentity }: ReceivedPacket<RpcRequest>): void {
    const { id, method, payload, responseTimeoutMs, version } = request
    const call = this.#begin(id, senderIdentity, method, responseTimeoutMs, false)
    if (call === undefined) return
    const { maxRequestBytes } = this.#limits
    if (version !== RPC_VERSION_PACKETS) this.#fail(call, RpcError.builtIn('UNSUPPORTED_VERSION'))
    else if (Buffer.byteLength(payload) > maxRequestBytes)
      this.#fail(call, RpcError.builtIn('REQUEST_PAYLOAD_TOO_LARGE'))
    else void this.#run(call, method, payload)
  }

  /** Handles a request of version 2. */
  async handleRequestStream(text: IncomingText, callerIdentity: string): Promise<void> {
    const { attributes } = text.info
    const id = attributes[rpcAttributes.id] ?? ''
    const method = attributes[rpcAttributes.method] ?? ''
    const responseTimeout = wholeNumber(attributes[rpcAttributes.responseTimeout])
    const version = wholeNumber(attributes[rpcAttributes.version])
    if (id === '') {
      // Without an id, the caller could not match the answer.
      text.cancel()
      log('warn', 'rpc', 'a request without an id came; it is ignored')
      return
    }
    const call = this.#begin(id, callerIdentity, method, responseTimeout ?? Infinity, true)
    if (call === undefined) {
      text.cancel()
      return
    }
    if (version !== RPC_VERSION_STREAMS || responseTimeout === undefined) {
      text.cancel()
      const broken = version === undefined || responseTimeout === undefined
      this.#fail(
        call,
        broken
          ? RpcError.builtIn('APPLICATION_ERROR', 'the request lacks attributes')
          : RpcError.builtIn('UNSUPPORTED_VERSION'),
      )
      return
    }
    if (!this.#handlers.has(method)) {
      text.cancel()
      this.#fail(call, RpcError.builtIn('UNSUPPORTED_METHOD'))
      return
    }
    let payload: string
    try {
      const maxLength = this.#limits.maxRequestBytes
      payload = text.readAtOnce(maxLength) ?? (await text.readAll({ signal: call.end.signal, maxLength }))
    } catch (error) {
      const tooLarge = error instanceof DataStreamError && error.reason === 'payloadTooLarge'
      this.#fail(
        call,
        tooLarge
          ? RpcError.builtIn('REQUEST_PAYLOAD_TOO_LARGE')
          : RpcError.builtIn('APPLICATION_ERROR', 'the request broke off'),
      )
      return
    }
    await this.#run(call, method, payload)
  }

  handleParticipantDisconnected(identity: string): void {
    for (const call of [...this.#calls.values()]) {
      if (call.callerIdentity === identity) this.#abandon(call, RpcError.builtIn('RECIPIENT_DISCONNECTED'))
    }
  }

  /** The connection has ended. Handlers stay for the next one. */
  close(): void {
    this.#connection++
    if (this.#calls.size === 0) return
    const reason = new DataTrackClosedError('closed')
    for (const call of [...this.#calls.values()]) this.#abandon(call, reason)
  }

  /**
   * Acknowledges a request and starts its call. `undefined`: the call is already running, or there are too many calls.
   */
  #begin(
    id: string,
    callerIdentity: string,
    method: string,
    responseTimeout: number,
    streams: boolean,
  ): Call | undefined {
    const { RpcAck } = loadProtocol()
    const value = new RpcAck({ requestId: id })
    this.#sendBounded(
      { case: 'rpcAck', value },
      callerIdentity,
      bytesOf(id),
      this.#handlers.get(method)?.quick,
    )
    const key = `${id} ${callerIdentity}`
    if (this.#calls.has(key)) return undefined
    const bytes = CALL_BYTES + bytesOf(id, key, method)
    if (!this.#slots.take(callerIdentity, 1)) {
      this.#tooMany(id, callerIdentity)
      return
    }
    if (!this.#bytes.take(callerIdentity, bytes)) {
      this.#slots.give(callerIdentity, 1)
      this.#tooMany(id, callerIdentity)
      return
    }
    const end = new LazySignal()
    const expire = (): void => {
      // The handler may continue, and its answer is sent: some callers wait longer than they say.
      this.#free(call)
      end.abort(RpcError.builtIn('RESPONSE_TIMEOUT', undefined, { timeout: responseTimeout }))
    }
    const alarm = new Alarm(responseTimeout, expire, true)
    const connection = this.#connection
    const call = {
      key,
      id,
      callerIdentity,
      responseTimeout,
      streams,
      end,
      alarm,
      connection,
      bytes,
      abandoned: false,
    }
    this.#calls.set(key, call)
    return call
  }

  #tooMany(id: string, callerIdentity: string): undefined {
    this.#sendError(id, callerIdentity, RpcError.builtIn('APPLICATION_ERROR', 'too many calls at once'))
  }

  async #run(call: Call, method: string, payload: string): Promise<void> {
    const handler = this.#handlers.get(method)
    if (handler === undefined) {
      this.#fail(call, RpcError.builtIn('UNSUPPORTED_METHOD'))
      return
    }
    const { id: requestId, callerIdentity, responseTimeout, end } = call
    if (!this.#bytes.take(callerIdentity, bytesOf(payload))) {
      this.#fail(call, RpcError.builtIn('APPLICATION_ERROR', 'too many calls at once'))
      return
    }
    call.bytes += bytesOf(payload)
    const data: RpcInvocationData = {
      requestId,
      method,
      callerIdentity,
      payload,
      responseTimeout,
      get signal() {
        return end.signal
      },
    }
    let answer: string
    try {
      const called = performance.now()
      // Interceptors are for the application's calls.
      const direct = this.#interceptors.none || method.startsWith(RESERVED_PREFIX)
      const working = direct
        ? handler.run(data)
        : this.#interceptors.incoming((invocation) => this.#handle(invocation))(data)
      handler.quick = performance.now() - called < QUICK
      const given: unknown = await working
      answer = check.string('the result of the handler', given ?? '')
    } catch (error) {
      // A handler that throws the signal's reason reacted to the signal as intended, so no warning is logged.
      const obeyed = end.reason !== undefined && error === end.reason
      if (!(error instanceof RpcError) && !obeyed) {
        const text = error instanceof Error ? (error.stack ?? error.message) : typeof error
        log('warn', 'rpc', `the handler of "${method}" failed; its caller gets APPLICATION_ERROR: ${text}`)
      }
      this.#fail(call, error instanceof RpcError ? error : RpcError.builtIn('APPLICATION_ERROR'))
      return
    }
    await this.#answer(call, answer)
  }

  /** Runs the handler of an invocation, whose method an interceptor may have changed. */
  async #handle(invocation: RpcInvocationData): Promise<string> {
    const handler = this.#handlers.get(invocation.method)
    if (handler === undefined) throw RpcError.builtIn('UNSUPPORTED_METHOD')
    return await handler.run(invocation)
  }

  async #answer(call: Call, payload: string): Promise<void> {
    this.#end(call)
    if (this.#isAbandoned(call)) return
    const { id, callerIdentity, streams } = call
    const protocol = this.#transport.clientProtocol(callerIdentity) ?? 0
    if (streams || protocol >= CLIENT_PROTOCOL_STREAM_RPC) {
      const text = { topic: RESPONSE_TOPIC, attributes: { [rpcAttributes.id]: id }, text: payload }
      const send = (): Promise<void> =>
        this.#transport.sendShortText(text, callerIdentity)?.acknowledged ??
        this.#sendLong(text, callerIdentity)
      try {
        await untilItIsKnown(send)
      } catch (error) {
        unsent(error)
        this.#sendError(id, callerIdentity, RpcError.builtIn('SEND_FAILED'))
      }
      return
    }
    if (Buffer.byteLength(payload) > MAX_V1_PAYLOAD_BYTES) {
      this.#sendError(id, callerIdentity, RpcError.builtIn('RESPONSE_PAYLOAD_TOO_LARGE'))
      return
    }
    const { RpcResponse } = loadProtocol()
    const value = new RpcResponse({ requestId: id, value: { case: 'payload', value: payload } })
    this.#sendPacket({ case: 'rpcResponse', value }, callerIdentity).catch(unsent)
  }

  #sendLong(text: OutgoingText, callerIdentity: string): Promise<void> {
    const { sent, acknowledged } = this.#transport.sendText(text, callerIdentity)
    this.#longAnswers.add(sent)
    const over = (): unknown => this.#longAnswers.delete(sent)
    sent.then(over, over)
    return acknowledged
  }

  #fail(call: Call, error: RpcError): void {
    this.#end(call)
    if (!this.#isAbandoned(call)) this.#sendError(call.id, call.callerIdentity, error)
  }

  #isAbandoned(call: Call): boolean {
    return call.abandoned || call.connection !== this.#connection
  }

  /** The handler has finished. */
  #end(call: Call): void {
    this.#free(call)
    this.#bytes.give(call.callerIdentity, call.bytes)
    call.bytes = 0
    call.alarm.cancel()
  }

  /** Frees the call's slot for other calls. The caller's data count until the handler has finished. */
  #free(call: Call): void {
    if (this.#calls.get(call.key) !== call) return
    this.#calls.delete(call.key)
    this.#slots.give(call.callerIdentity, 1)
  }

  #abandon(call: Call, reason: Error): void {
    call.abandoned = true
    this.#free(call)
    call.alarm.cancel()
    call.end.abort(reason)
  }

  #sendError(requestId: string, callerIdentity: string, { code, message, data }: RpcError): void {
    const { RpcResponse } = loadProtocol()
    const error = { code: code >>> 0, message, data: data ?? '' }
    const value = new RpcResponse({ requestId, value: { case: 'error', value: error } })
    this.#sendBounded({ case: 'rpcResponse', value }, callerIdentity, bytesOf(requestId, message, error.data))
  }

  /** Sends a packet that a caller can cause any number of times. `bytes`: the size of its texts. */
  #sendBounded(packet: RpcPacket, callerIdentity: string, bytes: number, later?: boolean): void {
    const size = bytes + PACKET_OVERHEAD
    if (!this.#waiting.take(callerIdentity, size)) return
    const left = (): void => this.#waiting.give(callerIdentity, size)
    this.#sendPacket(packet, callerIdentity, later).then(left, left)
  }

  /**
   * Sends a packet, and again if a connection was lost. Resolves when the channel accepted it for the first time;
   * rejects if the channel did not.
   */
  #sendPacket(packet: RpcPacket, callerIdentity: string, later?: boolean): Promise<void> {
    let first: SentPacket | undefined
    untilItIsKnown(() => {
      const packetSent = this.#transport.sendPacket(packet, callerIdentity, later)
      first ??= packetSent
      return packetSent.acknowledged
    }).catch(unsent)
    return first?.sent ?? Promise.resolve()
  }
}

/** Bytes of texts in memory: two for each UTF-16 unit. */
function bytesOf(...texts: readonly string[]): number {
  let units = 0
  for (const text of texts) units += text.length
  return units * 2
}

/** Repeats a send that may have been lost with a connection. An answer that arrives twice does no harm. */
async function untilItIsKnown(send: () => Promise<void>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await send()
      return
    } catch (error) {
      const lost =
        (error instanceof PublishDataError || error instanceof DataStreamError) &&
        error.reason === 'connectionLost'
      if (!lost || attempt === ANSWER_ATTEMPTS) throw error
    }
  }
}

/** An answer that could not be sent. Its caller times out; there is nothing else to do. */
function unsent(error: unknown): void {
  log('debug', 'rpc', `an answer could not be sent: ${error instanceof Error ? error.message : typeof error}`)
}

/** Parses an attribute of decimal digits; `undefined` if it is not one. */
function wholeNumber(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined
}

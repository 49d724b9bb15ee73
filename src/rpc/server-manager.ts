/** The recipient's side of RPC: handlers by method, the calls that they are working on, and the answers. */
import type { RpcRequest } from '@livekit/protocol'
import * as check from '../base/arguments'
import type { ReceivedPacket } from '../data-packet/receiver'
import { DataStreamError, DataTrackClosedError, PublishDataError } from '../base/errors'
import { loadProtocol } from '../base/lazy'
import { log } from '../base/logging'
import { RpcError } from './rpc-error'
import { Alarm } from './timeouts'
import {
  CLIENT_PROTOCOL_STREAM_RPC,
  MAX_V1_PAYLOAD_BYTES,
  RESPONSE_TOPIC,
  RPC_VERSION_PACKETS,
  RPC_VERSION_STREAMS,
  rpcAttributes,
} from './transport'
import type { IncomingText, RpcPacket, RpcTransport } from './transport'

/** What a handler gets. */
export interface RpcInvocationData {
  /** The same at both sides. */
  readonly requestId: string
  /** Who calls. A call by the server's API has an identity of its own, which is nobody's. */
  readonly callerIdentity: string
  /** The request. */
  readonly payload: string
  /** ms that the caller waits for the answer, as it says; other SDKs say less, or more, than they wait. */
  readonly responseTimeout: number
  /** Aborts when the answer cannot matter any more: the time is over, the caller left, or the room is disconnected. */
  readonly signal: AbortSignal
}

/** Answers calls of a method. Its calls run beside each other. */
export type RpcMethodHandler = (data: RpcInvocationData) => Promise<string> | string

/** Calls that may be worked on at a time; more are answered with an error. */
export const MAX_RUNNING_CALLS = 16_384

/** How often an answer is sent, each time in another session. */
const ANSWER_ATTEMPTS = 3

/** A handler that returns sooner than this, ms, has its call acknowledged along with the answer. */
const QUICK = 1

interface Handler {
  readonly run: RpcMethodHandler
  /** Whether it returned at once when it was called last. */
  quick: boolean
}

interface Call {
  readonly key: string
  readonly id: string
  readonly callerIdentity: string
  readonly responseTimeout: number
  /** Whether the request came as a stream. */
  readonly streams: boolean
  readonly end: EndSignal
  readonly alarm: Alarm
  /** Whether the caller left, or the room is over: nobody waits for an answer. */
  abandoned: boolean
}

/** See the top of this file. */
export class RpcServerManager {
  readonly #transport: RpcTransport
  readonly #handlers = new Map<string, Handler>()
  /** By caller and id. */
  readonly #calls = new Map<string, Call>()

  constructor(transport: RpcTransport) {
    this.#transport = transport
  }

  /** Calls that are being worked on. */
  get running(): number {
    return this.#calls.size
  }

  /** See {@link Room.registerRpcMethod}. */
  registerRpcMethod(method: string, handler: RpcMethodHandler): void {
    check.string('method', method)
    check.callback('handler', handler)
    if (this.#handlers.has(method)) {
      throw check.outOfRange('method', 'one that has no handler (unregisterRpcMethod takes it away)', method)
    }
    this.#handlers.set(method, { run: handler, quick: false })
  }

  /** See {@link Room.unregisterRpcMethod}. */
  unregisterRpcMethod(method: string): void {
    this.#handlers.delete(check.string('method', method))
  }

  /** A request of version 1. */
  handleRequest({ value: request, senderIdentity }: ReceivedPacket<RpcRequest>): void {
    const { id, method, payload, responseTimeoutMs, version } = request
    const call = this.#begin(id, senderIdentity, method, responseTimeoutMs, false)
    if (call === undefined) return
    if (version !== RPC_VERSION_PACKETS) this.#fail(call, RpcError.builtIn('UNSUPPORTED_VERSION'))
    else void this.#run(call, method, payload)
  }

  /** A request of version 2. */
  async handleRequestStream(text: IncomingText, callerIdentity: string): Promise<void> {
    const { attributes } = text.info
    const id = attributes[rpcAttributes.id] ?? ''
    const method = attributes[rpcAttributes.method] ?? ''
    const responseTimeout = wholeNumber(attributes[rpcAttributes.responseTimeout])
    const version = wholeNumber(attributes[rpcAttributes.version])
    if (id === '') {
      // Nobody could tell what an answer belongs to.
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
      payload = text.readAtOnce() ?? (await text.readAll({ signal: call.end.signal }))
    } catch {
      this.#fail(call, RpcError.builtIn('APPLICATION_ERROR', 'the request broke off'))
      return
    }
    await this.#run(call, method, payload)
  }

  handleParticipantDisconnected(identity: string): void {
    for (const call of [...this.#calls.values()]) {
      if (call.callerIdentity === identity) this.#abandon(call, RpcError.builtIn('RECIPIENT_DISCONNECTED'))
    }
  }

  /** The connection is over; handlers stay for the next one. */
  close(): void {
    if (this.#calls.size === 0) return
    const reason = new DataTrackClosedError('closed')
    for (const call of [...this.#calls.values()]) this.#abandon(call, reason)
  }

  /** Acknowledges a request. `undefined`: it is being worked on already, or there are too many. */
  #begin(
    id: string,
    callerIdentity: string,
    method: string,
    responseTimeout: number,
    streams: boolean,
  ): Call | undefined {
    const { RpcAck } = loadProtocol()
    const value = new RpcAck({ requestId: id })
    this.#sendPacket({ case: 'rpcAck', value }, callerIdentity, this.#handlers.get(method)?.quick)
    const key = `${id} ${callerIdentity}`
    if (this.#calls.has(key)) return undefined
    if (this.#calls.size >= MAX_RUNNING_CALLS) {
      this.#sendError(id, callerIdentity, RpcError.builtIn('APPLICATION_ERROR', 'too many calls at once'))
      return undefined
    }
    const end = new EndSignal()
    const expire = (): void => {
      end.abort(RpcError.builtIn('RESPONSE_TIMEOUT', undefined, { timeout: responseTimeout }))
    }
    const alarm = new Alarm(responseTimeout, expire, true)
    const call = { key, id, callerIdentity, responseTimeout, streams, end, alarm, abandoned: false }
    this.#calls.set(key, call)
    return call
  }

  async #run(call: Call, method: string, payload: string): Promise<void> {
    const handler = this.#handlers.get(method)
    if (handler === undefined) {
      this.#fail(call, RpcError.builtIn('UNSUPPORTED_METHOD'))
      return
    }
    const { id: requestId, callerIdentity, responseTimeout, end } = call
    const data: RpcInvocationData = {
      requestId,
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
      const working = handler.run(data)
      handler.quick = performance.now() - called < QUICK
      const given: unknown = await working
      answer = check.string('the result of the handler', given ?? '')
    } catch (error) {
      // A handler that ends with its signal did what it should.
      const obeyed = end.aborted && error === end.signal.reason
      if (!(error instanceof RpcError) && !obeyed) {
        const text = error instanceof Error ? (error.stack ?? error.message) : typeof error
        log('warn', 'rpc', `the handler of "${method}" failed; its caller gets APPLICATION_ERROR: ${text}`)
      }
      this.#fail(call, error instanceof RpcError ? error : RpcError.builtIn('APPLICATION_ERROR'))
      return
    }
    await this.#answer(call, answer)
  }

  async #answer(call: Call, payload: string): Promise<void> {
    this.#end(call)
    if (call.abandoned) return
    const { id, callerIdentity, streams } = call
    const protocol = this.#transport.clientProtocol(callerIdentity) ?? 0
    if (streams || protocol >= CLIENT_PROTOCOL_STREAM_RPC) {
      const text = { topic: RESPONSE_TOPIC, attributes: { [rpcAttributes.id]: id }, text: payload }
      const send = (): Promise<void> =>
        this.#transport.sendShortText(text, callerIdentity)?.acknowledged ??
        this.#transport.sendText(text, callerIdentity)
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
    this.#sendPacket({ case: 'rpcResponse', value }, callerIdentity)
  }

  #fail(call: Call, error: RpcError): void {
    this.#end(call)
    if (!call.abandoned) this.#sendError(call.id, call.callerIdentity, error)
  }

  #end(call: Call): void {
    this.#calls.delete(call.key)
    call.alarm.cancel()
  }

  #abandon(call: Call, reason: Error): void {
    call.abandoned = true
    this.#end(call)
    call.end.abort(reason)
  }

  #sendError(requestId: string, callerIdentity: string, { code, message, data }: RpcError): void {
    const { RpcResponse } = loadProtocol()
    const error = { code: code >>> 0, message, data: data ?? '' }
    const value = new RpcResponse({ requestId, value: { case: 'error', value: error } })
    this.#sendPacket({ case: 'rpcResponse', value }, callerIdentity)
  }

  #sendPacket(packet: RpcPacket, callerIdentity: string, later?: boolean): void {
    untilItIsKnown(() => this.#transport.sendPacket(packet, callerIdentity, later).acknowledged).catch(unsent)
  }
}

/** An abort signal that is made when somebody asks for it: few handlers do, and it costs more than the rest of a call. */
class EndSignal {
  #controller: AbortController | undefined
  #reason: Error | undefined

  get aborted(): boolean {
    return this.#reason !== undefined
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#reason !== undefined) this.#controller.abort(this.#reason)
    }
    return this.#controller.signal
  }

  abort(reason: Error): void {
    if (this.#reason !== undefined) return
    this.#reason = reason
    this.#controller?.abort(reason)
  }
}

/** Sends again what may have got lost with a connection: an answer that comes twice does no harm. */
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

/** An answer that could not be sent is the caller's timeout, and nothing else's concern. */
function unsent(error: unknown): void {
  log('debug', 'rpc', `an answer could not be sent: ${error instanceof Error ? error.message : typeof error}`)
}

/** A number of an attribute, as decimal digits; `undefined`: it is none. */
function wholeNumber(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined
}

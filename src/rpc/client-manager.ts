/** The caller's side of RPC: calls that wait for their answers. Every call settles by its deadline, whatever happens. */
import { randomUUID } from 'node:crypto'
import type { RpcAck, RpcResponse } from '@livekit/protocol'
import { Deferred } from '../base/abort'
import * as check from '../base/arguments'
import { DEPARTURE_GRACE } from '../data-packet/departure'
import type { ReceivedPacket } from '../data-packet/receiver'
import { DataTrackClosedError, PublishDataError } from '../base/errors'
import type { SentPacket } from '../data-packet/sender'
import { loadProtocol } from '../base/lazy'
import { log } from '../base/logging'
import { printableLines } from '../base/printable'
import { RpcError } from './rpc-error'
import type { RpcErrorName } from './rpc-error'
import { Alarm, MAX_ROUND_TRIP_LATENCY, RESPONSE_TIMEOUT, timeoutOnWire } from './timeouts'
import {
  CLIENT_PROTOCOL_STREAM_RPC,
  MAX_V1_PAYLOAD_BYTES,
  REQUEST_TOPIC,
  RPC_VERSION_PACKETS,
  RPC_VERSION_STREAMS,
  rpcAttributes,
} from './transport'
import type { IncomingText, RpcTransport } from './transport'

/** How long a call may take, and what gives it up. */
export interface RpcCallOptions {
  /**
   * ms from the call until its answer must be there, 0 and more, `Infinity` included; then `RESPONSE_TIMEOUT`. It is the
   * effective timeout as it stands, and the recipient's handler is told it. Default: 15,000.
   */
  readonly responseTimeout?: number | undefined
  /**
   * ms from the call until the recipient must have acknowledged it, 0 and more; then `CONNECTION_TIMEOUT`. Not less
   * than a `responseTimeout` it does nothing. Default: 7,000.
   */
  readonly maxRoundTripLatency?: number | undefined
  /** Gives up the call: the promise rejects with the signal's `reason`. The recipient is not told. */
  readonly signal?: AbortSignal | undefined
}

/** What {@link LocalParticipant.performRpc} takes. */
export interface PerformRpcParams extends RpcCallOptions {
  /** Who is called. */
  readonly destinationIdentity: string
  /** The method's name. */
  readonly method: string
  /** The request. Of any size, or 15,360 bytes of UTF-8 where the recipient's SDK speaks RPC version 1 only. */
  readonly payload: string
}

/** Calls that may wait for their answers at a time; more are refused. */
export const MAX_PENDING_CALLS = 16_384
/** The oldest server that carries RPC. */
const OLDEST_SERVER = [1, 8, 0] as const

/** Why sending a request and reading an answer are given up. */
const settled = new DOMException('the call is settled', 'AbortError')

interface Call {
  readonly id: string
  readonly destinationIdentity: string
  readonly answer: Deferred<string>
  /** Gives up what is under way for the call, as it is settled: sending the request, reading the answer. */
  giveUp: () => void
  /** When the answer must be there. */
  deadline: Alarm | undefined
  /** When the acknowledgement must be there, if that is sooner. */
  acknowledgement: Alarm | undefined
  /** Since the recipient has left: when its answer is not waited for any longer. */
  departure: Alarm | undefined
  /** Whether the recipient has got the request. */
  acknowledged: boolean
  /** Whether the answer has begun to come. */
  reading: boolean
  /** The recipient, who was not known, is there. */
  arrived: () => void
}

interface CheckedCall {
  readonly destinationIdentity: string
  readonly method: string
  readonly payload: string
  readonly responseTimeout: number
  readonly maxRoundTripLatency: number
  readonly signal: AbortSignal | undefined
}

/** See the top of this file. */
export class RpcClientManager {
  readonly #transport: RpcTransport
  readonly #calls = new Map<string, Call>()

  constructor(transport: RpcTransport) {
    this.#transport = transport
  }

  /** Calls that wait for their answers. */
  get pending(): number {
    return this.#calls.size
  }

  /** See {@link LocalParticipant.performRpc}. */
  async performRpc(params: PerformRpcParams): Promise<string> {
    const call = checkCall(params)
    call.signal?.throwIfAborted()
    const refusal = this.#refusal(call)
    if (refusal !== undefined) throw refusal
    return await this.#start(call)
  }

  handleAck({ value: { requestId }, senderIdentity }: ReceivedPacket<RpcAck>): void {
    const call = this.#expected(requestId, senderIdentity)
    if (call !== undefined) acknowledge(call)
  }

  handleResponse({ value: response, senderIdentity }: ReceivedPacket<RpcResponse>): void {
    const call = this.#expected(response.requestId, senderIdentity)
    if (call === undefined) return
    switch (response.value.case) {
      case 'payload':
        this.#resolve(call, response.value.value)
        return
      case 'error': {
        const { code, message, data } = response.value.value
        this.#reject(call, new RpcError(code, printableLines(message), data))
        return
      }
      default:
        this.#reject(
          call,
          RpcError.builtIn('APPLICATION_ERROR', 'the answer has no payload that is understood'),
        )
    }
  }

  async handleResponseStream(text: IncomingText, senderIdentity: string): Promise<void> {
    const call = this.#expected(text.info.attributes[rpcAttributes.id] ?? '', senderIdentity)
    if (call === undefined) {
      text.cancel()
      return
    }
    // The answer may overtake the acknowledgement, and take longer than that may.
    acknowledge(call)
    call.reading = true
    try {
      this.#resolve(call, text.readAtOnce() ?? (await during(call, (signal) => text.readAll({ signal }))))
    } catch (cause) {
      const error =
        call.departure === undefined
          ? RpcError.builtIn('APPLICATION_ERROR', 'the answer broke off', { cause })
          : RpcError.builtIn('RECIPIENT_DISCONNECTED', undefined, { cause })
      this.#reject(call, error)
    }
  }

  handleParticipantConnected(identity: string): void {
    for (const call of this.#calls.values()) if (call.destinationIdentity === identity) call.arrived()
  }

  /** The recipient may have answered before it left: its answer is waited for as its streams are. */
  handleParticipantDisconnected(identity: string): void {
    for (const call of this.#calls.values()) {
      if (call.destinationIdentity !== identity || call.departure !== undefined) continue
      call.acknowledgement?.cancel()
      call.departure = new Alarm(DEPARTURE_GRACE, () => {
        // An answer that has begun ends as any stream of the recipient does.
        if (!call.reading) this.#reject(call, RpcError.builtIn('RECIPIENT_DISCONNECTED'))
      })
    }
  }

  /** The room is over. */
  close(): void {
    if (this.#calls.size === 0) return
    const cause = new DataTrackClosedError('closed')
    for (const call of [...this.#calls.values()]) {
      this.#reject(call, RpcError.builtIn('RECIPIENT_DISCONNECTED', undefined, { cause }))
    }
  }

  /** Why a call cannot be made. */
  #refusal({ destinationIdentity, payload }: CheckedCall): RpcError | undefined {
    const sendFailed = (reason: 'disconnected' | 'notAllowed' | 'bufferFull'): RpcError =>
      RpcError.builtIn('SEND_FAILED', undefined, { cause: new PublishDataError(reason) })
    if (!this.#transport.connected()) return sendFailed('disconnected')
    if (!this.#transport.allowed()) return sendFailed('notAllowed')
    if (tooOld(this.#transport.serverVersion())) return RpcError.builtIn('UNSUPPORTED_SERVER')
    const protocol = this.#transport.clientProtocol(destinationIdentity)
    if (protocol !== undefined && !fits(payload, protocol))
      return RpcError.builtIn('REQUEST_PAYLOAD_TOO_LARGE')
    return this.#calls.size >= MAX_PENDING_CALLS ? sendFailed('bufferFull') : undefined
  }

  #start(params: CheckedCall): Promise<string> {
    const { destinationIdentity, responseTimeout, maxRoundTripLatency, signal } = params
    const call: Call = {
      id: randomUUID(),
      destinationIdentity,
      answer: new Deferred(),
      giveUp: nothing,
      deadline: undefined,
      acknowledgement: undefined,
      departure: undefined,
      acknowledged: false,
      reading: false,
      arrived: () => undefined,
    }
    this.#calls.set(call.id, call)
    call.answer.abortWith(signal, () => this.#take(call))
    const expire = (name: RpcErrorName, timeout: number): Alarm =>
      new Alarm(timeout, () => {
        this.#reject(call, RpcError.builtIn(this.#expiry(call, name), undefined, { timeout }))
      })
    call.deadline = expire('RESPONSE_TIMEOUT', responseTimeout)
    if (maxRoundTripLatency < responseTimeout) {
      call.acknowledgement = expire('CONNECTION_TIMEOUT', maxRoundTripLatency)
    }
    this.#send(call, params).catch((cause: unknown) => {
      // The request may have arrived: its answer comes, or its time runs out.
      if (cause instanceof PublishDataError && cause.reason === 'connectionLost') return
      this.#reject(
        call,
        cause instanceof RpcError ? cause : RpcError.builtIn('SEND_FAILED', undefined, { cause }),
      )
    })
    return call.answer.promise
  }

  /** What a call fails with whose time is over. */
  #expiry({ departure, acknowledged, destinationIdentity }: Call, name: RpcErrorName): RpcErrorName {
    if (departure !== undefined) return 'RECIPIENT_DISCONNECTED'
    const there = acknowledged || this.#transport.clientProtocol(destinationIdentity) !== undefined
    return there ? name : 'RECIPIENT_NOT_FOUND'
  }

  /**
   * The server tells of newcomers some seconds late, and of hidden participants never: who is not known gets a request
   * that every client understands. One that is too large for that waits until its recipient is known.
   */
  async #send(call: Call, params: CheckedCall): Promise<void> {
    const { id } = call
    const { destinationIdentity, method, payload, responseTimeout } = params
    let protocol = this.#transport.clientProtocol(destinationIdentity)
    if (protocol === undefined && !fits(payload, 0)) {
      await new Promise<void>((resolve) => (call.arrived = resolve))
      protocol = this.#transport.clientProtocol(destinationIdentity)
    }
    protocol ??= 0
    if (!fits(payload, protocol)) throw RpcError.builtIn('REQUEST_PAYLOAD_TOO_LARGE')
    const responseTimeoutMs = timeoutOnWire(responseTimeout)
    if (protocol >= CLIENT_PROTOCOL_STREAM_RPC) {
      const attributes = {
        [rpcAttributes.id]: id,
        [rpcAttributes.method]: method,
        [rpcAttributes.responseTimeout]: String(responseTimeoutMs),
        [rpcAttributes.version]: String(RPC_VERSION_STREAMS),
      }
      const text = { topic: REQUEST_TOPIC, attributes, text: payload }
      const short = this.#transport.sendShortText(text, destinationIdentity)
      await (short === undefined
        ? during(call, (signal) => this.#transport.sendText(text, destinationIdentity, signal))
        : handedOver(call, short))
      return
    }
    const { RpcRequest } = loadProtocol()
    const request = new RpcRequest({ id, method, payload, responseTimeoutMs, version: RPC_VERSION_PACKETS })
    await handedOver(
      call,
      this.#transport.sendPacket({ case: 'rpcRequest', value: request }, destinationIdentity),
    )
  }

  /** The call of that id, if it is the sender's to answer. */
  #expected(id: string, senderIdentity: string): Call | undefined {
    const call = this.#calls.get(id)
    if (call === undefined) {
      // It timed out or was given up, or the answer came twice.
      log('debug', 'rpc', 'something came for a call that is settled')
      return undefined
    }
    // The server takes the name from what hidden participants send, and does not tell others of them. Only who has got the
    // request knows its id.
    const hidden =
      senderIdentity === '' && this.#transport.clientProtocol(call.destinationIdentity) === undefined
    if (call.destinationIdentity === senderIdentity || hidden) return call
    log('warn', 'rpc', 'an answer came from a participant that was not called; it is ignored')
    return undefined
  }

  #resolve(call: Call, payload: string): void {
    if (this.#take(call)) call.answer.resolve(payload)
  }

  #reject(call: Call, error: RpcError): void {
    if (this.#take(call)) call.answer.reject(error)
  }

  /** Takes the call out, with all that belongs to it. Returns whether it was there. */
  #take(call: Call): boolean {
    if (!this.#calls.delete(call.id)) return false
    for (const alarm of [call.deadline, call.acknowledgement, call.departure]) alarm?.cancel()
    call.giveUp()
    return true
  }
}

function acknowledge(call: Call): void {
  call.acknowledged = true
  call.acknowledgement?.cancel()
}

/** Waits until the channel has the request: what becomes of it then, the answer tells. */
async function handedOver(call: Call, packet: SentPacket): Promise<void> {
  call.giveUp = () => packet.withdraw(settled)
  await packet.sent
}

/** Work that the call's end gives up. A controller costs more than all the rest of a call, so few calls have one. */
async function during<T>(call: Call, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController()
  const before = call.giveUp
  const giveUp = (): void => {
    before()
    controller.abort(settled)
  }
  call.giveUp = giveUp
  try {
    return await work(controller.signal)
  } finally {
    if (call.giveUp === giveUp) call.giveUp = before
  }
}

function nothing(): void {
  // Nothing is under way.
}

function checkCall(params: PerformRpcParams): CheckedCall {
  if (typeof params !== 'object' || (params as unknown) === null) {
    throw check.invalidType('params', 'an object', params)
  }
  const time = (name: string, value: unknown, fallback: number): number =>
    check.number(`params.${name}`, value, fallback, 0, Infinity, ' ms')
  return {
    destinationIdentity: check.string('params.destinationIdentity', params.destinationIdentity),
    method: check.string('params.method', params.method),
    payload: check.string('params.payload', params.payload),
    responseTimeout: time('responseTimeout', params.responseTimeout, RESPONSE_TIMEOUT),
    maxRoundTripLatency: time('maxRoundTripLatency', params.maxRoundTripLatency, MAX_ROUND_TRIP_LATENCY),
    signal: check.signal('params.signal', params.signal),
  }
}

/** Whether a client of that protocol can be sent the payload. */
function fits(payload: string, protocol: number): boolean {
  return protocol >= CLIENT_PROTOCOL_STREAM_RPC || Buffer.byteLength(payload) <= MAX_V1_PAYLOAD_BYTES
}

/** A version that is not understood is none that is too old. */
function tooOld(version: string | undefined): boolean {
  const numbers = /^v?(\d+)\.(\d+)\.(\d+)/
    .exec(version ?? '')
    ?.slice(1)
    .map(Number)
  if (numbers === undefined) return false
  const differs = OLDEST_SERVER.findIndex((oldest, at) => numbers[at] !== oldest)
  return differs >= 0 && (numbers[differs] ?? 0) < (OLDEST_SERVER[differs] ?? 0)
}

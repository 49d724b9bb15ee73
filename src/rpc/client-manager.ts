/** The caller's side of RPC: calls that wait for their answers. Every call settles by its deadline in any case. */
import { randomUUID } from 'node:crypto'
import type { RpcAck, RpcResponse } from '@livekit/protocol'
import { Deferred } from '../base/abort'
import * as check from '../base/arguments'
import { DEPARTURE_GRACE } from '../data-packet/departure'
import type { ReceivedPacket } from '../data-packet/receiver'
import { DataTrackClosedError, PublishDataError } from '../base/errors'
import type { SentPacket } from '../data-packet/sender'
import type { OutgoingText } from '../data-stream/outgoing'
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

/** Timeouts of a call, and the signal that cancels it. */
export interface RpcCallOptions {
  /**
   * ms from the call until its answer must have arrived, 0 or more, `Infinity` included; then `RESPONSE_TIMEOUT`. The
   * recipient's handler gets the same value, without any correction for the round trip. Default: 15,000.
   */
  readonly responseTimeout?: number | undefined
  /**
   * ms from the call until the recipient must have acknowledged it, 0 or more; then `CONNECTION_TIMEOUT`. It has no
   * effect if it is not less than `responseTimeout`. Default: 7,000.
   */
  readonly maxRoundTripLatency?: number | undefined
  /** Cancels the call. The promise rejects with the signal's `reason`. The recipient is not told. */
  readonly signal?: AbortSignal | undefined
}

/** Parameters of {@link LocalParticipant.performRpc}. */
export interface PerformRpcParams extends RpcCallOptions {
  /** The participant to call. */
  readonly destinationIdentity: string
  /** The method's name. */
  readonly method: string
  /** The request. Any size; at most 15,360 bytes of UTF-8 if the recipient's SDK supports only RPC version 1. */
  readonly payload: string
}

/** Calls that may wait for their answers at a time. Further calls are refused. */
export const MAX_PENDING_CALLS = 16_384
/** The oldest server version that forwards RPC. */
const OLDEST_SERVER = [1, 8, 0] as const

/** The abort reason for sending a request and reading an answer after the call has settled. */
const settled = new DOMException('the call is settled', 'AbortError')

interface Call {
  readonly id: string
  readonly destinationIdentity: string
  readonly answer: Deferred<string>
  /** Cancels the pending work of a settled call: sending the request or reading the answer. */
  giveUp: () => void
  /** Fires when the answer must have arrived. */
  deadline: Alarm | undefined
  /** Fires when the acknowledgement must have arrived, if that is sooner. */
  acknowledgement: Alarm | undefined
  /** Set once the recipient has left. Fires when the call stops waiting for the answer. */
  departure: Alarm | undefined
  /** Whether the recipient has received the request. */
  acknowledged: boolean
  /** Whether the answer has begun to arrive. */
  reading: boolean
  /** Called when a recipient that was not known has joined. */
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
    // The answer may arrive before the acknowledgement, and may take longer than the acknowledgement's timeout.
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

  /**
   * The recipient may have answered before it left. The call waits for the answer as long as for the recipient's
   * streams.
   */
  handleParticipantDisconnected(identity: string): void {
    for (const call of this.#calls.values()) {
      if (call.destinationIdentity !== identity || call.departure !== undefined) continue
      call.acknowledgement?.cancel()
      call.departure = new Alarm(DEPARTURE_GRACE, () => {
        // An answer that has begun ends as every stream of the recipient does.
        if (!call.reading) this.#reject(call, RpcError.builtIn('RECIPIENT_DISCONNECTED'))
      })
    }
  }

  /** The room is disconnected. */
  close(): void {
    if (this.#calls.size === 0) return
    const cause = new DataTrackClosedError('closed')
    for (const call of [...this.#calls.values()]) {
      this.#reject(call, RpcError.builtIn('RECIPIENT_DISCONNECTED', undefined, { cause }))
    }
  }

  /** The reason why a call is refused at once. */
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
      // The request may have arrived: the answer comes, or the call times out.
      if (cause instanceof PublishDataError && cause.reason === 'connectionLost') return
      this.#reject(
        call,
        cause instanceof RpcError ? cause : RpcError.builtIn('SEND_FAILED', undefined, { cause }),
      )
    })
    return call.answer.promise
  }

  /** The error of a call that has timed out. */
  #expiry({ departure, acknowledged, destinationIdentity }: Call, name: RpcErrorName): RpcErrorName {
    if (departure !== undefined) return 'RECIPIENT_DISCONNECTED'
    const there = acknowledged || this.#transport.clientProtocol(destinationIdentity) !== undefined
    return there ? name : 'RECIPIENT_NOT_FOUND'
  }

  /**
   * Sends the request. The server announces new participants some seconds late, and hidden participants never. So a
   * recipient that is not known gets a request that every client understands. A request that is too large for that
   * waits until its recipient is known.
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
        ? during(call, (signal) => this.#longRequest(text, destinationIdentity, signal))
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

  /** Waits until the channel has accepted the request. As for a short one, the answer tells what becomes of it. */
  #longRequest(text: OutgoingText, destinationIdentity: string, signal: AbortSignal): Promise<void> {
    const { sent, acknowledged } = this.#transport.sendText(text, destinationIdentity, signal)
    acknowledged.catch(nothing)
    return sent
  }

  /** The call with this id, if the sender may answer it. */
  #expected(id: string, senderIdentity: string): Call | undefined {
    const call = this.#calls.get(id)
    if (call === undefined) {
      // It timed out or was cancelled, or the answer came twice.
      log('debug', 'rpc', 'something came for a call that is settled')
      return undefined
    }
    // The server removes the identity from the packets of hidden participants, and does not announce them. Only the
    // recipient knows the request's id.
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

  /** Removes the call and cancels what belongs to it. Returns whether the call was pending. */
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

/** Waits until the channel has accepted the request. The answer tells what becomes of it. */
async function handedOver(call: Call, packet: SentPacket): Promise<void> {
  call.giveUp = () => packet.withdraw(settled)
  await packet.sent
}

/**
 * Runs work that is cancelled when the call settles. An `AbortController` costs more than the rest of a call, so only
 * few calls use one.
 */
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
  // There is no pending work, and nothing to be done about a loss.
}

/** @throws `TypeError` or `RangeError` that names the parameter */
export function checkCall(params: PerformRpcParams): CheckedCall {
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

/** Whether a client of this protocol accepts the payload. */
function fits(payload: string, protocol: number): boolean {
  return protocol >= CLIENT_PROTOCOL_STREAM_RPC || Buffer.byteLength(payload) <= MAX_V1_PAYLOAD_BYTES
}

/** A version that cannot be parsed does not count as too old. */
function tooOld(version: string | undefined): boolean {
  const numbers = /^v?(\d+)\.(\d+)\.(\d+)/
    .exec(version ?? '')
    ?.slice(1)
    .map(Number)
  if (numbers === undefined) return false
  const differs = OLDEST_SERVER.findIndex((oldest, at) => numbers[at] !== oldest)
  return differs >= 0 && (numbers[differs] ?? 0) < (OLDEST_SERVER[differs] ?? 0)
}

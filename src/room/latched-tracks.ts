/**
 * The last frames of latched tracks, which participants fetch from each other by a reserved RPC method. docs/wire.md
 * describes it.
 */
import { isObject } from '../base/arguments'
import { PublishDataError } from '../base/errors'
import { log } from '../base/logging'
import { MAX_LATCHED_BYTES } from '../data-track/latch'
import type { LatchedFrame } from '../data-track/latch'
import type { RpcInvocationData } from '../rpc/invocation'
import type { RoomRpc } from '../rpc/room-rpc'
import { RpcError } from '../rpc/rpc-error'
import { RESERVED_PREFIX } from '../rpc/transport'
import type { Session } from '../session/session'
import { isHandle } from '../signal/convert'
import type { LocalParticipant } from './local-participant'
import type { RemoteParticipant } from './remote-participant'

/** The method. */
export const LATEST_METHOD = `${RESERVED_PREFIX}latest`
/** ms that a publisher may take to acknowledge the request. SDKs that know no RPC never do. */
const LATENCY = 3000
const MAX_TIMESTAMP = 0xffff_ffff_ffff_ffffn

/** See the top of this file. */
export class LatchedTracks {
  readonly #rpc: Pick<RoomRpc, 'client' | 'server'>
  #warned = false

  constructor(
    rpc: Pick<RoomRpc, 'client' | 'server'>,
    local: () => LocalParticipant,
    participants: ReadonlyMap<string, RemoteParticipant>,
    session: () => Session | undefined,
  ) {
    this.#rpc = rpc
    rpc.server.registerReserved(LATEST_METHOD, ({ callerIdentity, payload }: RpcInvocationData) => {
      const handle = requestedHandle(payload)
      if (handle === undefined) {
        this.#warn()
        throw RpcError.builtIn('APPLICATION_ERROR')
      }
      const track = session()?.latched(handle)
      // The server announces new participants a moment after they can call.
      const known = participants.get(callerIdentity)
      const caller = known ?? { identity: callerIdentity, sid: '' }
      // What one may not subscribe to, one does not get in this way, either.
      const permitted =
        track !== undefined &&
        known?.permissions?.canSubscribe !== false &&
        local().subscriptionPermissions.permits(caller, track.info.name)
      return permitted ? answerText(track.frame) : '{}'
    })
  }

  /** Asks a publisher. */
  async fetch(
    destinationIdentity: string,
    handle: number,
    signal: AbortSignal | undefined,
  ): Promise<LatchedFrame | undefined> {
    const payload = JSON.stringify({ handle })
    const call = { destinationIdentity, method: LATEST_METHOD, payload, signal, maxRoundTripLatency: LATENCY }
    try {
      const answer = parseAnswer(await this.#rpc.client.performRpc(call))
      if (answer === 'malformed') this.#warn()
      return answer === 'malformed' ? undefined : answer
    } catch (error) {
      if (error instanceof RpcError && isUnknown(error)) return undefined
      throw error
    }
  }

  #warn(): void {
    if (this.#warned) return
    this.#warned = true
    log('warn', 'room', `a participant sent something malformed for ${LATEST_METHOD}; it is ignored`)
  }
}

/** Whether the publisher does not know the request, or this participant may not send it. */
function isUnknown({ code, cause }: RpcError): boolean {
  const { UNSUPPORTED_METHOD, APPLICATION_ERROR, CONNECTION_TIMEOUT, UNSUPPORTED_SERVER } = RpcError.ErrorCode
  const mayNot = cause instanceof PublishDataError && cause.reason === 'notAllowed'
  const unknown: readonly number[] = [
    UNSUPPORTED_METHOD,
    APPLICATION_ERROR,
    CONNECTION_TIMEOUT,
    UNSUPPORTED_SERVER,
  ]
  return mayNot || unknown.includes(code)
}

function requestedHandle(payload: string): number | undefined {
  const message = parsed(payload)
  const handle = isObject(message) ? message['handle'] : undefined
  return isHandle(handle) ? handle : undefined
}

function answerText(frame: LatchedFrame | undefined): string {
  if (frame === undefined) return '{}'
  const { payload, userTimestamp, number, timestamp } = frame
  const text = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString('base64')
  return JSON.stringify({ payload: text, number, timestamp, userTimestamp: userTimestamp?.toString() })
}

function parseAnswer(text: string): LatchedFrame | undefined | 'malformed' {
  const message = parsed(text)
  if (!isObject(message)) return 'malformed'
  const { payload, userTimestamp, number, timestamp } = message
  if (payload === undefined) return undefined
  const tooLong = typeof payload !== 'string' || payload.length > Math.ceil(MAX_LATCHED_BYTES / 3) * 4
  if (tooLong || !/^[A-Za-z0-9+/]*={0,2}$/.test(payload)) return 'malformed'
  const time = timestampOf(userTimestamp)
  if (time === 'malformed' || !isUnsigned(number, 16) || !isUnsigned(timestamp, 32)) return 'malformed'
  return { payload: Uint8Array.from(Buffer.from(payload, 'base64')), number, timestamp, userTimestamp: time }
}

function isUnsigned(value: unknown, bits: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < 2 ** bits
}

function timestampOf(text: unknown): bigint | undefined | 'malformed' {
  if (text === undefined) return undefined
  if (typeof text !== 'string' || !/^\d{1,20}$/.test(text)) return 'malformed'
  const time = BigInt(text)
  return time <= MAX_TIMESTAMP ? time : 'malformed'
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** RPC with values instead of texts. */
import * as check from '../base/arguments'
import { ownBytes } from '../base/bytes'
import { checkCodec, json } from '../base/codec'
import type { DataTrackCodec } from '../base/codec'
import { DataTrackDecodeError } from '../base/errors'
import type { PerformRpcParams, RpcCallOptions } from './client-manager'
import { RpcError } from './rpc-error'
import type { RpcInvocationData, RpcMethodHandler } from './server-manager'

/** How the values of a method travel; the same at both sides. Default: as JSON, `undefined` as an empty text. */
export interface RpcCodecs<Request, Response> {
  /** Of requests. */
  readonly requestCodec?: DataTrackCodec<Request> | undefined
  /** Of answers. */
  readonly responseCodec?: DataTrackCodec<Response> | undefined
}

/** Options of {@link TypedRpc.call}. */
export interface TypedRpcCallOptions<Request, Response>
  extends RpcCallOptions, RpcCodecs<Request, Response> {}

/** What a handler of {@link TypedRpc.handle} gets beside the request. */
export type TypedRpcInvocation = Omit<RpcInvocationData, 'payload'>

/** Answers calls of a method. */
export type TypedRpcHandler<Request, Response> = (
  request: Request,
  invocation: TypedRpcInvocation,
) => Promise<Response> | Response

/** @internal The calls below. */
export interface UntypedRpc {
  performRpc(params: PerformRpcParams): Promise<string>
  registerRpcMethod(method: string, handler: RpcMethodHandler): void
  unregisterRpcMethod(method: string): void
}

/**
 * Calls and handlers of values. On the wire they are LiveKit's RPC: the other side may use `performRpc` and
 * `registerRpcMethod` of any SDK, and sees the encoded text.
 *
 *     room.rpc.handle<Move, Pose>('move', async ({ x, y }, { signal }) => await arm.moveTo(x, y, signal))
 *     const pose = await room.rpc.call<Move, Pose>('robot', 'move', { x: 1, y: 2 })
 */
export class TypedRpc {
  readonly #rpc: UntypedRpc

  /** @internal */
  constructor(rpc: UntypedRpc) {
    this.#rpc = rpc
  }

  /**
   * Calls a method and resolves to its answer.
   *
   * @throws `RpcError`; `DataTrackDecodeError` for an answer that the codec cannot decode; what the codec throws for a
   * request that it cannot encode; `TypeError` or `RangeError` that names the argument; the signal's `reason`
   */
  async call<Request = unknown, Response = unknown>(
    destinationIdentity: string,
    method: string,
    request: Request,
    options: TypedRpcCallOptions<Request, Response> = {},
  ): Promise<Response> {
    const { requestCodec, responseCodec, ...timing } = check.options('options', options)
    const { requests, responses } = codecs({ requestCodec, responseCodec })
    const payload = encode(requests, request)
    const answer = await this.#rpc.performRpc({ ...timing, destinationIdentity, method, payload })
    try {
      return decode(responses, answer)
    } catch (cause) {
      throw new DataTrackDecodeError('undecodableResponse', answer, { cause })
    }
  }

  /**
   * Handles calls of a method, as {@link Room.registerRpcMethod} does. Returns what takes the handler away.
   *
   * A request that the codec cannot decode does not come to the handler: its caller gets `APPLICATION_ERROR`.
   *
   * @throws `RangeError` for a method that has a handler; `TypeError` that names the argument
   */
  handle<Request = unknown, Response = unknown>(
    method: string,
    handler: TypedRpcHandler<Request, Response>,
    options: RpcCodecs<Request, Response> = {},
  ): () => void {
    check.callback('handler', handler)
    const { requests, responses } = codecs(check.options('options', options))
    const registered: RpcMethodHandler = async ({ payload, ...invocation }) => {
      let request: Request
      try {
        request = decode(requests, payload)
      } catch (cause) {
        throw RpcError.builtIn('APPLICATION_ERROR', 'the request cannot be decoded', { cause })
      }
      return encode(responses, await handler(request, invocation))
    }
    this.#rpc.registerRpcMethod(method, registered)
    let there = true
    return () => {
      // Once: another handler may have taken the place.
      if (there) this.#rpc.unregisterRpcMethod(method)
      there = false
    }
  }
}

function codecs<Request, Response>({
  requestCodec,
  responseCodec,
}: RpcCodecs<Request, Response>): {
  readonly requests: DataTrackCodec<Request>
  readonly responses: DataTrackCodec<Response>
} {
  return {
    requests: checkCodec('options.requestCodec', requestCodec) ?? json(),
    responses: checkCodec('options.responseCodec', responseCodec) ?? json(),
  }
}

type Encoding = Pick<DataTrackCodec<unknown>, 'frameEncoding' | 'isText'>

/** Payloads are texts: what a codec makes that is none goes as base64. */
function encode<T>(codec: DataTrackCodec<T>, value: T): string {
  if (value === undefined && isJson(codec)) return ''
  const encoded = codec.encode(value)
  return Buffer.from(encoded.buffer, encoded.byteOffset, encoded.length).toString(encodingOf(codec))
}

function decode<T>(codec: DataTrackCodec<T>, payload: string): T {
  if (payload === '' && isJson(codec)) return undefined as T
  return codec.decode(ownBytes(Buffer.from(payload, encodingOf(codec))))
}

function isJson({ frameEncoding }: Encoding): boolean {
  return frameEncoding === 'json'
}

function encodingOf(codec: Encoding): 'utf8' | 'base64' {
  return codec.isText === true ? 'utf8' : 'base64'
}

/** RPC with values instead of texts. */
import * as check from '../base/arguments'
import { ownBytes } from '../base/bytes'
import { checkCodec, json } from '../base/codec'
import type { DataTrackCodec } from '../base/codec'
import { DataTrackDecodeError } from '../base/errors'
import type { PerformRpcParams, RpcCallOptions } from './client-manager'
import { RpcError } from './rpc-error'
import type { RpcInvocationData, RpcMethodHandler } from './invocation'

/**
 * How the values of a method are encoded; both sides must use the same codecs. Default: as JSON, `undefined` as an
 * empty text.
 */
export interface RpcCodecs<Request, Response> {
  /** The codec of requests. */
  readonly requestCodec?: DataTrackCodec<Request> | undefined
  /** The codec of answers. */
  readonly responseCodec?: DataTrackCodec<Response> | undefined
}

/** Options of {@link TypedRpc.call}. */
export interface TypedRpcCallOptions<Request, Response>
  extends RpcCallOptions, RpcCodecs<Request, Response> {}

/** The second argument of a handler of {@link TypedRpc.handle}. */
export type TypedRpcInvocation = Omit<RpcInvocationData, 'payload'>

/** Handles the calls of a method. */
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
 * Calls and handlers with values. On the wire they are LiveKit's RPC. The other side may use `performRpc` and
 * `registerRpcMethod` of any SDK, and then sees the encoded text.
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
   * Calls a method and resolves with its answer.
   *
   * @throws `RpcError`; `DataTrackDecodeError` for an answer that the codec cannot decode; the codec's error for a
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
   * Handles calls of a method, like {@link Room.registerRpcMethod}. Returns a function that removes the handler.
   *
   * If the codec cannot decode a request, the handler is not called, and the caller gets `APPLICATION_ERROR`.
   *
   * @throws `RangeError` for a method that already has a handler; `TypeError` that names the argument
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
      // Only once, because another handler may have been registered since.
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

/** RPC payloads are text, so the bytes of a codec that is not a text codec are sent as base64. */
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

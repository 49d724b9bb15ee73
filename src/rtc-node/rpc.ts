/** Calls, in the shapes of `@livekit/rtc-node`. */
import type { RpcInvocationData as OwnInvocation } from '../rpc/invocation'
export { RpcError } from '../rpc/rpc-error'
export type { IncomingRpcNext, OutgoingRpcNext, RpcCallInfo, RpcInterceptor } from '../rpc/interceptors'

/** A call to another participant. */
export interface PerformRpcParams {
  destinationIdentity: string
  method: string
  payload: string
  /** ms until the answer must have arrived. Default: 15,000. */
  responseTimeout?: number
}

/** The argument of a handler. */
export type RpcInvocationData = OwnInvocation

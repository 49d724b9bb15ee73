/** Interceptors of calls, for tracing and authorisation. Names and shape are rtc-node's. */
import * as check from '../base/arguments'
import type { PerformRpcParams } from './client-manager'
import type { RpcInvocationData } from './invocation'

/** An outgoing call, as an interceptor gets it. It may pass a changed copy on. */
export type RpcCallInfo = PerformRpcParams

/** Passes the call on: to the interceptor that was added next or, if there is none, to the recipient. */
export type OutgoingRpcNext = (call: RpcCallInfo) => Promise<string>

/** Passes the invocation on: to the interceptor that was added next or, if there is none, to the handler. */
export type IncomingRpcNext = (invocation: RpcInvocationData) => Promise<string>

/**
 * Surrounds the calls that a participant makes and handles; see {@link LocalParticipant.addRpcInterceptor}.
 *
 *     localParticipant.addRpcInterceptor({
 *       async interceptIncoming(invocation, next) {
 *         if (!allowed(invocation.callerIdentity)) throw new RpcError(403, 'not allowed')
 *         return await next(invocation)
 *       },
 *     })
 */
export interface RpcInterceptor {
  /** Surrounds each call of `performRpc`. Returns the answer, usually that of `next`. */
  interceptOutgoing?(call: RpcCallInfo, next: OutgoingRpcNext): Promise<string> | string
  /** Surrounds each run of a handler. Returns the answer, usually that of `next`. */
  interceptIncoming?(invocation: RpcInvocationData, next: IncomingRpcNext): Promise<string> | string
}

type Next<Call> = (call: Call) => Promise<string>
type Intercept<Call> = (call: Call, next: Next<Call>) => Promise<string> | string

/** @internal The interceptors of a room, the outermost first. */
export class RpcInterceptors {
  /** Replaced and never changed, so that a running call keeps the ones that it started with. */
  #all: readonly RpcInterceptor[] = []

  /** Whether calls go their direct way. */
  get none(): boolean {
    return this.#all.length === 0
  }

  /** Does nothing if it was added already. */
  add(interceptor: RpcInterceptor): void {
    checkInterceptor(interceptor)
    if (!this.#all.includes(interceptor)) this.#all = [...this.#all, interceptor]
  }

  /** Does nothing if it was not added. */
  remove(interceptor: RpcInterceptor): void {
    checkInterceptor(interceptor)
    this.#all = this.#all.filter((other) => other !== interceptor)
  }

  /** The way of an outgoing call. */
  outgoing(perform: OutgoingRpcNext): OutgoingRpcNext {
    return chain(
      perform,
      this.#all.map((one) => one.interceptOutgoing?.bind(one)),
    )
  }

  /** The way of a received call. */
  incoming(handle: IncomingRpcNext): IncomingRpcNext {
    return chain(
      handle,
      this.#all.map((one) => one.interceptIncoming?.bind(one)),
    )
  }
}

function chain<Call>(last: Next<Call>, intercepts: readonly (Intercept<Call> | undefined)[]): Next<Call> {
  return intercepts.reduceRight<Next<Call>>(
    (next, intercept) => (intercept === undefined ? next : async (call) => await intercept(call, next)),
    last,
  )
}

/** @throws `TypeError` that names the argument */
function checkInterceptor(interceptor: RpcInterceptor): void {
  if (!check.isObject(interceptor)) throw check.invalidType('interceptor', 'an object', interceptor)
  for (const name of ['interceptOutgoing', 'interceptIncoming'] as const) {
    const method: unknown = interceptor[name]
    if (method !== undefined) check.callback(`interceptor.${name}`, method)
  }
}

/** What a handler of calls gets. */

/** The argument of a handler. */
export interface RpcInvocationData {
  /** The id of the request, the same on both sides. */
  readonly requestId: string
  /** The method's name. */
  readonly method: string
  /** The caller's identity. A call from the server's API has an identity that no participant has. */
  readonly callerIdentity: string
  /** The request. */
  readonly payload: string
  /**
   * ms that the caller waits for the answer, according to the caller. Other SDKs may wait longer or shorter than they
   * say.
   */
  readonly responseTimeout: number
  /** Aborts when an answer no longer matters: the time is over, the caller has left, or the room is disconnected. */
  readonly signal: AbortSignal
}

/** Handles the calls of a method. Calls run concurrently. */
export type RpcMethodHandler = (data: RpcInvocationData) => Promise<string> | string

/** Limits of the calls that a room accepts from remote participants. */
import * as check from '../base/arguments'

/** Limits of the calls that a room answers. */
export interface RpcLimits {
  /**
   * Bytes of UTF-8 that a request may have, decompressed. A larger request fails for its caller with
   * `REQUEST_PAYLOAD_TOO_LARGE` before the handler runs. 0 to 2^53 − 1; default: 1 MiB.
   */
  readonly maxRequestBytes?: number | undefined
}

/** Bytes that a request may have. A compressed packet of 14 kB may expand to 14 MB, and each call keeps its request. */
export const MAX_REQUEST_BYTES = 1024 * 1024

/** The limits with their defaults. */
export type CheckedRpcLimits = { readonly [Name in keyof RpcLimits]-?: number }

/** @internal */
export function checkRpcLimits(given: RpcLimits | undefined): CheckedRpcLimits {
  const { maxRequestBytes } = check.options('options.rpc', given)
  const most = Number.MAX_SAFE_INTEGER
  return {
    maxRequestBytes: check.integer(
      'options.rpc.maxRequestBytes',
      maxRequestBytes,
      MAX_REQUEST_BYTES,
      0,
      most,
    ),
  }
}

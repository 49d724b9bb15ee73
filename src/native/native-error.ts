/** From what the native side throws and tells to the errors of `errors.ts`. */
import {
  DataTrackClosedError,
  DataTrackE2eeError,
  DataTrackPublishError,
  DataTrackSubscribeError,
} from '../base/errors'
import { knownReason } from '../base/error-reasons'
import type { NativeErrorCode } from './native'

/** The typed error for a native one; what is none of the addon's is returned as it is. */
export function mapNativeError(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const { code, reason, message } = error as Error & { code?: NativeErrorCode; reason?: string | null }
  switch (code) {
    case 'PUBLISH':
      return publishError(reason ?? '', message)
    case 'SUBSCRIBE':
      return subscribeError(reason ?? '', message)
    case 'E2EE': {
      const known = knownReason('DataTrackE2eeError', reason ?? '')
      return new DataTrackE2eeError(known, known === 'internal' ? { detail: message } : {})
    }
    case 'CLOSED':
      return new DataTrackClosedError('closed')
    case 'NATIVE_PANIC':
      return new DataTrackClosedError('nativePanic')
    case 'CANCELLED':
    case 'INVALID_ARGUMENT':
    case undefined:
      return error
    default:
      return error
  }
}

/** The native message says more than ours only where the reason does not say it all. */
export function publishError(reason: string, message: string): DataTrackPublishError {
  const known = knownReason('DataTrackPublishError', reason)
  const detail = known === 'internal' || known === 'invalidSchema' ? message : undefined
  return new DataTrackPublishError(known, { detail })
}

/** Like {@link publishError}. */
export function subscribeError(reason: string, message?: string): DataTrackSubscribeError {
  const known = knownReason('DataTrackSubscribeError', reason)
  return new DataTrackSubscribeError(known, { detail: known === 'internal' ? message : undefined })
}

/** Converts the native side's errors to the errors of `errors.ts`. */
import {
  DataTrackClosedError,
  DataTrackE2eeError,
  DataTrackPublishError,
  DataTrackSubscribeError,
} from '../base/errors'
import { knownReason } from '../base/error-reasons'
import type { ErrorReason } from '../base/error-reasons'
import type { NativeErrorCode } from './native'

/** The typed error for a native one. Errors that are not the addon's are returned unchanged. */
export function mapNativeError(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const { code, reason, message } = error as Error & { code?: NativeErrorCode; reason?: string | null }
  switch (code) {
    case 'PUBLISH':
      return publishError(knownReason('DataTrackPublishError', reason), message)
    case 'SUBSCRIBE':
      return subscribeError(knownReason('DataTrackSubscribeError', reason), message)
    case 'E2EE': {
      const known = knownReason('DataTrackE2eeError', reason)
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
      // Not an error of the addon: Node's errors have codes, too. The cases above cover all codes of the addon.
      code satisfies never
      return error
  }
}

/** The native message is added as a detail only where it says more than the reason. */
export function publishError(
  reason: ErrorReason<'DataTrackPublishError'>,
  message: string,
): DataTrackPublishError {
  const detail = reason === 'internal' || reason === 'invalidSchema' ? message : undefined
  return new DataTrackPublishError(reason, { detail })
}

/** Like {@link publishError}. */
export function subscribeError(
  reason: ErrorReason<'DataTrackSubscribeError'>,
  message?: string,
): DataTrackSubscribeError {
  return new DataTrackSubscribeError(reason, { detail: reason === 'internal' ? message : undefined })
}

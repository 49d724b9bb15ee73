/** What an attempt's error says of the attempts after it. */
import { DataTrackConnectionError } from '../base/errors'

function isTimeout(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'TimeoutError'
}

/** The error for the application: a deadline that passed becomes `timeout`. */
export function timedOut(error: unknown): unknown {
  return isTimeout(error) ? new DataTrackConnectionError('timeout') : error
}

/** Whether the same may work later without a change of anything. */
export function isUnreachable(error: unknown): boolean {
  const reasons: readonly string[] = [
    'serverUnreachable',
    'timeout',
    'transportFailed',
    'relayUnreachable',
    'proxyFailed',
    'tokenUnavailable',
  ]
  return isTimeout(error) || (error instanceof DataTrackConnectionError && reasons.includes(error.reason))
}

/** Whether no region would take the participant. A 403 concerns one region; another refusal of a token all of them. */
export function isRefusedEverywhere(error: unknown): boolean {
  if (!(error instanceof DataTrackConnectionError)) return false
  return (error.reason === 'notAllowed' && error.status !== 403) || error.reason === 'tokenUnavailable'
}

/** Whether the server refuses the token. */
export function isTokenRefused(error: unknown): boolean {
  return error instanceof DataTrackConnectionError && error.reason === 'notAllowed'
}

/** Whether the server does not know the path of the URL, as older servers do not know that of one peer connection. */
export function isNotFound(error: unknown): boolean {
  return error instanceof DataTrackConnectionError && error.reason === 'notFound'
}

/** URLs and errors of the HTTP requests that the checks and the commands send to a server. */
import { serverUrl } from '../connection/address'

/** The HTTP URL of a path on the server. If the server's URL has a path itself, that path comes first. */
export function httpUrl(url: string, path: string): URL {
  const server = serverUrl(url)
  const base = server.pathname.replace(/\/+$/, '')
  return new URL(`${server.protocol.replace('ws', 'http')}//${server.host}${base}${path}`)
}

/**
 * The system's error code (`ECONNREFUSED`), which may be in the error, in its causes or in the errors of an
 * `AggregateError`. The message is not returned because it may contain addresses.
 */
export function codeOf(error: unknown): string {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    const { code } = at as NodeJS.ErrnoException
    if (typeof code === 'string') return code
    if (at instanceof AggregateError && at.errors.length > 0) return codeOf(at.errors[0])
  }
  return 'unknown error'
}

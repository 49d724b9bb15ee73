/** HTTP requests of the commands to the server. */
import { serverUrl } from '../connection/address'

/** The URL of a path of the server; the server's own may have a prefix. */
export function httpUrl(url: string, path: string): URL {
  const server = serverUrl(url)
  const base = server.pathname.replace(/\/+$/, '')
  return new URL(`${server.protocol.replace('ws', 'http')}//${server.host}${base}${path}`)
}

/** The system's code, wherever the error has it; never a message, which may name addresses. */
export function codeOf(error: unknown): string {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    const { code } = at as NodeJS.ErrnoException
    if (typeof code === 'string') return code
    if (at instanceof AggregateError && at.errors.length > 0) return codeOf(at.errors[0])
  }
  return 'unknown error'
}

/**
 * The HTTP proxy of the environment variables, as Node programs read them. It is used for signalling, regions, the
 * command line's requests, and the TCP connections of the data path.
 */
import type { Agent } from 'node:http'
import type { Duplex } from 'node:stream'
import { loadProxyAgents, loadProxyFromEnv } from '../base/lazy'
import { log } from '../base/logging'
import type { NativeProxy } from '../native/native'
import { bareHost } from './address'

/** The proxy of the environment cannot be used. The message names neither its address nor its credentials. */
export class ProxyError extends Error {}

/**
 * An agent that connects to `url` (`ws:`, `wss:`, `http:` or `https:`) through the proxy in `HTTP_PROXY`, `HTTPS_PROXY`
 * or `ALL_PROXY`; `undefined` if there is none, or if `NO_PROXY` excludes the host. Lower-case names precede upper-case
 * ones.
 *
 * The agent serves one attempt: `signal` ends a connection to a proxy that has not answered yet.
 *
 * @throws {@link ProxyError} for a variable that is not the URL of an HTTP proxy
 */
export function proxyAgent(url: URL, signal: AbortSignal): Agent | undefined {
  // The variables are for HTTP; a WebSocket begins as an HTTP request.
  const target = new URL(url.href.replace(/^ws/, 'http'))
  const named = loadProxyFromEnv().getProxyForUrl(target)
  if (named === '') return undefined
  log('debug', 'signal', "connecting through the environment's proxy")
  const { HttpProxyAgent, HttpsProxyAgent } = loadProxyAgents()
  const Tunnel = target.protocol === 'https:' ? HttpsProxyAgent : HttpProxyAgent
  const agent = new Tunnel({ proxy: readProxy(named), proxyRequestOptions: { signal } as object })
  const connecting = agent as unknown as Connecting
  const connect = connecting.createConnection.bind(agent)
  connecting.createConnection = (options, done) =>
    connect({ ...options, host: bracketed(options.host) }, (error, socket) =>
      done(error === null ? null : failure(error), socket),
    )
  return agent
}

/**
 * The proxy of the environment for a TCP connection of the data path: the one for `https:`, because the connection goes
 * through a tunnel as TLS does. `null`: there is none, or it cannot be used. Signalling reports an unusable one.
 */
export function tunnelProxy(host: string, port: number): NativeProxy | null {
  const target = `https://${bracketed(host)}:${port}`
  // The server may name a host that cannot be one.
  const named = URL.canParse(target) ? loadProxyFromEnv().getProxyForUrl(new URL(target)) : ''
  if (named === '') return null
  try {
    return nativeProxy(readProxy(named))
  } catch (error) {
    log('info', 'signal', `the data path uses no proxy: ${(error as Error).message}`)
    return null
  }
}

/** {@link tunnelProxy} for ICE over TCP to the LiveKit server: `NO_PROXY` names that server's host. */
export function proxyTo(server: URL): NativeProxy | null {
  const port = server.port === '' ? (server.protocol === 'wss:' ? 443 : 80) : Number(server.port)
  return tunnelProxy(bareHost(server), port)
}

function nativeProxy(url: URL): NativeProxy {
  if (url.protocol === 'https:') throw new ProxyError("the environment's proxy is reached over TLS")
  const credentials = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`
  return {
    host: url.hostname,
    port: Number(url.port === '' ? 80 : url.port),
    authorization: credentials === ':' ? '' : `Basic ${Buffer.from(credentials).toString('base64')}`,
  }
}

/** How `http.request` asks an agent for a connection. */
interface Connecting {
  createConnection(
    options: { readonly host: string },
    done: (error: Error | null, socket: Duplex | null) => void,
  ): void
}

function readProxy(named: string): URL {
  const url = URL.canParse(named) ? new URL(named) : undefined
  if (url === undefined || url.hostname === '') throw new ProxyError("the environment's proxy is no URL")
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new ProxyError(`the environment's proxy is no HTTP proxy, but ${url.protocol.slice(0, -1)}`)
  }
  try {
    decodeURIComponent(url.username + url.password)
  } catch {
    throw new ProxyError("the credentials of the environment's proxy are not percent-encoded")
  }
  // With its brackets, Node would look up an IPv6 address as a name.
  return Object.defineProperty(url, 'hostname', { value: bareHost(url) })
}

/** `CONNECT` wants an IPv6 address in brackets; Node's options have none. */
function bracketed(host: string): string {
  return host.includes(':') && !host.startsWith('[') ? `[${host}]` : host
}

/** The error's own message is left out, because it may contain the proxy's address. */
function failure(error: Error & { readonly code?: string }): ProxyError {
  const status = /^Bad response: (\d+)$/.exec(error.message)?.[1]
  if (status === '407')
    return new ProxyError('the proxy refuses the credentials, or wants some (HTTP status 407)')
  if (status !== undefined) return new ProxyError(`the proxy refuses to connect (HTTP status ${status})`)
  return new ProxyError(`the connection to the proxy failed: ${error.code ?? 'unknown error'}`)
}

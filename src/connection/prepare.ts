/**
 * What can be done for a connection before it is wanted: modules and the native addon are loaded, the host's name is
 * looked up, and a TCP or TLS connection is opened. The next signalling connection to that host uses it.
 */
import type { Socket } from 'node:net'
import { connect, isIP } from 'node:net'
import { withDeadline } from '../base/abort'
import * as check from '../base/arguments'
import { loadProtocol, loadWebSocket } from '../base/lazy'
import { log } from '../base/logging'
import { environment } from '../native/environment'
import { bareHost, serverUrl } from './address'
import { checkConnectOptions } from './connect-options'
import type { CheckedConnectOptions, ConnectOptions } from './connect-options'
import { proxyAgent } from './proxy'
import { isCloudHost, Regions } from './regions'

/** ms for which an open connection is kept. Servers and load balancers close those that say nothing. */
const KEEP = 10_000
/** Open connections that wait for their use, in the whole process. */
export const MAX_PREPARED = 8
/** ms that opening one may take. */
const OPEN_TIMEOUT = 5000

interface Prepared {
  readonly origin: string
  readonly ca: ConnectOptions['ca']
  readonly socket: Socket
  readonly timer: NodeJS.Timeout
}

const prepared: Prepared[] = []

/**
 * See `Room.prepareConnection`.
 *
 * @throws `TypeError` or `RangeError` that names the argument; an error with the code `NATIVE_MISSING`
 */
export async function prepareConnection(
  url: string | URL,
  token: string | undefined,
  given: ConnectOptions,
): Promise<void> {
  const server = serverUrl(url)
  const checked = token === undefined ? undefined : check.headerText('token', token)
  const options = checkConnectOptions(given)
  options.signal?.throwIfAborted()
  environment()
  loadProtocol()
  loadWebSocket()
  const signal = withDeadline(OPEN_TIMEOUT, options.signal)
  if (checked !== undefined && isCloudHost(server)) new Regions(server, options).prefetch(checked, signal)
  try {
    if (isDirect(server, options, signal)) keep(server, options.ca, await opened(server, options.ca, signal))
  } catch {
    options.signal?.throwIfAborted()
    log('debug', 'signal', 'the connection could not be prepared')
  }
}

/** An open connection to the server, for the one that asks first; `undefined` if there is none. */
export function takePrepared(server: URL, ca: ConnectOptions['ca']): Socket | undefined {
  const at = prepared.findIndex((each) => each.origin === server.origin && each.ca === ca)
  if (at < 0) return undefined
  const [{ socket, timer }] = prepared.splice(at, 1) as [Prepared]
  clearTimeout(timer)
  socket.removeAllListeners()
  if (socket.destroyed || socket.readableEnded) return undefined
  return socket.ref()
}

function isDirect(server: URL, { agent, proxy }: CheckedConnectOptions, signal: AbortSignal): boolean {
  return agent === undefined && !(proxy && proxyAgent(server, signal) !== undefined)
}

async function opened(server: URL, ca: ConnectOptions['ca'], signal: AbortSignal): Promise<Socket> {
  const secure = server.protocol === 'wss:'
  const host = bareHost(server)
  const port = Number(server.port) || (secure ? 443 : 80)
  const socket = secure
    ? (await import('node:tls')).connect({
        ...{ host, port, ALPNProtocols: ['http/1.1'] },
        ...(isIP(host) === 0 && { servername: host }),
        ...(ca !== undefined && { ca: ca as string }),
      })
    : connect({ host, port })
  socket.unref()
  return await new Promise((resolve, reject) => {
    const stop = (): void => void socket.destroy(signal.reason as Error)
    signal.addEventListener('abort', stop)
    socket.once('error', reject)
    socket.once('close', () => reject(new Error('closed')))
    socket.once(secure ? 'secureConnect' : 'connect', () => {
      signal.removeEventListener('abort', stop)
      socket.removeAllListeners('error')
      resolve(socket)
    })
  })
}

function keep({ origin }: URL, ca: ConnectOptions['ca'], socket: Socket): void {
  const drop = (): void => {
    const at = prepared.findIndex((each) => each.socket === socket)
    if (at >= 0) clearTimeout(prepared.splice(at, 1)[0]?.timer)
    socket.destroy()
  }
  // A server that says something, or closes, before it was asked: the connection is of no use.
  for (const name of ['error', 'end', 'close', 'data'] as const) socket.on(name, drop)
  const timer = setTimeout(drop, KEEP).unref()
  if (prepared.length >= MAX_PREPARED) {
    const oldest = prepared.shift()
    clearTimeout(oldest?.timer)
    oldest?.socket.destroy()
  }
  prepared.push({ origin, ca, socket, timer })
}

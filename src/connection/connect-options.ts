/** Options of connecting to a server. */
import { X509Certificate } from 'node:crypto'
import type { Agent } from 'node:http'
import { types } from 'node:util'
import * as check from '../base/arguments'
import type { PeerConnectionMode } from './address'
import type { NativeRelayServer } from '../native/native'
import { checkIceServers } from './ice-servers'
import type { IceServer } from './ice-servers'
import { checkRetries } from './reconnect-policy'

/** ms that one attempt may take, by default. */
export const CONNECT_TIMEOUT = 15_000

/** Which network paths the room tries for its data. */
export type IceTransports = 'all' | 'udp' | 'tcp' | 'relay'

/** Options of `room.connect()`. */
export interface ConnectOptions {
  /** ms that one attempt to connect or to reconnect may take, 1 to 2^31 − 1. Default: 15,000. */
  readonly connectTimeout?: number | undefined
  /**
   * The agent for signalling and for the list of regions, as for `http.request`. Default: the proxy of the environment,
   * if there is one; else Node's own agent.
   */
  readonly agent?: Agent | undefined
  /**
   * Whether signalling goes through the HTTP proxy that `HTTPS_PROXY` (for `wss:`), `HTTP_PROXY` (for `ws:`) or
   * `ALL_PROXY` names, in lower or upper case, unless `NO_PROXY` excludes the host. The request for the list of regions
   * goes the same way. The TCP connections of the data path (ICE-TCP, relays over TCP and TLS) go through the proxy of
   * `HTTPS_PROXY` or `ALL_PROXY`, and directly if that proxy does not connect them. UDP never goes through a proxy.
   * Default: `true`.
   */
  readonly proxy?: boolean | undefined
  /**
   * The certificate authorities to trust, in PEM, in place of Node's list: for signalling, the list of regions, and
   * relays over TLS. A server with a private authority needs it. Default: Node's list.
   */
  readonly ca?: string | Buffer | readonly (string | Buffer)[] | undefined
  /**
   * `single`: one peer connection for both directions. `dual`: one for each direction. Default: `auto`, which is
   * `single`, or `dual` if the server does not support `single`.
   */
  readonly peerConnections?: 'auto' | PeerConnectionMode | undefined
  /**
   * `udp` or `tcp`: only that protocol, and no relay. `relay`: only relays (TURN servers). Default: `all`, which is
   * UDP, and also TCP and relays if UDP has not connected after 300 ms.
   */
  readonly iceTransports?: IceTransports | undefined
  /**
   * TURN servers to use instead of those that the server names; at most 4 URLs of TURN servers. An empty array: none.
   * Default: those that the server names.
   */
  readonly iceServers?: readonly IceServer[] | undefined
  /**
   * How often an attempt is made again while the server cannot be reached, or while the function or source of tokens
   * gives no token: whole, 0 and above, or `Infinity` for a program that must never give up. The number holds for the
   * first connection (default: 0), and for each loss of the connection (default: the room's `reconnectPolicy` decides).
   * Each attempt has `connectTimeout`.
   */
  readonly maxRetries?: number | undefined
  /**
   * Whether the room subscribes to each audio track that a remote participant publishes. Data tracks are not concerned:
   * a program subscribes to each of them by itself. Default: `false`.
   */
  readonly autoSubscribe?: boolean | undefined
  /** Cancels connecting. The promise then rejects with the signal's `reason`. No effect once the room is connected. */
  readonly signal?: AbortSignal | undefined
}

/** @internal The options with their defaults. */
export interface CheckedConnectOptions {
  readonly timeoutMs: number
  readonly agent: Agent | undefined
  readonly proxy: boolean
  readonly ca: ConnectOptions['ca']
  readonly mode: 'auto' | PeerConnectionMode
  readonly iceTransports: IceTransports
  /** `undefined`: those of the server. */
  readonly relays: readonly NativeRelayServer[] | undefined
  /** `undefined`: the caller wants nothing in particular. */
  readonly maxRetries: number | undefined
  readonly autoSubscribe: boolean
  readonly signal: AbortSignal | undefined
}

/** @internal */
export function checkConnectOptions(given: ConnectOptions): CheckedConnectOptions {
  const options = check.options('options', given)
  return {
    timeoutMs: check.integer(
      'options.connectTimeout',
      options.connectTimeout,
      CONNECT_TIMEOUT,
      1,
      2 ** 31 - 1,
    ),
    agent: options.agent,
    proxy: check.boolean('options.proxy', options.proxy, true),
    ca: checkCertificates('options.ca', options.ca),
    mode: check.oneOf('options.peerConnections', options.peerConnections, 'auto', ['auto', 'single', 'dual']),
    iceTransports: check.oneOf('options.iceTransports', options.iceTransports, 'all', [
      'all',
      'udp',
      'tcp',
      'relay',
    ]),
    relays: checkIceServers('options.iceServers', options.iceServers),
    maxRetries: checkRetries('options.maxRetries', options.maxRetries),
    autoSubscribe: check.boolean('options.autoSubscribe', options.autoSubscribe, false),
    signal: check.signal('options.signal', options.signal),
  }
}

/** Refuses text without certificates: Node.js would ignore it, and would then trust no server. */
function checkCertificates(name: string, given: ConnectOptions['ca']): ConnectOptions['ca'] {
  if (given === undefined) return undefined
  if (Array.isArray(given)) given.forEach((one, index) => checkCertificate(`${name}[${index}]`, one))
  else checkCertificate(name, given)
  return given
}

const CERTIFICATE =
  /-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----[^-]*-----END (?:TRUSTED |X509 )?CERTIFICATE-----/g

function checkCertificate(name: string, value: unknown): void {
  if (typeof value !== 'string' && !types.isUint8Array(value)) {
    throw check.invalidType(name, 'a string or a Buffer', value)
  }
  const pem = typeof value === 'string' ? value : Buffer.from(value).toString('latin1')
  const certificates = pem.match(CERTIFICATE) ?? []
  try {
    for (const certificate of certificates) new X509Certificate(certificate)
    if (certificates.length > 0) return
  } catch {
    // Treated as if it contained no certificate.
  }
  const error = new TypeError(`The argument "${name}" must be of certificates in PEM`)
  throw Object.assign(error, { code: 'ERR_INVALID_ARG_VALUE' as const })
}

/** TURN servers: those that the caller names, and those that the LiveKit server names. */
import * as check from '../base/arguments'
import { loadTls } from '../base/lazy'
import { log } from '../base/logging'
import { MAX_RELAYS } from '../native/native'
import type { NativeRelayServer } from '../native/native'

/** A TURN server, as in WebRTC's `RTCIceServer`. */
export interface IceServer {
  /**
   * `turn:host[:port][?transport=udp|tcp]` for UDP (the default) or TCP, or `turns:host[:port][?transport=tcp]` for TLS
   * over TCP. The default port is 3478 with `turn:`, and 5349 with `turns:`. URLs of STUN servers are ignored, because
   * the LiveKit server sees the client's address by itself.
   */
  readonly urls: string | readonly string[]
  /** The user name. TURN servers need it. */
  readonly username?: string | undefined
  /** The password. TURN servers need it. */
  readonly credential?: string | undefined
}

/** The most servers of the LiveKit server's list that are looked at, and the most URLs of each. */
const MAX_URLS = 32

const ALLOWED = "a URL of the form 'turn:host:port?transport=udp' or 'turns:host:port?transport=tcp'"
const TURN_URL = /^(turns?):(\[[0-9a-f:.]+\]|[^\s:/?@[\]]+)(?::(\d{1,5}))?(?:\?transport=(udp|tcp))?$/i

/** @internal The option `iceServers`. Messages of errors contain no credentials. */
export function checkIceServers(
  name: string,
  given: readonly IceServer[] | undefined,
): readonly NativeRelayServer[] | undefined {
  if (given === undefined) return undefined
  if (!Array.isArray(given)) throw check.invalidType(name, 'an array', typeof given)
  const relays = given.flatMap((server: unknown, index) => checkServer(`${name}[${index}]`, server))
  if (relays.length > MAX_RELAYS)
    throw check.outOfRange(name, `of at most ${MAX_RELAYS} URLs of TURN servers`, relays.length)
  return relays
}

function checkServer(name: string, given: unknown): NativeRelayServer[] {
  if (typeof given !== 'object' || given === null) throw check.invalidType(name, 'an object', typeof given)
  const server = given as { readonly [Key in keyof IceServer]: unknown }
  const urls = typeof server.urls === 'string' ? [server.urls] : check.strings(`${name}.urls`, server.urls)
  return urls.flatMap((url) => {
    if (isStun(url)) return []
    const relay = relayOf(
      url,
      secret(`${name}.username`, server.username),
      secret(`${name}.credential`, server.credential),
    )
    if (relay === undefined) throw check.outOfRange(`${name}.urls`, ALLOWED, url)
    return [relay]
  })
}

/** Checks a user name or a password. The message of its error does not contain the value. */
function secret(name: string, value: unknown): string {
  if (typeof value !== 'string')
    throw check.invalidType(name, 'a string', value === undefined ? value : typeof value)
  return value
}

/** @internal The TURN servers among the servers that the LiveKit server names: at most {@link MAX_RELAYS}. */
export function relaysOf(
  servers: readonly {
    readonly urls: readonly string[]
    readonly username: string
    readonly credential: string
  }[],
): readonly NativeRelayServer[] {
  const urls = servers
    .slice(0, MAX_URLS)
    .flatMap(({ urls, username, credential }) =>
      urls.slice(0, MAX_URLS).map((url) => ({ url, username, credential })),
    )
    .filter(({ url }) => !isStun(url))
  const relays = urls.flatMap(({ url, username, credential }) => relayOf(url, username, credential) ?? [])
  if (relays.length < urls.length)
    log('info', 'signal', 'the server names relays with URLs that cannot be used')
  return relays.slice(0, MAX_RELAYS)
}

/** @internal With `udp`, those TURN servers that are reached over UDP; else those that are reached over TCP or TLS. */
export function iceServersOver(servers: readonly IceServer[], udp: boolean): readonly IceServer[] {
  const wanted = (url: string): boolean => {
    const relay = isStun(url) ? undefined : relayOf(url, '', '')
    return relay !== undefined && (relay.transport === 'udp') === udp
  }
  return servers
    .flatMap(({ urls, ...rest }) =>
      [urls]
        .flat()
        .filter(wanted)
        .map((url) => ({ ...rest, urls: url })),
    )
    .slice(0, MAX_RELAYS)
}

function isStun(url: string): boolean {
  return /^stuns?:/i.test(url)
}

function relayOf(url: string, username: string, credential: string): NativeRelayServer | undefined {
  const [, scheme, host, port, transport] = TURN_URL.exec(url) ?? []
  if (scheme === undefined || host === undefined) return undefined
  const secure = scheme.toLowerCase() === 'turns'
  const protocol = transport?.toLowerCase() === 'tcp' ? 'tcp' : 'udp'
  // It would be TURN over DTLS, which is not supported.
  if (secure && transport !== undefined && protocol === 'udp') return undefined
  const number = Number(port ?? (secure ? 5349 : 3478))
  if (number < 1 || number > 65_535) return undefined
  const bare = host.replace(/^\[|\]$/g, '')
  return { host: bare, port: number, transport: secure ? 'tls' : protocol, username, credential, proxy: null }
}

/** @internal The authorities that relays over TLS are checked against, in PEM. Empty if no relay uses TLS. */
export function authoritiesFor(
  relays: readonly NativeRelayServer[],
  ca: string | Buffer | readonly (string | Buffer)[] | undefined,
): string {
  if (!relays.some(({ transport }) => transport === 'tls')) return ''
  const list = ca ?? defaultAuthorities()
  return (typeof list === 'string' || Buffer.isBuffer(list) ? [list] : list).map(String).join('\n')
}

/**
 * The authorities that signalling trusts, too. Older versions of Node.js have no `getCACertificates`: there, the
 * authorities of NODE_EXTRA_CA_CERTS are missing.
 */
function defaultAuthorities(): readonly string[] {
  const { getCACertificates, rootCertificates } = loadTls()
  return getCACertificates?.('default') ?? rootCertificates
}

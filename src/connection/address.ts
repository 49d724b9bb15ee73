/** Where a room's signalling is: the URL of the WebSocket, and what it carries. */
import { release } from 'node:os'
import type { ReconnectReason } from '@livekit/protocol'
import { loadProtocol } from '../base/lazy'
import { CLIENT_PROTOCOL } from '../signal/messages'
import type { AddTrackMessage } from '../signal/messages'

/** Version of the signalling protocol that is spoken here; LiveKit's SDKs of November 2026 say the same. */
export const PROTOCOL_VERSION = 17

/**
 * How the room's peer connections are made: one for both directions (newer servers), or one for each (all servers).
 *
 * @inline
 */
export type PeerConnectionMode = 'single' | 'dual'

/** What a connection attempt asks for. */
export interface SignalRequestOptions {
  readonly mode: PeerConnectionMode
  /** Resumes the session of that participant SID. */
  readonly participantSid?: string | undefined
  /** Why it is resumed. */
  readonly reconnectReason?: ReconnectReason | undefined
  /** The offer that goes with a join in single mode. */
  readonly publisherOffer?: { readonly sdp: string; readonly id: number } | undefined
  /** The tracks that are published with a join in single mode. The offer has their sections. */
  readonly addTracks?: readonly AddTrackMessage[]
}

/**
 * Checks a server's URL and gives its WebSocket form.
 *
 * @throws `TypeError` when it is no `ws:`, `wss:`, `http:` or `https:` URL, or has a fragment
 */
export function serverUrl(url: string | URL): URL {
  const text = String(url)
  const parsed = URL.canParse(text) ? new URL(text) : undefined
  const schemes: Readonly<Record<string, string>> = {
    'ws:': 'ws:',
    'wss:': 'wss:',
    'http:': 'ws:',
    'https:': 'wss:',
  }
  const scheme = parsed && schemes[parsed.protocol]
  if (parsed === undefined || scheme === undefined || parsed.hostname === '') {
    // The URL itself is not repeated: people paste tokens into the wrong argument.
    const error = new TypeError('url must be a ws:, wss:, http: or https: URL')
    throw Object.assign(error, { code: 'ERR_INVALID_ARG_VALUE' })
  }
  // A WebSocket has none, and a fragment is more likely a mistake than nothing.
  if (parsed.href.includes('#')) {
    const error = new TypeError('url must be without a fragment (#…)')
    throw Object.assign(error, { code: 'ERR_INVALID_ARG_VALUE' })
  }
  return new URL(scheme + parsed.href.slice(parsed.protocol.length))
}

/** A URL's host without the brackets of an IPv6 address. */
export function bareHost({ hostname }: URL): string {
  return hostname.replace(/^\[|\]$/g, '')
}

/** The WebSocket's URL. The token is not in it: it goes into the `Authorization` header. */
export function signalUrl(server: URL, options: SignalRequestOptions): URL {
  const url = new URL(server)
  const base = server.pathname.replace(/\/+$/, '')
  if (options.mode === 'single') {
    url.pathname = `${base}/rtc/v1`
    url.searchParams.set('join_request', joinRequest(options))
    return url
  }
  url.pathname = `${base}/rtc`
  const fields = {
    sdk: 'node',
    os: process.platform,
    os_version: release(),
    protocol: String(PROTOCOL_VERSION),
    client_protocol: String(CLIENT_PROTOCOL),
    capabilities: 'CAP_COMPRESSION_DEFLATE_RAW',
    // Absent would mean yes.
    auto_subscribe: '0',
    auto_subscribe_data_track: '0',
    ...(options.participantSid !== undefined && {
      reconnect: '1',
      sid: options.participantSid,
      reconnect_reason: String(options.reconnectReason ?? 0),
    }),
  }
  for (const [name, value] of Object.entries(fields)) url.searchParams.set(name, value)
  return url
}

/** `WrappedJoinRequest` in base64 for URLs, with padding: the server's decoder insists on it. */
function joinRequest(options: SignalRequestOptions): string {
  const { participantSid, reconnectReason, publisherOffer, addTracks = [] } = options
  const protocol = loadProtocol()
  const request = new protocol.JoinRequest({
    clientInfo: {
      // Anything but UNKNOWN: only then does the server do without SCTP's checksums.
      sdk: protocol.ClientInfo_SDK.NODE,
      protocol: PROTOCOL_VERSION,
      clientProtocol: CLIENT_PROTOCOL,
      capabilities: [protocol.ClientInfo_Capability.CAP_COMPRESSION_DEFLATE_RAW],
      os: process.platform,
      osVersion: release(),
    },
    connectionSettings: { autoSubscribe: false, autoSubscribeDataTrack: false },
    reconnect: participantSid !== undefined,
    participantSid: participantSid ?? '',
    ...(reconnectReason !== undefined && { reconnectReason }),
    addTrackRequests: addTracks as never,
    ...(publisherOffer && { publisherOffer: { type: 'offer', ...publisherOffer } }),
  })
  const wrapped = new protocol.WrappedJoinRequest({ joinRequest: request.toBinary() })
  return Buffer.from(wrapped.toBinary()).toString('base64').replaceAll('+', '-').replaceAll('/', '_')
}

/** Bytes of a token: what an HTTP server takes of headers is less. */
export const MAX_TOKEN = 1_048_576

/** Whether a text of the server can be a token: three parts of base64 for URLs, which a header can carry. */
export function isAccessToken(text: string): boolean {
  return text.length <= MAX_TOKEN && /^[\w-]+\.[\w-]+\.[\w-]+$/.test(text)
}

/** The checks that join a room: signalling, UDP, TCP, and frames to another participant and back. */
import { iceServersOver } from '../connection/ice-servers'
import type { IceServer } from '../connection/ice-servers'
import type { LocalDataTrack } from '../data-track/local'
import type { DataTrackStream } from '../data-track/stream'
import { DataTrackConnectionError, DataTrackPublishError } from '../base/errors'
import { disconnectReason, disconnectReasonNumber } from '../connection/disconnect-reason'
import type { Room } from '../room/room'
import { serverUrl } from '../connection/address'
import { SignalClient } from '../connection/signal-client'
import type { Finding } from './finding'
import { pace } from './pace'
import { connectPair, joinRoom, uniqueName } from './rooms'
import { frameOf, roundTrip } from './round-trip'

/**
 * Joins the room through signalling alone, so that a failure here does not depend on UDP or TCP. Returns the relays that
 * the server names, too.
 */
export async function checkSignalling(
  url: string,
  token: string,
  ms: number,
): Promise<{ readonly finding: Finding; readonly relays: readonly IceServer[] }> {
  const check = 'signalling'
  const started = performance.now()
  try {
    const { client, first } = await SignalClient.connect(
      serverUrl(url),
      token,
      { mode: 'dual', participantSid: undefined, publisherOffer: undefined },
      { proxy: true, timeoutMs: ms, signal: undefined },
      { message: () => undefined, lost: () => undefined, failed: () => undefined },
    )
    const took = performance.now() - started
    const { message } = first
    const leave = { reason: disconnectReasonNumber('clientInitiated') }
    client.send({ case: 'leave', value: leave })
    client.close()
    if (message.case !== 'join') {
      const reason = message.case === 'leave' ? disconnectReason(message.value.reason) : message.case
      const finding: Finding = {
        check,
        status: 'failed',
        what: `the server sends us away (${reason ?? 'without a reason'})`,
        help: 'Is the room full or closed, or the server about to stop?',
      }
      return { finding, relays: [] }
    }
    const { version, region } = message.value.serverInfo ?? {}
    const server = version ? `livekit-server ${version}` : 'the server'
    const what = `${server} lets us in after ${took.toFixed(0)} ms${region ? `, region ${region}` : ''}`
    return { finding: { check, status: 'ok', what }, relays: message.value.iceServers }
  } catch (error) {
    return { finding: { check, status: 'failed', ...connectionFailure(error) }, relays: [] }
  }
}

/** Checks whether data flows through the relays that the server names: those over UDP, or those over TLS and TCP. */
export async function checkRelay(
  url: string,
  token: string,
  transport: 'udp' | 'tls',
  relays: readonly IceServer[],
  ms: number,
): Promise<Finding> {
  const check = transport === 'udp' ? 'TURN/UDP' : 'TURN/TLS'
  const iceServers = iceServersOver(relays, transport === 'udp')
  if (iceServers.length === 0) {
    return { check, status: 'skipped', what: 'the server names no such TURN server' }
  }
  const started = performance.now()
  try {
    const room = await joinRoom(url, token, { iceTransports: 'relay', iceServers, connectTimeout: ms })
    return await connected(check, room, performance.now() - started)
  } catch (error) {
    const slow = error instanceof DataTrackConnectionError && error.reason === 'timeout'
    if (!slow) return { check, status: 'failed', ...connectionFailure(error) }
    const what = `no path through the relay within ${ms / 1000} s`
    return { check, status: 'failed', what, help: CONNECTION_HELP['relayUnreachable'] }
  }
}

/** Checks whether ICE finds a path over this transport. */
export async function checkPath(
  url: string,
  token: string,
  transport: 'udp' | 'tcp',
  ms: number,
): Promise<Finding> {
  const check = transport.toUpperCase()
  const started = performance.now()
  try {
    const room = await joinRoom(url, token, { iceTransports: transport, connectTimeout: ms })
    return await connected(check, room, performance.now() - started)
  } catch (error) {
    const noPath =
      error instanceof DataTrackConnectionError && ['timeout', 'transportFailed'].includes(error.reason)
    if (!noPath) return { check, status: 'failed', ...connectionFailure(error) }
    return {
      check,
      status: 'failed',
      what: `no path to the server within ${ms / 1000} s`,
      help: PATH_HELP[transport],
    }
  }
}

/** The result of a path that works. */
async function connected(check: string, room: Room, took: number): Promise<Finding> {
  const proxied = room.stats().connection?.overProxy === true
  await room.disconnect()
  const what = `connected after ${took.toFixed(0)} ms${proxied ? ', through the HTTP proxy' : ''}`
  return { check, status: 'ok', what }
}

const PATH_HELP = {
  udp:
    "Firewalls must let UDP through to the server's media ports (rtc.udp_port, or port_range_start to " +
    'port_range_end), and the server must announce an address that is reachable from here (rtc.use_external_ip, node_ip).',
  tcp:
    "Firewalls must let TCP through to the server's rtc.tcp_port (7881 by default), which must not be switched off; " +
    'networks that block UDP need it.',
} as const

/**
 * Turns the failure of one path into a warning if another path works, because one path is enough for data. Each path has
 * a purpose of its own. Without UDP, a lost packet holds up the packets behind it. Without TCP and relays, participants
 * in networks that block UDP cannot connect.
 */
export function weighPaths(paths: readonly Finding[]): readonly Finding[] {
  const works = paths.find(({ status }) => status === 'ok')?.check
  if (works === undefined) return paths
  return paths.map((path) => {
    if (path.status !== 'failed') return path
    const later =
      path.check === 'UDP' && works !== 'TURN/UDP' ? ', with more latency when packets are lost' : ''
    return { ...path, status: 'warning', what: `${path.what}; ${works} works${later}` }
  })
}

/** How many round trips of the small frame are measured. */
const ROUND_TRIPS = 20
/** Bytes of the small frame (one packet) and of the large frame (seven packets). */
const SMALL = 64
const LARGE = 100_000
/** Frames a second that are sent until the first one arrives. */
const PROBE_RATE = 20

/** Sends frames from one participant to another. If the other one may publish (`andBack`), it sends them back. */
export async function checkData(
  url: string,
  tokens: { readonly publisher: string; readonly subscriber: string },
  andBack: boolean,
  ms: number,
): Promise<Finding> {
  const check = 'data'
  const signal = AbortSignal.timeout(ms)
  let rooms: readonly Room[] = []
  try {
    const [near, far] = await connectPair(url, tokens, { connectTimeout: ms })
    rooms = [near, far]
    const there = await openWay(near, far, signal)
    let end = there.stream
    if (andBack) {
      const back = await openWay(far, near, signal)
      void echo(there.stream, back.local).catch(() => undefined)
      end = back.stream
    }
    const first = await untilFirst(there.local, end, signal)
    const small: number[] = []
    for (let trip = 0; trip < ROUND_TRIPS; trip++)
      small.push(await roundTrip(there.local, end, SMALL, signal))
    const large = await roundTrip(there.local, end, LARGE, signal)
    small.sort((left, right) => left - right)
    const median = small[small.length >> 1] ?? 0
    return {
      check,
      status: 'ok',
      what:
        `frames from one participant to another${andBack ? ' and back' : ''}: ${SMALL} B in ${median.toFixed(1)} ms (median), ` +
        `${LARGE / 1000} kB in ${large.toFixed(1)} ms; the first one after ${first.toFixed(0)} ms`,
    }
  } catch (error) {
    return { check, status: 'failed', ...dataFailure(error, ms) }
  } finally {
    await Promise.all(rooms.map((room) => room.disconnect()))
  }
}

/**
 * Publishes a track and sends a frame to the server. More cannot be checked with one participant. `second`: how the
 * caller gives the token of a second one.
 */
export async function checkPublishing(
  url: string,
  token: string,
  second: string,
  ms: number,
): Promise<Finding> {
  const check = 'data'
  const signal = AbortSignal.timeout(ms)
  let room: Room | undefined
  try {
    room = await joinRoom(url, token, { connectTimeout: ms })
    const track = await room.localParticipant.publishDataTrack({ name: uniqueName('doctor'), signal })
    await track.push({ payload: new Uint8Array(SMALL) }, { signal })
    await track.flush({ signal })
    return {
      check,
      status: 'ok',
      what: 'a track is published and a frame is sent; whether it arrives needs a second participant',
      help: `Give ${second} to see frames there and back.`,
    }
  } catch (error) {
    return { check, status: 'failed', ...dataFailure(error, ms) }
  } finally {
    await room?.disconnect()
  }
}

/** Publishes a track in the room `from` and subscribes to it in the room `to`. */
async function openWay(
  from: Room,
  to: Room,
  signal: AbortSignal,
): Promise<{ local: LocalDataTrack; stream: DataTrackStream }> {
  const name = uniqueName('doctor')
  const local = await from.localParticipant.publishDataTrack({ name, signal })
  for await (const track of to.dataTracks({ name, signal }))
    return { local, stream: track.subscribe({ signal }) }
  throw new Error('the room closed before the track appeared')
}

async function echo(stream: DataTrackStream, back: LocalDataTrack): Promise<void> {
  for await (const { payload, userTimestamp } of stream) await back.push({ payload, userTimestamp })
}

/**
 * Sends frames until one arrives, and returns how long that took, ms. The server drops frames until it forwards the
 * track to the subscriber, and it does not announce when it begins to forward.
 */
async function untilFirst(
  local: LocalDataTrack,
  stream: DataTrackStream,
  signal: AbortSignal,
): Promise<number> {
  const started = performance.now()
  const probing = new AbortController()
  pace(PROBE_RATE, AbortSignal.any([signal, probing.signal]), () => {
    if (local.isPublished()) local.tryPush(new Uint8Array(SMALL))
  })
  try {
    await frameOf(stream)
  } finally {
    probing.abort()
  }
  return performance.now() - started
}

interface Words {
  readonly what: string
  readonly help: string
}

function dataFailure(error: unknown, ms: number): Words {
  if (error instanceof DOMException && error.name === 'TimeoutError') {
    return {
      what: `the data channel is open, and no frame came back within ${ms / 1000} s`,
      help: 'Do both tokens name the same room, and allow to subscribe? Does the server support data tracks?',
    }
  }
  if (error instanceof DataTrackPublishError) {
    const help =
      error.reason === 'notAllowed'
        ? 'Make a token with canPublishData, or switch data tracks on at the server.'
        : 'Does the server support data tracks?'
    return { what: `publishing a data track failed: ${error.message}`, help }
  }
  return connectionFailure(error)
}

function connectionFailure(error: unknown): Words {
  const what = error instanceof Error ? error.message : String(error)
  const reason = error instanceof DataTrackConnectionError ? error.reason : undefined
  return { what, help: (reason && CONNECTION_HELP[reason]) ?? 'docs/errors.md says what that means.' }
}

const CONNECTION_HELP: Readonly<Record<string, string>> = {
  notAllowed: 'See the result of the check "token".',
  notFound: 'HTTP works, and there is no signalling: is that a LiveKit server, and the URL without a path?',
  serverUnreachable: 'HTTP works, and WebSockets do not: a proxy in between may not let them through.',
  timeout: 'The server is slow, or a proxy in between holds WebSockets up.',
  transportFailed: PATH_HELP.udp,
  relayUnreachable:
    "Firewalls must let the TURN server's port through. livekit-server names port 443 for TLS, whatever turn.tls_port " +
    'is: if that is not 443, a load balancer must forward 443 to it. For turn.domain, the DNS must have the address of ' +
    'the TURN server or of that load balancer.',
  proxyFailed:
    'See HTTPS_PROXY and ALL_PROXY. Many proxies connect to port 443 only: the TURN server should use that port. ' +
    'NO_PROXY names hosts that need no proxy.',
  relayUntrusted:
    'The certificate (turn.cert_file) must be valid for turn.domain, and this machine must trust its authority.',
  relayUnauthorized:
    "Credentials for livekit-server's own TURN server are valid for minutes: is livekit-server's clock right? For " +
    'another TURN server: does it have the secrets or passwords of rtc.turn_servers?',
  relayForbidden:
    "The TURN server lets us in, but does not let us reach the LiveKit server's address. If that address is private, " +
    'turn.allow_restricted_peer_cidrs must contain it.',
  relayFailed:
    'Does the TURN server have ports and quota left? A load balancer in front of it must pass TCP through, not HTTP.',
  leaveRequest: 'Is the room full or closed, or is a participant with the same identity in it?',
}

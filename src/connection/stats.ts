/** Statistics of a server connection, over all its peer connections. */
import type { ConnectionCounters, NativeConnectionStats, NativeSctpStats } from '../native/native'

/** `udp`, `tcp`: directly to the server. `relay/…`: through a TURN server, which is reached over UDP, TCP or TLS. */
export type ConnectionPath = 'udp' | 'tcp' | 'relay/udp' | 'relay/tcp' | 'relay/tls'

/** Statistics of a connection to a server. Counters continue across reconnects. */
export interface ConnectionStats extends Readonly<ConnectionCounters> {
  /** Round trip time of the data path in ms, as measured by ICE; `undefined` while it is unknown. */
  readonly rtt: number | undefined
  /**
   * Round trip time of the last signalling ping in ms; `undefined` while it is unknown. A ping is sent every few
   * seconds.
   */
  readonly signalRtt: number | undefined
  /**
   * Whether data goes over TCP, to the server or to a relay, because UDP did not work or was disabled. With two peer
   * connections: whether at least one of them uses TCP.
   */
  readonly overTcp: boolean
  /** Whether data goes through an HTTP proxy. With two peer connections: whether at least one of them does. */
  readonly overProxy: boolean
  /** The path on which the room sends data to the server; `undefined` while there is none. */
  readonly path: ConnectionPath | undefined
  /** Bytes that the data-track channel holds, because they are not sent yet or not acknowledged. */
  readonly buffered: number
  /** Bytes that the data-track channel may hold. It follows the capacity of the path. */
  readonly bufferLimit: number
  /** What SCTP, the protocol of all data channels, knows of the path on which the room sends data. */
  readonly sctp: SctpStats
  /** The channel of reliable data packets, streams and RPC. */
  readonly reliable: MessageChannelStats
  /** The channel of lossy data packets. */
  readonly lossy: MessageChannelStats
}

/** What SCTP counts and measures as the sender. */
export interface SctpStats {
  /** Bytes that may be in flight: congestion control's estimate of what the path carries. */
  readonly congestionWindow: number
  /** Bytes that are in flight: sent, and neither acknowledged nor lost. */
  readonly bytesInFlight: number
  /** The smoothed round trip of data in ms; `undefined` while it is unknown. The time in queues is a part of it. */
  readonly rtt: number | undefined
  /** The least round trip of data in the last ten seconds, in ms; `undefined` while it is unknown. */
  readonly leastRtt: number | undefined
  /** How long the last measured datagram waited in queues on the path, in ms; `undefined` while it is unknown. */
  readonly queueDelay: number | undefined
  /** Chunks, each at most one datagram, that were lost or came too late. Continues across reconnects. */
  readonly chunksLost: number
  /** Chunks that were sent again. Continues across reconnects. */
  readonly retransmissions: number
}

/** Statistics of a message channel. */
export interface MessageChannelStats {
  readonly messagesSent: number
  readonly messagesReceived: number
  /** Bytes of the messages. */
  readonly bytesSent: number
  readonly bytesReceived: number
  /** Messages that arrived, and that the event loop did not take in time. Only lossy messages are dropped. */
  readonly dropped: number
  /** Bytes that wait to be sent, or that are not acknowledged. */
  readonly buffered: number
}

/** @internal Sums over the peer connections that a room's connection has had. */
export class ConnectionTotals {
  #before: NativeConnectionStats | undefined

  /** Adds the peer connections that end. */
  add(stats: NativeConnectionStats): void {
    this.#before = sum(this.#before, stats)
  }

  /** The figures of the peer connections that exist, with the counts of those before. */
  with(stats: NativeConnectionStats, signalRtt: number | undefined): ConnectionStats {
    const total = sum(this.#before, stats)
    const { rttMs, path, sctp, publisher: _, subscriber: __, dataTrack: ___, ...figures } = total
    return {
      rtt: known(rttMs),
      signalRtt,
      path: path === '' ? undefined : (path as ConnectionPath),
      sctp: sctpStats(sctp),
      ...figures,
    }
  }
}

function sctpStats({ rttMs, leastRttMs, queueDelayMs, ...figures }: NativeSctpStats): SctpStats {
  return { ...figures, rtt: known(rttMs), leastRtt: known(leastRttMs), queueDelay: known(queueDelayMs) }
}

const known = (ms: number) => (ms < 0 ? undefined : ms)

/** Values that tell how things are now. All other numbers are counters, so a new counter needs no line here. */
const GAUGES: ReadonlySet<string> = new Set([
  'rttMs',
  'buffered',
  'bufferLimit',
  'congestionWindow',
  'bytesInFlight',
  'leastRttMs',
  'queueDelayMs',
])

/** What was counted before and since. */
function sum<T extends object>(before: T | undefined, now: T): T {
  if (before === undefined) return now
  const former = new Map<string, unknown>(Object.entries(before))
  const entries = Object.entries(now).map(([key, value]: [string, unknown]) => [
    key,
    added(key, former.get(key), value),
  ])
  return Object.fromEntries(entries) as T
}

function added(key: string, before: unknown, now: unknown): unknown {
  if (typeof now === 'number' && typeof before === 'number' && !GAUGES.has(key)) return before + now
  const nested = typeof now === 'object' && now !== null && typeof before === 'object' && before !== null
  return nested ? sum(before, now) : now
}

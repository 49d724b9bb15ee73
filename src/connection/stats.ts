/** Figures of a connection to a server, over all the peer connections that it has had. */
import type { NativeConnectionStats } from '../native/native'

/** Figures of a connection to a server. Those that count go on across reconnects. */
export interface ConnectionStats {
  /** Round trip of the path that data goes, ms, as ICE measures it; `undefined` while it is not known. */
  readonly rtt: number | undefined
  /** Round trip of signalling, ms, of its last ping; `undefined` while it is not known. A ping is sent every few seconds. */
  readonly signalRtt: number | undefined
  /** Whether data goes over TCP, because UDP did not work or was not wanted. */
  readonly overTcp: boolean
  /** Bytes of all datagrams, connectivity checks and encryption included. */
  readonly bytesSent: number
  readonly bytesReceived: number
  /**
   * Datagrams that the server encrypted and that did not come: the network lost them, or this machine had no room for them,
   * or the server did not send them after all. By the numbers of their DTLS records (RFC 6347, section 4.1); what comes out
   * of order counts until it comes. Without DTLS 1.3, which hides the numbers.
   */
  readonly datagramsLost: number
  /** Packets of data tracks. */
  readonly packetsSent: number
  readonly packetsReceived: number
  /** Bytes that the data-track channel holds and has not sent yet, or whose receipt is not acknowledged. */
  readonly buffered: number
  /** Bytes that it may hold; it follows what the path carries. */
  readonly bufferLimit: number
  /** The channel of reliable data packets, streams and RPC. */
  readonly reliable: MessageChannelStats
  /** The channel of lossy data packets. */
  readonly lossy: MessageChannelStats
}

/** Figures of a channel for messages. */
export interface MessageChannelStats {
  readonly messagesSent: number
  readonly messagesReceived: number
  /** Bytes of the messages. */
  readonly bytesSent: number
  readonly bytesReceived: number
  /** Messages that came and were not taken in time: lossy ones only. */
  readonly dropped: number
  /** Bytes that wait or are not acknowledged. */
  readonly buffered: number
}

/** @internal Sums over the peer connections that a room's connection has had. */
export class ConnectionTotals {
  #bytesSent = 0
  #bytesReceived = 0
  #datagramsLost = 0
  #packetsSent = 0
  #packetsReceived = 0
  #reliable = noMessages
  #lossy = noMessages

  /** Peer connections that end. */
  add({
    bytesSent,
    bytesReceived,
    datagramsLost,
    packetsSent,
    packetsReceived,
    reliable,
    lossy,
  }: NativeConnectionStats): void {
    this.#bytesSent += bytesSent
    this.#bytesReceived += bytesReceived
    this.#datagramsLost += datagramsLost
    this.#packetsSent += packetsSent
    this.#packetsReceived += packetsReceived
    this.#reliable = sumOfMessages(this.#reliable, reliable)
    this.#lossy = sumOfMessages(this.#lossy, lossy)
  }

  /** Those that there are, over those that were. */
  with(stats: NativeConnectionStats, signalRtt: number | undefined): ConnectionStats {
    return {
      rtt: stats.rttMs < 0 ? undefined : stats.rttMs,
      signalRtt,
      overTcp: stats.overTcp,
      bytesSent: this.#bytesSent + stats.bytesSent,
      bytesReceived: this.#bytesReceived + stats.bytesReceived,
      datagramsLost: this.#datagramsLost + stats.datagramsLost,
      packetsSent: this.#packetsSent + stats.packetsSent,
      packetsReceived: this.#packetsReceived + stats.packetsReceived,
      buffered: stats.buffered,
      bufferLimit: stats.bufferLimit,
      reliable: sumOfMessages(this.#reliable, stats.reliable),
      lossy: sumOfMessages(this.#lossy, stats.lossy),
    }
  }
}

const noMessages: MessageChannelStats = {
  messagesSent: 0,
  messagesReceived: 0,
  bytesSent: 0,
  bytesReceived: 0,
  dropped: 0,
  buffered: 0,
}

/** What was counted before and since; what is buffered is that of now. */
function sumOfMessages(before: MessageChannelStats, now: MessageChannelStats): MessageChannelStats {
  return {
    messagesSent: before.messagesSent + now.messagesSent,
    messagesReceived: before.messagesReceived + now.messagesReceived,
    bytesSent: before.bytesSent + now.bytesSent,
    bytesReceived: before.bytesReceived + now.bytesReceived,
    dropped: before.dropped + now.dropped,
    buffered: now.buffered,
  }
}

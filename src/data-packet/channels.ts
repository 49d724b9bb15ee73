/** The two channels that carry a room's messages, to a server or to the loopback. */
import type { NativeChannel } from '../native/native'

/** `reliable`: ordered and lossless. `lossy`: neither. */
export type MessageChannel = NativeChannel

/** The largest message that servers' data channels accept, in bytes. A larger message ends the server's reader. */
export const MAX_MESSAGE_SIZE = 65_535

/** The channels of a room's connection. */
export interface MessageChannels {
  /** The largest message, in bytes. */
  readonly maxMessageSize: number
  /**
   * Queues a message. Returns a {@link SendStatus}. `more` (default: `false`): another message or {@link flush} follows
   * at once, and the two may be sent together.
   */
  send(channel: MessageChannel, message: Uint8Array, more?: boolean): number
  /** Sends what waits: no further message follows. */
  flush(): void
  /** Bytes that were queued and that the other end has not acknowledged. */
  bufferedAmount(channel: MessageChannel): number
  /** Bytes that the reliable channel may hold, bytes in flight included. It follows the capacity of the path. */
  reliableLimit(): number
  /** Asks for one call of {@link DataPackets.handleBufferedAmountLow} when at most `bytes` are buffered. */
  watchBuffered(channel: MessageChannel, bytes: number): void
}

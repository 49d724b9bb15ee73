/** What carries the messages of a room: two channels, whoever is at the other end. */
import type { NativeChannel } from '../native/native'

/** `reliable`: ordered and lossless. `lossy`: neither. */
export type MessageChannel = NativeChannel

/** The channels of a room's connection. */
export interface MessageChannels {
  /** Largest message, in bytes. */
  readonly maxMessageSize: number
  /**
   * Takes a message; what is returned is a {@link SendStatus}. `more` (default: `false`): another one follows at once, or
   * {@link flush}; they may travel together.
   */
  send(channel: MessageChannel, message: Uint8Array, more?: boolean): number
  /** Nothing follows after all. */
  flush(): void
  /** Bytes that were taken and that the other end has not acknowledged. */
  bufferedAmount(channel: MessageChannel): number
  /** Bytes that the reliable channel may hold, those under way included: it follows what the path carries. */
  reliableLimit(): number
  /** Asks to be told once when at most `bytes` are buffered: {@link DataPackets.handleBufferedAmountLow}. */
  watchBuffered(channel: MessageChannel, bytes: number): void
}

/** What the two RPC managers need from a room, and the constants of the protocol that they share. */
import type { PacketValue, SentPacket } from '../data-packet/sender'
import type { OutgoingText, SentText } from '../data-stream/outgoing'

/** From this client protocol on, participants accept requests and answers of any size as text streams. */
export const CLIENT_PROTOCOL_STREAM_RPC = 1
/** The most bytes of a payload in version 1. */
export const MAX_V1_PAYLOAD_BYTES = 15_360
/** Version 1: requests and answers are packets. */
export const RPC_VERSION_PACKETS = 1
/** Version 2: requests and answers are text streams; acknowledgements and errors stay packets. */
export const RPC_VERSION_STREAMS = 2

/** Methods that begin with this belong to this package. */
export const RESERVED_PREFIX = 'node-datatrack/'

/** Topics of the text streams. */
export const REQUEST_TOPIC = 'lk.rpc_request'
export const RESPONSE_TOPIC = 'lk.rpc_response'

/** Attributes of the text streams. */
export const rpcAttributes = {
  id: 'lk.rpc_request_id',
  method: 'lk.rpc_request_method',
  responseTimeout: 'lk.rpc_request_response_timeout_ms',
  version: 'lk.rpc_request_version',
} as const

/** A packet of RPC. */
export type RpcPacket = Extract<PacketValue, { case: 'rpcRequest' | 'rpcAck' | 'rpcResponse' }>

/** A text received as a stream. A reader of text streams implements it. */
export interface IncomingText {
  readonly info: { readonly attributes: Readonly<Record<string, string>> }
  /** The whole text if it has already arrived; else `undefined`. Throws where {@link readAll} rejects. */
  readAtOnce(maxLength?: number): string | undefined
  /**
   * Reads to the end. Rejects if the stream breaks off or has more than `maxLength` bytes (default: 256 MiB), and with
   * the signal's `reason`.
   */
  readAll(options: { readonly signal: AbortSignal; readonly maxLength?: number }): Promise<string>
  /** Discards the rest of the stream. */
  cancel(): void
}

/** A room from RPC's view. */
export interface RpcTransport {
  /** Whether there is a connection, including one that is reconnecting. */
  connected(): boolean
  /** Whether the server accepts data packets from the local participant. */
  allowed(): boolean
  /** The server's version; `undefined` if it gave none. */
  serverVersion(): string | undefined
  /** The client protocol of a participant; `undefined` if the participant is not known. */
  clientProtocol(identity: string): number | undefined
  /**
   * Sends a packet. Its promises reject with `PublishDataError`; `connectionLost` if the server may or may not have the
   * packet. An acknowledgement may be noticed late. `later`: the packet may be sent together with the next one in the
   * same turn.
   */
  sendPacket(packet: RpcPacket, destinationIdentity: string, later?: boolean): SentPacket
  /** Like `sendPacket`, for a text that fits a packet; `undefined` if it does not fit. */
  sendShortText(text: OutgoingText, destinationIdentity: string): SentPacket | undefined
  /** For any text. A text in several packets that is not sent completely fails with `DataStreamError`. */
  sendText(text: OutgoingText, destinationIdentity: string, signal?: AbortSignal): SentText
}

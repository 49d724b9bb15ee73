/** What the two managers of RPC need of a room, and the facts of the wire that they share. */
import type { PacketValue, SentPacket } from '../data-packet/sender'
import type { OutgoingText } from '../data-stream/outgoing'

/** Participants from this client protocol on take requests and answers as text streams, of any size. */
export const CLIENT_PROTOCOL_STREAM_RPC = 1
/** Bytes of a payload in version 1. */
export const MAX_V1_PAYLOAD_BYTES = 15_360
/** Requests and answers as packets. */
export const RPC_VERSION_PACKETS = 1
/** Requests and answers as text streams; acknowledgements and errors stay packets. */
export const RPC_VERSION_STREAMS = 2

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

/** A text that comes as a stream: a reader of text streams is one. */
export interface IncomingText {
  readonly info: { readonly attributes: Readonly<Record<string, string>> }
  /** All of it, if it is there; `undefined`: it has to be waited for. Throws where {@link readAll} rejects. */
  readAtOnce(maxLength?: number): string | undefined
  /**
   * Reads to the end. Rejects when the stream breaks off or has more than `maxLength` bytes (default: 256 MiB), and with
   * the signal's `reason`.
   */
  readAll(options: { readonly signal: AbortSignal; readonly maxLength?: number }): Promise<string>
  /** Lets go of what comes. */
  cancel(): void
}

/** A room, as RPC sees it. */
export interface RpcTransport {
  /** Whether there is a connection, if only one that is being rebuilt. */
  connected(): boolean
  /** Whether the server takes packets of us. */
  allowed(): boolean
  /** The server's version; `undefined`: it does not say. */
  serverVersion(): string | undefined
  /** What a participant's client understands; `undefined`: there is no such participant. */
  clientProtocol(identity: string): number | undefined
  /**
   * Its promises reject with `PublishDataError`: `connectionLost` when the server may or may not have the packet. That it has
   * it is noticed some time. `later`: it may leave with what is sent next in the same turn.
   */
  sendPacket(packet: RpcPacket, destinationIdentity: string, later?: boolean): SentPacket
  /** The same for a text that fits a packet; `undefined`: it does not. */
  sendShortText(text: OutgoingText, destinationIdentity: string): SentPacket | undefined
  /** For any text. What is in several packets and not complete fails with `DataStreamError`. */
  sendText(text: OutgoingText, destinationIdentity: string, signal?: AbortSignal): Promise<void>
}

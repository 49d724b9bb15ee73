/** The data streams of a room, in both directions. They live as long as the room, across connections. */
import * as check from '../base/arguments'
import type { Departed } from '../data-packet/departure'
import type { PacketHandlers } from '../data-packet/receiver'
import type { PacketSender } from '../data-packet/sender'
import type { ByteStreamHandler, HandlerTable, TextStreamHandler } from './handlers'
import { IncomingStreams } from './incoming'
import type { DataStreamStats } from './incoming'
import { checkLimits } from './limits'
import type { DataStreamLimits } from './limits'
import { OutgoingStreams } from './outgoing'
import type { Recipient } from './outgoing'

/** @internal The data streams of a room, in both directions. */
export class DataStreams {
  readonly outgoing: OutgoingStreams
  readonly #incoming: IncomingStreams

  /** @throws `TypeError` or `RangeError` that names the limit */
  constructor(
    sender: () => PacketSender,
    recipients: ReadonlyMap<string, Recipient>,
    limits: DataStreamLimits | undefined,
  ) {
    this.outgoing = new OutgoingStreams(sender, recipients)
    this.#incoming = new IncomingStreams(checkLimits(limits))
  }

  /** The handlers of the streams' packets. */
  packetHandlers(): Pick<PacketHandlers, 'streamHeader' | 'streamChunk' | 'streamTrailer'> {
    return {
      streamHeader: (packet) => this.#incoming.header(packet),
      streamChunk: (packet) => this.#incoming.chunk(packet),
      streamTrailer: (packet) => this.#incoming.trailer(packet),
    }
  }

  /**
   * Adds an internal handler. The application can neither remove it nor keep streams from it. `wanted`: whether it takes
   * a stream at the moment; by default it takes all.
   */
  handleText(topic: string, handler: TextStreamHandler, wanted?: () => boolean): () => void {
    return this.#incoming.text.addInternal(topic, handler, wanted)
  }

  /** Like `handleText`, for byte streams. */
  handleBytes(topic: string, handler: ByteStreamHandler): () => void {
    return this.#incoming.bytes.addInternal(topic, handler)
  }

  registerText(topic: string, handler: TextStreamHandler): () => void {
    return register(this.#incoming.text, topic, handler)
  }

  unregisterText(topic: string, handler: TextStreamHandler | undefined): void {
    unregister(this.#incoming.text, topic, handler)
  }

  registerBytes(topic: string, handler: ByteStreamHandler): () => void {
    return register(this.#incoming.bytes, topic, handler)
  }

  unregisterBytes(topic: string, handler: ByteStreamHandler | undefined): void {
    unregister(this.#incoming.bytes, topic, handler)
  }

  stats(): DataStreamStats {
    return this.#incoming.stats()
  }

  /** A participant left. */
  handleLeft(departed: Departed): void {
    this.#incoming.senderGone(departed, 'abnormalEnd')
  }

  /** A participant has a new session. Anything that the server had not forwarded yet is lost. */
  handleReplaced(departed: Departed): void {
    this.#incoming.senderGone(departed, 'connectionLost')
  }

  /** The local connection was rebuilt. */
  rebuilt(): void {
    this.#incoming.failAll('connectionLost')
  }

  detach(): void {
    this.#incoming.failAll('disconnected')
  }
}

function register<Handler>(table: HandlerTable<Handler>, topic: string, handler: Handler): () => void {
  check.string('topic', topic)
  check.callback('handler', handler)
  return table.register(topic, handler)
}

function unregister<Handler>(
  table: HandlerTable<Handler>,
  topic: string,
  handler: Handler | undefined,
): void {
  check.string('topic', topic)
  if (handler !== undefined) check.callback('handler', handler)
  table.unregister(topic, handler)
}

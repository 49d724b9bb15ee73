/** One outgoing stream: header, chunks, trailer. Each waits until the previous one was sent. */
import { loadProtocol } from '../base/lazy'
import type {
  PacketSender,
  PacketTurn,
  PacketValue,
  SenderSession,
  SendPacketOptions,
  SentPacket,
} from '../data-packet/sender'
import { DataStreamError, PublishDataError } from '../base/errors'
import { assertHeaderFits } from './header'
import type { HeaderValue } from './header'
import { identitiesIn } from './options'
import type { Destination } from './options'

/** The reason that receivers get if the sender aborts without one. */
const ABORTED = 'aborted'

export class OutgoingStream {
  readonly #sender: PacketSender
  readonly #id: string
  readonly #destination: Destination
  readonly #turn: PacketTurn
  #session: SenderSession | undefined
  #nextIndex = 0n
  #begun = false
  #over = false

  constructor(sender: PacketSender, id: string, destination: Destination) {
    this.#sender = sender
    this.#id = id
    this.#destination = destination
    this.#turn = sender.turn()
  }

  /**
   * Sends the header. `more`: the next packet of the stream follows at once, here and below.
   *
   * @throws `DataStreamError` (`headerTooLarge`), `PublishDataError`, the signal's `reason`
   */
  async begin(header: HeaderValue, more = false): Promise<void> {
    assertHeaderFits(header, identitiesIn(this.#destination))
    // Receivers take a stream's sender from its header.
    const { senderIdentity } = this.#destination
    // The acknowledgement of the stream's end is that of all its packets.
    await this.#send(header, { more, senderIdentity, awaited: false }).sent
    this.#begun = true
    this.#session = this.#sender.session
  }

  /**
   * Sends a chunk of at most `CHUNK_SIZE` bytes. Resolves when it was sent.
   *
   * @throws `DataStreamError` (`connectionLost`), `PublishDataError`, the signal's `reason`
   */
  async chunk(content: Uint8Array, more = false): Promise<void> {
    const { DataStream_Chunk } = loadProtocol()
    const value = new DataStream_Chunk({ streamId: this.#id, chunkIndex: this.#nextIndex++, content })
    await this.#send({ case: 'streamChunk', value }, { more }).sent
    this.#assertSession()
  }

  /**
   * Ends the stream, with these attributes. Resolves when the server has acknowledged all of it. `handedOver`: called
   * when the channel has accepted all of it. With it, the acknowledgement is noticed late.
   *
   * @throws as {@link chunk}
   */
  async end(attributes: Readonly<Record<string, string>> = {}, handedOver?: () => void): Promise<void> {
    const trailer = this.#trailer('', attributes)
    await settled(this.#send(trailer, { awaited: handedOver === undefined }), handedOver)
    this.#assertSession()
    this.#over = true
  }

  /** Tells the receivers that no more will come. It returns without waiting. */
  abort(reason?: unknown): void {
    if (!this.#begun || this.#over) return
    this.#over = true
    const text = typeof reason === 'string' && reason !== '' ? reason.slice(0, 256) : ABORTED
    this.#sender.sendReliable(this.#trailer(text), {
      destinationIdentities: this.#destination.destinationIdentities,
      turn: this.#turn,
    })
  }

  #trailer(
    reason: string,
    attributes: Readonly<Record<string, string>> = {},
  ): Extract<PacketValue, { case: 'streamTrailer' }> {
    const { DataStream_Trailer } = loadProtocol()
    const value = new DataStream_Trailer({ streamId: this.#id, reason, attributes: { ...attributes } })
    return { case: 'streamTrailer', value }
  }

  #send(value: PacketValue, how: SendPacketOptions = {}): SentPacket {
    const { destinationIdentities, signal } = this.#destination
    return this.#sender.sendReliable(value, { destinationIdentities, signal, turn: this.#turn, ...how })
  }

  /** Packets handed to an earlier session may be lost without notice, so the stream fails. */
  #assertSession(): void {
    const ended = this.#session?.ended
    if (ended === 'notAllowed') throw new PublishDataError('notAllowed')
    if (ended !== undefined) throw new DataStreamError('connectionLost')
  }
}

/** Waits for the acknowledgement. `handedOver`: called when the channel has accepted the packet. */
export async function settled(
  { sent, acknowledged }: SentPacket,
  handedOver: (() => void) | undefined,
): Promise<void> {
  if (handedOver !== undefined) {
    await sent
    handedOver()
  }
  await acknowledged
}

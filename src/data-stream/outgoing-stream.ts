/** One outgoing stream: header, chunks, trailer. Each waits until the previous one was sent. */
import { loadProtocol } from '../base/lazy'
import type { PacketSender, PacketTurn, PacketValue, SenderSession } from '../data-packet/sender'
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

  /** @throws `DataStreamError` (`headerTooLarge`), `PublishDataError`, the signal's `reason` */
  async begin(header: HeaderValue): Promise<void> {
    assertHeaderFits(header, identitiesIn(this.#destination))
    // Receivers take a stream's sender from its header.
    await this.#send(header, this.#destination.senderIdentity).sent
    this.#begun = true
    this.#session = this.#sender.session
  }

  /**
   * Sends a chunk of at most `CHUNK_SIZE` bytes. Resolves when it was sent.
   *
   * @throws `DataStreamError` (`connectionLost`), `PublishDataError`, the signal's `reason`
   */
  async chunk(content: Uint8Array): Promise<void> {
    const { DataStream_Chunk } = loadProtocol()
    const value = new DataStream_Chunk({ streamId: this.#id, chunkIndex: this.#nextIndex++, content })
    await this.#send({ case: 'streamChunk', value }).sent
    this.#assertSession()
  }

  /**
   * Ends the stream, with these attributes. Resolves when the server has acknowledged all of it.
   *
   * @throws as {@link chunk}
   */
  async end(attributes: Readonly<Record<string, string>> = {}): Promise<void> {
    await this.#send(this.#trailer('', attributes)).acknowledged
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

  #send(value: PacketValue, senderIdentity?: string): ReturnType<PacketSender['sendReliable']> {
    const { destinationIdentities, signal } = this.#destination
    const options = { destinationIdentities, senderIdentity, signal, turn: this.#turn }
    return this.#sender.sendReliable(value, options)
  }

  /** Packets handed to an earlier session may be lost without notice, so the stream fails. */
  #assertSession(): void {
    const ended = this.#session?.ended
    if (ended === 'notAllowed') throw new PublishDataError('notAllowed')
    if (ended !== undefined) throw new DataStreamError('connectionLost')
  }
}

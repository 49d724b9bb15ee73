/**
 * The data packets of a room: their sender, their receiver, and the packets that the application itself sends and gets.
 */
import type { NativeSession } from '../native/native'
import * as check from '../base/arguments'
import { EventThrottle } from '../base/event-throttle'
import { loadProtocol } from '../base/lazy'
import type { MessageChannel, MessageChannels } from './channels'
import { PacketReceiver } from './receiver'
import type { DataPacketStats, PacketEncryptionErrorReason, PacketHandlers } from './receiver'
import { PacketSender } from './sender'
import { checkSenderIdentity } from './sender-identity'
import type { PacketEncryption } from '../e2ee/session-encryption'
import type { ReceiveState } from '../signal/messages'

/** Options of {@link LocalParticipant.publishData}. */
export interface DataPublishOptions {
  /**
   * `true`: the packet arrives once and in order, also across a resumed connection, or the promise rejects. `false`
   * (the default): the packet goes to the data channel at once, or the promise rejects; it may be lost on the way.
   */
  readonly reliable?: boolean | undefined
  /** A topic that receivers get with the packet. Default: none. */
  readonly topic?: string | undefined
  /** Identities of the receivers. Default: all participants in the room. */
  readonly destinationIdentities?: readonly string[] | undefined
  /**
   * The participant in whose name an agent sends the packet. livekit-server 1.13 replaces it by the agent's own
   * identity. Default: the local participant.
   */
  readonly senderIdentity?: string | undefined
  /** Withdraws the packet while it waits to be sent. */
  readonly signal?: AbortSignal | undefined
}

/** @internal The data packets of a room. They live as long as the room, across connections. */
export class DataPackets {
  readonly #receiver: PacketReceiver
  #sender = new PacketSender()

  /** `encryptionError`: `count` packets could not be decrypted since the last call for the same reason. */
  constructor(
    handlers: PacketHandlers,
    encryptionError: (
      reason: PacketEncryptionErrorReason,
      identity: string | undefined,
      keyIndex: number | undefined,
      count: number,
    ) => void,
  ) {
    const told = new EventThrottle()
    this.#receiver = new PacketReceiver(handlers, (reason, identity, keyIndex) => {
      const count = told.count(`${reason} ${identity ?? ''}`)
      if (count > 0) encryptionError(reason, identity, keyIndex, count)
    })
  }

  /** The sender of the current connection, or of the next one. */
  get sender(): PacketSender {
    return this.#sender
  }

  attach(channels: MessageChannels, native: NativeSession, encryption: PacketEncryption): void {
    this.#receiver.attach(native, encryption)
    this.sender.attach(channels, native, encryption)
  }

  lost(): void {
    this.sender.lost()
  }

  resumed(lastSequence: number): void {
    this.sender.resumed(lastSequence)
  }

  rebuilt(): void {
    this.#receiver.rebuilt()
    this.sender.rebuilt()
  }

  /** The room is disconnected. Returns the sender of the accepted packets that were not sent yet. */
  detach(): PacketSender {
    this.#receiver.detach()
    const former = this.#sender
    former.finish()
    this.#sender = new PacketSender()
    return former
  }

  receive(channel: MessageChannel, data: Uint8Array): void {
    this.#receiver.receive(channel, data)
  }

  handleBufferedAmountLow(): void {
    this.sender.handleBufferedAmountLow()
  }

  handleKeysChanged(): void {
    this.#receiver.handleKeysChanged()
    this.sender.handleKeysChanged()
  }

  receiveStates(): ReceiveState[] {
    return this.#receiver.receiveStates()
  }

  stats(): DataPacketStats {
    return this.#receiver.stats()
  }

  /** See {@link LocalParticipant.publishData}. */
  async publishData(identity: string, data: Uint8Array, options: DataPublishOptions): Promise<void> {
    const payload = check.bytes('data', data)
    const given = check.options('options', options)
    const reliable = check.boolean('options.reliable', given.reliable, false)
    const topic = given.topic === undefined ? undefined : check.string('options.topic', given.topic)
    const destinationIdentities = check.strings(
      'options.destinationIdentities',
      given.destinationIdentities ?? [],
    )
    const senderIdentity = checkSenderIdentity('options.senderIdentity', given.senderIdentity)
    const signal = check.signal('options.signal', given.signal)
    signal?.throwIfAborted()
    const { UserPacket } = loadProtocol()
    const user = {
      payload,
      destinationIdentities,
      participantIdentity: senderIdentity ?? identity,
      ...(topic !== undefined && { topic }),
    }
    const value = { case: 'user', value: new UserPacket(user) } as const
    const sending = { destinationIdentities, senderIdentity, signal }
    if (reliable) await this.sender.sendReliable(value, sending).acknowledged
    else this.sender.sendLossy(value, sending)
  }
}

/** The data packets of a room: what sends them, what receives them, and what a program sends and gets itself. */
import type { NativeSession } from '../native/native'
import * as check from '../base/arguments'
import { EventThrottle } from '../base/event-throttle'
import { loadProtocol } from '../base/lazy'
import type { MessageChannel, MessageChannels } from './channels'
import { PacketReceiver } from './receiver'
import type { DataPacketStats, PacketEncryptionErrorReason, PacketHandlers } from './receiver'
import { PacketSender } from './sender'
import type { PacketEncryption } from '../e2ee/session-encryption'
import type { ReceiveState } from '../signal/messages'

/** Options of {@link LocalParticipant.publishData}. */
export interface DataPublishOptions {
  /**
   * `true`: the packet arrives once and in order, also across a connection that is resumed, or the promise rejects.
   * `false` (the default): it leaves now or not at all, and may get lost.
   */
  readonly reliable?: boolean | undefined
  /** What receivers get beside it, to tell packets apart. Default: none. */
  readonly topic?: string | undefined
  /** Identities of those who get it. Default: everybody in the room. */
  readonly destinationIdentities?: readonly string[] | undefined
  /** Takes the packet back while it waits. */
  readonly signal?: AbortSignal | undefined
}

/** @internal The data packets of a room. Made with it; connections come and go. */
export class DataPackets {
  readonly sender = new PacketSender()
  readonly #receiver: PacketReceiver

  /** `encryptionError`: packets could not be opened, `count` of them since the last call for the same reason. */
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

  detach(): void {
    this.#receiver.detach()
    this.sender.detach()
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
    const signal = check.signal('options.signal', given.signal)
    signal?.throwIfAborted()
    const { UserPacket } = loadProtocol()
    const user = {
      payload,
      destinationIdentities,
      participantIdentity: identity,
      ...(topic !== undefined && { topic }),
    }
    const value = { case: 'user', value: new UserPacket(user) } as const
    if (reliable) await this.sender.sendReliable(value, { destinationIdentities, signal }).acknowledged
    else this.sender.sendLossy(value, { destinationIdentities, signal })
  }
}

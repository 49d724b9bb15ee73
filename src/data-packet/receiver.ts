/**
 * Receives data packets: drops duplicates, decrypts, and passes each packet to the handler of its kind. The packets of
 * one sender are handled in the order of their arrival, even while a key is being derived.
 */
import type { DataPacket } from '@livekit/protocol'
import { loadProtocol } from '../base/lazy'
import { withAllKeys } from '../base/map-keys'
import { IV_LENGTH } from '../native/native'
import type { NativeSession } from '../native/native'
import { log } from '../base/logging'
import type { MessageChannel } from './channels'
import { Fifo } from './packet-queue'
import { ReplayWindow } from './replay-window'
import type { PacketEncryption } from '../e2ee/session-encryption'
import type { ReceiveState } from '../signal/messages'
import type { PacketValue } from './sender'

/** A packet as handlers get it. */
export interface ReceivedPacket<Value> {
  readonly value: Value
  /** The sender's identity; empty for the server's API. */
  readonly senderIdentity: string
  readonly senderSid: string
  readonly channel: MessageChannel
  /** Whether the packet was end-to-end encrypted. */
  readonly encrypted: boolean
}

/** Handlers by kind. */
export type PacketHandlers = {
  [Kind in PacketValue['case']]?: (
    packet: ReceivedPacket<Extract<PacketValue, { case: Kind }>['value']>,
  ) => void
}

/** Why a packet was dropped. */
export type DataPacketDropReason =
  'malformed' | 'duplicate' | 'unencrypted' | 'missingKey' | 'decryptionFailed' | 'invalidKey' | 'tooManyHeld'

/** Why a packet was dropped because of end-to-end encryption. */
export type PacketEncryptionErrorReason = 'unencrypted' | 'missingKey' | 'decryptionFailed' | 'invalidKey'

/** Called for each packet dropped for such a reason. `identity` undefined: the server itself sent it. */
export type PacketEncryptionErrorListener = (
  reason: PacketEncryptionErrorReason,
  identity: string | undefined,
  keyIndex: number | undefined,
) => void

/** Counters of received packets. `received` = delivered + everything in `dropped` + held. */
export interface DataPacketStats {
  /** Packets received, of the kinds handled here. */
  readonly received: number
  readonly delivered: number
  readonly dropped: Readonly<Partial<Record<DataPacketDropReason, number>>>
  /** Packets that wait for a key. */
  readonly held: number
}

/** Bytes of one sender's encrypted packets that may wait for a key, overhead included. Further packets are dropped. */
export const MAX_HELD_BYTES = 4 * 1024 * 1024
/** The same limit for all senders together. */
export const MAX_TOTAL_HELD_BYTES = 32 * 1024 * 1024
/** ms to handle held packets before other work gets a turn. */
const TURN = 5
/** Overhead of a packet besides its bytes: the objects that it is decoded to. */
const HELD_OVERHEAD = 1024
/** Senders whose last number is remembered. The sender that was silent the longest is forgotten first. */
export const MAX_SENDERS = 4096

interface Held {
  readonly packets: Fifo<Arrived>
  bytes: number
}

interface Arrived {
  readonly packet: DataPacket
  readonly channel: MessageChannel
  /** Bytes that it takes to keep the packet. Its parts are views of the whole message. */
  readonly size: number
}

/** Unknown fields are not kept, because they may be larger than everything else. */
const READ_OPTIONS = { readUnknownFields: false }

/** See the top of this file. */
export class PacketReceiver {
  readonly #handlers: PacketHandlers
  readonly #encryptionError: PacketEncryptionErrorListener
  #native: NativeSession | null = null
  #encryption: PacketEncryption = 'none'
  /** By the sender's SID; the sender heard last is at the end. */
  readonly #sequences = new Map<string, number>()
  /** By identity: packets that wait for a key, and the packets behind them. */
  readonly #held = new Map<string, Held>()
  #heldBytes = 0
  #goingOn = false
  readonly #opened = new ReplayWindow()
  readonly #dropped: Partial<Record<DataPacketDropReason, number>> = {}
  #received = 0
  #delivered = 0

  constructor(handlers: PacketHandlers, encryptionError: PacketEncryptionErrorListener) {
    this.#handlers = handlers
    this.#encryptionError = encryptionError
  }

  attach(native: NativeSession, encryption: PacketEncryption): void {
    this.#native = native
    this.#encryption = encryption
  }

  /** The connection was rebuilt. Numbers start again, and packets that wait for a key are dropped. */
  rebuilt(): void {
    this.#sequences.clear()
    for (const { packets } of this.#held.values()) this.#drop('missingKey', packets.length)
    this.#held.clear()
    this.#heldBytes = 0
  }

  detach(): void {
    this.rebuilt()
    this.#native = null
  }

  stats(): DataPacketStats {
    let held = 0
    for (const { packets } of this.#held.values()) held += packets.length
    return { received: this.#received, delivered: this.#delivered, dropped: { ...this.#dropped }, held }
  }

  /** The last number of each sender, for the sync state of a resumed connection. */
  receiveStates(): ReceiveState[] {
    return [...this.#sequences].map(([publisherSid, lastSeq]) => ({ publisherSid, lastSeq }))
  }

  /** Handles a received message. */
  receive(channel: MessageChannel, data: Uint8Array): void {
    const { DataPacket } = loadProtocol()
    let packet: DataPacket
    try {
      packet = DataPacket.fromBinary(data, READ_OPTIONS)
      if (hasMap(packet.value.case)) packet = withAllKeys(DataPacket, data, packet)
    } catch {
      this.#received++
      this.#drop('malformed')
      return
    }
    const { case: kind } = packet.value
    if (kind === undefined || (kind !== 'encryptedPacket' && !this.#handles(kind))) return
    this.#received++
    if (channel === 'reliable' && packet.sequence > 0 && packet.participantSid !== '') {
      const last = this.#sequences.get(packet.participantSid) ?? 0
      if (packet.sequence <= last) {
        this.#drop('duplicate')
        return
      }
      this.#remember(packet.participantSid, packet.sequence)
    }
    const arrived = { packet, channel, size: data.length + HELD_OVERHEAD }
    const held = this.#held.get(packet.participantIdentity)
    if (held !== undefined) this.#hold(held, arrived)
    else if (this.#open(arrived) === 'wait') {
      const waiting: Held = { packets: new Fifo(), bytes: 0 }
      if (this.#hold(waiting, arrived)) this.#held.set(packet.participantIdentity, waiting)
    }
  }

  /** Packets that waited for a key can be tried again. */
  handleKeysChanged(): void {
    const until = performance.now() + TURN
    for (const [identity, held] of this.#held) {
      for (;;) {
        const arrived = held.packets.peek()
        if (arrived === undefined) {
          this.#held.delete(identity)
          break
        }
        if (this.#open(arrived) === 'wait') break
        // The packet's handler may have ended the connection, which drops the held packets.
        if (this.#held.get(identity) !== held) break
        held.packets.shift()
        held.bytes -= arrived.size
        this.#heldBytes -= arrived.size
        if (performance.now() > until) {
          this.#goOn()
          return
        }
      }
    }
  }

  /** Tries the remaining packets in another turn of the event loop. */
  #goOn(): void {
    if (this.#goingOn) return
    this.#goingOn = true
    setImmediate(() => {
      this.#goingOn = false
      this.handleKeysChanged()
    })
  }

  #handles(kind: string): kind is PacketValue['case'] {
    return Object.hasOwn(this.#handlers, kind)
  }

  #remember(sid: string, sequence: number): void {
    this.#sequences.delete(sid)
    this.#sequences.set(sid, sequence)
    if (this.#sequences.size <= MAX_SENDERS) return
    for (const oldest of this.#sequences.keys()) {
      this.#sequences.delete(oldest)
      return
    }
  }

  /** Holds a packet. Returns whether there was room. */
  #hold(held: Held, arrived: Arrived): boolean {
    const { size } = arrived
    if (held.bytes + size > MAX_HELD_BYTES || this.#heldBytes + size > MAX_TOTAL_HELD_BYTES) {
      this.#drop('tooManyHeld')
      return false
    }
    held.bytes += size
    this.#heldBytes += size
    held.packets.push(arrived)
    return true
  }

  /** Decrypts a packet and passes it on, or drops it. `wait`: a key is being derived. */
  #open(arrived: Arrived): 'done' | 'wait' {
    const { value, participantIdentity } = arrived.packet
    if (value.case !== 'encryptedPacket') {
      if (this.#encryption !== 'none') this.#refuse('unencrypted', participantIdentity, undefined)
      else this.#deliver(arrived, value, false)
      return 'done'
    }
    const { iv, keyIndex, encryptedValue } = value.value
    if (iv.length !== IV_LENGTH || keyIndex > 255 || this.#native === null) {
      this.#drop('malformed')
      return 'done'
    }
    if (this.#opened.has(iv, encryptedValue)) {
      this.#drop('duplicate')
      return 'done'
    }
    const opened = this.#native.openMessage(participantIdentity, keyIndex, iv, encryptedValue)
    if (opened === 'wait') return 'wait'
    if (typeof opened === 'string') {
      this.#refuse(opened, participantIdentity, keyIndex)
      return 'done'
    }
    this.#opened.add(iv, encryptedValue)
    const { EncryptedPacketPayload } = loadProtocol()
    try {
      const payload = EncryptedPacketPayload.fromBinary(opened, READ_OPTIONS)
      const { value } = hasMap(payload.value.case)
        ? withAllKeys(EncryptedPacketPayload, opened, payload)
        : payload
      this.#deliver(arrived, value, true)
    } catch {
      this.#drop('malformed')
    }
    return 'done'
  }

  #deliver(
    { packet, channel }: Arrived,
    value: { readonly case?: string | undefined; readonly value?: unknown },
    encrypted: boolean,
  ): void {
    const handler = value.case === undefined ? undefined : this.#handlers[value.case as PacketValue['case']]
    if (handler === undefined) {
      this.#drop('malformed')
      return
    }
    this.#delivered++
    try {
      handler({
        value: value.value as never,
        senderIdentity: packet.participantIdentity,
        senderSid: packet.participantSid,
        channel,
        encrypted,
      })
    } catch (error) {
      // A bug in an internal handler must not block the packets behind this one.
      log('error', 'data-packet', `a packet could not be handled: ${String(error)}`)
    }
  }

  #refuse(reason: PacketEncryptionErrorReason, identity: string, keyIndex: number | undefined): void {
    this.#drop(reason)
    this.#encryptionError(reason, identity === '' ? undefined : identity, keyIndex)
  }

  #drop(reason: DataPacketDropReason, count = 1): void {
    if (count > 0) this.#dropped[reason] = (this.#dropped[reason] ?? 0) + count
  }
}

/** Whether packets of a kind have attributes. */
function hasMap(kind: string | undefined): boolean {
  return kind === 'streamHeader' || kind === 'streamTrailer'
}

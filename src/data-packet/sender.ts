/**
 * Sends data packets. All writers of the reliable channel share one queue. The channel is filled only as far as needed,
 * because packets in it cannot be overtaken.
 *
 * Each reliable packet gets a number when it is handed to the channel, and is kept until the other end has acknowledged
 * it. After a resume, packets that the server did not get are sent again; receivers drop duplicates. After a rebuild
 * numbers start again. Packets that were handed over but not acknowledged may or may not have arrived; their promises
 * reject and say so.
 */
import type { PacketEncryption } from '../e2ee/session-encryption'
import type { DataPacket } from '@livekit/protocol'
import { Deferred, onAbort } from '../base/abort'
import { PublishDataError } from '../base/errors'
import { loadProtocol } from '../base/lazy'
import { encode } from '../base/packet-writer'
import { SendStatus } from '../native/native'
import type { NativeSession } from '../native/native'
import type { MessageChannel, MessageChannels } from './channels'
import { Fifo, PacketQueue, Turn } from './packet-queue'

/** Kinds of packets that LiveKit's end-to-end encryption covers. */
type EncryptableKind =
  | 'user'
  | 'chatMessage'
  | 'rpcRequest'
  | 'rpcAck'
  | 'rpcResponse'
  | 'streamHeader'
  | 'streamChunk'
  | 'streamTrailer'
/** Kinds of packets that it does not cover. A room with encryption neither sends nor accepts them. */
const plainKinds = ['sipDtmf', 'transcription'] as const
type PlainKind = (typeof plainKinds)[number]

/** The content of a packet. */
export type PacketValue = Extract<DataPacket['value'], { case: EncryptableKind | PlainKind }>

type PlainValue = Extract<PacketValue, { case: PlainKind }>

function isPlain(value: PacketValue): value is PlainValue {
  return (plainKinds as readonly string[]).includes(value.case)
}

/**
 * Bytes that wait outside of the reliable channel, in order, so that it does not run empty while JavaScript is busy. A
 * new message waits for this many bytes, and for those in the channel.
 */
export const RELIABLE_AHEAD = 64 * 1024
/** Bytes that the lossy channel may hold. Further packets are refused. */
export const LOSSY_BUFFER = 64 * 1024
/**
 * Bytes of packets that may wait for the reliable channel, besides those of bulk writers. Further packets are refused.
 */
export const MAX_WAITING_BYTES = 16 * 1024 * 1024
/**
 * Bytes of packets that are kept although they may already be acknowledged, while no caller waits for the
 * acknowledgement, because each notification has a cost.
 */
const KEPT_UNASKED = 64 * 1024
/** The most bytes that the number, and encryption (tag, initialization vector, fields), add to a packet. */
const NUMBER_OVERHEAD = 8
const SEALED_OVERHEAD = 64

/** Where and how a packet is sent. */
export interface SendPacketOptions {
  /** Identities of the receivers; absent or empty: all participants. */
  readonly destinationIdentities?: readonly string[] | undefined
  /** The participant in whose name the packet is sent; the server accepts another one from agents only. */
  readonly senderIdentity?: string | undefined
  /** A bulk writer's place, from {@link PacketSender.turn}. Default: the packet goes before all bulk packets. */
  readonly turn?: PacketTurn | undefined
  /** Withdraws the packet while it waits. */
  readonly signal?: AbortSignal | undefined
  /**
   * `false`: the acknowledgement is noticed only when another packet is sent or acknowledged; a loss is noticed at
   * once. Default: `true`, except for chunks of streams, because the streams' ends have acknowledgements, too.
   */
  readonly awaited?: boolean | undefined
  /** Whether the packet may be sent together with later ones of the same turn of the event loop. Default: `false`. */
  readonly later?: boolean | undefined
  /**
   * Whether another packet of this writer follows in the same turn of the event loop. The channel gets both, and its
   * thread is woken once. Default: `false`.
   */
  readonly more?: boolean | undefined
}

/** A packet that is being sent. A rejection of a promise that no caller awaits is ignored. */
export interface SentPacket {
  /** Resolves when the channel has accepted the packet. Rejects with `PublishDataError` or the signal's `reason`. */
  readonly sent: Promise<void>
  /** Resolves when the other end has acknowledged the packet (for a chunk, some time after). Rejects as `sent` does. */
  readonly acknowledged: Promise<void>
  /** Withdraws the packet while it waits, as the signal does. Both promises reject with the reason. */
  withdraw(reason: unknown): void
}

interface Outgoing {
  readonly channel: MessageChannel
  readonly destinationIdentities: readonly string[]
  readonly senderIdentity: string
  /** Whether encryption does not cover packets of its kind. */
  readonly plain: boolean
  /** The serialised packet without its number; or, if it will be encrypted, the plaintext. */
  readonly body: Uint8Array
  /** Whether a bulk writer sent it. Such a writer waits for one packet before the next, so it needs no limit. */
  readonly bulk: boolean
  /** Whether a caller waits for the acknowledgement. */
  readonly awaited: boolean
  /** Whether the writer's next packet follows at once. */
  readonly more: boolean
  readonly sent: Deferred<void>
  readonly acknowledged: Deferred<void>
  state: 'waiting' | 'withdrawn' | 'left'
  stop: () => void
}

/** A packet that was handed to the channel. */
interface Unacknowledged {
  readonly packet: Outgoing
  readonly sequence: number
  readonly bytes: Uint8Array
  /** All bytes handed to the channel up to and including this packet. */
  end: number
}

/** A period in which no packet that was handed over was lost. */
export interface SenderSession {
  /** How the period ended, if it has. Packets handed over but not acknowledged may or may not have arrived. */
  readonly ended: 'connectionLost' | 'disconnected' | 'notAllowed' | undefined
}

/** A bulk writer's place. */
export type PacketTurn = Turn<Outgoing>

/** Sends data packets; the beginning of this file describes how. */
export class PacketSender {
  readonly #queue = new PacketQueue<Outgoing>()
  #unacknowledged = new Fifo<Unacknowledged>()
  #channels: MessageChannels | undefined
  #native: NativeSession | null = null
  #encryption: PacketEncryption = 'none'
  #connected = false
  /** Whether packets are no longer accepted. */
  #finishing = false
  #waitsForKey = false
  #waitingBytes = 0
  #waitingBulkBytes = 0
  /** The level that is being watched; −1: none. */
  #watched = -1
  #session: { ended: SenderSession['ended'] } = { ended: undefined }
  #allowed = true
  #sequence = 0
  #written = 0
  #acknowledged = 0
  /** Packets in the channel whose acknowledgement a caller waits for. */
  #awaited = 0
  /** Whether the last packet was handed over with `more`. */
  #unflushed = false
  /** Whether a turn is scheduled that sends the packets with `later`. */
  #scheduled = false
  /** Called when no packet waits. */
  #drains: (() => void)[] = []

  /** It changes when packets that were handed over but not acknowledged may be lost. */
  get session(): SenderSession {
    return this.#session
  }

  /** Whether the server accepts packets. Without the grant `canPublishData` it drops them silently. */
  get allowed(): boolean {
    return this.#allowed
  }

  /** @throws `PublishDataError` if no packet can be sent for now */
  assertUsable(): void {
    if (this.#channels === undefined || this.#finishing) throw new PublishDataError('disconnected')
    if (!this.#allowed) throw new PublishDataError('notAllowed')
  }

  /** Whether packets are end-to-end encrypted. */
  get encrypts(): boolean {
    return this.#encryption !== 'none'
  }

  /** A place among the bulk writers, for one packet at a time. */
  turn(): PacketTurn {
    return new Turn<Outgoing>()
  }

  /** Starts a session. */
  attach(channels: MessageChannels, native: NativeSession, encryption: PacketEncryption): void {
    this.#channels = channels
    this.#native = native
    this.#encryption = encryption
    this.#connected = true
  }

  /** Whether the channels have all accepted packets, or the connection is lost. */
  get isDrained(): boolean {
    return this.#queue.length === 0 || !this.#connected
  }

  /** Resolves when {@link isDrained}. */
  drained(): Promise<void> {
    if (this.isDrained) return Promise.resolve()
    return new Promise((resolve) => {
      this.#drains.push(resolve)
      this.#pump()
    })
  }

  /** The connection is lost for now. Packets wait. */
  lost(): void {
    this.#connected = false
    this.#endDrains()
  }

  /**
   * The connection was resumed. `lastSequence`: the number of the last packet that the server got; 0 if it did not say.
   */
  resumed(lastSequence: number): void {
    this.#connected = true
    this.#watched = -1
    this.#waitsForKey = false
    if (lastSequence > 0) this.#replay(lastSequence)
    this.#pump()
  }

  /** The connection was rebuilt. */
  rebuilt(): void {
    this.#restart('connectionLost')
    this.#connected = true
    this.#pump()
  }

  /** Accepts no more packets. Accepted packets are still sent. {@link close} follows. */
  finish(): void {
    this.#finishing = true
  }

  /** Discards the packets that were not sent, and rejects those that the server has not acknowledged. */
  close(): void {
    if (this.#connected && this.#channels !== undefined) {
      this.#acknowledge(this.#channels.bufferedAmount('reliable'))
    }
    this.#finishing = true
    this.#connected = false
    this.#endDrains()
    this.#restart('disconnected')
    this.#clear('disconnected')
    this.#channels = undefined
    this.#native = null
  }

  /**
   * The server has told whether it accepts packets. Once it no longer does, waiting packets fail, and so do packets
   * that it has not acknowledged, because it is unknown since when it has dropped packets.
   */
  setAllowed(allowed: boolean): void {
    if (this.#allowed && !allowed) {
      this.#endSession('notAllowed')
      for (const { packet } of this.#unacknowledged) {
        packet.acknowledged.reject(new PublishDataError('notAllowed'))
      }
      this.#clear('notAllowed')
    }
    this.#allowed = allowed
  }

  /** The channel has room again, or a packet was acknowledged. */
  handleBufferedAmountLow(): void {
    this.#watched = -1
    this.#pump()
  }

  /** Packets that waited for a key can be tried again. */
  handleKeysChanged(): void {
    this.#waitsForKey = false
    this.#pump()
  }

  /** Sends a packet on the reliable channel. An immediate failure rejects the promises, too. */
  sendReliable(value: PacketValue, options: SendPacketOptions = {}): SentPacket {
    const packet = this.#outgoing('reliable', value, options)
    const { signal } = options
    const error: unknown = signal?.aborted === true ? signal.reason : this.#refusal(packet)
    if (error !== undefined) {
      this.#fail(packet, error)
    } else {
      packet.stop = onAbort(signal, () => this.#withdraw(packet, signal?.reason))
      this.#waits(packet, packet.body.length)
      this.#queue.push(packet, options.turn)
      if (options.later === true) this.#schedule()
      else this.#pump()
    }
    const { sent, acknowledged } = packet
    return {
      sent: sent.promise,
      acknowledged: acknowledged.promise,
      withdraw: (reason) => this.#withdraw(packet, reason),
    }
  }

  /**
   * Sends a packet on the lossy channel, at once or not at all.
   *
   * @throws `PublishDataError`
   */
  sendLossy(value: PacketValue, options: SendPacketOptions = {}): void {
    const packet = this.#outgoing('lossy', value, options)
    options.signal?.throwIfAborted()
    const error = this.#refusal(packet)
    if (error !== undefined) throw error
    const channels = this.#channels
    if (channels === undefined || !this.#connected) throw new PublishDataError('reconnecting')
    const bytes = this.#encode(packet, 0)
    if (bytes === 'wait') throw new PublishDataError('missingKey')
    if (bytes instanceof PublishDataError) throw bytes
    if (
      channels.bufferedAmount('lossy') > LOSSY_BUFFER ||
      channels.send('lossy', bytes) !== SendStatus.Queued
    ) {
      throw new PublishDataError('bufferFull')
    }
  }

  #outgoing(
    channel: MessageChannel,
    value: PacketValue,
    {
      destinationIdentities = [],
      senderIdentity = '',
      turn,
      awaited = value.case !== 'streamChunk',
      more = false,
    }: SendPacketOptions,
  ): Outgoing {
    const packet: Outgoing = {
      channel,
      destinationIdentities,
      senderIdentity,
      plain: isPlain(value),
      body: this.#bodyOf(channel, value, destinationIdentities, senderIdentity),
      bulk: turn !== undefined,
      awaited,
      more,
      sent: new Deferred<void>(),
      acknowledged: new Deferred<void>(),
      state: 'waiting',
      stop: () => undefined,
    }
    packet.sent.promise.catch(() => undefined)
    packet.acknowledged.promise.catch(() => undefined)
    return packet
  }

  #bodyOf(
    channel: MessageChannel,
    value: PacketValue,
    destinationIdentities: readonly string[],
    senderIdentity: string,
  ): Uint8Array {
    const { DataPacket, DataPacket_Kind, EncryptedPacketPayload } = loadProtocol()
    if (this.#encryption !== 'none' && !isPlain(value)) return encode(new EncryptedPacketPayload({ value }))
    // Fields are assigned one by one, here and where the values are created, because the constructor inspects its
    // argument.
    const kind = channel === 'reliable' ? DataPacket_Kind.RELIABLE : DataPacket_Kind.LOSSY
    const packet = new DataPacket({ kind })
    packet.destinationIdentities = [...destinationIdentities]
    packet.participantIdentity = senderIdentity
    packet.value = value
    return encode(packet)
  }

  /** The reason why a packet is refused. */
  #refusal(packet: Outgoing): PublishDataError | undefined {
    const { body, channel, destinationIdentities, senderIdentity, bulk } = packet
    if (this.#channels === undefined || this.#finishing) return new PublishDataError('disconnected')
    // Lossy packets may be lost anyway, and other SDKs drop them silently.
    if (!this.#allowed && channel === 'reliable') return new PublishDataError('notAllowed')
    if (this.#encryption === 'custom') return new PublishDataError('unsupported')
    if (packet.plain && this.#encryption !== 'none') return new PublishDataError('notEncryptable')
    const named = [...destinationIdentities, senderIdentity]
    const identities = named.reduce((sum, identity) => sum + identity.length * 3 + 4, 0)
    const overhead = NUMBER_OVERHEAD + (this.#encryption === 'native' ? SEALED_OVERHEAD + identities : 0)
    const size = body.length + overhead
    const maxSize = this.#channels.maxMessageSize
    if (size > maxSize) return new PublishDataError('packetTooLarge', { size, maxSize })
    const waiting = this.#waitingBytes - this.#waitingBulkBytes
    if (channel === 'reliable' && !bulk && waiting + body.length > MAX_WAITING_BYTES) {
      return new PublishDataError('bufferFull')
    }
    return undefined
  }

  /** Counts the waiting bytes. */
  #waits({ bulk }: Outgoing, bytes: number): void {
    this.#waitingBytes += bytes
    if (bulk) this.#waitingBulkBytes += bytes
  }

  /** Sends the waiting packets soon, unless another packet is sent before. */
  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.#pump()
    })
  }

  /** Hands packets to the channel up to its limit, and releases the packets that the other end has acknowledged. */
  #pump(): void {
    const channels = this.#channels
    if (channels === undefined || !this.#connected) return
    this.#acknowledge(channels.bufferedAmount('reliable'))
    const limit = channels.reliableLimit()
    let follows = false
    while (!this.#waitsForKey && this.#written - this.#acknowledged < limit + RELIABLE_AHEAD) {
      const packet = this.#queue.shift()
      if (packet === undefined) break
      if (packet.state === 'withdrawn') continue
      if (!this.#handOver(channels, packet)) break
      follows = packet.more
    }
    if (this.#unflushed) {
      // If the writer fails meanwhile, the next turn sends what it has handed over.
      if (follows && this.#queue.length === 0) this.#schedule()
      else this.#flush(channels)
    }
    if (this.#queue.length === 0) this.#endDrains()
    this.#watch(channels, limit)
  }

  #flush(channels: MessageChannels): void {
    channels.flush()
    this.#unflushed = false
  }

  /** Hands a packet to the channel. Returns whether the next one may follow. */
  #handOver(channels: MessageChannels, packet: Outgoing): boolean {
    const sequence = this.#sequence + 1
    const bytes = this.#encode(packet, sequence)
    if (bytes === 'wait') {
      this.#waitsForKey = true
      this.#queue.unshift(packet)
      return false
    }
    if (bytes instanceof PublishDataError) {
      this.#waits(packet, -packet.body.length)
      this.#fail(packet, bytes)
      return true
    }
    const more = packet.more || this.#queue.length > 0
    if (channels.send('reliable', bytes, more) !== SendStatus.Queued) {
      // The connection is about to be reported as lost. A packet without a number waits for the next connection.
      this.#queue.unshift(packet)
      return false
    }
    this.#unflushed = more
    this.#sequence = sequence
    this.#written += bytes.length
    this.#waits(packet, -packet.body.length)
    this.#unacknowledged.push({ packet, sequence, bytes, end: this.#written })
    if (packet.awaited) this.#awaited++
    packet.state = 'left'
    packet.stop()
    packet.sent.resolve()
    return true
  }

  #endDrains(): void {
    const drains = this.#drains
    this.#drains = []
    for (const resolve of drains) resolve()
  }

  /** The packet as it is sent, with its number (0: none). `wait`: its key is being derived. */
  #encode(packet: Outgoing, sequence: number): Uint8Array | PublishDataError | 'wait' {
    if (this.#encryption === 'none') return sequence === 0 ? packet.body : numbered(packet.body, sequence)
    const { DataPacket, DataPacket_Kind, Encryption_Type } = loadProtocol()
    const sealed = this.#native?.sealMessage(packet.body) ?? 'failed'
    if (sealed === 'wait') return 'wait'
    if (sealed === 'missingKey') return new PublishDataError('missingKey')
    if (sealed === 'failed') return new PublishDataError('encryptionFailed')
    const sealedPacket = new DataPacket({
      kind: packet.channel === 'reliable' ? DataPacket_Kind.RELIABLE : DataPacket_Kind.LOSSY,
      destinationIdentities: [...packet.destinationIdentities],
      participantIdentity: packet.senderIdentity,
      sequence,
      value: {
        case: 'encryptedPacket',
        value: {
          encryptionType: Encryption_Type.GCM,
          iv: sealed.iv,
          keyIndex: sealed.keyIndex,
          encryptedValue: sealed.ciphertext,
        },
      },
    })
    return encode(sealedPacket)
  }

  /** Releases the packets that the other end has: all but the buffered ones. */
  #acknowledge(buffered: number): void {
    this.#acknowledged = this.#written - buffered
    for (;;) {
      const oldest = this.#unacknowledged.peek()
      if (oldest === undefined || oldest.end > this.#acknowledged) return
      this.#unacknowledged.shift()
      if (oldest.packet.awaited) this.#awaited--
      oldest.packet.acknowledged.resolve()
    }
  }

  /** Asks to be notified when there is room, or when a packet is acknowledged that a caller waits for. */
  #watch(channels: MessageChannels, limit: number): void {
    const room = this.#queue.length > 0 && !this.#waitsForKey ? limit + RELIABLE_AHEAD / 2 : -1
    const level = Math.max(room, this.#awaitedLevel())
    // A native call for each chunk would be too slow. A level that is reached later is watched later.
    if (level <= this.#watched) return
    this.#watched = level
    channels.watchBuffered('reliable', level)
  }

  /** The bytes that may be buffered when the oldest awaited packet is acknowledged, or too many others; −1: none. */
  #awaitedLevel(): number {
    if (this.#awaited > 0) {
      for (const { packet, end } of this.#unacknowledged) if (packet.awaited) return this.#written - end
    }
    return this.#written - this.#acknowledged > KEPT_UNASKED ? 0 : -1
  }

  /** Sends the packets again that the server did not get before the connection was lost. */
  #replay(lastSequence: number): void {
    const channels = this.#channels
    if (channels === undefined) return
    this.#acknowledge(channels.bufferedAmount('reliable'))
    for (const sent of this.#unacknowledged) {
      if (sent.sequence > lastSequence) channels.send('reliable', sent.bytes)
      this.#written += sent.sequence > lastSequence ? sent.bytes.length : 0
      sent.end = this.#written
    }
  }

  /** Starts the numbers again. */
  #restart(reason: 'connectionLost' | 'disconnected'): void {
    const lost = this.#unacknowledged
    this.#unacknowledged = new Fifo()
    this.#awaited = 0
    const error = new PublishDataError(reason)
    for (const { packet } of lost) packet.acknowledged.reject(error)
    this.#endSession(reason)
    this.#watched = -1
    this.#sequence = 0
    this.#written = 0
    this.#acknowledged = 0
    this.#waitsForKey = false
  }

  #endSession(ended: SenderSession['ended']): void {
    this.#session.ended = ended
    this.#session = { ended: undefined }
  }

  /** Fails all waiting packets. */
  #clear(reason: 'disconnected' | 'notAllowed'): void {
    const waiting = this.#queue.clear().filter(({ state }) => state === 'waiting')
    this.#waitingBytes = 0
    this.#waitingBulkBytes = 0
    for (const packet of waiting) this.#fail(packet, new PublishDataError(reason))
  }

  #withdraw(packet: Outgoing, reason: unknown): void {
    if (packet.state !== 'waiting') return
    packet.state = 'withdrawn'
    this.#waits(packet, -packet.body.length)
    this.#fail(packet, reason)
  }

  #fail(packet: Outgoing, error: unknown): void {
    packet.state = packet.state === 'waiting' ? 'left' : packet.state
    packet.stop()
    packet.sent.reject(error)
    packet.acknowledged.reject(error)
  }
}

/** Key of `DataPacket.sequence`: field 16, a varint. */
const SEQUENCE_KEY = (16 << 3) | 0

/** A packet with its number. In protobuf, two concatenated messages are one message with the fields of both. */
function numbered(body: Uint8Array, sequence: number): Uint8Array {
  const bytes = Buffer.allocUnsafe(body.length + NUMBER_OVERHEAD)
  bytes.set(body)
  let end = varint(bytes, body.length, SEQUENCE_KEY)
  end = varint(bytes, end, sequence)
  return bytes.subarray(0, end)
}

/** Writes a varint. Returns where it ends. */
function varint(bytes: Uint8Array, start: number, value: number): number {
  let at = start
  for (let left = value; ; left >>>= 7) {
    bytes[at++] = left > 0x7f ? (left & 0x7f) | 0x80 : left
    if (left <= 0x7f) return at
  }
}

/**
 * Sends data packets. All writers of the reliable channel go through one queue, from which the channel is filled just far
 * enough: what it holds cannot be overtaken.
 *
 * Each reliable packet gets a number when it is handed to the channel, and is kept until the other end acknowledged it.
 * After a resume those that the server did not get are sent again; receivers drop what comes twice. In a new session
 * numbers start anew: what was handed over and not acknowledged may or may not have arrived, and its promise says so.
 */
import type { PacketEncryption } from '../e2ee/session-encryption'
import type { DataPacket } from '@livekit/protocol'
import { Deferred, onAbort } from '../base/abort'
import { PublishDataError } from '../base/errors'
import { loadProtocol } from '../base/lazy'
import { SendStatus } from '../native/native'
import type { NativeSession } from '../native/native'
import type { MessageChannel, MessageChannels } from './channels'
import { Fifo, PacketQueue, Turn } from './packet-queue'

/** What a packet carries; end-to-end encryption covers these and no others. */
export type PacketValue = Extract<
  DataPacket['value'],
  {
    case: 'user' | 'rpcRequest' | 'rpcAck' | 'rpcResponse' | 'streamHeader' | 'streamChunk' | 'streamTrailer'
  }
>

/**
 * Bytes that wait outside the reliable channel, in order, so that it never runs empty while JavaScript is busy. A message
 * that comes now waits for as many, and for what the channel holds.
 */
const RELIABLE_AHEAD = 64 * 1024
/** Bytes that the lossy channel may hold; a packet that comes then is refused. */
const LOSSY_BUFFER = 64 * 1024
/** Bytes of packets that may wait for the reliable channel, beside those of bulk writers; more is refused. */
export const MAX_WAITING_BYTES = 16 * 1024 * 1024
/** Bytes that are kept although they may be acknowledged, as long as nobody waits for that: being told of it costs. */
const KEPT_UNASKED = 64 * 1024
/** What the number, and sealing (tag, initialization vector, fields), add to a packet at most, bytes. */
const NUMBER_OVERHEAD = 8
const SEALED_OVERHEAD = 64

/** Where a packet goes and how. */
export interface SendPacketOptions {
  /** Identities; absent or empty: everybody. */
  readonly destinationIdentities?: readonly string[] | undefined
  /** A bulk writer's turn, from {@link PacketSender.turn}. Default: the packet goes before all bulk. */
  readonly turn?: PacketTurn | undefined
  /** Takes the packet back while it waits. */
  readonly signal?: AbortSignal | undefined
  /**
   * `false`: its acknowledgement is noticed when something else is sent or acknowledged, and a loss at once. Default: `true`,
   * but for chunks of streams, whose ends have acknowledgements, too.
   */
  readonly awaited?: boolean | undefined
  /** Whether it may leave with what is sent in the same turn of the event loop. Default: `false`. */
  readonly later?: boolean | undefined
}

/** A packet that is on its way. Nobody is told of a rejection that nobody waits for. */
export interface SentPacket {
  /** Resolves when the channel has taken the packet; rejects with `PublishDataError` or the signal's `reason`. */
  readonly sent: Promise<void>
  /** Resolves when the other end has acknowledged the packet (a chunk's: some time after); rejects as `sent` does. */
  readonly acknowledged: Promise<void>
  /** Takes it back while it waits, as the signal does: both promises reject with the reason. */
  withdraw(reason: unknown): void
}

interface Outgoing {
  readonly channel: MessageChannel
  readonly destinationIdentities: readonly string[]
  /** The serialised packet without its number, or what is to be sealed. */
  readonly body: Uint8Array
  /** Of a bulk writer, who waits for one packet before the next: no limit is needed. */
  readonly bulk: boolean
  /** Whether somebody waits for its acknowledgement. */
  readonly awaited: boolean
  readonly sent: Deferred<void>
  readonly acknowledged: Deferred<void>
  state: 'waiting' | 'withdrawn' | 'left'
  stop: () => void
}

/** A packet that the channel has. */
interface Unacknowledged {
  readonly packet: Outgoing
  readonly sequence: number
  readonly bytes: Uint8Array
  /** All that the channel had taken with this one, bytes. */
  end: number
}

/** For how long nothing that was handed over has got lost. */
export interface SenderSession {
  /** How it ended, if it has: what was handed over and not acknowledged may or may not have arrived. */
  readonly ended: 'connectionLost' | 'disconnected' | 'notAllowed' | undefined
}

/** The turn of a bulk writer. */
export type PacketTurn = Turn<Outgoing>

/** See the top of this file. */
export class PacketSender {
  readonly #queue = new PacketQueue<Outgoing>()
  #unacknowledged = new Fifo<Unacknowledged>()
  #channels: MessageChannels | undefined
  #native: NativeSession | null = null
  #encryption: PacketEncryption = 'none'
  #connected = false
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
  /** Packets that the channel has and whose acknowledgement somebody waits for. */
  #awaited = 0
  /** Whether the last packet was handed over as one that others follow. */
  #unflushed = false
  /** Whether what may leave later is going to. */
  #scheduled = false

  /** Another one when what was handed over and not acknowledged may be lost. */
  get session(): SenderSession {
    return this.#session
  }

  /** Whether the server takes packets; it drops them without a word where the grant `canPublishData` is missing. */
  get allowed(): boolean {
    return this.#allowed
  }

  /** @throws `PublishDataError` where nothing can be sent for now */
  assertUsable(): void {
    if (this.#channels === undefined) throw new PublishDataError('disconnected')
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

  /** The connection is lost for now; packets wait. */
  lost(): void {
    this.#connected = false
  }

  /** The same session goes on. `lastSequence`: the last packet that the server got; 0 where it does not say. */
  resumed(lastSequence: number): void {
    this.#connected = true
    this.#watched = -1
    this.#waitsForKey = false
    if (lastSequence > 0) this.#replay(lastSequence)
    this.#pump()
  }

  /** A new session. */
  rebuilt(): void {
    this.#restart('connectionLost')
    this.#connected = true
    this.#pump()
  }

  /** The room is over. */
  detach(): void {
    this.#connected = false
    this.#restart('disconnected')
    this.#clear('disconnected')
    this.#channels = undefined
    this.#native = null
    this.#allowed = true
  }

  /**
   * The server has said whether it takes packets of us. Once it does not, what waits fails, and so does what it has not
   * acknowledged: since when it has dropped packets is not known.
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

  /** The channel has room again, or something was acknowledged. */
  handleBufferedAmountLow(): void {
    this.#watched = -1
    this.#pump()
  }

  /** Packets that waited for a key can be tried again. */
  handleKeysChanged(): void {
    this.#waitsForKey = false
    this.#pump()
  }

  /** Sends a packet by the reliable channel. What fails at once rejects the promises, too. */
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
   * Sends a packet by the lossy channel, now or not at all.
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
    { destinationIdentities = [], turn, awaited = value.case !== 'streamChunk' }: SendPacketOptions,
  ): Outgoing {
    const packet: Outgoing = {
      channel,
      destinationIdentities,
      body: this.#bodyOf(channel, value, destinationIdentities),
      bulk: turn !== undefined,
      awaited,
      sent: new Deferred<void>(),
      acknowledged: new Deferred<void>(),
      state: 'waiting',
      stop: () => undefined,
    }
    packet.sent.promise.catch(() => undefined)
    packet.acknowledged.promise.catch(() => undefined)
    return packet
  }

  #bodyOf(channel: MessageChannel, value: PacketValue, destinationIdentities: readonly string[]): Uint8Array {
    const { DataPacket, DataPacket_Kind, EncryptedPacketPayload } = loadProtocol()
    if (this.#encryption !== 'none') return new EncryptedPacketPayload({ value }).toBinary()
    // Field by field, here and where the values are made: what a constructor is given it looks through.
    const kind = channel === 'reliable' ? DataPacket_Kind.RELIABLE : DataPacket_Kind.LOSSY
    const packet = new DataPacket({ kind })
    packet.destinationIdentities = [...destinationIdentities]
    packet.value = value
    return packet.toBinary()
  }

  /** Why a packet cannot be taken. */
  #refusal({ body, channel, destinationIdentities, bulk }: Outgoing): PublishDataError | undefined {
    if (this.#channels === undefined) return new PublishDataError('disconnected')
    // A lossy packet may get lost anyway, and other SDKs' do so in silence.
    if (!this.#allowed && channel === 'reliable') return new PublishDataError('notAllowed')
    if (this.#encryption === 'custom') return new PublishDataError('unsupported')
    const identities = destinationIdentities.reduce((sum, identity) => sum + identity.length * 3 + 4, 0)
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

  /** Counts what waits. */
  #waits({ bulk }: Outgoing, bytes: number): void {
    this.#waitingBytes += bytes
    if (bulk) this.#waitingBulkBytes += bytes
  }

  /** Has what waits leave soon, if nothing else is sent before. */
  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.#pump()
    })
  }

  /** Hands packets to the channel as far as it may be filled, and lets go of those that the other end has. */
  #pump(): void {
    const channels = this.#channels
    if (channels === undefined || !this.#connected) return
    this.#acknowledge(channels.bufferedAmount('reliable'))
    const limit = channels.reliableLimit()
    while (!this.#waitsForKey && this.#written - this.#acknowledged < limit + RELIABLE_AHEAD) {
      const packet = this.#queue.shift()
      if (packet === undefined) break
      if (packet.state === 'withdrawn') continue
      if (!this.#handOver(channels, packet)) break
    }
    if (this.#unflushed) channels.flush()
    this.#unflushed = false
    this.#watch(channels, limit)
  }

  /** Returns whether the next one may follow. */
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
    const more = this.#queue.length > 0
    if (channels.send('reliable', bytes, more) !== SendStatus.Queued) {
      // The connection is about to be lost, and that will be told; what has no number yet waits for the next one.
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

  /** The packet as it travels, with its number (0: none). `wait`: its key is being derived. */
  #encode(packet: Outgoing, sequence: number): Uint8Array | PublishDataError | 'wait' {
    if (this.#encryption === 'none') return sequence === 0 ? packet.body : numbered(packet.body, sequence)
    const { DataPacket, DataPacket_Kind, Encryption_Type } = loadProtocol()
    const sealed = this.#native?.sealMessage(packet.body) ?? 'failed'
    if (sealed === 'wait') return 'wait'
    if (sealed === 'missingKey') return new PublishDataError('missingKey')
    if (sealed === 'failed') return new PublishDataError('encryptionFailed')
    return new DataPacket({
      kind: packet.channel === 'reliable' ? DataPacket_Kind.RELIABLE : DataPacket_Kind.LOSSY,
      destinationIdentities: [...packet.destinationIdentities],
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
    }).toBinary()
  }

  /** Lets go of what the other end has: all but what is buffered. */
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

  /** Asks to be told when there is room, or when a packet is acknowledged that somebody waits for. */
  #watch(channels: MessageChannels, limit: number): void {
    const room = this.#queue.length > 0 && !this.#waitsForKey ? limit + RELIABLE_AHEAD / 2 : -1
    const level = Math.max(room, this.#awaitedLevel())
    // A call into the native side for each chunk would be dear; a level that is reached later is asked for later.
    if (level <= this.#watched) return
    this.#watched = level
    channels.watchBuffered('reliable', level)
  }

  /** What may be buffered when the oldest packet that somebody waits for is acknowledged, or too many others; −1: nothing. */
  #awaitedLevel(): number {
    if (this.#awaited > 0) {
      for (const { packet, end } of this.#unacknowledged) if (packet.awaited) return this.#written - end
    }
    return this.#written - this.#acknowledged > KEPT_UNASKED ? 0 : -1
  }

  /** Sends again what the server did not get before the connection was lost. */
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

  /** Numbers start anew. */
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

  /** Gives up all that waits. */
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

/** A packet with its number: messages of protobuf that stand behind one another are one message with the fields of both. */
function numbered(body: Uint8Array, sequence: number): Uint8Array {
  const bytes = Buffer.allocUnsafe(body.length + NUMBER_OVERHEAD)
  bytes.set(body)
  let end = varint(bytes, body.length, SEQUENCE_KEY)
  end = varint(bytes, end, sequence)
  return bytes.subarray(0, end)
}

/** Returns where it ends. */
function varint(bytes: Uint8Array, start: number, value: number): number {
  let at = start
  for (let left = value; ; left >>>= 7) {
    bytes[at++] = left > 0x7f ? (left & 0x7f) | 0x80 : left
    if (left <= 0x7f) return at
  }
}

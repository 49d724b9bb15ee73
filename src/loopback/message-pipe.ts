/** Carries messages from a participant to the loopback's SFU: in order, with the network's delay and bandwidth. */
import { SendStatus } from '../native/native'
import { MAX_MESSAGE_SIZE } from '../data-packet/channels'
import type { MessageChannel, MessageChannels } from '../data-packet/channels'
import { Fifo } from '../data-packet/packet-queue'
import { Dice } from './dice'
import type { LoopbackNetworkOptions } from './network'

/** Bytes of messages that may be in flight. */
const MAX_UNDER_WAY = 4 * 1024 * 1024
/** Bytes that the reliable channel may buffer. */
const RELIABLE_LIMIT = 128 * 1024
/** Bytes to deliver before other work gets a turn. */
const TURN_BYTES = 256 * 1024

/** A network with a fixed seed. */
export interface SeededNetwork {
  readonly options: LoopbackNetworkOptions
  readonly seed: number
}

interface UnderWay {
  readonly channel: MessageChannel
  readonly message: Uint8Array
  /** When it arrives, by `performance.now()`. */
  readonly due: number
}

/** The channels of one participant. */
export class MessagePipe implements MessageChannels {
  readonly maxMessageSize = MAX_MESSAGE_SIZE
  readonly #identity: string
  readonly #deliver: (channel: MessageChannel, message: Uint8Array) => void
  readonly #low: () => void
  #options!: LoopbackNetworkOptions
  /** Decides which messages of the lossy channel are lost, independently of the reliable channel. */
  #loss!: Dice
  #jitter!: Dice
  readonly #underWay = new Fifo<UnderWay>()
  readonly #bytes = { reliable: 0, lossy: 0 }
  #watched: number | undefined
  #lastDue = 0
  #scheduled = false
  #cut = false
  #closed = false

  /**
   * `identity`: the sender. `deliver`: called for a message that arrived. `low`: called when the bytes in flight fell
   * to the watched level.
   */
  constructor(
    identity: string,
    network: SeededNetwork,
    deliver: (channel: MessageChannel, message: Uint8Array) => void,
    low: () => void,
  ) {
    this.#identity = identity
    this.setNetwork(network)
    this.#deliver = deliver
    this.#low = low
  }

  /** Applies from now on. The seed's sequence starts again. */
  setNetwork({ options, seed }: SeededNetwork): void {
    this.#options = options
    this.#loss = new Dice(seed, `loss of ${this.#identity}`)
    this.#jitter = new Dice(seed, `jitter of ${this.#identity}`)
  }

  send(channel: MessageChannel, message: Uint8Array): number {
    if (this.#closed) return SendStatus.Closed
    if (message.length > MAX_MESSAGE_SIZE) return SendStatus.TooLarge
    if (this.#bytes[channel] > 0 && this.#bytes[channel] + message.length > MAX_UNDER_WAY) {
      return SendStatus.BufferFull
    }
    const { delay = 0, jitter = 0, bandwidth = 0, loss = 0 } = this.#options
    // A reliable message is repeated until it arrives. The time of the repetitions is not simulated.
    if (channel === 'lossy' && this.#loss.next() < loss) return SendStatus.Queued
    const leaves = Math.max(performance.now(), this.#lastDue - delay)
    const due =
      leaves +
      delay +
      this.#jitter.next() * jitter +
      (bandwidth > 0 ? (message.length / bandwidth) * 1000 : 0)
    this.#lastDue = Math.max(due, this.#lastDue)
    this.#underWay.push({ channel, message, due: this.#lastDue })
    this.#bytes[channel] += message.length
    this.#schedule()
    return SendStatus.Queued
  }

  flush(): void {
    // No message is held back, so there is nothing to do.
  }

  bufferedAmount(channel: MessageChannel): number {
    return this.#bytes[channel]
  }

  /** Whether no message is in flight. */
  get isDrained(): boolean {
    return this.#underWay.peek() === undefined
  }

  reliableLimit(): number {
    return RELIABLE_LIMIT
  }

  watchBuffered(channel: MessageChannel, bytes: number): void {
    if (channel === 'reliable') this.#watched = bytes
    this.#schedule()
  }

  /** Cuts the connection. Messages in flight wait. */
  cut(): void {
    this.#cut = true
  }

  /** The connection is back. `lost`: in a new session, which does not get the messages that were in flight. */
  mend(lost: boolean): void {
    this.#cut = false
    if (lost) this.#clear()
    this.#schedule()
  }

  close(): void {
    this.#closed = true
    this.#clear()
  }

  #clear(): void {
    while (this.#underWay.shift() !== undefined);
    this.#bytes.reliable = 0
    this.#bytes.lossy = 0
    this.#watched = undefined
    this.#lastDue = 0
  }

  #schedule(): void {
    if (this.#scheduled || this.#cut || this.#closed) return
    const next = this.#underWay.peek()
    if (next === undefined && this.#watched === undefined) return
    this.#scheduled = true
    const wait = next === undefined ? 0 : next.due - performance.now()
    // Not on a microtask: an application that sends without pause would block everything else.
    if (wait > 0) setTimeout(() => this.#turn(), wait)
    else setImmediate(() => this.#turn())
  }

  #turn(): void {
    this.#scheduled = false
    let delivered = 0
    while (!this.#cut && !this.#closed && delivered < TURN_BYTES) {
      const next = this.#underWay.peek()
      if (next === undefined || next.due > performance.now()) break
      this.#underWay.shift()
      delivered += next.message.length
      this.#bytes[next.channel] -= next.message.length
      this.#deliver(next.channel, next.message)
    }
    if (this.#watched !== undefined && this.#bytes.reliable <= this.#watched && !this.#cut && !this.#closed) {
      this.#watched = undefined
      this.#low()
    }
    this.#schedule()
  }
}

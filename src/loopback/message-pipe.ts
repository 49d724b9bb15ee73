/** The way of messages from a participant to the loopback's SFU: in order, with the network's delay and rate. */
import { SendStatus } from '../native/native'
import type { MessageChannel, MessageChannels } from '../data-packet/channels'
import { Fifo } from '../data-packet/packet-queue'
import { Dice } from './dice'
import type { LoopbackNetworkOptions } from './network'

/** As with a server: what fits its data channels, bytes. */
const MAX_MESSAGE_SIZE = 65_535
/** Messages that may be under way, bytes. */
const MAX_UNDER_WAY = 4 * 1024 * 1024
/** Bytes that the reliable channel may hold. */
const RELIABLE_LIMIT = 128 * 1024
/** Bytes that are delivered before others have their turn. */
const TURN_BYTES = 256 * 1024

/** A network whose chance is fixed. */
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
  /** Which messages of the lossy channel are lost, whatever goes over the other one. */
  #loss!: Dice
  #jitter!: Dice
  readonly #underWay = new Fifo<UnderWay>()
  readonly #bytes = { reliable: 0, lossy: 0 }
  #watched: number | undefined
  #lastDue = 0
  #scheduled = false
  #cut = false
  #closed = false

  /** `identity`: whose it is. `deliver`: a message arrived; `low`: what is under way fell to the watched level. */
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

  /** From now on; the sequence of the seed starts anew. */
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
    // A message of the lossless channel is sent until it arrives; what that costs in time is left out.
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
    // Nothing waits for more.
  }

  bufferedAmount(channel: MessageChannel): number {
    return this.#bytes[channel]
  }

  reliableLimit(): number {
    return RELIABLE_LIMIT
  }

  watchBuffered(channel: MessageChannel, bytes: number): void {
    if (channel === 'reliable') this.#watched = bytes
    this.#schedule()
  }

  /** The connection breaks: what is under way waits. */
  cut(): void {
    this.#cut = true
  }

  /** The connection is back. `lost`: in a new session, which does not get what was under way. */
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
    // Not on a microtask: a program that sends all the time would never let anything else run.
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

/** One stream from a remote participant, and its rules: all chunks in order, and all of them encrypted or none. */
import type { DataStream_Chunk, DataStream_Trailer } from '@livekit/protocol'
import type { ReceivedPacket } from '../data-packet/receiver'
import { DataStreamError } from '../base/errors'
import { costOfTexts } from './info'
import type { PieceQueue } from './piece-queue'

/** The most characters of a sender's reason for aborting that are put into an error. */
const MAX_REASON = 256

/** The fields of a chunk used here. */
type Chunk = Pick<DataStream_Chunk, 'chunkIndex' | 'content'>
/** The fields of a trailer used here. */
type Trailer = Pick<DataStream_Trailer, 'reason' | 'attributes'>

/** Watches how far the stream and its readers are. */
export interface StreamWatcher {
  /** No more packets are expected from the sender. */
  ended(): void
  /** A reader has started to read. */
  begun(): void
  /** The stream has ended and its readers have finished, so nothing of it is kept. */
  released(): void
}

export class IncomingStream {
  readonly id: string
  /** The session that sends the stream. */
  readonly sender: string
  /** When its last packet arrived, by `performance.now()`. */
  lastPacket = performance.now()
  readonly #encrypted: boolean
  readonly #queues: readonly PieceQueue[]
  readonly #ended: (failure: DataStreamError | undefined) => void
  #nextIndex = 0n
  #open = true
  #begun = false
  #released = false
  #watcher: StreamWatcher | undefined

  /**
   * `queues`: one for each reader. `ended`: called once, when no more packets are expected: the stream is complete, has
   * failed, or was cancelled by all readers.
   */
  constructor(
    id: string,
    sender: string,
    encrypted: boolean,
    queues: readonly PieceQueue[],
    ended: (failure: DataStreamError | undefined) => void,
  ) {
    this.id = id
    this.sender = sender
    this.#encrypted = encrypted
    this.#queues = queues
    this.#ended = ended
  }

  get open(): boolean {
    return this.#open
  }

  /** Whether a reader has started to read. */
  get begun(): boolean {
    return this.#begun
  }

  watch(watcher: StreamWatcher): void {
    this.#watcher = watcher
  }

  readerBegan(): void {
    if (this.#begun) return
    this.#begun = true
    this.#watcher?.begun()
  }

  chunk(packet: ReceivedPacket<Chunk>): void {
    if (!this.#belongs(packet)) return
    const { chunkIndex, content } = packet.value
    // A repeated chunk, or a new version of one. The first one may have been read already, so it stays.
    if (chunkIndex < this.#nextIndex) return
    if (chunkIndex > this.#nextIndex) {
      this.fail(new DataStreamError('incomplete'))
      return
    }
    this.#nextIndex++
    // A copy for each reader, so that changes by one do not affect the others. It is not a view of the packet, which
    // may be far larger than the counted bytes.
    for (const queue of this.#queues) if (queue.open) queue.push(new Uint8Array(content))
  }

  trailer(packet: ReceivedPacket<Trailer>): void {
    if (!this.#belongs(packet)) return
    const { reason, attributes } = packet.value
    if (reason !== '') {
      const detail = `the sender gave it up: ${reason.slice(0, MAX_REASON)}`
      this.fail(new DataStreamError('abnormalEnd', { detail }))
      return
    }
    const cost = costOfTexts(attributes)
    for (const queue of this.#queues) {
      if (cost > 0) queue.trailerAttributes = attributes
      queue.hold(cost)
      queue.end()
    }
    this.#end(undefined)
  }

  /** Ends the stream with an error. Readers first get the pieces that came before. */
  fail(error: DataStreamError): void {
    for (const queue of this.#queues) queue.fail(error)
    this.#end(error)
  }

  /** A reader has finished, for any reason. */
  readerFinished(): void {
    if (this.#queues.every((queue) => !queue.open)) this.#end(undefined)
    this.#settle()
  }

  /** Drops the pieces that readers have not read. */
  drop(error: DataStreamError): void {
    for (const queue of this.#queues) queue.drop(error)
  }

  #belongs({ encrypted }: ReceivedPacket<unknown>): boolean {
    this.lastPacket = performance.now()
    if (encrypted !== this.#encrypted) {
      this.fail(new DataStreamError('encryptionTypeMismatch'))
      return false
    }
    return true
  }

  #end(failure: DataStreamError | undefined): void {
    if (!this.#open) return
    this.#open = false
    this.#ended(failure)
    this.#watcher?.ended()
    this.#settle()
  }

  /** Tells the watcher once nothing of the stream is kept any more. */
  #settle(): void {
    if (this.#open || this.#released || this.#queues.some((queue) => !queue.finished)) return
    this.#released = true
    this.#watcher?.released()
  }
}

/** One stream that a participant sends, and what must hold of it: all chunks, each once, all encrypted or none. */
import type { DataStream_Chunk, DataStream_Trailer } from '@livekit/protocol'
import type { ReceivedPacket } from '../data-packet/receiver'
import { DataStreamError } from '../base/errors'
import { costOfTexts } from './info'
import type { PieceQueue } from './piece-queue'

/** Longest text of a sender, why it gave a stream up, that gets into an error. */
const MAX_REASON = 256

/** What counts of a chunk. */
type Chunk = Pick<DataStream_Chunk, 'chunkIndex' | 'content' | 'version'>
/** What counts of a trailer. */
type Trailer = Pick<DataStream_Trailer, 'reason' | 'attributes'>

/** Who watches how far its readers are. */
export interface StreamWatcher {
  /** Nothing more is expected of its sender. */
  ended(): void
  /** A reader has begun with it. */
  begun(): void
  /** It is over, and its readers are through: nothing of it is kept. */
  released(): void
}

export class IncomingStream {
  readonly id: string
  /** The session that sends it. */
  readonly sender: string
  /** When a packet of it came, by `performance.now()`. */
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
   * `queues`: one for each reader. `ended`: called once, when nothing more is expected: it is complete, it failed, or all
   * readers gave it up.
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

  /** Whether a reader has begun with it. */
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
    const { chunkIndex, content, version } = packet.value
    if (chunkIndex !== this.#nextIndex) {
      // A new version of what was read already: nobody can take that back.
      if (version > 0 && chunkIndex < this.#nextIndex) return
      this.fail(new DataStreamError(chunkIndex < this.#nextIndex ? 'duplicateChunk' : 'incomplete'))
      return
    }
    this.#nextIndex++
    // Bytes of its own for each reader: what one does with them is not the others' business. And not a view of the packet,
    // which may be far larger than what is counted.
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
      queue.trailerAttributes = attributes
      queue.hold(cost)
      queue.end()
    }
    this.#end(undefined)
  }

  /** Readers get what came before, then the error. */
  fail(error: DataStreamError): void {
    for (const queue of this.#queues) queue.fail(error)
    this.#end(error)
  }

  /** A reader is through with it, for whatever reason. */
  readerFinished(): void {
    if (this.#queues.every((queue) => !queue.open)) this.#end(undefined)
    this.#settle()
  }

  /** Drops what its readers have not read. */
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

  /** Tells when nothing of it is kept any more. */
  #settle(): void {
    if (this.#open || this.#released || this.#queues.some((queue) => !queue.finished)) return
    this.#released = true
    this.#watcher?.released()
  }
}

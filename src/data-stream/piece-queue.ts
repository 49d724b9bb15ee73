/** The unread pieces of one stream: a queue for each reader. */
import { Fifo } from '../data-packet/packet-queue'
import type { DataStreamError } from '../base/errors'
import type { HeapItem } from '../base/max-heap'
import type { Pieces } from './compression'
import type { Places } from './places'

/** Overhead of a piece besides its bytes: the objects around it. */
const PIECE_OVERHEAD = 128

/** The owner of a queue, which it notifies. */
interface QueueOwner {
  /** The queue holds this many bytes more (or less, if negative). */
  changed(bytes: number): void
  /** No more can be read from the queue. */
  finished(): void
  /** The sender's places for decompression. */
  readonly inflaters: Places
}

/** The pieces of one stream for one reader. */
export class PieceQueue implements Pieces<Uint8Array>, HeapItem {
  /** The attributes that came with the end of the stream. */
  trailerAttributes: Readonly<Record<string, string>> | undefined
  /** When a piece last arrived or was read, by `performance.now()`. */
  lastChange = performance.now()
  /** @internal */
  place = -1
  /** Called when the reader reads for the first time. */
  begun: () => void = () => undefined
  readonly #owner: QueueOwner
  readonly #pieces = new Fifo<Uint8Array>()
  #bytes = 0
  #kept = 0
  #state: 'open' | 'ended' | 'failed' | 'finished' = 'open'
  #complete = false
  #error: DataStreamError | undefined
  #dropped: DataStreamError | undefined
  #wake: (() => void) | undefined
  #stopWaiting: () => void = () => undefined

  constructor(owner: QueueOwner) {
    this.#owner = owner
  }

  /** Bytes that wait to be read, and the overhead of keeping them. */
  get bytes(): number {
    return this.#bytes
  }

  /** `bytes`, and the bytes that the reader has collected. */
  get weight(): number {
    return this.#bytes + this.#kept
  }

  /** Whether more pieces may arrive. */
  get open(): boolean {
    return this.#state === 'open'
  }

  /** Whether no more can be read. */
  get finished(): boolean {
    return this.#state === 'finished'
  }

  /** Whether the whole stream has arrived. */
  get complete(): boolean {
    return this.#complete
  }

  /** Counts the stream's overhead besides its pieces. */
  hold(bytes: number): void {
    if (this.#state !== 'finished') this.#count(bytes)
  }

  /**
   * Counts a piece that the reader keeps until it has all of them. It counts until {@link letGo}, also after the
   * queue's end.
   *
   * @throws `DataStreamError` (`bufferFull`): too much is held, and most of it here
   */
  keep(bytes: number): void {
    if (this.#dropped === undefined) {
      this.#kept += bytes + PIECE_OVERHEAD
      this.#owner.changed(bytes + PIECE_OVERHEAD)
    }
    // Checked again, because counting this piece may have exceeded the limit.
    const dropped: DataStreamError | undefined = this.#dropped
    if (dropped !== undefined) throw dropped
  }

  /** The reader has combined the pieces that it kept. */
  letGo(): void {
    const kept = this.#kept
    this.#kept = 0
    if (kept > 0) this.#owner.changed(-kept)
  }

  /** `piece` must have its own buffer. A view would hold more memory than is counted. */
  push(piece: Uint8Array): void {
    if (this.#state !== 'open' || piece.length === 0) return
    this.lastChange = performance.now()
    this.#pieces.push(piece)
    this.#count(piece.length + PIECE_OVERHEAD)
    this.#notify()
  }

  /** The stream is complete. */
  end(): void {
    if (this.#state !== 'open') return
    this.#state = 'ended'
    this.#complete = true
    this.#notify()
  }

  /** The stream failed. Pieces that arrived before can still be read. */
  fail(error: DataStreamError): void {
    if (this.#state !== 'open') return
    this.#state = 'failed'
    this.#error = error
    this.#notify()
  }

  /** Drops the unread pieces, and those that the reader has collected. */
  drop(error: DataStreamError): void {
    this.#dropped = error
    if (this.#state === 'open' || this.#state === 'ended') this.#error = error
    this.#finish()
    this.letGo()
    this.#notify()
  }

  /** The content of a complete stream that consists of one piece or none; else `undefined`. */
  takeOnly(): Uint8Array | undefined {
    if (this.#state !== 'ended' || this.#pieces.length > 1) return undefined
    this.begun()
    const piece = this.#pieces.shift() ?? new Uint8Array(0)
    this.#finish()
    return piece
  }

  async next(): Promise<Uint8Array | undefined> {
    this.begun()
    for (;;) {
      const piece = this.#pieces.shift()
      if (piece !== undefined) {
        this.lastChange = performance.now()
        this.#count(-piece.length - PIECE_OVERHEAD)
        return piece
      }
      if (this.#state !== 'open') break
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    this.#finish()
    if (this.#error !== undefined) throw this.#error
    return undefined
  }

  /**
   * Waits until the stream may be decompressed, because each sender has only some places. Returns a function that frees
   * the place.
   */
  async inflater(): Promise<() => void> {
    this.begun()
    const { inflaters } = this.#owner
    let inside = await inflaters.enter((giveUp) => {
      this.#stopWaiting = giveUp
    })
    return () => {
      if (!inside) return
      inside = false
      inflaters.leave()
      this.#owner.changed(0)
    }
  }

  /** The reader stopped reading. */
  cancel(): void {
    this.#error = undefined
    this.#finish()
    this.#notify()
  }

  #finish(): void {
    if (this.#state === 'finished') return
    this.#state = 'finished'
    while (this.#pieces.shift() !== undefined);
    this.#stopWaiting()
    this.#count(-this.#bytes)
    this.#owner.finished()
  }

  #count(bytes: number): void {
    this.#bytes += bytes
    this.#owner.changed(bytes)
  }

  #notify(): void {
    const wake = this.#wake
    this.#wake = undefined
    wake?.()
  }
}

/** What has come of one stream and was not read: a queue for each reader. */
import { Fifo } from '../data-packet/packet-queue'
import type { DataStreamError } from '../base/errors'
import type { HeapItem } from '../base/max-heap'
import type { Pieces } from './compression'
import type { Places } from './places'

/** What a piece costs beside its bytes: the objects around it. */
const PIECE_OVERHEAD = 128

/** Whom a queue tells. */
interface QueueOwner {
  /** So many bytes more are held, or less. */
  changed(bytes: number): void
  /** Nothing more can come out. */
  finished(): void
  /** Of the sender: who may decompress. */
  readonly inflaters: Places
}

/** Pieces of one stream for one reader. */
export class PieceQueue implements Pieces<Uint8Array>, HeapItem {
  /** What came with the end of the stream. */
  trailerAttributes: Readonly<Record<string, string>> | undefined
  /** When something came or was read, by `performance.now()`. */
  lastChange = performance.now()
  /** @internal */
  place = -1
  /** Is called when the reader takes something for the first time. */
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

  /** Bytes that wait to be read, and what it costs to keep them. */
  get bytes(): number {
    return this.#bytes
  }

  /** The same with what the reader puts together. */
  get weight(): number {
    return this.#bytes + this.#kept
  }

  /** Whether more may come. */
  get open(): boolean {
    return this.#state === 'open'
  }

  /** Whether nothing more can come out. */
  get finished(): boolean {
    return this.#state === 'finished'
  }

  /** Whether all of the stream has come. */
  get complete(): boolean {
    return this.#complete
  }

  /** Counts what the stream costs beside its pieces. */
  hold(bytes: number): void {
    if (this.#state !== 'finished') this.#count(bytes)
  }

  /**
   * Counts a piece that the reader keeps, to put all of them together. Until {@link letGo}, also after the queue's end.
   *
   * @throws `DataStreamError` (`bufferFull`): too much is held, and most of it here
   */
  keep(bytes: number): void {
    if (this.#dropped === undefined) {
      this.#kept += bytes + PIECE_OVERHEAD
      this.#owner.changed(bytes + PIECE_OVERHEAD)
    }
    // Asked again: this piece may have been the one too many.
    const dropped: DataStreamError | undefined = this.#dropped
    if (dropped !== undefined) throw dropped
  }

  /** What was kept is put together. */
  letGo(): void {
    const kept = this.#kept
    this.#kept = 0
    if (kept > 0) this.#owner.changed(-kept)
  }

  /** `piece`: in a buffer of its own, or more would be held than is counted. */
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

  /** The stream failed: what came before can be read. */
  fail(error: DataStreamError): void {
    if (this.#state !== 'open') return
    this.#state = 'failed'
    this.#error = error
    this.#notify()
  }

  /** What is there is not read any more, nor what the reader has put together so far. */
  drop(error: DataStreamError): void {
    this.#dropped = error
    if (this.#state === 'open' || this.#state === 'ended') this.#error = error
    this.#finish()
    this.letGo()
    this.#notify()
  }

  /** All of a complete stream that is one piece, or none at all; `undefined`: it is neither. */
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
   * Waits until the stream may be decompressed: so many of a sender may be at a time. Returns what gives the place back.
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

  /** Nobody reads any more. */
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

/** What has come of streams and was not read: a queue for each reader, bounded by itself and together with the others. */
import { Fifo } from '../data-packet/packet-queue'
import { DataStreamError } from '../base/errors'
import type { Pieces } from './compression'
import type { CheckedLimits } from './limits'

/** What a piece costs beside its bytes: the objects around it. */
const PIECE_OVERHEAD = 128

/** All queues of a room. Looks after those on which nothing happens. */
export class PiecePool {
  readonly #limits: CheckedLimits
  readonly #queues = new Set<PieceQueue>()
  #bytes = 0
  #timer: NodeJS.Timeout | undefined

  constructor(limits: CheckedLimits) {
    this.#limits = limits
  }

  /** Bytes that wait to be read. */
  get bytes(): number {
    return this.#bytes
  }

  /** `finished`: nothing more can come out of the queue. */
  queue(finished: () => void): PieceQueue {
    const queue: PieceQueue = new PieceQueue(
      (bytes) => this.#changed(queue, bytes),
      () => {
        this.#queues.delete(queue)
        finished()
      },
    )
    this.#queues.add(queue)
    this.#watch()
    return queue
  }

  #changed(queue: PieceQueue, bytes: number): void {
    this.#bytes += bytes
    if (bytes <= 0) return
    if (queue.bytes > this.#limits.maxBufferedBytes) queue.fail(new DataStreamError('bufferFull'), true)
    while (this.#bytes > this.#limits.maxTotalBufferedBytes) {
      const largest = this.#largest()
      if (largest === undefined) return
      largest.fail(new DataStreamError('bufferFull'), true)
    }
  }

  /** Whoever does not read must not spoil it for the others. */
  #largest(): PieceQueue | undefined {
    let largest: PieceQueue | undefined
    for (const queue of this.#queues)
      if (largest === undefined || queue.bytes > largest.bytes) largest = queue
    return largest
  }

  #watch(): void {
    const { idleTimeout } = this.#limits
    if (this.#timer !== undefined || idleTimeout === Infinity) return
    this.#timer = setInterval(() => this.#sweep(), Math.min(idleTimeout, 10_000))
    this.#timer.unref()
  }

  /** Stops by itself when there is nothing to look after: of streams in one packet, over at once, there may be thousands. */
  #sweep(): void {
    if (this.#queues.size === 0) {
      clearInterval(this.#timer)
      this.#timer = undefined
      return
    }
    const before = performance.now() - this.#limits.idleTimeout
    for (const queue of [...this.#queues]) {
      if (queue.lastChange <= before) queue.fail(new DataStreamError('timeout'), true)
    }
  }
}

/** Pieces of one stream for one reader. */
export class PieceQueue implements Pieces<Uint8Array> {
  /** What came with the end of the stream. */
  trailerAttributes: Readonly<Record<string, string>> | undefined
  /** When something came or was read, by `performance.now()`. */
  lastChange = performance.now()
  readonly #changed: (bytes: number) => void
  readonly #finished: () => void
  readonly #pieces = new Fifo<Uint8Array>()
  #bytes = 0
  #state: 'open' | 'ended' | 'failed' | 'finished' = 'open'
  #complete = false
  #error: DataStreamError | undefined
  #wake: (() => void) | undefined

  constructor(changed: (bytes: number) => void, finished: () => void) {
    this.#changed = changed
    this.#finished = finished
  }

  /** Bytes that it holds, and what it costs to keep them. */
  get bytes(): number {
    return this.#bytes
  }

  /** Whether more may come. */
  get open(): boolean {
    return this.#state === 'open'
  }

  /** Whether all of the stream has come. */
  get complete(): boolean {
    return this.#complete
  }

  /** Counts what the stream costs beside its pieces. */
  hold(bytes: number): void {
    this.#count(bytes)
  }

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

  /** The stream failed. `drop`: what is there is not read any more, either. */
  fail(error: DataStreamError, drop: boolean): void {
    if (this.#state === 'finished' || this.#state === 'failed' || (this.#state === 'ended' && !drop)) return
    this.#state = 'failed'
    this.#error = error
    if (drop) this.#finish()
    this.#notify()
  }

  /** All of a complete stream that is one piece, or none at all; `undefined`: it is neither. */
  takeOnly(): Uint8Array | undefined {
    if (this.#state !== 'ended' || this.#pieces.length > 1) return undefined
    const piece = this.#pieces.shift() ?? new Uint8Array(0)
    this.#finish()
    return piece
  }

  async next(): Promise<Uint8Array | undefined> {
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
    this.#count(-this.#bytes)
    this.#finished()
  }

  #count(bytes: number): void {
    this.#bytes += bytes
    this.#changed(bytes)
  }

  #notify(): void {
    const wake = this.#wake
    this.#wake = undefined
    wake?.()
  }
}

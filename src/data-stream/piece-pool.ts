/** The memory that a room's incoming streams use: by stream, by sender and in all. */
import { MaxHeap } from '../base/max-heap'
import type { HeapItem } from '../base/max-heap'
import { DataStreamError } from '../base/errors'
import type { CheckedLimits } from './limits'
import { PieceQueue } from './piece-queue'
import { Places } from './places'

/**
 * Streams of one sender that may be decompressed at a time; others wait. Each takes zlib about 200 KiB, so one sender
 * takes at most 13 MiB. Up to this many files at once are not delayed.
 */
export const MAX_INFLATING_PER_SENDER = 64

/** All queues of a room, and the data that readers collect. It also ends streams without activity. */
export class PiecePool {
  readonly #limits: CheckedLimits
  readonly #senders = new Map<string, SenderShare>()
  /** The senders by the memory that they use. */
  readonly #heaviest = new MaxHeap<SenderShare>()
  readonly #queues = new Set<PieceQueue>()
  #bytes = 0
  #timer: NodeJS.Timeout | undefined

  constructor(limits: CheckedLimits) {
    this.#limits = limits
  }

  /** Bytes that wait to be read or are being collected. */
  get bytes(): number {
    return this.#bytes
  }

  /** `finished`: called when no more can be read from the queue. */
  queue(sender: string, finished: () => void): PieceQueue {
    const share = this.#share(sender)
    const queue: PieceQueue = new PieceQueue({
      changed: (bytes) => this.#changed(share, queue, bytes),
      finished: () => {
        this.#queues.delete(queue)
        this.#settle(share, queue)
        finished()
      },
      inflaters: share.inflaters,
    })
    this.#queues.add(queue)
    share.queues.update(queue)
    this.#watch()
    return queue
  }

  #share(sender: string): SenderShare {
    const share = this.#senders.get(sender) ?? new SenderShare(sender)
    this.#senders.set(sender, share)
    return share
  }

  #changed(share: SenderShare, queue: PieceQueue, bytes: number): void {
    this.#bytes += bytes
    share.bytes += bytes
    if (!this.#senders.has(share.sender)) this.#senders.set(share.sender, share)
    share.queues.update(queue)
    this.#heaviest.update(share)
    if (bytes <= 0) {
      this.#settle(share, queue)
      return
    }
    if (queue.bytes > this.#limits.maxBufferedBytes) queue.drop(new DataStreamError('bufferFull'))
    while (this.#bytes > this.#limits.maxTotalBufferedBytes) {
      // Takes the sender that uses the most, so that many small streams of one sender do not cost others a large one.
      const largest = this.#heaviest.peek()?.queues.peek()
      if (largest === undefined || largest.weight === 0) return
      largest.drop(new DataStreamError('bufferFull'))
    }
  }

  /** Removes a queue that was read to its end and holds nothing, and a sender without a queue. */
  #settle(share: SenderShare, queue: PieceQueue): void {
    if (queue.weight > 0 || this.#queues.has(queue)) return
    share.queues.remove(queue)
    if (share.queues.size > 0 || !share.inflaters.idle) return
    this.#heaviest.remove(share)
    if (this.#senders.get(share.sender) === share) this.#senders.delete(share.sender)
  }

  #watch(): void {
    const { idleTimeout } = this.#limits
    if (this.#timer !== undefined || idleTimeout === Infinity) return
    this.#timer = setInterval(() => this.#sweep(), Math.min(idleTimeout, 10_000))
    this.#timer.unref()
  }

  /**
   * Stops by itself if there is no queue to watch. There may be thousands of streams in one packet, which end at once.
   */
  #sweep(): void {
    if (this.#queues.size === 0) {
      clearInterval(this.#timer)
      this.#timer = undefined
      return
    }
    const before = performance.now() - this.#limits.idleTimeout
    for (const queue of this.#queues) {
      if (queue.lastChange <= before) queue.drop(new DataStreamError('timeout'))
    }
  }
}

/** The share of the pool that one sender uses. */
class SenderShare implements HeapItem {
  readonly sender: string
  bytes = 0
  place = -1
  readonly queues = new MaxHeap<PieceQueue>()
  readonly inflaters = new Places(MAX_INFLATING_PER_SENDER)

  constructor(sender: string) {
    this.sender = sender
  }

  get weight(): number {
    return this.bytes
  }
}

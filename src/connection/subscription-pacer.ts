/**
 * Sends requests for subscriptions a few at a time, and never subscribes to a track right after unsubscribing from it.
 *
 * livekit-server 1.13 keeps five requests that it has not begun with. It forgets the others until its next check of all
 * requests, every three seconds. So forty tracks would take twelve seconds, and some of them would time out. A request
 * that arrives while the server ends a subscription to the same track is lost for good.
 */
import type { UpdateDataSubscriptionMessage } from '../signal/messages'

type Update = UpdateDataSubscriptionMessage['updates'][number]

/** Updates to send at once. */
export const GROUP = 4
/** ms until the next updates. The server begins with one in far less than 1 ms. */
export const INTERVAL = 10
/**
 * Updates that wait. Beyond it the oldest one is sent at once. A room has no more tracks than that; a server that takes
 * tracks away and brings them back causes any number of requests.
 */
export const MAX_WAITING = 65_536

/** See the top of this file. */
export class SubscriptionPacer {
  readonly #send: (updates: Update[]) => void
  /** In their order. */
  readonly #waiting = new Set<Update>()
  /** The last waiting update of each track. */
  readonly #last = new Map<string, Update>()
  #credit = GROUP
  #timer: NodeJS.Timeout | undefined
  /** Tracks whose subscriptions were ended in this interval, and in the one before. */
  #ended = new Set<string>()
  #endedBefore = new Set<string>()

  /** `send`: sends these updates in one message. */
  constructor(send: (updates: Update[]) => void) {
    this.#send = send
  }

  /** Updates that wait to be sent. */
  get waiting(): number {
    return this.#waiting.size
  }

  /** Sends updates now or soon, in order. An update that already waits is sent once. */
  push(updates: readonly Update[]): void {
    const early: Update[] = []
    for (const update of updates) {
      const last = this.#last.get(update.trackSid)
      if (last !== undefined && isSame(last, update)) continue
      this.#waiting.add(update)
      this.#last.set(update.trackSid, update)
      const [oldest] = this.#waiting
      if (this.#waiting.size > MAX_WAITING && oldest !== undefined) early.push(this.#leave(oldest))
    }
    if (early.length > 0) this.#send(early)
    this.#flush()
  }

  /**
   * Drops the updates not sent yet. The connection is lost, and all subscriptions are requested again when it is back.
   */
  clear(): void {
    this.#waiting.clear()
    this.#last.clear()
  }

  #flush(): void {
    const updates = this.#take()
    if (updates.length > 0) this.#send(updates)
    const idle = this.#credit === GROUP && this.#ended.size + this.#endedBefore.size === 0
    if (idle || this.#timer !== undefined) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#credit = GROUP
      this.#endedBefore = this.#ended
      this.#ended = new Set()
      this.#flush()
    }, INTERVAL)
  }

  /** The updates that may be sent now. Updates behind one that has to wait also wait. */
  #take(): Update[] {
    const updates: Update[] = []
    for (const update of this.#waiting) {
      const { trackSid, subscribe } = update
      if (this.#credit === 0) break
      if (subscribe && (this.#ended.has(trackSid) || this.#endedBefore.has(trackSid))) break
      this.#credit--
      updates.push(this.#leave(update))
    }
    return updates
  }

  /** The update waits no longer. */
  #leave(update: Update): Update {
    const { trackSid, subscribe } = update
    this.#waiting.delete(update)
    if (this.#last.get(trackSid) === update) this.#last.delete(trackSid)
    if (!subscribe) this.#ended.add(trackSid)
    return update
  }
}

function isSame(left: Update, right: Update): boolean {
  return left.subscribe === right.subscribe && left.options?.targetFps === right.options?.targetFps
}

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

/** See the top of this file. */
export class SubscriptionPacer {
  readonly #send: (updates: Update[]) => void
  #waiting: Update[] = []
  #credit = GROUP
  #timer: NodeJS.Timeout | undefined
  /** Tracks whose subscriptions were ended in this interval, and in the one before. */
  #ended = new Set<string>()
  #endedBefore = new Set<string>()

  /** `send`: sends these updates in one message. */
  constructor(send: (updates: Update[]) => void) {
    this.#send = send
  }

  /** Sends updates now or soon, in order. An update that already waits is sent once. */
  push(updates: readonly Update[]): void {
    for (const update of updates) {
      const last = this.#waiting.findLast(({ trackSid }) => trackSid === update.trackSid)
      if (last === undefined || !isSame(last, update)) this.#waiting.push(update)
    }
    this.#flush()
  }

  /**
   * Drops the updates not sent yet. The connection is lost, and all subscriptions are requested again when it is back.
   */
  clear(): void {
    this.#waiting = []
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
      if (!subscribe) this.#ended.add(trackSid)
      this.#credit--
      updates.push(update)
    }
    this.#waiting.splice(0, updates.length)
    return updates
  }
}

function isSame(left: Update, right: Update): boolean {
  return left.subscribe === right.subscribe && left.options?.targetFps === right.options?.targetFps
}

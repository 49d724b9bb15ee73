/**
 * Sends requests for subscriptions a few at a time, and one for a track not right after its end.
 *
 * livekit-server 1.13 keeps five that it has not begun with and forgets the rest until it looks at all of them again, which
 * it does every three seconds: forty tracks would take twelve, and some of them time out. And what comes while it ends a
 * subscription to the same track it forgets with that one, for good.
 */
import type { UpdateDataSubscriptionMessage } from '../signal/messages'

type Update = UpdateDataSubscriptionMessage['updates'][number]

/** Updates that are sent at once. */
export const GROUP = 4
/** ms until the next ones: the server begins with one in far less than one. */
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

  /** `send`: these leave now, in one message. */
  constructor(send: (updates: Update[]) => void) {
    this.#send = send
  }

  /** Sends updates now or soon, in their order; one that waits already, and is asked for again, once. */
  push(updates: readonly Update[]): void {
    for (const update of updates) {
      const last = this.#waiting.findLast(({ trackSid }) => trackSid === update.trackSid)
      if (last === undefined || !isSame(last, update)) this.#waiting.push(update)
    }
    this.#flush()
  }

  /** Forgets what was not sent: the connection is lost, and the subscriptions there are are asked for when it is back. */
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

  /** Those that may be sent now: what follows one that has to wait waits with it. */
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

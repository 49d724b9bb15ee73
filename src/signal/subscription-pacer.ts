/**
 * Sends requests for subscriptions a few at a time.
 *
 * livekit-server 1.13 keeps five that it has not begun with and forgets the rest until it looks at all of them again, which
 * it does every three seconds: forty tracks would take twelve, and some of them time out.
 */
import type { DataTrackSignalRequest, UpdateDataSubscriptionMessage } from './messages'

type Update = UpdateDataSubscriptionMessage['updates'][number]

/** Updates that are sent at once. */
export const GROUP = 4
/** ms until the next ones: the server begins with one in far less than one. */
export const INTERVAL = 10

/** See the top of this file. */
export class SubscriptionPacer {
  readonly #send: (request: DataTrackSignalRequest) => void
  #waiting: Update[] = []
  #credit = GROUP
  #timer: NodeJS.Timeout | undefined

  constructor(send: (request: DataTrackSignalRequest) => void) {
    this.#send = send
  }

  /** Sends updates now or soon, in their order. */
  push(updates: readonly Update[]): void {
    this.#waiting.push(...updates)
    this.#flush()
  }

  /** Forgets what was not sent: the connection is lost, and all is asked for again when it is back. */
  clear(): void {
    this.#waiting = []
  }

  #flush(): void {
    const updates = this.#waiting.splice(0, this.#credit)
    if (updates.length > 0) {
      this.#credit -= updates.length
      this.#send({ case: 'updateDataSubscription', value: { updates } })
    }
    if (this.#credit === GROUP || this.#timer !== undefined) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#credit = GROUP
      this.#flush()
    }, INTERVAL)
  }
}

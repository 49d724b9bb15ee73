/** The attempts to reconnect after a loss, until one succeeds, the room gives up, or the connection is closed. */
import { setTimeout as delay } from 'node:timers/promises'
import type { Retries } from './reconnect-policy'

/** What {@link Reconnection} needs of the connection. */
export interface ReconnectSteps {
  /** Aborts when the connection is closed. */
  readonly closing: AbortSignal
  /** A new count of retries. */
  readonly retries: () => Retries
  /** Whether a wait keeps the process alive. */
  readonly ref: () => boolean
  /** Resolves when all is handled that the server has said before. It may have said that there is no way back. */
  readonly caughtUp: (stop: AbortSignal) => Promise<void>
  /** One attempt. `hurry`: aborts when a new attempt is to take its place. */
  readonly attempt: (hurry: AbortSignal) => Promise<void>
  /** An attempt has failed. Returns whether another one may succeed. `failures`: how many have failed, with this one. */
  readonly failed: (error: unknown, failures: number) => boolean
}

/** See the top of this file. */
export class Reconnection {
  readonly #steps: ReconnectSteps
  #hurry = new AbortController()

  constructor(steps: ReconnectSteps) {
    this.#steps = steps
  }

  /** Replaces the wait for an attempt, or the running attempt, by a new attempt. */
  hurry(): void {
    this.#hurry.abort()
  }

  /**
   * `firstDelay`: ms before the first attempt, at least. Resolves with whether the connection is back or closed; `false`:
   * there is no further attempt.
   */
  async run(firstDelay: number): Promise<boolean> {
    const { closing, ref, caughtUp, attempt, failed } = this.#steps
    let atLeast = firstDelay
    let hurried = false
    let retries = this.#steps.retries()
    let failures = 0
    let reason: unknown
    for (let retry = 0; ; retry++) {
      const hurry = new AbortController()
      this.#hurry = hurry
      try {
        const asked = retries.next(retry, performance.now(), reason)
        if (asked === null) return false
        const stop = AbortSignal.any([closing, hurry.signal])
        await delay(hurried ? 0 : Math.max(asked, atLeast), undefined, { ref: ref(), signal: stop })
        await caughtUp(stop)
        stop.throwIfAborted()
        await attempt(hurry.signal)
        return true
      } catch (error) {
        if (closing.aborted) return true
        atLeast = 0
        hurried = hurry.signal.aborted
        if (hurried) {
          // The network has changed, so earlier failures do not count.
          retries = this.#steps.retries()
          retry = -1
          continue
        }
        failures += 1
        reason = error
        if (!failed(error, failures)) return false
      }
    }
  }
}

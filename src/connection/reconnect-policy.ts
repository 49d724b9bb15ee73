/** How long to wait before the next attempt to reconnect, and when to give up. The names are livekit-client's. */
import * as check from '../base/arguments'
import { log } from '../base/logging'
import { RECONNECT_ATTEMPTS, reconnectDelay } from './backoff'

/** What a policy decides on. */
export interface ReconnectContext {
  /** Attempts that have failed since the connection was lost, or since `connect` was called; 0 before the first one. */
  readonly retryCount: number
  /** ms since the connection was lost, or since `connect` was called. */
  readonly elapsedMs: number
  /** Why the last attempt failed; `undefined` before the first one. */
  readonly retryReason?: Error
  /** The server's URL. */
  readonly serverUrl?: string
}

/** Decides on the attempts to reconnect. */
export interface ReconnectPolicy {
  /**
   * Called before each attempt to reconnect, and, with `maxRetries`, before each further attempt of `connect`.
   *
   * @returns ms to wait before the attempt, 0 to 2^31 − 1; `null`: the room gives up
   */
  nextRetryDelayInMs(context: ReconnectContext): number | null
}

/** The longest delay of a timer, ms. */
const MAX_DELAY = 2 ** 31 - 1

/**
 * The policy of rooms without one: the first attempt is made at once. The delays grow to 7 s, and the room gives up
 * after 12 attempts, which is after about a minute. Delays are randomly up to a third shorter, so that the clients of a
 * restarted server do not all reconnect at once.
 */
export class DefaultReconnectPolicy implements ReconnectPolicy {
  readonly #delays: readonly number[] | undefined

  /**
   * @param retryDelays ms before each attempt, instead of the delays above; after the last one the room gives up
   * @throws `TypeError` or `RangeError` that names the argument
   */
  constructor(retryDelays?: readonly number[]) {
    if (retryDelays === undefined) return
    if (!Array.isArray(retryDelays))
      throw check.invalidType('retryDelays', 'an array of numbers', retryDelays)
    this.#delays = retryDelays.map((delay: unknown, index) =>
      check.number(`retryDelays[${index}]`, delay ?? null, 0, 0, MAX_DELAY, ' ms'),
    )
  }

  nextRetryDelayInMs({ retryCount }: ReconnectContext): number | null {
    const delays = this.#delays
    if (delays === undefined) return retryCount < RECONNECT_ATTEMPTS ? reconnectDelay(retryCount) : null
    const delay = delays[retryCount]
    return delay === undefined ? null : Math.round(delay * (1 - Math.random() / 3))
  }
}

/** @internal The delay that goes on for ever, for a limit of retries that is above the default's. */
const endless: ReconnectPolicy = { nextRetryDelayInMs: ({ retryCount }) => reconnectDelay(retryCount) }

/** @internal A policy of the application, or `undefined`. */
export function checkReconnectPolicy(
  name: string,
  policy: ReconnectPolicy | undefined,
): ReconnectPolicy | undefined {
  if (policy === undefined) return undefined
  if (typeof policy !== 'object' || (policy as unknown) === null) {
    throw check.invalidType(name, 'a ReconnectPolicy', policy)
  }
  check.methods(name, policy, ['nextRetryDelayInMs'])
  return policy
}

/** @internal A whole number of retries, or `Infinity`. */
export function checkRetries(name: string, value: unknown): number | undefined {
  if (value === undefined || value === Infinity) return value
  return check.integer(name, value, 0, 0, Number.MAX_SAFE_INTEGER)
}

/** @internal The attempts after one loss of a connection, or of a first connection. */
export class Retries {
  readonly #policy: ReconnectPolicy
  readonly #most: number
  readonly #serverUrl: string
  readonly #start: number
  #failed = false

  /** `most`: retries after the first attempt; `undefined`: the policy decides alone. */
  constructor(policy: ReconnectPolicy | undefined, most: number | undefined, serverUrl: string, now: number) {
    this.#policy = policy ?? (most === undefined ? new DefaultReconnectPolicy() : endless)
    this.#most = most ?? Infinity
    this.#serverUrl = serverUrl
    this.#start = now
  }

  /** ms before the next attempt, after so many that failed; `null`: there is none. */
  next(retryCount: number, now: number, reason: unknown): number | null {
    if (retryCount > this.#most) return null
    const context: ReconnectContext = {
      retryCount,
      elapsedMs: now - this.#start,
      ...(reason instanceof Error && { retryReason: reason }),
      serverUrl: this.#serverUrl,
    }
    try {
      const delay: unknown = this.#policy.nextRetryDelayInMs(context)
      if (delay === null) return null
      return check.number('the result of nextRetryDelayInMs()', delay ?? 'undefined', 0, 0, MAX_DELAY, ' ms')
    } catch (error) {
      if (!this.#failed)
        log('error', 'signal', `the reconnectPolicy failed, and the default is used: ${textOf(error)}`)
      this.#failed = true
      return new DefaultReconnectPolicy().nextRetryDelayInMs(context)
    }
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

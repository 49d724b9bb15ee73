/** Who decides how long to wait before an attempt to reconnect, and when to give up. */
import { describe, expect, it } from 'vitest'
import { DefaultReconnectPolicy, Room } from '../../index'
import type { ReconnectContext } from '../../index'
import { RECONNECT_ATTEMPTS } from '../../src/connection/backoff'
import { Retries } from '../../src/connection/reconnect-policy'
import { keepLogs } from '../helpers/logged'
import { rejection, thrown } from '../helpers/rooms'

const logged = keepLogs()

const url = 'ws://a/'
const delays = (retries: Retries, count: number) =>
  Array.from({ length: count }, (_, attempt) => retries.next(attempt, 0, undefined))

describe('the number of attempts', () => {
  it('is the default without a policy and without a limit', () => {
    const all = delays(new Retries(undefined, undefined, url, 0), RECONNECT_ATTEMPTS + 1)
    expect([all[0], all.at(-1)]).toEqual([0, null])
    expect(all.slice(0, -1)).not.toContain(null)
  })

  it('is the given limit, also one above the default or Infinity', () => {
    expect(delays(new Retries(undefined, 0, url, 0), 2)).toEqual([0, null])
    const twenty = delays(new Retries(undefined, 20, url, 0), 22)
    expect(twenty.indexOf(null)).toBe(21)
    const endless = new Retries(undefined, Infinity, url, 0)
    const late = endless.next(1_000_000, 0, undefined)!
    expect(late).toBeGreaterThan(4600)
    expect(late).toBeLessThanOrEqual(7000)
  })

  it('is what a policy decides, which gets the failed attempts, the elapsed time and the cause', () => {
    const asked: ReconnectContext[] = []
    const policy = {
      nextRetryDelayInMs: (context: ReconnectContext) => {
        asked.push(context)
        return context.retryCount < 2 ? context.retryCount * 50 : null
      },
    }
    const retries = new Retries(policy, undefined, url, 100)
    const reason = new Error('no')
    expect([
      retries.next(0, 100, undefined),
      retries.next(1, 130, reason),
      retries.next(2, 200, 'x'),
    ]).toEqual([0, 50, null])
    expect(asked).toEqual([
      { retryCount: 0, elapsedMs: 0, serverUrl: url },
      { retryCount: 1, elapsedMs: 30, retryReason: reason, serverUrl: url },
      { retryCount: 2, elapsedMs: 100, serverUrl: url },
    ])
    // A limit holds for a policy, too.
    expect(new Retries({ nextRetryDelayInMs: () => 1 }, 1, url, 0).next(2, 0, undefined)).toBeNull()
  })

  it.each([[NaN], [-1], [2 ** 31], ['5'], [undefined], [Infinity]])(
    'is the default if a policy returns %s, and that is logged once',
    (said) => {
      const retries = new Retries({ nextRetryDelayInMs: () => said as never }, undefined, url, 0)
      const all = delays(retries, RECONNECT_ATTEMPTS + 1)
      expect([all[0], all.indexOf(null)]).toEqual([0, RECONNECT_ATTEMPTS])
      expect(logged).toHaveLength(1)
      expect(logged[0]).toContain('reconnectPolicy')
    },
  )

  it('is the default if a policy throws', () => {
    const policy = {
      nextRetryDelayInMs: () => {
        throw new Error('a mistake')
      },
    }
    expect(new Retries(policy, undefined, url, 0).next(0, 0, undefined)).toBe(0)
    expect(logged.join()).toContain('a mistake')
  })
})

describe('a policy made of given delays', () => {
  it('makes one attempt per delay, each at a slightly shorter, random delay', () => {
    const policy = new DefaultReconnectPolicy([0, 300, 3000])
    for (const [retryCount, most] of [0, 300, 3000].entries()) {
      const delay = policy.nextRetryDelayInMs({ retryCount, elapsedMs: 0 })!
      expect(delay).toBeLessThanOrEqual(most)
      expect(delay).toBeGreaterThanOrEqual(Math.floor((most * 2) / 3))
    }
    expect(policy.nextRetryDelayInMs({ retryCount: 3, elapsedMs: 0 })).toBeNull()
  })

  it('refuses delays that are not valid numbers', () => {
    for (const [given, name] of [
      [5, '"retryDelays"'],
      [[1, 'x'], '"retryDelays[1]"'],
      [[undefined], '"retryDelays[0]"'],
      [[-1], '"retryDelays[0]"'],
    ] as const) {
      expect(thrown(() => new DefaultReconnectPolicy(given as never)).message).toContain(name)
    }
  })
})

describe('options', () => {
  it.each([[5], [null], [{}], [{ nextRetryDelayInMs: 1 }]])(
    'do not accept %j as a policy',
    (reconnectPolicy) => {
      const error = thrown(() => new Room({ reconnectPolicy: reconnectPolicy as never }))
      expect(error).toBeInstanceOf(TypeError)
      expect(error.message).toContain('options.reconnectPolicy')
    },
  )

  it.each([[-1], [1.5], ['1'], [NaN], [-Infinity]])(
    'do not accept %s as a number of retries',
    async (maxRetries) => {
      const error = await rejection(
        new Room().connect('ws://127.0.0.1:1', 'token', { maxRetries: maxRetries as number }),
      )
      expect(error.message).toContain('"options.maxRetries"')
    },
  )
})

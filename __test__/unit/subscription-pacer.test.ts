import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { GROUP, INTERVAL, MAX_WAITING, SubscriptionPacer } from '../../src/connection/subscription-pacer'

beforeEach(() => vi.useFakeTimers())
afterEach(() => vi.useRealTimers())

const update = (index: number) => ({ trackSid: `DTR_${index}`, subscribe: true })

/** What is sent: the SIDs of each message. */
function paced() {
  const sent: string[][] = []
  const pacer = new SubscriptionPacer((updates) => {
    sent.push(updates.map(({ trackSid }) => trackSid))
  })
  return { pacer, sent }
}

describe('requests for subscriptions', () => {
  it('are sent at once if there are few', () => {
    const { pacer, sent } = paced()
    for (let index = 0; index < GROUP; index++) pacer.push([update(index)])
    expect(sent).toEqual([['DTR_0'], ['DTR_1'], ['DTR_2'], ['DTR_3']])
    vi.advanceTimersByTime(INTERVAL)
    pacer.push([update(4)])
    expect(sent).toHaveLength(GROUP + 1)
  })

  it('are sent a few at a time and in order if there are many', () => {
    const { pacer, sent } = paced()
    for (let index = 0; index < 10; index++) pacer.push([update(index)])
    expect(sent.flat()).toHaveLength(GROUP)
    vi.advanceTimersByTime(INTERVAL)
    expect(sent.at(-1)).toEqual(['DTR_4', 'DTR_5', 'DTR_6', 'DTR_7'])
    vi.advanceTimersByTime(INTERVAL)
    expect(sent.flat()).toEqual(Array.from({ length: 10 }, (_, index) => `DTR_${index}`))
    vi.advanceTimersByTime(10 * INTERVAL)
    expect(vi.getTimerCount()).toBe(0)
  })

  it('to a track are delayed if the track was just unsubscribed, and later ones wait behind them', () => {
    const { pacer, sent } = paced()
    pacer.push([update(1)])
    vi.advanceTimersByTime(0.9 * INTERVAL)
    pacer.push([{ trackSid: 'DTR_1', subscribe: false }])
    pacer.push([update(2)])
    pacer.push([update(1), update(3)])
    expect(sent).toEqual([['DTR_1'], ['DTR_1'], ['DTR_2']])
    // At least a whole interval, and at most two.
    vi.advanceTimersByTime(INTERVAL)
    expect(sent).toHaveLength(3)
    vi.advanceTimersByTime(INTERVAL)
    expect(sent.slice(3)).toEqual([['DTR_1', 'DTR_3']])
    vi.advanceTimersByTime(10 * INTERVAL)
    expect(vi.getTimerCount()).toBe(0)
  })

  it('that wait already are not sent twice if repeated, but a change is sent', () => {
    const { pacer, sent } = paced()
    for (let index = 0; index < 6; index++) pacer.push([update(index)])
    for (let index = 4; index < 6; index++) pacer.push([update(index)])
    pacer.push([{ ...update(5), options: { targetFps: 5 } }])
    vi.advanceTimersByTime(10 * INTERVAL)
    expect(sent.flat().slice(GROUP)).toEqual(['DTR_4', 'DTR_5', 'DTR_5'])
    // Sent and not answered, it is.
    pacer.push([update(4)])
    expect(sent.at(-1)).toEqual(['DTR_4'])
  })

  it('wait up to a bound; beyond it the oldest are sent at once, and none is lost', () => {
    const { pacer, sent } = paced()
    const all = MAX_WAITING + 1000
    for (let index = 0; index < all; index++) {
      pacer.push([update(index)])
      expect(pacer.waiting).toBeLessThanOrEqual(MAX_WAITING)
    }
    expect(sent.flat()).toHaveLength(1000)
    vi.advanceTimersByTime((MAX_WAITING / GROUP) * INTERVAL)
    expect(sent.flat()).toEqual(Array.from({ length: all }, (_, index) => `DTR_${index}`))
  })

  it('are discarded when their connection ends', () => {
    const { pacer, sent } = paced()
    pacer.push(Array.from({ length: 10 }, (_, index) => update(index)))
    pacer.clear()
    vi.advanceTimersByTime(10 * INTERVAL)
    expect(sent.flat()).toHaveLength(GROUP)
  })
})

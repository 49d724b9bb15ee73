import { describe, expect, it } from 'vitest'
import {
  LossPace,
  QUICK_LOSSES,
  QUICK_LOSS_INTERVAL,
  RECONNECT_ATTEMPTS,
  reconnectDelay,
} from '../../src/connection/backoff'
import { RETURN_TIME } from '../../src/room/returning'

const delays = (chance: number) =>
  Array.from({ length: RECONNECT_ATTEMPTS }, (_, attempt) => reconnectDelay(attempt, () => chance))

it('the first attempt to reconnect starts at once, and the last one within a minute', () => {
  expect(delays(0)[0]).toBe(0)
  expect(delays(0).reduce((total, delay) => total + delay, 0)).toBeLessThan(60_000)
  expect(delays(1)).toEqual([...delays(1)].sort((left, right) => left - right))
})

it('the random part makes a delay up to a third shorter, never longer', () => {
  for (const [attempt, longest] of delays(0).entries()) {
    expect(reconnectDelay(attempt, () => 0.5)).toBeLessThanOrEqual(longest)
    expect(reconnectDelay(attempt, () => 1)).toBeGreaterThanOrEqual(Math.floor((longest * 2) / 3))
  }
})

it('the wait for publishers that reconnect is longer than the longest delay between attempts', () => {
  expect(Math.max(...delays(0))).toBeLessThan(RETURN_TIME)
})

describe('a connection that is lost', () => {
  it('is reconnected at once, however often it is lost; if it always drops soon, the delay grows', () => {
    const pace = new LossPace()
    const lose = (count: number) => Array.from({ length: count }, () => pace.lost(1000, () => 0))
    expect(lose(QUICK_LOSSES)).toEqual(Array.from({ length: QUICK_LOSSES }, () => 0))
    const waits = lose(12)
    expect(waits).toEqual([...waits].sort((left, right) => left - right))
    expect([waits[0], waits.at(-1)]).toEqual([300, 7000])
    const later = 1000 + QUICK_LOSS_INTERVAL
    expect(pace.lost(later, () => 0)).toBe(0)
    expect(pace.lost(later, () => 0)).toBe(300)
  })

  it('because the program asked for it is reconnected at once, and does not count as a loss', () => {
    const pace = new LossPace()
    for (let count = 0; count < 10 * QUICK_LOSSES; count++) {
      pace.reset()
      expect(pace.lost(1)).toBe(0)
    }
    expect(pace.lost(1)).toBe(0)
  })
})

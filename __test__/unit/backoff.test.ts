import { expect, it } from 'vitest'
import { RECONNECT_ATTEMPTS, reconnectDelay } from '../../src/connection/backoff'
import { RETURN_TIME } from '../../src/room/returning'

const delays = (chance: number) =>
  Array.from({ length: RECONNECT_ATTEMPTS }, (_, attempt) => reconnectDelay(attempt, () => chance))

it('the first attempt to reconnect comes at once, and the last one within a minute', () => {
  expect(delays(0)[0]).toBe(0)
  expect(delays(0).reduce((total, delay) => total + delay, 0)).toBeLessThan(60_000)
  expect(delays(1)).toEqual([...delays(1)].sort((left, right) => left - right))
})

it('chance makes delays up to a third shorter, never longer', () => {
  for (const [attempt, longest] of delays(0).entries()) {
    expect(reconnectDelay(attempt, () => 0.5)).toBeLessThanOrEqual(longest)
    expect(reconnectDelay(attempt, () => 1)).toBeGreaterThanOrEqual(Math.floor((longest * 2) / 3))
  }
})

it('publishers who reconnect are waited for longer than the longest delay', () => {
  expect(Math.max(...delays(0))).toBeLessThan(RETURN_TIME)
})

import { describe, expect, it } from 'vitest'
import { LossPace, RECONNECT_ATTEMPTS, reconnectDelay, STABLE_TIME } from '../../src/connection/backoff'
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

describe('a connection that is lost', () => {
  it('and had lasted is looked for at once; one that drops right after it is back, later and later', () => {
    const pace = new LossPace()
    expect(pace.lost(0, () => 0)).toBe(0)
    let now = 0
    const waits = Array.from({ length: 12 }, () => {
      pace.recovered(now)
      now += STABLE_TIME - 1
      return pace.lost(now, () => 0)
    })
    expect(waits).toEqual([...waits].sort((left, right) => left - right))
    expect([waits[0], waits.at(-1)]).toEqual([300, 7000])
    pace.recovered(now)
    expect(pace.lost(now + STABLE_TIME, () => 0)).toBe(0)
  })

  it('because the program asks for it is looked for at once', () => {
    const pace = new LossPace()
    pace.recovered(0)
    pace.reset()
    expect(pace.lost(1, () => 0)).toBe(0)
  })
})

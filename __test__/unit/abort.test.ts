import { setTimeout as delay } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { withDeadline } from '../../src/base/abort'

it('a deadline fires with a TimeoutError even if it was garbage-collected in the meantime', async () => {
  const signal = withDeadline(50, new AbortController().signal)
  const until = performance.now() + 10_000
  while (!signal.aborted && performance.now() < until) {
    globalThis.gc?.()
    await delay(10)
  }
  expect([signal.aborted, (signal.reason as Error | undefined)?.name]).toEqual([true, 'TimeoutError'])
})

it('a deadline combined with signals aborts with the reason of the signal that aborts first', () => {
  const [first, second] = [new AbortController(), new AbortController()]
  const signal = withDeadline(60_000, first.signal, undefined, second.signal)
  expect(signal.aborted).toBe(false)
  second.abort('second')
  first.abort('first')
  expect(signal.reason).toBe('second')
  expect(withDeadline(60_000, new AbortController().signal, second.signal).reason).toBe('second')
})

/** Doing something at a steady rate, whatever the timers' grain. */

/**
 * Calls `action` `perSecond` times a second until the signal aborts. Timers here fire a millisecond or so late; what
 * came due meanwhile is done at once, so that the rate holds. After a long pause at most `burst` calls are made up for.
 */
export function pace(
  perSecond: number,
  signal: AbortSignal,
  action: (index: number) => void,
  burst = 100,
): void {
  const period = 1000 / perSecond
  const start = performance.now()
  let done = 0
  const timer = setInterval(
    () => {
      const due = Math.floor((performance.now() - start) / period)
      done = Math.max(done, due - burst)
      while (done < due && !signal.aborted) {
        done += 1
        action(done)
      }
    },
    Math.max(1, Math.floor(period)),
  )
  signal.addEventListener('abort', () => clearInterval(timer), { once: true })
}

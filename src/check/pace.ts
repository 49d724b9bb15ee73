/** Repeats an action at a steady rate, although timers have a coarse resolution. */

/**
 * Calls `action` `perSecond` times a second until the signal aborts. Timers of Node.js fire about a millisecond late.
 * Each tick therefore makes all calls that have become due since the tick before, which keeps the rate. After a long
 * pause at most `burst` calls are made up for.
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

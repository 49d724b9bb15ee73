/** Times that a server gives. */

/**
 * A time that all servers give in Unix seconds, and newer ones in ms, too. `undefined`: neither, or not a time. Each is
 * a `bigint`, or what another copy of the protocol has for it.
 */
export function timeOf(ms: unknown, seconds: unknown): Date | undefined {
  const time = new Date(Number(ms ?? 0) || Number(seconds ?? 0) * 1000)
  return time.getTime() > 0 ? time : undefined
}

/** When a server is pinged, how long its answers took, and when its silence means that it is gone. */

/** What a join response says of pings, s. */
export interface PingSettings {
  readonly pingInterval: number
  readonly pingTimeout: number
}

/** s; what the server says counts more. */
const PING_INTERVAL = 5
const PING_TIMEOUT = 15
/** Nothing else than what makes sense: a server that asks for more pings, or for none for days, is mistaken. */
export const MAX_PING_INTERVAL = 60
export const MAX_PING_TIMEOUT = 300
/** Pings whose answers are matched. So a late answer can be told from one to no ping. */
export const MAX_PINGS = 8

/** See the top of this file. */
export class Pings {
  readonly intervalMs: number
  /** A server that sends nothing for this long counts as gone. */
  readonly silenceMs: number
  readonly #now: () => number
  /** When they were sent, by their timestamps. */
  readonly #sent = new Map<bigint, number>()
  #lastTimestamp = 0n
  /** Round trip of the last ping that came back, ms; `undefined` before the first one did. */
  rtt: number | undefined

  /** `now`: monotonic. The wall clock is only told to the server: it may be set meanwhile. */
  constructor(settings: PingSettings | undefined, now = (): number => performance.now()) {
    this.#now = now
    const interval = seconds(settings?.pingInterval, PING_INTERVAL, MAX_PING_INTERVAL)
    const timeout = seconds(settings?.pingTimeout, PING_TIMEOUT, MAX_PING_TIMEOUT)
    this.intervalMs = interval * 1000
    // One ping at least must have had the time to be answered.
    this.silenceMs = Math.max(timeout, 2 * interval) * 1000
  }

  /** A ping that is about to be sent. */
  next(): { readonly timestamp: bigint; readonly rtt: bigint } {
    const wall = BigInt(Date.now())
    // Each has its own, also when the clock was set back.
    this.#lastTimestamp = wall > this.#lastTimestamp ? wall : this.#lastTimestamp + 1n
    this.#sent.set(this.#lastTimestamp, this.#now())
    const [oldest] = this.#sent.keys()
    if (this.#sent.size > MAX_PINGS && oldest !== undefined) this.#sent.delete(oldest)
    return { timestamp: this.#lastTimestamp, rtt: BigInt(Math.round(this.rtt ?? 0)) }
  }

  /** A pong came for the ping with that timestamp; for one that was not sent it says nothing. */
  answered(timestamp: bigint): void {
    const sent = this.#sent.get(timestamp)
    if (sent === undefined) return
    this.rtt = this.#now() - sent
    this.#sent.delete(timestamp)
  }
}

/** 0, or less, stands for a server that says nothing of it. */
function seconds(said: number | undefined, otherwise: number, most: number): number {
  return said === undefined || !(said > 0) ? otherwise : Math.min(said, most)
}

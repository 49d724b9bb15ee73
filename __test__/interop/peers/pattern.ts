/**
 * What travels in a run: frames whose bytes and timestamps follow from their number, so that each end makes and checks
 * them by itself. Runs in Node.js and, compiled, in the browser's page; `peer.py` has the same in Python.
 */

/** Frames of one size through one track. */
export interface Run {
  readonly track: string
  /** Bytes of a payload. */
  readonly size: number
  readonly count: number
  /** Frames a second. */
  readonly rate: number
  /** The number of the first frame that is sent. Default: 0. */
  readonly first?: number
}

/** What has come of a run at a subscriber. */
export interface Received {
  /** Different frames whose bytes and timestamp are what was sent. */
  readonly good: number
  /** Frames with other bytes, or with a number that was not sent. */
  readonly garbage: number
  /** Frames with the right bytes and another timestamp. */
  readonly mistimed: number
  readonly duplicates: number
  /** Numbers of those that did not come. */
  readonly missing: readonly number[]
  /** Frames of {@link WARM}. */
  readonly warm: number
}

/** Frames with timestamps from here on only find out whether the way is open; from {@link END} on, the run is over. */
export const WARM = 2n ** 60n
export const END = 2n ** 61n

/** The first frame's timestamp: LiveKit's browser SDK takes 0 for none. */
const FIRST = 1_700_000_000_000n
/** A prime, so that no two packets of a frame are alike. */
const PERIOD = 65_521
const STEP = 7919
/** Enough for a frame of 1 MB from any offset. */
const PERIODS = 17

const tape = new Uint8Array(PERIOD * PERIODS)
for (let at = 0, state = 1; at < PERIOD; at++) {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
  tape[at] = state >>> 24
}
for (let period = 1; period < PERIODS; period++) tape.copyWithin(period * PERIOD, 0, PERIOD)

/** The payload of a frame: its number where there is room for it, and bytes that depend on it. */
export function payloadOf(number: number, size: number): Uint8Array {
  const start = (number * STEP) % PERIOD
  const payload = tape.slice(start, start + size)
  if (size >= 4) new DataView(payload.buffer).setUint32(0, number, true)
  return payload
}

/** The timestamp of a frame. Every tenth frame has none, where its payload says which one it is. */
export function timestampOf(number: number, size: number): bigint | undefined {
  return size >= 4 && number % 10 === 9 ? undefined : FIRST + BigInt(number)
}

/** The largest `warm` frame: one packet, which every SDK brings to the other side, busy as the machine may be. */
const MAX_WARM = 15_900

/** The size of a `warm` frame: some SDKs send nothing for a frame without bytes. */
export function warmSize(size: number): number {
  return Math.min(Math.max(1, size), MAX_WARM)
}

/** What a subscriber has got of a run. */
export class Tally {
  readonly #size: number
  readonly #count: number
  readonly #seen = new Set<number>()
  #good = 0
  #garbage = 0
  #mistimed = 0
  #duplicates = 0
  /** Frames from {@link WARM} on. */
  warm = 0
  ended = false

  constructor(size: number, count: number) {
    this.#size = size
    this.#count = count
  }

  /** Different frames that have come. */
  get frames(): number {
    return this.#seen.size
  }

  /** All have come. */
  get complete(): boolean {
    return this.frames === this.#count
  }

  /** So many different frames have come, or garbage: then there is nothing to wait for. */
  has(frames: number): boolean {
    return this.frames >= frames || this.#garbage > 0
  }

  take(payload: Uint8Array, timestamp: bigint | undefined): void {
    if (timestamp !== undefined && timestamp >= END) this.ended = true
    else if (timestamp !== undefined && timestamp >= WARM) this.warm++
    else this.#frame(payload, timestamp)
  }

  #frame(payload: Uint8Array, timestamp: bigint | undefined): void {
    const number = this.#number(payload, timestamp)
    if (!(number >= 0 && number < this.#count) || !same(payload, payloadOf(number, this.#size))) {
      this.#garbage++
    } else if (this.#seen.has(number)) this.#duplicates++
    else {
      this.#seen.add(number)
      if (timestamp === timestampOf(number, this.#size)) this.#good++
      else this.#mistimed++
    }
  }

  #number(payload: Uint8Array, timestamp: bigint | undefined): number {
    if (payload.length >= 4) return new DataView(payload.buffer, payload.byteOffset).getUint32(0, true)
    return timestamp === undefined ? NaN : Number(timestamp - FIRST)
  }

  result(): Received {
    const missing = Array.from({ length: this.#count }, (_, number) => number)
    return {
      good: this.#good,
      garbage: this.#garbage,
      mistimed: this.#mistimed,
      duplicates: this.#duplicates,
      warm: this.warm,
      missing: missing.filter((number) => !this.#seen.has(number)),
    }
  }
}

function same(left: Uint8Array, right: Uint8Array): boolean {
  if (left.length !== right.length) return false
  for (let at = 0; at < left.length; at++) if (left[at] !== right[at]) return false
  return true
}

/** Calls `push` with the number of each frame, at the run's rate; the first one an interval from now. */
export async function paced(run: Run, push: (number: number) => void): Promise<void> {
  const { count, rate, first = 0 } = run
  const start = performance.now()
  for (let sent = 0; sent < count;) {
    const due = Math.min(count, Math.floor(((performance.now() - start) * rate) / 1000))
    while (sent < due) push(first + sent++)
    const next = start + ((sent + 1) * 1000) / rate - performance.now()
    if (sent < count) await new Promise((resolve) => setTimeout(resolve, Math.max(0, next)))
  }
}

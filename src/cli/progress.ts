/** A line on standard error that tells how it goes. */
import { note } from './output'
import { LiveBlock } from './table'

/** ms between two looks: on a terminal, where the line is redrawn, and in a log. */
const LIVE = 500
const LOGGED = 10_000

/** How much went by: in all, and a second. */
export class Throughput {
  frames = 0
  bytes = 0
  #started: number | undefined
  #lookedAt = performance.now()
  #framesThen = 0
  #bytesThen = 0

  add(bytes: number): void {
    // The wait for the first frame does not count for the rate.
    this.#started ??= performance.now()
    this.frames += 1
    this.bytes += bytes
  }

  /** In all, and at what rate since the last call. */
  line(dropped: string): string {
    const now = performance.now()
    const seconds = Math.max(now - this.#lookedAt, 1) / 1000
    const text = this.#text(
      (this.frames - this.#framesThen) / seconds,
      (this.bytes - this.#bytesThen) / seconds,
      dropped,
    )
    this.#lookedAt = now
    this.#framesThen = this.frames
    this.#bytesThen = this.bytes
    return text
  }

  /** In all, and at what rate on average. */
  summary(dropped: string): string {
    const now = performance.now()
    const seconds = Math.max(now - (this.#started ?? now), 1) / 1000
    return this.#text(this.frames / seconds, this.bytes / seconds, dropped)
  }

  #text(frameRate: number, byteRate: number, dropped: string): string {
    return (
      `${count(this.frames, 'frame')}, ${size(this.bytes)}, ${frameRate.toFixed(frameRate < 10 ? 1 : 0)} frames/s, ` +
      `${size(byteRate)}/s, dropped ${dropped}`
    )
  }
}

/** Shows a line again and again; `quiet`: never, `live`: redrawn in place where standard error is a terminal. */
export class Progress {
  readonly #quiet: boolean
  readonly #timer: NodeJS.Timeout | undefined

  constructor(line: () => string, { quiet, live }: { readonly quiet: boolean; readonly live: boolean }) {
    this.#quiet = quiet
    if (quiet) return
    const redrawn = live && process.stderr.isTTY
    const block = new LiveBlock(process.stderr)
    let logged = line()
    this.#timer = setInterval(
      () => {
        const text = line()
        if (redrawn) block.draw([text])
        else if (text !== logged) note(text)
        logged = text
      },
      redrawn ? LIVE : LOGGED,
    )
  }

  /** Ends it with a last line. */
  stop(summary: string): void {
    clearInterval(this.#timer)
    if (!this.#quiet) note(summary)
  }
}

/** "1 frame", "1,234 frames". */
export function count(number: number, noun: string): string {
  return `${number.toLocaleString('en')} ${noun}${number === 1 ? '' : 's'}`
}

/** Bytes for people: "999 B", "1.5 kB", "12.3 MB", "1.2 GB". */
export function size(bytes: number): string {
  let value = bytes
  for (const unit of ['B', 'kB', 'MB']) {
    if (value < 999.5) return `${unit === 'B' || value >= 100 ? value.toFixed(0) : value.toFixed(1)} ${unit}`
    value /= 1000
  }
  return `${value.toFixed(1)} GB`
}

/** "0", or "3 queueFull, 1 timedOut". */
export function dropsText(...counts: readonly Readonly<Record<string, number | undefined>>[]): string {
  const all = Object.entries(dropsOf(...counts)).map(([reason, number]) => `${number} ${reason}`)
  return all.length === 0 ? '0' : all.join(', ')
}

/** Adds up what was dropped, by reason; without what never was. */
export function dropsOf(
  ...counts: readonly Readonly<Record<string, number | undefined>>[]
): Record<string, number> {
  const sums: Record<string, number> = {}
  for (const [reason, number = 0] of counts.flatMap((dropped) => Object.entries(dropped))) {
    if (number > 0) sums[reason] = (sums[reason] ?? 0) + number
  }
  return sums
}

/** Reports progress in lines on standard error. */
import { note } from './output'
import { LiveBlock } from './table'

/** Interval between two lines, ms: on a terminal, where the line is redrawn, and in a log. */
const LIVE = 500
const LOGGED = 10_000

/** Counts frames and bytes, in all and a second. */
export class Throughput {
  frames = 0
  bytes = 0
  #started: number | undefined
  #lookedAt = performance.now()
  #framesThen = 0
  #bytesThen = 0

  add(bytes: number): void {
    // The time before the first frame is left out of the average rate.
    this.#started ??= performance.now()
    this.frames += 1
    this.bytes += bytes
  }

  /** The total, and the rate since the last call. */
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

  /** The total, and the average rate. */
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

/**
 * Shows the line at regular intervals until `stop`. `quiet`: shows nothing. `live`: if standard error is a terminal,
 * the line is redrawn in place.
 */
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

  /** Stops, and shows a last line. */
  stop(summary: string): void {
    clearInterval(this.#timer)
    if (!this.#quiet) note(summary)
  }
}

/** "1 frame", "1,234 frames". */
export function count(number: number, noun: string): string {
  return `${number.toLocaleString('en')} ${noun}${number === 1 ? '' : 's'}`
}

/** Bytes in a readable unit: "999 B", "1.5 kB", "12.3 MB", "1.2 GB". */
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

/** The sums of the counts by reason, without the reasons whose sum is 0. */
export function dropsOf(
  ...counts: readonly Readonly<Record<string, number | undefined>>[]
): Record<string, number> {
  const sums: Record<string, number> = {}
  for (const [reason, number = 0] of counts.flatMap((dropped) => Object.entries(dropped))) {
    if (number > 0) sums[reason] = (sums[reason] ?? 0) + number
  }
  return sums
}

/** Durations on the command line. */
import { loadCommander } from '../base/lazy'

const units: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 }
/** The longest lifetime of a token, s: ten years. */
const LONGEST = 3650 * 86_400

/** A duration such as `90s`, `15m`, `6h` or `7d`, in s. */
export function durationOf(text: string): number {
  const [, number, unit = ''] = /^(\d{1,9})([smhd])$/.exec(text) ?? []
  const seconds = Number(number) * (units[unit] ?? NaN)
  if (seconds >= 1 && seconds <= LONGEST) return seconds
  const { InvalidArgumentError } = loadCommander()
  throw new InvalidArgumentError('It must be a whole number and s, m, h or d, up to 3650d.')
}

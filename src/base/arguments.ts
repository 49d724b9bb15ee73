/** Checks of what callers hand in. Messages name the argument and what is allowed, as Node's own do. */
import { inspect, types } from 'node:util'

/** A `TypeError` for an argument of the wrong type. `expected` reads on after "must be". */
export function invalidType(name: string, expected: string, value: unknown): TypeError {
  const shown = inspect(value, { depth: 0, maxStringLength: 64, maxArrayLength: 4 })
  // A large buffer or a key must not end up in a log.
  const received = types.isAnyArrayBuffer(value) || ArrayBuffer.isView(value) ? value.constructor.name : shown
  const error = new TypeError(`The argument "${name}" must be ${expected}. Received ${received}`)
  return Object.assign(error, { code: 'ERR_INVALID_ARG_TYPE' as const })
}

/** A `RangeError` for an argument out of its range. `allowed` reads on after "must be". */
export function outOfRange(name: string, allowed: string, value: unknown): RangeError {
  const error = new RangeError(
    `The value of "${name}" is out of range. It must be ${allowed}. Received ${inspect(value)}`,
  )
  return Object.assign(error, { code: 'ERR_OUT_OF_RANGE' as const })
}

/** A number within limits, both included; `fallback` where it is absent. */
export function number(
  name: string,
  value: unknown,
  fallback: number,
  min: number,
  max: number,
  unit = '',
): number {
  if (value === undefined) return fallback
  if (typeof value !== 'number') throw invalidType(name, 'a number', value)
  if (!(value >= min && value <= max)) throw outOfRange(name, `>= ${min} and <= ${max}${unit}`, value)
  return value
}

/** A whole number within limits, both included; `fallback` where it is absent. */
export function integer(
  name: string,
  value: unknown,
  fallback: number,
  min: number,
  max: number,
  unit = '',
): number {
  const checked = number(name, value, fallback, min, max, unit)
  if (value !== undefined && !Number.isInteger(checked)) {
    throw outOfRange(name, `a whole number >= ${min} and <= ${max}${unit}`, value)
  }
  return checked
}

/** A boolean; `fallback` where it is absent. */
export function boolean(name: string, value: unknown, fallback: boolean): boolean {
  if (value === undefined) return fallback
  if (typeof value !== 'boolean') throw invalidType(name, 'a boolean', value)
  return value
}

/** A string. */
export function string(name: string, value: unknown): string {
  if (typeof value !== 'string') throw invalidType(name, 'a string', value)
  return value
}

/** An array of strings. */
export function strings(name: string, value: unknown): string[] {
  if (!Array.isArray(value)) throw invalidType(name, 'an array of strings', value)
  return value.map((entry, index) => string(`${name}[${index}]`, entry))
}

/** One of a few strings; `fallback` where it is absent. */
export function oneOf<T extends string>(
  name: string,
  value: unknown,
  fallback: T,
  allowed: readonly [T, ...T[]],
): T {
  if (value === undefined) return fallback
  if (typeof value !== 'string') throw invalidType(name, 'a string', value)
  const found = allowed.find((candidate) => candidate === value)
  if (found === undefined) {
    throw outOfRange(name, `one of ${allowed.map((candidate) => `'${candidate}'`).join(', ')}`, value)
  }
  return found
}

/** An object of options, absent or not. */
export function options<T extends object>(name: string, value: T | undefined): Partial<T> {
  if (value === undefined) return {}
  if (typeof value !== 'object' || (value as unknown) === null) throw invalidType(name, 'an object', value)
  return value
}

/** An `AbortSignal`, absent or not. */
export function signal(name: string, value: AbortSignal | undefined): AbortSignal | undefined {
  if (value === undefined) return undefined
  const given = value as Partial<AbortSignal> | null
  // By shape: signals of another realm, or of a polyfill, are welcome.
  if (
    typeof given !== 'object' ||
    given === null ||
    typeof given.aborted !== 'boolean' ||
    typeof given.addEventListener !== 'function'
  ) {
    throw invalidType(name, 'an AbortSignal', value)
  }
  return value
}

/** A function. */
export function callback(name: string, value: unknown): void {
  if (typeof value !== 'function') throw invalidType(name, 'a function', value)
}

/** Bytes that nobody else writes: a `Uint8Array` (a `Buffer` is one) over an `ArrayBuffer`. */
export function bytes(name: string, value: unknown): Uint8Array {
  if (!types.isUint8Array(value)) throw invalidType(name, 'a Uint8Array', value)
  if (types.isSharedArrayBuffer(value.buffer)) {
    throw invalidType(name, 'a Uint8Array over memory that is not shared', value)
  }
  // What was transferred is empty; only what is empty is looked at.
  if (value.length === 0 && isDetached(value.buffer)) {
    throw invalidType(name, 'a Uint8Array whose buffer is not detached', value)
  }
  return value
}

/** Whether the memory of a buffer has gone to another one: `postMessage` and `structuredClone` transfer it. */
function isDetached(buffer: ArrayBufferLike): boolean {
  try {
    new Uint8Array(buffer)
    return false
  } catch {
    return true
  }
}

/**
 * A text that can be in an HTTP header, without line breaks and spaces around it: a file's last line often has one.
 * The text itself is in no error, as it may be a secret.
 */
export function headerText(name: string, value: unknown): string {
  const text = string(name, value).trim()
  if (text === '') throw outOfRange(`${name}.length`, '>= 1', 0)
  if (/^[\x20-\x7e]+$/.test(text)) return text
  const error = new TypeError(
    `The argument "${name}" must be of printable ASCII characters. It has others, or a line break in its midst`,
  )
  throw Object.assign(error, { code: 'ERR_INVALID_ARG_VALUE' as const })
}

/** A user timestamp: an unsigned 64-bit `bigint`. */
export function timestamp(name: string, value: unknown): bigint {
  if (typeof value !== 'bigint') throw invalidType(name, 'a bigint', value)
  if (value < 0n || value > 0xffff_ffff_ffff_ffffn)
    throw outOfRange(name, '>= 0n and <= 2n ** 64n - 1n', value)
  return value
}

/** An object with certain methods. */
export function methods(name: string, value: object, names: readonly string[]): void {
  for (const method of names)
    callback(`${name}.${method}`, (value as Readonly<Record<string, unknown>>)[method])
}

/** Whether a value of unknown shape, a message of the server's for example, can be asked for fields. */
export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}

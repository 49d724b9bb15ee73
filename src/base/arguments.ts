/** Checks of the arguments that callers pass. Messages name the argument and the allowed values, as Node's own do. */
import { inspect, types } from 'node:util'

/** A `TypeError` for an argument of the wrong type. `expected` completes the phrase "must be". */
export function invalidType(name: string, expected: string, value: unknown): TypeError {
  const shown = inspect(value, { depth: 0, maxStringLength: 64, maxArrayLength: 4 })
  // Contents are left out: neither a large buffer nor a key may get into a log.
  const received = types.isAnyArrayBuffer(value) || ArrayBuffer.isView(value) ? value.constructor.name : shown
  const error = new TypeError(`The argument "${name}" must be ${expected}. Received ${received}`)
  return Object.assign(error, { code: 'ERR_INVALID_ARG_TYPE' as const })
}

/** A `RangeError` for an argument out of its range. `allowed` completes the phrase "must be". */
export function outOfRange(name: string, allowed: string, value: unknown): RangeError {
  const error = new RangeError(
    `The value of "${name}" is out of range. It must be ${allowed}. Received ${inspect(value)}`,
  )
  return Object.assign(error, { code: 'ERR_OUT_OF_RANGE' as const })
}

/** A number from `min` to `max`, both included; `fallback` if it is `undefined`. */
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

/** A whole number from `min` to `max`, both included; `fallback` if it is `undefined`. */
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

/** A whole number from 0 to `max` that must be there. */
export function whole(name: string, value: unknown, max: number): number {
  return requiredInteger(name, value, 0, max)
}

/** A whole number from `min` to `max` that must be there. */
export function requiredInteger(name: string, value: unknown, min: number, max: number): number {
  if (typeof value !== 'number') throw invalidType(name, 'a number', value)
  return integer(name, value, min, min, max)
}

/** A boolean that must be there. */
export function requiredBoolean(name: string, value: unknown): boolean {
  if (typeof value !== 'boolean') throw invalidType(name, 'a boolean', value)
  return value
}

/** A boolean; `fallback` if it is `undefined`. */
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

/** One of the allowed strings; `fallback` if it is `undefined`. */
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

/** An object of options; an empty object if it is `undefined`. */
export function options<T extends object>(name: string, value: T | undefined): Partial<T> {
  if (value === undefined) return {}
  if (typeof value !== 'object' || (value as unknown) === null) throw invalidType(name, 'an object', value)
  return value
}

/** An `AbortSignal` or `undefined`. */
export function signal(name: string, value: AbortSignal | undefined): AbortSignal | undefined {
  if (value === undefined) return undefined
  const given = value as Partial<AbortSignal> | null
  // Checked by its shape, because signals of another realm or of a polyfill are valid, too.
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

/** A `Uint8Array` (a `Buffer` is one) over an `ArrayBuffer`, so that no other thread can write to it. */
export function bytes(name: string, value: unknown): Uint8Array {
  if (!types.isUint8Array(value)) throw invalidType(name, 'a Uint8Array', value)
  if (types.isSharedArrayBuffer(value.buffer)) {
    throw invalidType(name, 'a Uint8Array over memory that is not shared', value)
  }
  // A detached buffer has length 0, so only empty arrays need this check.
  if (value.length === 0 && isDetached(value.buffer)) {
    throw invalidType(name, 'a Uint8Array whose buffer is not detached', value)
  }
  return value
}

/** Whether a buffer's memory was transferred, as `postMessage` and `structuredClone` can do. */
function isDetached(buffer: ArrayBufferLike): boolean {
  try {
    new Uint8Array(buffer)
    return false
  } catch {
    return true
  }
}

/**
 * A text that is valid in an HTTP header. Leading and trailing whitespace is removed, because a file's last line often
 * ends with a line break. Errors do not contain the text, which may be a secret.
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

/** Checks that an object has these methods. */
export function methods(name: string, value: object, names: readonly string[]): void {
  for (const method of names)
    callback(`${name}.${method}`, (value as Readonly<Record<string, unknown>>)[method])
}

/** Whether a value of unknown shape, a message of the server for example, is an object whose fields can be read. */
export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}

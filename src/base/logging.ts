/** One log for TypeScript and Rust. By default warnings and errors go to the console. */
import * as check from './arguments'
import { printableLines } from './printable'

/** The lowest level that is logged. `silent`: nothing. Default: `warn`. */
export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent'

/** The target of {@link setLogger}: pino, or the console behind a few lines of code. */
export interface Logger {
  trace(fields: LogFields, message: string): void
  debug(fields: LogFields, message: string): void
  info(fields: LogFields, message: string): void
  warn(fields: LogFields, message: string): void
  error(fields: LogFields, message: string): void
}

/** Fields of a log record. They never contain payloads, tokens, keys or peers' addresses. */
export interface LogFields {
  /** The part of the package that logs, `datatrack::subscriber` for example. */
  readonly target: string
}

const levels = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const satisfies readonly LogLevel[]

const consoleLogger: Logger = {
  trace: ({ target }, message) => console.debug(`[node-datatrack] ${target}: ${message}`),
  debug: ({ target }, message) => console.debug(`[node-datatrack] ${target}: ${message}`),
  info: ({ target }, message) => console.info(`[node-datatrack] ${target}: ${message}`),
  warn: ({ target }, message) => console.warn(`[node-datatrack] ${target}: ${message}`),
  error: ({ target }, message) => console.error(`[node-datatrack] ${target}: ${message}`),
}

let logger: Logger = consoleLogger
let level: LogLevel = 'warn'
/** The native addon's setter, once the addon is loaded. The addon creates no record below the level. */
let follower: ((level: LogLevel) => void) | undefined

/** Sends all log records to this logger, pino for example; `undefined`: to the console again. Takes effect at once. */
export function setLogger(target: Logger | undefined): void {
  if (target === undefined) {
    logger = consoleLogger
    return
  }
  if (typeof target !== 'object' || (target as unknown) === null) {
    throw check.invalidType('logger', 'a logger', target)
  }
  check.methods('logger', target, ['trace', 'debug', 'info', 'warn', 'error'])
  logger = target
}

/** Sets the lowest level that is logged. Records below it are not even created. Default: `warn`. */
export function setLogLevel(next: LogLevel): void {
  level = check.oneOf('level', next, 'warn', levels)
  follower?.(level)
}

/** @internal Calls `tell` with the level now and after each change. */
export function followLogLevel(tell: (level: LogLevel) => void): void {
  follower = tell
  tell(level)
}

/** Logs a record from TypeScript. */
export function log(at: Exclude<LogLevel, 'silent'>, target: string, message: string): void {
  if (levels.indexOf(at) < levels.indexOf(level)) return
  emit(at, target, message)
}

/** @internal Logs records from Rust. */
export function deliverLogs(
  records: readonly { level: string; target: string; message: string }[],
  lost: number,
): void {
  for (const record of records) {
    const at = levels.find((candidate) => candidate === record.level)
    if (at !== undefined && at !== 'silent') emit(at, record.target, record.message)
  }
  if (lost > 0) emit('warn', 'datatrack', `${lost} log records were lost: there were too many at once`)
}

function emit(at: Exclude<LogLevel, 'silent'>, target: string, message: string): void {
  try {
    logger[at]({ target }, printableLines(message))
  } catch {
    // An exception in the logger must not break the stream or room that logged.
  }
}

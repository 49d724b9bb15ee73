/** One log for both languages. By default warnings and errors go to the console. */
import * as check from './arguments'
import { printableLines } from './printable'

/** What is logged: the level and those above it. `silent`: nothing. Default: `warn`. */
export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent'

/** What {@link setLogger} takes: pino, or the console with a few lines around it. */
export interface Logger {
  trace(fields: LogFields, message: string): void
  debug(fields: LogFields, message: string): void
  info(fields: LogFields, message: string): void
  warn(fields: LogFields, message: string): void
  error(fields: LogFields, message: string): void
}

/** What stands beside a message. Never payloads, tokens, keys or the addresses of peers. */
export interface LogFields {
  /** The part of the package that speaks, `datatrack::subscriber` for example. */
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
/** The native addon, once it is loaded: it makes no record below the level. */
let follower: ((level: LogLevel) => void) | undefined

/** Sends all logs there, a pino logger for example; `undefined`: to the console again. Takes effect at once. */
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

/** Sets what is logged; records below the level are not even made. Default: `warn`. */
export function setLogLevel(next: LogLevel): void {
  level = check.oneOf('level', next, 'warn', levels)
  follower?.(level)
}

/** @internal Tells the level now and after each change. */
export function followLogLevel(tell: (level: LogLevel) => void): void {
  follower = tell
  tell(level)
}

/** A record of TypeScript's own. */
export function log(at: Exclude<LogLevel, 'silent'>, target: string, message: string): void {
  if (levels.indexOf(at) < levels.indexOf(level)) return
  emit(at, target, message)
}

/** @internal Records that came from Rust. */
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
    // A logger that throws must not break the stream or room that had something to say.
  }
}

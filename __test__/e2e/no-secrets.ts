/**
 * Collects the log of the package and the errors that it makes in the tests of a file. The log level is `debug` unless
 * the file sets another. The file fails if one of these texts contains a token, a key, a payload or a peer's address.
 */
import { afterAll, beforeAll, expect, vi } from 'vitest'
import type { Logger } from '../../index'
import { said } from '../helpers/said'
import { secretsIn } from '../helpers/secrets'

// All errors of the package are made by these classes.
vi.mock('../../src/base/errors', async (importOriginal) => {
  const { said } = await import('../helpers/said.js')
  const original = await importOriginal<Record<string, unknown>>()
  const listening = (maker: abstract new (...args: unknown[]) => Error): unknown =>
    new Proxy(maker, {
      construct(target, args, newTarget): Error {
        const error = Reflect.construct(target, args, newTarget) as Error
        for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
          said.push(`${cause.name}: ${cause.message}`)
        }
        return error
      },
    })
  const makers = Object.entries(original).map(([name, value]) => [
    name,
    typeof value === 'function' && value.prototype instanceof Error
      ? listening(value as new (...args: unknown[]) => Error)
      : value,
  ])
  return Object.fromEntries(makers) as object
})

const levels = ['trace', 'debug', 'info', 'warn', 'error'] as const
const logger = Object.fromEntries(
  levels.map((level) => [
    level,
    ({ target }: { target: string }, message: string) => {
      said.push(`${level} ${target}: ${message}`)
      if (level === 'warn' || level === 'error') console[level](`[node-datatrack] ${target}: ${message}`)
    },
  ]),
) as unknown as Logger

// The package is not imported at the top, because a file may replace modules before they are loaded.
beforeAll(async () => {
  const { setLogger, setLogLevel } = await import('../../index.js')
  setLogger(logger)
  setLogLevel('debug')
})

afterAll(async () => {
  // This record proves that the logger works. A file that uses the package only in other processes has no other record.
  const [{ setLogLevel }, { log }] = await Promise.all([
    import('../../index.js'),
    import('../../src/base/logging.js'),
  ])
  setLogLevel('debug')
  log('debug', 'no-secrets', 'the end')
  expect(said).toContain('debug no-secrets: the end')
  expect(said.filter((text) => secretsIn(text).length > 0)).toEqual([])
})

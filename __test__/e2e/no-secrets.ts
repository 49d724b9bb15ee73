/**
 * Listens to all that the package says in the tests of a file, at the level `debug` unless the file sets another, and to
 * the errors that it makes; fails the file if one of them has a token, a key, a payload or a peer's address in it.
 */
import { afterAll, beforeAll, expect, vi } from 'vitest'
import type { Logger } from '../../index'
import { said } from '../helpers/said'
import { secretsIn } from '../helpers/secrets'

// Every error is made by one of these classes.
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

// Here, and not at the top: a file may replace modules for itself, before they are loaded.
beforeAll(async () => {
  const { setLogger, setLogLevel } = await import('../../index.js')
  setLogger(logger)
  setLogLevel('debug')
})

afterAll(async () => {
  // A file whose package runs in programs of its own hears nothing else; without this, nothing was listened to.
  const [{ setLogLevel }, { log }] = await Promise.all([
    import('../../index.js'),
    import('../../src/base/logging.js'),
  ])
  setLogLevel('debug')
  log('debug', 'no-secrets', 'the end')
  expect(said).toContain('debug no-secrets: the end')
  expect(said.filter((text) => secretsIn(text).length > 0)).toEqual([])
})

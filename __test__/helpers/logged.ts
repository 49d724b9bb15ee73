/** What the package logs in a test. */
import { afterEach, beforeEach } from 'vitest'
import { setLogger } from '../../index'

/**
 * Keeps the texts that the package logs, for each test of the file that calls it. Each test begins with an empty list.
 * `debug: false` leaves out those of the level `debug`.
 */
export function keepLogs({ debug = true } = {}): string[] {
  const logged: string[] = []
  const keep = (_fields: object, text: string): void => void logged.push(text)
  beforeEach(() => {
    logged.length = 0
    setLogger({ trace: keep, debug: debug ? keep : () => {}, info: keep, warn: keep, error: keep })
  })
  afterEach(() => setLogger(undefined))
  return logged
}

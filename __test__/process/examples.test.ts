/** The examples of the documentation: each of them runs as it is, and prints what its comments say. */
import { existsSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { allExamples, examplesOf } from '../../scripts/lib/examples.cjs'
import { tryExample } from '../helpers/examples'

describe('examples', () => {
  const all = allExamples()

  test('exist in the README and the other pages', () => {
    expect(existsSync('dist/index.mjs'), 'run `npm run build:dev` first').toBe(true)
    expect(examplesOf('README.md')).toHaveLength(1)
    expect(all.length).toBeGreaterThan(10)
  })

  test.concurrent.each(all)('$name runs, prints what its comments say, and ends', async (example) => {
    await tryExample(example, process.execPath)
  })
})

import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { consumer, installed, remove, runIn, tarballs } from './consumer'

/** The oldest Node that `engines` allows, the newest of each line, and the others. */
const programs: [string, string, string[]][] = [
  ['Node 20.4', 'node20/bin/node', []],
  ['Node 22', 'node22/bin/node', []],
  ['Node 24', 'node24/bin/node', []],
  ['Node 26', 'node26/bin/node', []],
  ['Bun', '@oven/bun-linux-x64/bin/bun', []],
  [
    'Deno',
    '@deno/linux-x64-glibc/deno',
    ['run', '--allow-all', '--quiet', '--no-lock', '--node-modules-dir=manual'],
  ],
]

let folder: string
let runtimes: string

beforeAll(() => {
  const { main, platforms } = tarballs()
  folder = consumer(main, platforms)
  runtimes = installed('runtimes')
})
afterAll(() => {
  remove(folder)
})

describe.each(programs)('%s', (_, program, options) => {
  test.each(['import.mjs', 'require.cjs'])('carries a frame, %s', (script) => {
    expect(runIn(folder, join(runtimes, program), [...options, script])).toMatch(/^smoke ok/)
  })
})

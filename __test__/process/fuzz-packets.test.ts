/** A short run of the fuzzer of data packets; `node scripts/fuzz-packets.mjs` runs it for as long as one likes. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'

const fuzz = (...options: string[]) =>
  promisify(execFile)(process.execPath, [
    '--expose-gc',
    '--max-old-space-size=1024',
    'scripts/fuzz-packets.mjs',
    ...options,
  ])

it('no data packet of a participant causes an exception, and all counters and memory return to their start', async () => {
  const { stdout } = await fuzz('--sequences=30', '--seed=2')
  const [, packets = '', delivered = ''] = /^30 sequences, (\d+) packets, (\d+) delivered/.exec(stdout) ?? []
  expect(Number(packets), stdout).toBeGreaterThan(3000)
  expect(Number(delivered), stdout).toBeGreaterThan(1000)
}, 120_000)

it('an exception that a packet causes ends the fuzzer, which prints how to repeat the run', async () => {
  const ending = fuzz('--sequences=30', '--seed=2', '--fail-at=1')
  await expect(ending).rejects.toMatchObject({
    code: 1,
    stdout: expect.stringContaining('fuzz-packets.mjs --seed=2 --only=1'),
  })
}, 120_000)

/** The command `datatrack` in the process of the test. A process for each command would take its time. */
import { vi } from 'vitest'
import { run } from '../../src/cli/program'

/** Runs a command to its end. It sees no `LIVEKIT_…` variables. */
export async function runHere(
  args: readonly string[],
): Promise<{ code: unknown; stdout: string; stderr: string }> {
  for (const name of Object.keys(process.env)) if (name.startsWith('LIVEKIT_')) vi.stubEnv(name, undefined)
  const written = { stdout: '', stderr: '' }
  for (const stream of ['stdout', 'stderr'] as const) {
    vi.spyOn(process[stream], 'write').mockImplementation((text) => {
      written[stream] += String(text)
      return true
    })
  }
  const before = process.exitCode
  try {
    process.exitCode = undefined
    await run(['node', 'datatrack', ...args])
    return { code: process.exitCode, ...written }
  } finally {
    process.exitCode = before
    vi.restoreAllMocks()
    vi.unstubAllEnvs()
  }
}

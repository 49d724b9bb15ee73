/** Runs the examples of the documentation. */
import { spawn } from 'node:child_process'
import { expect } from 'vitest'
import type { Example } from '../../scripts/lib/examples.cjs'

/**
 * Runs an example in the project's folder, where the package's own name is the built package. The example must print
 * what its comments say, and end. `program`: the runtime.
 */
export async function tryExample({ text, promised }: Example, program: string): Promise<void> {
  const { status, output, errors } = await run(text, program)
  expect(errors).toBe('')
  expect(status).toBe(0)
  for (const part of promised) expect(output).toContain(part)
}

function run(
  text: string,
  program: string,
): Promise<{ status: number | null; output: string; errors: string }> {
  return new Promise((done, fail) => {
    const child = spawn(program, ['--input-type=module', '-'], { stdio: 'pipe' })
    let output = ''
    let errors = ''
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()))
    child.on('error', fail)
    child.on('close', (status) => {
      done({ status, output, errors })
    })
    child.stdin.end(text)
  })
}

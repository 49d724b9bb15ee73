/** The examples of the documentation: each of them runs as it is, and prints what its comments say. */
import { spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'

const pages = [
  ...readdirSync('.').filter((file) => file.endsWith('.md')),
  ...readdirSync('docs').map((file) => join('docs', file)),
].sort()

interface Example {
  readonly name: string
  readonly text: string
  /** What the comments behind `console.log(…)` promise, one for each such line. */
  readonly promised: readonly string[]
}

function examples(file: string): Example[] {
  return [...readFileSync(file, 'utf8').matchAll(/^```js runnable\n([\s\S]*?)^```$/gm)].map(
    ([, text = ''], index) => ({
      name: `${file}, example ${index + 1}`,
      text,
      promised: [...text.matchAll(/console\.log\(.*\) \/\/ (.+)$/gm)].map(([, comment = '']) => comment),
    }),
  )
}

/** Runs a module in the project's folder, where the package's own name is the built package. */
function run(text: string): Promise<{ status: number | null; output: string; errors: string }> {
  return new Promise((done, fail) => {
    const child = spawn(process.execPath, ['--input-type=module', '-'], { stdio: 'pipe' })
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

describe('examples', () => {
  const all = pages.flatMap(examples)

  test('exist in the README and the other pages', () => {
    expect(existsSync('dist/index.mjs'), 'run `npm run build:dev` first').toBe(true)
    expect(examples('README.md')).toHaveLength(1)
    expect(all.length).toBeGreaterThan(10)
  })

  test.concurrent.each(all)(
    '$name runs, prints what its comments say, and ends',
    async ({ text, promised }) => {
      const { status, output, errors } = await run(text)
      expect(errors).toBe('')
      expect(status).toBe(0)
      for (const comment of promised) {
        // "true: why", "{ row: 1 }, then { row: 2 }"
        for (const part of comment.replace(/^(true|false): .*/, '$1').split(', then ')) {
          expect(output).toContain(part)
        }
      }
    },
  )
})

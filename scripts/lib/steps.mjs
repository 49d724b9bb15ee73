// Shared by all scripts: where the project is, how a step is announced, how a program is run. Node built-ins only.
import { spawn } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The project's folder. */
export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

export const fromRoot = (...parts) => join(root, ...parts)

/** A failure that has already been explained. Its stack trace is of no use. */
export class StepError extends Error {}

/** One plain line that says what happens next. */
export function say(line) {
  process.stdout.write(`${line}\n`)
}

export function heading(title) {
  say(`\n== ${title} ==`)
}

export const seconds = (since) => `${((performance.now() - since) / 1000).toFixed(1)} s`

/**
 * Runs a program in the project's folder and resolves with its exit code, and with its standard output when `capture`
 * is set. `onLine` gets each line of standard output while it is passed through.
 */
export function spawnStep(command, args, { capture = false, onLine, ...options } = {}) {
  return new Promise((resolve, reject) => {
    const piped = capture || onLine !== undefined
    const child = spawn(command, args, {
      cwd: root,
      stdio: ['inherit', piped ? 'pipe' : 'inherit', 'inherit'],
      // npm is a .cmd file on Windows, which only a shell can start.
      shell: process.platform === 'win32',
      ...options,
    })
    let output = ''
    let rest = ''
    child.stdout?.setEncoding('utf8')
    child.stdout?.on('data', (chunk) => {
      if (capture) output += chunk
      if (onLine === undefined) return
      process.stdout.write(chunk)
      const lines = (rest + chunk).split('\n')
      rest = lines.pop() ?? ''
      lines.forEach((line) => onLine(line))
    })
    child.on('error', (error) => {
      const hint = error.code === 'ENOENT' ? ` ${missing[command] ?? ''}` : ''
      reject(new StepError(`${command} cannot be started: ${error.message}.${hint}`))
    })
    child.on('close', (code, signal) => {
      if (rest !== '') onLine?.(rest)
      resolve({ code: code ?? 1, signal, output })
    })
  })
}

const missing = {
  cargo: 'Install Rust 1.88 or newer (rustup) and a C compiler.',
  npm: 'npm comes with Node.js.',
}

/** Like {@link spawnStep}; a non-zero exit is an error. */
export async function run(command, args, options) {
  const result = await spawnStep(command, args, options)
  if (result.code !== 0) {
    const how = result.signal ? `was ended by ${result.signal}` : `failed with exit code ${result.code}`
    throw new StepError(`${command} ${args.join(' ')} ${how}`)
  }
  return result
}

/** Runs a script's main function: explained failures are printed as one line, others with their stack. */
export async function main(body) {
  try {
    await body()
  } catch (error) {
    process.stderr.write(`${error instanceof StepError ? `error: ${error.message}` : error.stack}\n`)
    process.exitCode = 1
  }
}

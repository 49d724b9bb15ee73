/** The built command `datatrack` in a process of its own. */
import { spawn } from 'node:child_process'
import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import type { LivekitServer } from './livekit-server'
import type { Ending } from './programs'

/** The compiled command. */
export const cliMain = resolve('dist/main.js')

/**
 * A command that hangs is killed after so many ms, and what it wrote is logged. That is before the test itself times
 * out, which would not say which command hung. Its ending then has a signal, and no exit code.
 */
const HANGS = 27_000

/** A command that runs. */
export interface RunningCli {
  readonly child: ChildProcessWithoutNullStreams
  readonly ending: Promise<Ending>
  /** What the command has written to standard output so far. */
  stdout(): Buffer
  /** Resolves when standard output and error together match. Rejects if the command ends before that. */
  wrote(pattern: RegExp): Promise<void>
}

/**
 * Starts the command. Its `LIVEKIT_…` variables come from `env` alone, not from the environment of the test. `runtime`:
 * the program that runs it.
 */
export function startCli(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  runtime = process.execPath,
): RunningCli {
  if (!existsSync(cliMain)) throw new Error(`${cliMain} is missing: run npm run build:ts`)
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('LIVEKIT_'))
  const child = spawn(runtime, [cliMain, ...args], {
    env: { ...Object.fromEntries(inherited), ...env },
    timeout: HANGS,
    killSignal: 'SIGKILL',
  })
  const chunks: Buffer[] = []
  let text = ''
  let stderr = ''
  let ended = false
  const looking = new Set<() => void>()
  const look = (): void => {
    for (const each of [...looking]) each()
  }
  child.stdout.on('data', (chunk: Buffer) => {
    chunks.push(chunk)
    text += chunk.toString('latin1')
    look()
  })
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    stderr += chunk
    text += chunk
    look()
  })
  // A test may write to a command that has ended. That is not an error of the test.
  child.stdin.on('error', () => {})
  const ending = new Promise<Ending>((settle, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => {
      ended = true
      if (signal === 'SIGKILL') console.error(`datatrack ${args.join(' ')} hung, and wrote:\n${text}`)
      settle({ code, signal, stdout: Buffer.concat(chunks).toString('utf8'), stderr })
      look()
    })
  })
  const wrote = (pattern: RegExp): Promise<void> =>
    new Promise((settle, reject) => {
      const check = (): void => {
        const found = pattern.test(text)
        if (!found && !ended) return
        looking.delete(check)
        if (found) settle()
        else reject(new Error(`it ended without ${String(pattern)}: ${text}`))
      }
      looking.add(check)
      check()
    })
  return { child, ending, stdout: () => Buffer.concat(chunks), wrote }
}

/** Ends a command as Ctrl-C does. Resolves when it has ended. */
export function interrupt({ child, ending }: RunningCli): RunningCli['ending'] {
  child.kill('SIGINT')
  return ending
}

let rooms = 0

/** The environment of commands that meet in a new room of the server. */
export function inNewRoom(server: LivekitServer): NodeJS.ProcessEnv {
  const { apiKey, apiSecret } = server.key
  return {
    LIVEKIT_URL: server.url,
    LIVEKIT_API_KEY: apiKey,
    LIVEKIT_API_SECRET: apiSecret,
    LIVEKIT_ROOM: `cli-${process.pid}-${++rooms}`,
  }
}

/** Runs the command to its end, with empty standard input. */
export function runCli(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  runtime?: string,
): Promise<Ending> {
  const { child, ending } = startCli(args, env, runtime)
  child.stdin.end()
  return ending
}

/** LiveKit's Python SDK as the other end. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { createInterface } from 'node:readline'

const VERSION = '1.2.0'
const environment = resolve('.cache', `python-livekit-${VERSION}`)
const python = resolve(environment, process.platform === 'win32' ? 'Scripts/python.exe' : 'bin/python')

/** Makes an environment of its own with the SDK, once. */
export function installPython(): void {
  if (existsSync(resolve(environment, 'complete'))) return
  console.log(`Installing the Python package livekit ${VERSION} into ${environment} …`)
  run('python3', '-m', 'venv', '--clear', environment)
  run(python, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', `livekit==${VERSION}`)
  run(python, '-c', `open(${JSON.stringify(resolve(environment, 'complete'))}, 'w').close()`)
}

function run(command: string, ...args: string[]): void {
  const { status } = spawnSync(command, args, { stdio: 'inherit' })
  if (status !== 0) throw new Error(`${command} ${args.slice(0, 2).join(' ')} failed`)
}

/** What `__test__/interop/echo.py` takes. */
export interface EchoOptions {
  readonly url: string
  readonly token: string
  readonly passphrase: string | null
}

/** Runs `use` while the echo is in the room. */
export async function withEcho(options: EchoOptions, use: () => Promise<void>): Promise<void> {
  const child = spawn(python, ['__test__/interop/echo.py'], { stdio: ['pipe', 'pipe', 'inherit'] })
  const closed = once(child, 'close')
  const kill = (): void => void child.kill('SIGKILL')
  process.once('exit', kill)
  try {
    child.stdin.write(`${JSON.stringify(options)}\n`)
    const lines = createInterface(child.stdout)
    const first = await Promise.race([once(lines, 'line'), closed])
    if (first[0] !== 'connected') throw new Error('the Python program ended early')
    await use()
    child.stdin.end()
    await closed
  } finally {
    kill()
    process.removeListener('exit', kill)
  }
}

/** LiveKit's Python SDK in an environment of its own. */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'

const VERSION = '1.2.0'
const environment = resolve('.cache', `python-livekit-${VERSION}`)

/** The interpreter that has the SDK. */
export const python = resolve(environment, process.platform === 'win32' ? 'Scripts/python.exe' : 'bin/python')

/** Makes the environment, once. */
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

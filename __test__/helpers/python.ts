/** LiveKit's Python SDK in a virtual environment. */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'

const VERSION = '1.2.1'
/** The last version without RPC over data streams. It does not understand the RPC messages of newer clients. */
export const OLD_VERSION = '1.0.25'

const environmentOf = (version: string): string => resolve('.cache', `python-livekit-${version}`)

/** The Python interpreter that has this version of the SDK. */
export function pythonOf(version: string = VERSION): string {
  return resolve(environmentOf(version), process.platform === 'win32' ? 'Scripts/python.exe' : 'bin/python')
}

/** The Python interpreter that has the default version. */
export const python = pythonOf()

/** Makes the virtual environment if it does not exist yet. */
export function installPython(version: string = VERSION): void {
  const environment = environmentOf(version)
  if (existsSync(resolve(environment, 'complete'))) return
  console.log(`Installing the Python package livekit ${version} into ${environment} …`)
  const interpreter = pythonOf(version)
  run('python3', '-m', 'venv', '--clear', environment)
  // The file has the hash of each package, dependencies included. pip installs nothing else.
  const locked = ['--require-hashes', '--requirement', `__test__/requirements/livekit-${version}.txt`]
  run(interpreter, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...locked)
  run(interpreter, '-c', `open(${JSON.stringify(resolve(environment, 'complete'))}, 'w').close()`)
}

function run(command: string, ...args: string[]): void {
  const { status } = spawnSync(command, args, { stdio: 'inherit' })
  if (status !== 0) throw new Error(`${command} ${args.slice(0, 2).join(' ')} failed`)
}

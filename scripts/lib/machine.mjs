// Which of the programs that some tests need this machine has.
import { spawnSync } from 'node:child_process'
import { hostName } from './platform.mjs'

/** The program that builds the LiveKit server, or the server itself. */
export const hasServer = () => process.env.LIVEKIT_SERVER_BIN !== undefined || starts('go', 'version')

export const hasPython = () => starts('python3', '-m', 'venv', '--help')

/** Puts the path that it finds into `CHROMIUM_BIN`. That variable can also name another program. */
export function hasChromium() {
  const browsers = process.env.CHROMIUM_BIN ?? ['/usr/bin/chromium', '/usr/bin/google-chrome']
  const found = [browsers].flat().find((browser) => starts(browser, '--version'))
  if (found !== undefined) process.env.CHROMIUM_BIN = found
  return found !== undefined
}

/** `CMAKE` can name another program, as for the crate that runs it. */
export const hasCmake = () => starts(process.env.CMAKE ?? 'cmake', '--version')

export const hasRedis = () => starts('redis-server', '--version')
export const hasCoturn = () => starts('turnserver', '--version')

/** What npm has it for. */
export const hasRtcNode = () =>
  ['darwin-arm64', 'darwin-x64', 'linux-arm64-gnu', 'linux-x64-gnu', 'win32-x64-msvc'].includes(hostName())

function starts(command, ...args) {
  return spawnSync(command, args).status === 0
}

// What this machine has of the programs that some tests need.
import { spawnSync } from 'node:child_process'

/** What builds the LiveKit server, or the server itself. */
export const hasServer = () => process.env.LIVEKIT_SERVER_BIN !== undefined || starts('go', 'version')

export const hasPython = () => starts('python3', '-m', 'venv', '--help')

/** `CHROMIUM_BIN` names another browser than Debian's. */
export const hasChromium = () => starts(process.env.CHROMIUM_BIN ?? '/usr/bin/chromium', '--version')

export const hasRedis = () => starts('redis-server', '--version')

function starts(command, ...args) {
  return spawnSync(command, args).status === 0
}

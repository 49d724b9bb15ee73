// The bad network of the tests: what a machine must have for it, and its program, which cargo builds.
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, renameSync } from 'node:fs'
import { dirname } from 'node:path'
import { programPath } from './bad-network.cjs'
import { DEV_PROFILE } from './build.mjs'
import { run, StepError } from './steps.mjs'

/** What the machine lacks for network namespaces with their own devices. `undefined`: nothing. */
export function lacksNetworks() {
  if (process.platform !== 'linux') return 'Linux, whose network namespaces are used'
  if (spawnSync('ip', ['-Version']).status !== 0) return 'iproute2'
  const name = `dt-${process.pid}-try`
  const ip = (...args) => spawnSync('ip', args).status === 0
  if (!ip('netns', 'add', name)) return 'the right to make network namespaces (root)'
  try {
    const able = ip('-n', name, 'tuntap', 'add', 'dev', 'link0', 'mode', 'tun')
    return able ? undefined : 'TUN devices (/dev/net/tun)'
  } finally {
    ip('netns', 'del', name)
  }
}

/** Builds the program with cargo, which knows whether it is out of date. */
export async function buildBadNetwork() {
  const args = ['build', '-p', 'datatrack-bad-network', '--profile', DEV_PROFILE]
  const { output } = await run('cargo', [...args, '--message-format=json-render-diagnostics'], {
    capture: true,
  })
  const built = output
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line))
    .find(({ executable, target }) => target?.name === 'datatrack-bad-network' && executable)?.executable
  if (built === undefined) throw new StepError('cargo built no program of the crate datatrack-bad-network')
  mkdirSync(dirname(programPath), { recursive: true })
  // A new file replaces the old name. A running program keeps the old file.
  const fresh = `${programPath}.${process.pid}.new`
  copyFileSync(built, fresh)
  renameSync(fresh, programPath)
}

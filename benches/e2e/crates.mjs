// The addon's size by crate. It needs cargo-bloat.
import { spawnSync } from 'node:child_process'
import { heading, say } from '../../scripts/lib/steps.mjs'

export async function printCrates(run) {
  heading('Bytes of the addon by crate')
  if (spawnSync('cargo', ['bloat', '--version']).status !== 0) {
    say('cargo-bloat is not installed: cargo install cargo-bloat')
    return
  }
  // cargo-bloat reads symbols, which a release build does not have.
  const config = ['--config', 'profile.release.strip="none"']
  await run('cargo', [
    ...config,
    'bloat',
    '--release',
    '-p',
    'datatrack-node',
    '--lib',
    '--crates',
    '-n',
    '30',
  ])
}

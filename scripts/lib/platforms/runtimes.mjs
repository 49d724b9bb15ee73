// Node and Bun for other platforms, from npm.
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fromRoot, run } from '../steps.mjs'
import { cache } from './cache.mjs'

const pins = fromRoot('__test__/package/platforms')

/** Installs npm's packages, once for each lock file, and returns their folder. */
export async function npmRuntimes() {
  const folder = cache('npm')
  const stamp = join(folder, 'node_modules/.installed')
  const lock = readFileSync(join(pins, 'package-lock.json'), 'utf8')
  if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== lock) {
    mkdirSync(folder, { recursive: true })
    for (const file of ['package.json', 'package-lock.json'])
      copyFileSync(join(pins, file), join(folder, file))
    // Forced, because they are made for other machines than this one.
    await run('npm', ['ci', '--force', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], {
      cwd: folder,
    })
    writeFileSync(stamp, lock)
  }
  return join(folder, 'node_modules')
}

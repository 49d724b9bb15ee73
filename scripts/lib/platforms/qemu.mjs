// Programs for arm64 on x64: QEMU translates their instructions, and passes their system calls on to this machine's
// kernel.
import { join } from 'node:path'
import { cache } from './cache.mjs'
import { Debian } from './debian.mjs'
import { npmRuntimes } from './runtimes.mjs'
import { SUITE } from './toolchain.mjs'

/** Fetches QEMU, and returns its path. It is linked statically. */
export async function emulator() {
  await (await Debian.of(SUITE)).unpack(['qemu-user-static:amd64'], cache('qemu'))
  return cache('qemu/usr/bin/qemu-aarch64-static')
}

/** Fetches QEMU, Node and Bun for arm64, and the C library that they need. */
export async function onArm64() {
  const qemu = await emulator()
  const root = cache('root-arm64')
  await (await Debian.of(SUITE)).unpack(['libc6:arm64', 'libgcc-s1:arm64', 'libstdc++6:arm64'], root)
  const npm = await npmRuntimes()
  const emulated = (program) => (args) => [qemu, ['-L', root, join(npm, program), ...args]]
  return [
    { name: 'Node', on: 'QEMU', command: emulated('node-arm64/bin/node') },
    { name: 'Bun', on: 'QEMU', command: emulated('@oven/bun-linux-aarch64/bin/bun') },
  ]
}

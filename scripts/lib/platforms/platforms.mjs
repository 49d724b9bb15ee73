// Each platform that a release has a package for: how this machine, a Linux on x64, builds for it and runs programs for
// it.
import { targets } from '../platform.mjs'
import { checkLinked, darwinEnvironment } from './darwin.mjs'
import { onMusl, onMuslArm64 } from './musl.mjs'
import { onArm64 } from './qemu.mjs'
import { onThisMachine } from './runtimes.mjs'
import { onWine, windowsEnvironment } from './wine.mjs'

/** musl's own start-up files are static; an addon is a shared library. */
const shared = (triple) => () => ({ [`CARGO_TARGET_${triple}_RUSTFLAGS`]: '-C target-feature=-crt-static' })

const darwin = { std: true, env: darwinEnvironment, check: checkLinked, runtimes: () => [] }

/**
 * By Rust's triple. `std`: the standard library is compiled from its sources. `env`: makes cargo's variables for the
 * target. `check`: fails if the addon is not as it must be. `runtimes`: fetches what runs the programs. Each runtime has
 * a `command`, which turns arguments and the folder of the programs into what this machine starts. `own`: the target is
 * this machine, for which `npm start` builds, too. `standIn`: what is built in place of the target. `elsewhere`: where
 * the target is built, if that cannot be done here.
 */
const ways = {
  'x86_64-unknown-linux-gnu': { own: true, runtimes: onThisMachine },
  'x86_64-unknown-linux-musl': {
    std: true,
    env: shared('X86_64_UNKNOWN_LINUX_MUSL'),
    runtimes: onMusl,
  },
  'aarch64-unknown-linux-gnu': { std: false, env: () => ({}), runtimes: onArm64 },
  'aarch64-unknown-linux-musl': {
    std: true,
    env: shared('AARCH64_UNKNOWN_LINUX_MUSL'),
    runtimes: onMuslArm64,
  },
  'x86_64-apple-darwin': darwin,
  'aarch64-apple-darwin': darwin,
  'x86_64-pc-windows-msvc': {
    // Another ABI than that of the addon of a release, which takes Microsoft's linker. Node.js calls both alike.
    standIn: { triple: 'x86_64-pc-windows-gnu', name: 'win32-x64-gnu' },
    std: true,
    env: windowsEnvironment,
    runtimes: onWine,
  },
  'aarch64-pc-windows-msvc': { elsewhere: 'package.yml' },
}

/** In the order of package.json. `target`: what is built. `package`: the platform package that it is installed as. */
export const platforms = targets().map((target) => ({
  ...ways[target.triple],
  target: { ...target, ...ways[target.triple].standIn },
  package: target.name,
}))

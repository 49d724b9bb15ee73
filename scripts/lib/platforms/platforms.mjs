// The platforms that this machine, a Linux on x64, can build for, and how it runs programs for them.
import { targets } from '../platform.mjs'
import { checkLinked, darwinEnvironment } from './darwin.mjs'
import { onMusl } from './musl.mjs'
import { onArm64 } from './qemu.mjs'
import { onWine, windowsEnvironment } from './wine.mjs'

const target = (triple) => targets().find((each) => each.triple === triple)

/**
 * `package`: the platform package that the addon is in, if it has another name than the target. `std`: the standard
 * library is compiled from its sources. `env`: makes cargo's variables for the target. `check`: fails if the addon is
 * not as it must be. `runtimes`: fetches what runs the programs. Each runtime has a `command`, which turns arguments and
 * the folder of the programs into what this machine starts.
 */
export const platforms = [
  { target: target('aarch64-unknown-linux-gnu'), std: false, env: () => ({}), runtimes: onArm64 },
  {
    target: target('x86_64-unknown-linux-musl'),
    std: true,
    env: () => ({ CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_RUSTFLAGS: '-C target-feature=-crt-static' }),
    runtimes: onMusl,
  },
  {
    // Another ABI than that of the addon of a release, which takes Microsoft's linker. Node.js calls both alike.
    target: { ...target('x86_64-pc-windows-msvc'), triple: 'x86_64-pc-windows-gnu', name: 'win32-x64-gnu' },
    package: 'win32-x64-msvc',
    std: true,
    env: windowsEnvironment,
    runtimes: onWine,
  },
  {
    target: target('aarch64-apple-darwin'),
    std: true,
    env: darwinEnvironment,
    check: checkLinked,
    runtimes: () => [],
  },
]

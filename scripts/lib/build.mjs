// Installs, and builds the addon and the TypeScript: only what is out of date.
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { bundle, bundleDeclarations, compiled, removeOthers } from './bundle.mjs'
import { hasCmake } from './machine.mjs'
import { hostName } from './platform.mjs'
import { fromRoot, run, say, seconds, StepError } from './steps.mjs'

/** The profile of `npm start` and `npm test`: optimised, but without the slow whole-program step of a release. */
export const DEV_PROFILE = 'quick'

/** What the official builds of Node 20 need. glibc is only upwards compatible. */
const OLDEST_GLIBC = '2.28'

/**
 * What a release is built with besides its profile. Other builds leave it out: cargo would compile aws-lc anew whenever
 * a plain `cargo test` follows.
 *
 * - `NO_JITTER_ENTROPY`: aws-lc seeds its random generator from the operating system, as Node.js does, and not from CPU
 *   jitter, which takes some 35 ms of CPU time in each process.
 * - `SMALL`: aws-lc without its code for AVX-512 and without its tables for P-256. The addon has 6.43 MB instead of
 *   7.70. AES-GCM then takes twice as long on processors with AVX-512. Encrypted frames of 200 kB through the loopback
 *   take 1.66 times the CPU time. Through a LiveKit server, the difference is below what can be measured, because such
 *   a frame takes 1.9 ms of CPU time at either end. A connection takes 1.4 % more CPU time (125.0 and 126.7 ms with the
 *   start of Node.js, medians of 15), and not longer.
 */
const RELEASE_ENVIRONMENT = { AWS_LC_SYS_NO_JITTER_ENTROPY: '1', AWS_LC_SYS_SMALL: '1' }

/**
 * What a release for `target` is built with besides its profile; the default is this machine's. On Linux, aws-lc's C code
 * is compiled
 * - without the tables with which a debugger or a profiler finds the callers of its functions. They are 0.1 MB. No panic
 *   needs them, because aws-lc calls nothing that could panic.
 * - with `-O2` instead of `-O3`, which saves 0.1 MB. Deriving a key takes 4 % longer. Encrypting is assembler, and takes
 *   as long as before.
 * - without what needs the instructions ADX and BMI2 of x64, which saves 0.35 MB: two implementations of Curve25519, each
 *   with its tables. The portable one takes 0.11 ms for a handshake instead of 0.03. Checking an RSA signature takes 28
 *   µs instead of 15, which only TLS to relays does.
 */
function releaseEnvironment({ platform } = process) {
  return { ...RELEASE_ENVIRONMENT, ...(platform === 'linux' && { AWS_LC_SYS_CFLAGS: SMALL_C }) }
}

/** Of GCC and Clang. The last one is what aws-lc's headers ask for; it changes nothing on arm64. */
const SMALL_C =
  '-O2 -fno-asynchronous-unwind-tables -fno-unwind-tables -DMY_ASSEMBLER_IS_TOO_OLD_FOR_ADX_AVX2'

/**
 * The most bytes of the addon of a release for Linux, x64, built on such a machine. Each user downloads them, so what
 * makes the addon larger should be known and wanted. 6.01 MB were measured. The rest is room for small changes.
 */
export const MAX_ADDON_SIZE = 6_300_000

/** Where a release build on Linux, x64, puts the linker's map of the addon. */
export const ADDON_MAP = fromRoot('.cache/addon.map')

/** Installs the npm dependencies, unless node_modules matches package-lock.json. */
export async function ensureInstalled() {
  if (isInstalled()) return
  say('Installing the npm dependencies of package-lock.json (npm ci) …')
  const start = performance.now()
  await run('npm', ['ci', '--ignore-scripts', '--no-fund', '--no-audit'])
  say(`Installed in ${seconds(start)}.`)
}

/** npm writes the installed packages to a lock file of its own. File times prove nothing after a `git switch`. */
function isInstalled() {
  const packages = (file) => JSON.parse(readFileSync(fromRoot(file), 'utf8')).packages
  if (!existsSync(fromRoot('node_modules/.package-lock.json'))) return false
  const installed = packages('node_modules/.package-lock.json')
  // Optional packages belong to other platforms.
  return Object.entries(packages('package-lock.json'))
    .filter(([path]) => path !== '')
    .every(([path, wanted]) => installed[path]?.integrity === wanted.integrity || wanted.optional === true)
}

/** Where the build of this machine or of `target` (`linux-arm64-musl`, …) is put. */
export const addonPath = (target = hostName()) => fromRoot(`datatrack.${target}.node`)

/**
 * Builds the addon with cargo, which knows what is out of date, and puts it into the project's folder. `target` is one
 * of `targets()`; the default is this machine's. `zig` links with cargo-zigbuild, for another Linux: any CPU, any C
 * library, and against the oldest glibc that Node 20 runs on. `path`: where the addon is put. `features`: of the crate.
 * `env`: cargo's variables. Returns the path.
 */
export async function buildAddon({
  profile = DEV_PROFILE,
  target,
  zig = false,
  path = addonPath(target?.name),
  features = [],
  env = {},
} = {}) {
  if (!hasCmake()) {
    throw new StepError(
      'cmake is missing. It builds libopus, the codec of audio tracks. ' +
        'Debian and Ubuntu: apt-get install cmake. macOS: brew install cmake. Windows: winget install Kitware.CMake',
    )
  }
  say(`Building the native addon (cargo, profile ${profile}; the first time takes minutes) …`)
  const start = performance.now()
  // On CI an outdated lock file is an error. For a developer, cargo may update it after a new dependency.
  const locked = process.env.CI === 'true' ? ['--locked'] : []
  const glibc = zig && target?.platform === 'linux' && target.abi === 'gnu'
  const triple = glibc ? `${target.triple}.${OLDEST_GLIBC}` : target?.triple
  // Only `cargo rustc` takes options for the linker.
  const mapped = profile === 'release' && !zig && target === undefined && hostName() === 'linux-x64-gnu'
  const command = zig ? 'zigbuild' : mapped ? 'rustc' : 'build'
  const args = [command, ...locked, '-p', 'datatrack-node', '--lib', '--profile', profile]
  if (triple !== undefined) args.push('--target', triple)
  if (features.length > 0) args.push(`--features=${features.join(',')}`)
  args.push('--message-format=json-render-diagnostics')
  if (mapped) {
    mkdirSync(dirname(ADDON_MAP), { recursive: true })
    args.push('--', '-C', `link-arg=-Wl,-Map=${ADDON_MAP}`)
  }
  const { output } = await run('cargo', args, {
    capture: true,
    env: { ...process.env, ...env, ...(profile === 'release' && releaseEnvironment(target)) },
  })
  const built = output
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line))
    .filter((message) => message.reason === 'compiler-artifact' && message.target.name === 'datatrack_node')
    .flatMap((message) => message.filenames)
    .find((file) => /\.(so|dylib|dll)$/.test(file))
  if (built === undefined) throw new StepError('cargo built no shared library of the crate datatrack-node')
  // A new file replaces the old name. A process that has mapped the old file keeps it unchanged.
  const fresh = `${path}.${process.pid}.new`
  copyFileSync(built, fresh)
  renameSync(fresh, path)
  const size = (statSync(path).size / 1e6).toFixed(1)
  say(`Built the addon in ${seconds(start)}: ${path}, ${size} MB.`)
  return path
}

/**
 * Makes dist/. tsc checks the types, and compiles each source to `.cache/compiled/`, for the declarations, and for
 * benches and fuzzers, which use what is not public. `release`: from nothing, and without source maps.
 */
export async function buildTypeScript({ release = false } = {}) {
  say('Compiling TypeScript to dist/ (tsc, rolldown, rollup) …')
  const start = performance.now()
  const cache = fromRoot('.cache/tsc.tsbuildinfo')
  // tsc trusts its cache even if its output is gone.
  if (release || !existsSync(compiled('index.js'))) {
    rmSync(compiled('.'), { recursive: true, force: true })
    rmSync(cache, { force: true })
  }
  mkdirSync(dirname(cache), { recursive: true })
  mkdirSync(fromRoot('dist'), { recursive: true })
  await run(process.execPath, [fromRoot('node_modules/typescript/bin/tsc'), '-p', 'tsconfig.build.json'])
  removeStale()
  await bundle({ maps: !release })
  await bundleDeclarations()
  removeOthers(!release)
  say(`Compiled in ${seconds(start)}.`)
}

/** Otherwise the output of a source file that no longer exists would be used, too. */
function removeStale() {
  for (const file of readdirSync(compiled('.'), { recursive: true })) {
    const source = file.replace(/(\.d\.ts|\.js)$/, '.ts')
    if (source !== file && !existsSync(fromRoot(source))) rmSync(compiled(file))
  }
}

/** Finds and loads the native addon on first use. Importing the package loads no binary. */
import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { NativeBinding } from './native'

/** The environment variable with a path to the addon. If it is set, no other place is tried. */
export const NATIVE_PATH_VARIABLE = 'DATATRACK_NATIVE_PATH'

/** A platform, in npm's terms. */
export interface Platform {
  readonly platform: string
  readonly arch: string
  /** The C library; `null` where it makes no difference. */
  readonly libc: 'glibc' | 'musl' | null
}

/**
 * The packages that each carry one binary. The `require` calls name them literally, because bundlers find no other
 * form. The list equals `napi.targets` in package.json; a test compares them.
 */
const platformPackages: Readonly<Record<string, () => unknown>> = {
  'linux-x64-gnu': () => require('@node-datatrack/native-linux-x64-gnu'),
  'linux-x64-musl': () => require('@node-datatrack/native-linux-x64-musl'),
  'linux-arm64-gnu': () => require('@node-datatrack/native-linux-arm64-gnu'),
  'linux-arm64-musl': () => require('@node-datatrack/native-linux-arm64-musl'),
  'darwin-x64': () => require('@node-datatrack/native-darwin-x64'),
  'darwin-arm64': () => require('@node-datatrack/native-darwin-arm64'),
  'win32-x64-msvc': () => require('@node-datatrack/native-win32-x64-msvc'),
  'win32-arm64-msvc': () => require('@node-datatrack/native-win32-arm64-msvc'),
}

/** The names of the supported targets, as {@link targetName} gives them. */
export const supportedTargets: readonly string[] = Object.keys(platformPackages)

let binding: NativeBinding | undefined

/**
 * Returns the addon, loading it on the first call. A failure is not remembered, so a later call tries again.
 *
 * It tries in this order: the file that `DATATRACK_NATIVE_PATH` names; `datatrack.<target>.node` in the package's
 * folder (a local build); `prebuilds/<platform>-<arch>/` there; the package of the platform.
 *
 * @throws an `Error` with the code `NATIVE_MISSING` that names what was tried and what to install.
 */
export function loadBinding(): NativeBinding {
  binding ??= findBinding(currentPlatform(), process.env[NATIVE_PATH_VARIABLE])
  return binding
}

/** The platform that this process runs on. */
export function currentPlatform(): Platform {
  return {
    platform: process.platform,
    arch: process.arch,
    libc: process.platform !== 'linux' ? null : isMusl() ? 'musl' : 'glibc',
  }
}

/** The platform's name in file and package names, for example `linux-x64-gnu`. */
export function targetName({ platform, arch, libc }: Platform): string {
  const abi = platform === 'win32' ? 'msvc' : libc === 'musl' ? 'musl' : libc === 'glibc' ? 'gnu' : undefined
  return [platform, arch, abi].filter((part) => part !== undefined).join('-')
}

/** Tries each place in turn. A path in `override` replaces them all. */
export function findBinding(platform: Platform, override: string | undefined): NativeBinding {
  const target = targetName(platform)
  const tried: Attempt[] = []
  if (override !== undefined && override !== '') {
    const found = attempt(tried, override, () => require(resolve(override)))
    if (found !== undefined) return found
    throw missing(platform, tried, `${NATIVE_PATH_VARIABLE} names a file that cannot be loaded.`)
  }
  for (const file of localFiles(platform, target)) {
    if (!existsSync(file)) {
      tried.push({ place: file, problem: 'no such file' })
      continue
    }
    const found = attempt(tried, file, () => require(file))
    if (found !== undefined) return found
  }
  const load = platformPackages[target]
  if (load === undefined) {
    throw missing(
      platform,
      tried,
      `There is no binary for this platform, only for ${supportedTargets.join(', ')}.`,
    )
  }
  const name = `@node-datatrack/native-${target}`
  const found = attempt(tried, name, load)
  if (found !== undefined) return found
  throw missing(
    platform,
    tried,
    `Install the package ${name} in the version of node-datatrack. It is an optional dependency, which npm leaves ` +
      'out after `--omit=optional`, or when the lock file was made on another platform (then: remove node_modules ' +
      'and package-lock.json, and install again).',
  )
}

interface Attempt {
  readonly place: string
  readonly problem: string
}

/** Runs one `require`. An error is recorded, not thrown. */
function attempt(tried: Attempt[], place: string, load: () => unknown): NativeBinding | undefined {
  try {
    return load() as NativeBinding
  } catch (error) {
    const [problem = ''] = (error instanceof Error ? error.message : String(error)).split('\n')
    tried.push({ place, problem })
    return undefined
  }
}

/** Files in the package's folder: first a local build, then prebuildify's files. */
function localFiles({ platform, arch, libc }: Platform, target: string): string[] {
  const root = packageRoot()
  if (root === undefined) return []
  const prebuilds = join(root, 'prebuilds', `${platform}-${arch}`)
  const files = [join(root, `datatrack.${target}.node`)]
  if (libc !== null) files.push(join(prebuilds, `datatrack.${libc}.node`))
  // musl's file always has its tag; a file without a tag is for glibc.
  if (libc !== 'musl') files.push(join(prebuilds, 'datatrack.node'))
  return files
}

/**
 * The folder of this package: two levels up from `src/native/`, three from `dist/src/native/`. `undefined` in a bundle.
 */
function packageRoot(): string | undefined {
  for (const up of [join('..', '..'), join('..', '..', '..')]) {
    const root = join(__dirname, up)
    try {
      const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { name?: unknown }
      if (manifest.name === 'node-datatrack') return root
    } catch {
      // Not found, or another package's: try one level further up.
    }
  }
  return undefined
}

/**
 * Whether the C library is musl. The system's `ldd` script names its library. Without `ldd`, the process's report names
 * glibc's version, which takes some 10 ms.
 */
function isMusl(): boolean {
  try {
    const ldd = readFileSync('/usr/bin/ldd', 'latin1')
    if (ldd.includes('musl')) return true
    if (ldd.includes('GNU C Library') || ldd.includes('GLIBC')) return false
  } catch {
    // There is no `ldd`.
  }
  // Otherwise the report would look up the host names of all open sockets, which can take seconds.
  const { report } = process as { report?: NodeJS.ProcessReport & { excludeNetwork?: boolean } }
  if (report === undefined) return existsSync('/etc/alpine-release')
  const before = report.excludeNetwork
  report.excludeNetwork = true
  try {
    const { header } = report.getReport() as unknown as { header: { glibcVersionRuntime?: string } }
    return header.glibcVersionRuntime === undefined
  } finally {
    if (before !== undefined) report.excludeNetwork = before
  }
}

function missing(platform: Platform, tried: readonly Attempt[], advice: string): Error {
  const { libc } = platform
  const where = [`${platform.platform} ${platform.arch}`, libc, `Node.js ${process.version}`]
  const lines = [
    `The native addon of node-datatrack cannot be loaded (${where.filter((part) => part !== null).join(', ')}).`,
    advice,
    'Tried:',
    ...tried.map(({ place, problem }) => `  - ${place}: ${problem}`),
  ]
  return Object.assign(new Error(lines.join('\n')), { code: 'NATIVE_MISSING' as const })
}

/** Finds and loads the native addon on first use. Importing the package loads no binary. */
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { isAbsolute, join, resolve } from 'node:path'
import { version } from '../base/version'
import { formatOf } from './binary-format'
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

/** What a `require` gave. */
type Required = { readonly exports: unknown } | { readonly error: unknown }

/**
 * The packages that each carry one binary. Bundlers find a `require` only if it names the package literally, and take
 * one of a missing package only within a `try` of its own. The list equals `napi.targets` in package.json; a test
 * compares them.
 */
const platformPackages: Readonly<Record<string, () => Required>> = {
  'linux-x64-gnu': () => {
    try {
      return { exports: require('@node-datatrack/native-linux-x64-gnu') }
    } catch (error) {
      return { error }
    }
  },
  'linux-x64-musl': () => {
    try {
      return { exports: require('@node-datatrack/native-linux-x64-musl') }
    } catch (error) {
      return { error }
    }
  },
  'linux-arm64-gnu': () => {
    try {
      return { exports: require('@node-datatrack/native-linux-arm64-gnu') }
    } catch (error) {
      return { error }
    }
  },
  'linux-arm64-musl': () => {
    try {
      return { exports: require('@node-datatrack/native-linux-arm64-musl') }
    } catch (error) {
      return { error }
    }
  },
  'darwin-x64': () => {
    try {
      return { exports: require('@node-datatrack/native-darwin-x64') }
    } catch (error) {
      return { error }
    }
  },
  'darwin-arm64': () => {
    try {
      return { exports: require('@node-datatrack/native-darwin-arm64') }
    } catch (error) {
      return { error }
    }
  },
  'win32-x64-msvc': () => {
    try {
      return { exports: require('@node-datatrack/native-win32-x64-msvc') }
    } catch (error) {
      return { error }
    }
  },
  'win32-arm64-msvc': () => {
    try {
      return { exports: require('@node-datatrack/native-win32-arm64-msvc') }
    } catch (error) {
      return { error }
    }
  },
}

/** The names of the supported targets, as {@link targetName} gives them. */
export const supportedTargets: readonly string[] = Object.keys(platformPackages)

let binding: NativeBinding | undefined

/**
 * Returns the addon, loading it on the first call. A failure is not remembered, so a later call tries again.
 *
 * It tries in this order: the file that `DATATRACK_NATIVE_PATH` names; `datatrack.<target>.node` in the package's
 * folder (a local build); `prebuilds/<platform>-<arch>/` there; the platform package.
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
    const file = resolve(override)
    const found = attempt(tried, platform, file, () => requireFile(file))
    if (found !== undefined) return found
    throw missing(platform, tried, `${NATIVE_PATH_VARIABLE} names a file that cannot be used.`)
  }
  for (const file of localFiles(platform, target)) {
    if (!existsSync(file)) {
      tried.push({ place: file, problem: 'no such file' })
      continue
    }
    const found = attempt(tried, platform, file, () => requireFile(file))
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
  const found = attempt(tried, platform, name, load)
  if (found !== undefined) return found
  throw missing(
    platform,
    tried,
    `Run: npm install ${name}@${version}\n` +
      'It is an optional dependency. npm leaves it out after `--omit=optional`, or when the lock file was made on ' +
      'another platform (then: remove node_modules and package-lock.json, and run npm install).',
  )
}

interface Attempt {
  readonly place: string
  readonly problem: string
}

/** Runs one `require`. A problem is recorded, not thrown. */
function attempt(
  tried: Attempt[],
  platform: Platform,
  place: string,
  load: () => Required,
): NativeBinding | undefined {
  const result = load()
  const problem = 'error' in result ? whyNot(platform, place, result.error) : whyUnfit(result.exports)
  if (problem !== undefined) tried.push({ place, problem })
  else if ('exports' in result) return result.exports as NativeBinding
  return undefined
}

/**
 * A `require` of a path. This one works in a bundle, where `require` may be the bundler's, and in a single executable,
 * where it loads built-in modules only.
 */
function requireFile(file: string): Required {
  try {
    return { exports: createRequire(process.execPath)(file) }
  } catch (error) {
    return { error }
  }
}

/** Why a file could not be loaded. The system's message does not say that the file is another platform's. */
function whyNot({ platform, arch }: Platform, place: string, error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  const [problem = ''] = message.split('\n')
  // For a package, the message has the path.
  const [file] = isAbsolute(place) ? [place] : (/(?:[A-Za-z]:)?[\\/][^:,()\n]*\.node/.exec(message) ?? [])
  if (file === undefined || !existsSync(file)) return problem
  const format = formatOf(file)
  if (format === undefined) return `not a native addon: ${problem}`
  if (format.platform === platform && format.archs.includes(arch)) return problem
  return `built for ${format.platform} ${format.archs.join(' and ')}: ${problem}`
}

/** Why what was loaded cannot be used: it is not this package's, or another version's. */
function whyUnfit(exports: unknown): string | undefined {
  const { version: tell } = (exports ?? {}) as Partial<NativeBinding>
  const found = typeof tell === 'function' ? tell() : undefined
  if (found === version) return undefined
  if (found === undefined) return 'not the addon of node-datatrack'
  return `the addon of node-datatrack ${found}, and this is node-datatrack ${version}`
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

/** How far below the package's folder this file is: in `dist/`, in `src/native/` and in `.cache/compiled/src/native/`. */
const LEVELS = [1, 2, 4]

/** The folder of this package. `undefined` in a bundle. */
function packageRoot(): string | undefined {
  // A bundle that is an ES module has no `__dirname`.
  if (typeof __dirname !== 'string') return undefined
  for (const level of LEVELS) {
    const root = join(__dirname, ...Array<string>(level).fill('..'))
    try {
      const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { name?: unknown }
      if (manifest.name === 'node-datatrack') return root
    } catch {
      // Not found, or another package's: try the next level.
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

/** Packs the package as a release does, and installs it where a user would: an empty folder. */
import { execFileSync, spawnSync } from 'node:child_process'
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const here = resolve('__test__/package')
const shell = process.platform === 'win32'

export interface Tarballs {
  main: string
  /** Path of the tarball of each platform's package that there is, by name. */
  platforms: Record<string, string>
  selfContained: string
  /** `@node-datatrack/rtc-node`. */
  alias: string
}

/** The tarballs: those of `DATATRACK_TARBALLS`, a release's, or fresh ones of this machine's build. */
export function tarballs(): Tarballs {
  const folder = process.env['DATATRACK_TARBALLS'] ?? pack()
  const platforms = readdirSync(folder)
    .map((file) => [/^node-datatrack-(native-[a-z0-9-]+)-\d/.exec(file)?.[1], resolve(folder, file)] as const)
    .filter(([name]) => name !== undefined)
    .map(([name, file]) => [`@node-datatrack/${name}`, file] as const)
  return {
    main: tarballIn(folder, /^node-datatrack-\d/),
    platforms: Object.fromEntries(platforms),
    selfContained: tarballIn(join(folder, 'self-contained'), /^node-datatrack-\d/),
    alias: tarballIn(folder, /^node-datatrack-rtc-node-\d/),
  }
}

function pack(): string {
  const folder = resolve('.cache/release')
  const built = resolve('.cache/prebuildify')
  rmSync(built, { recursive: true, force: true })
  execFileSync(process.execPath, ['scripts/prebuildify.mjs', `--out=${built}`], { stdio: 'inherit' })
  const options = ['--host', `--prebuilds=${built}`, `--out=${folder}`]
  execFileSync(process.execPath, ['scripts/pack.mjs', ...options], { stdio: 'inherit' })
  return folder
}

function tarballIn(folder: string, pattern: RegExp): string {
  const file = readdirSync(folder).find((name) => pattern.test(name))
  if (file === undefined) throw new Error(`${folder} has no tarball ${pattern.source}`)
  return resolve(folder, file)
}

/** What this machine is called in the names of packages. */
export function target(): string {
  const script = "import('./scripts/lib/platform.mjs').then((m) => console.log(m.hostName()))"
  return execFileSync(process.execPath, ['-e', script], { encoding: 'utf8' }).trim()
}

/**
 * A new folder with that tarball installed and the smoke scripts beside it. npm itself picks the package of this
 * platform; it finds those packages in `platforms` instead of the registry.
 */
export function consumer(tarball: string, platforms: Record<string, string>): string {
  const folder = mkdtempSync(join(tmpdir(), 'datatrack-package-'))
  const overrides = Object.fromEntries(
    Object.entries(platforms).map(([name, file]) => [name, `file:${file}`]),
  )
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'consumer', private: true, overrides }))
  execFileSync('npm', ['install', '--no-audit', '--no-fund', tarball], {
    cwd: folder,
    shell,
    stdio: 'inherit',
  })
  for (const script of ['smoke.cjs', 'import.mjs', 'require.cjs', 'lazy.cjs']) {
    copyFileSync(join(here, 'fixtures', script), join(folder, script))
  }
  return folder
}

/** Removes a folder; `undefined` where making it failed. */
export function remove(folder: string | undefined): void {
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
}

/** Runs a program there; resolves when it ends by itself. What it prints on standard error fails the test. */
export function runIn(folder: string, program: string, args: string[]): string {
  const { DATATRACK_NATIVE_PATH: _, ...env } = process.env
  const { status, signal, stdout, stderr, error } = spawnSync(program, args, {
    cwd: folder,
    env,
    encoding: 'utf8',
    // It must end; this only keeps a hang from taking the suite with it.
    timeout: 60_000,
  })
  if (error !== undefined || status !== 0 || stderr !== '') {
    throw new Error(
      `${program} ${args.join(' ')}: ${signal ?? status ?? error?.message}\n${stdout}\n${stderr}`,
    )
  }
  return stdout.trim()
}

/**
 * Installs the packages of `<name>/package-lock.json`, once, to `.cache/<name>`, and returns the path of its
 * `node_modules`.
 */
export function installed(name: string): string {
  const folder = resolve('.cache', name)
  const lock = readFileSync(join(here, name, 'package-lock.json'), 'utf8')
  const stamp = join(folder, 'node_modules/.installed')
  if (read(stamp) !== lock) {
    mkdirSync(folder, { recursive: true })
    for (const file of ['package.json', 'package-lock.json'])
      copyFileSync(join(here, name, file), join(folder, file))
    execFileSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], {
      cwd: folder,
      shell,
      stdio: 'inherit',
    })
    writeFileSync(stamp, lock)
  }
  return join(folder, 'node_modules')
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}

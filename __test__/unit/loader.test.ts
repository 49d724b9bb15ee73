import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Platform } from '../../src/native/loader'
import {
  currentPlatform,
  findBinding,
  loadBinding,
  supportedTargets,
  targetName,
} from '../../src/native/loader'

interface Manifest {
  napi: { targets: string[]; packageName: string }
}
const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as Manifest

/** The message of what `body` throws; it must have the loader's code. */
function failure(body: () => unknown): string {
  try {
    body()
  } catch (error) {
    expect(error).toMatchObject({ code: 'NATIVE_MISSING' })
    return (error as Error).message
  }
  throw new Error('nothing was thrown')
}

describe('targetName', () => {
  test.each<[Platform, string]>([
    [{ platform: 'linux', arch: 'x64', libc: 'glibc' }, 'linux-x64-gnu'],
    [{ platform: 'linux', arch: 'arm64', libc: 'musl' }, 'linux-arm64-musl'],
    [{ platform: 'darwin', arch: 'arm64', libc: null }, 'darwin-arm64'],
    [{ platform: 'win32', arch: 'x64', libc: null }, 'win32-x64-msvc'],
  ])('%o is %s', (platform, name) => {
    expect(targetName(platform)).toBe(name)
  })

  test('the name of this machine’s target agrees with its dynamic linker', () => {
    const musl = existsSync('/lib/ld-musl-x86_64.so.1') && !existsSync('/lib64/ld-linux-x86-64.so.2')
    const libc = process.platform === 'linux' ? (musl ? 'musl' : 'glibc') : null
    expect(currentPlatform()).toEqual({ platform: process.platform, arch: process.arch, libc })
  })

  test('package.json and the loader have the same targets', () => {
    const triples: Record<string, string> = {
      'x86_64-unknown-linux-gnu': 'linux-x64-gnu',
      'x86_64-unknown-linux-musl': 'linux-x64-musl',
      'aarch64-unknown-linux-gnu': 'linux-arm64-gnu',
      'aarch64-unknown-linux-musl': 'linux-arm64-musl',
      'x86_64-apple-darwin': 'darwin-x64',
      'aarch64-apple-darwin': 'darwin-arm64',
      'x86_64-pc-windows-msvc': 'win32-x64-msvc',
      'aarch64-pc-windows-msvc': 'win32-arm64-msvc',
    }
    expect(manifest.napi.targets.map((triple) => triples[triple])).toEqual(supportedTargets)
  })

  test('each package name is a literal in the source, where bundlers find it', () => {
    const source = readFileSync('src/native/loader.ts', 'utf8')
    for (const target of supportedTargets) {
      expect(source).toContain(`require('${manifest.napi.packageName}-${target}')`)
    }
  })
})

describe('loadBinding', () => {
  test('loads the built addon once', () => {
    expect(loadBinding()).toBe(loadBinding())
    expect(typeof loadBinding().version()).toBe('string')
  })
})

describe('findBinding', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'datatrack-loader-'))
  })
  afterEach(() => {
    rmSync(folder, { recursive: true })
  })

  test('DATATRACK_NATIVE_PATH replaces all other places', () => {
    const file = join(folder, 'other.node')
    const message = failure(() => findBinding(currentPlatform(), file))
    expect(message).toContain('DATATRACK_NATIVE_PATH')
    expect(message).toContain(file)
    expect(message.match(/^ {2}- /gm)).toHaveLength(1)
  })

  test('the addon that DATATRACK_NATIVE_PATH names is loaded', () => {
    const file = join(folder, 'fake.cjs')
    writeFileSync(file, 'exports.version = () => "fake"')
    expect(findBinding(currentPlatform(), file).version()).toBe('fake')
  })

  test('an empty DATATRACK_NATIVE_PATH is ignored', () => {
    expect(findBinding(currentPlatform(), '')).toBe(loadBinding())
  })

  test('a missing binary: the message names the target, the places that were tried, and what to install', () => {
    const message = failure(() => findBinding({ platform: 'darwin', arch: 'x64', libc: null }, undefined))
    expect(message).toContain('darwin x64')
    expect(message).toContain(process.version)
    expect(message).toContain('datatrack.darwin-x64.node: no such file')
    expect(message).toContain(join('prebuilds', 'darwin-x64', 'datatrack.node'))
    expect(message).toContain('Install the package @node-datatrack/native-darwin-x64')
    expect(message).toContain('--omit=optional')
  })

  test('a musl system is named, and never gets the untagged prebuild', () => {
    const message = failure(() => findBinding({ platform: 'linux', arch: 'arm64', libc: 'musl' }, undefined))
    expect(message).toContain('linux arm64, musl')
    expect(message).toContain(join('linux-arm64', 'datatrack.musl.node'))
    expect(message).not.toContain(join('linux-arm64', 'datatrack.node'))
  })

  test('an unknown platform: the message lists the known ones', () => {
    const message = failure(() => findBinding({ platform: 'sunos', arch: 'x64', libc: null }, undefined))
    for (const target of supportedTargets) expect(message).toContain(target)
  })
})

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { version } from '../../src/base/version'
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

/** The first bytes of libraries of platforms that this machine is not: what they are built for, and the bytes. */
function foreign(): [string, Buffer][] {
  const head = (edit: (bytes: Buffer) => void): Buffer => {
    const bytes = Buffer.alloc(256)
    edit(bytes)
    return bytes
  }
  const elf = (machine: number): Buffer =>
    head((bytes) => {
      bytes.write('\x7fELF\x02\x01\x01', 'latin1')
      bytes.writeUInt16LE(machine, 18)
    })
  const pe = (machine: number): Buffer =>
    head((bytes) => {
      bytes.write('MZ')
      bytes.writeUInt32LE(0x80, 0x3c)
      bytes.write('PE', 0x80)
      bytes.writeUInt16LE(machine, 0x84)
    })
  const mach = (cpu: number): Buffer =>
    head((bytes) => {
      bytes.writeUInt32LE(0xfeedfacf)
      bytes.writeUInt32LE(cpu, 4)
    })
  const fat = head((bytes) => {
    bytes.writeUInt32BE(0xcafebabe)
    bytes.writeUInt32BE(2, 4)
    bytes.writeUInt32BE(0x1000007, 8)
    bytes.writeUInt32BE(0x100000c, 28)
  })
  const all: [string, Buffer][] = [
    ['linux x64', elf(0x3e)],
    ['linux arm64', elf(0xb7)],
    ['linux CPU 0xf3', elf(0xf3)],
    ['win32 x64', pe(0x8664)],
    ['win32 arm64', pe(0xaa64)],
    ['darwin arm64', mach(0x100000c)],
    ['darwin x64 and arm64', fat],
  ]
  const own = new RegExp(`^${process.platform}.* ${process.arch}\\b`)
  return all.filter(([built]) => !own.test(built))
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
    writeFileSync(file, `exports.version = () => "${version}"; exports.fake = true`)
    expect(findBinding(currentPlatform(), file)).toHaveProperty('fake', true)
  })

  test('a path of the override is relative to the working directory', () => {
    const file = join(folder, 'fake.cjs')
    writeFileSync(file, `exports.version = () => "${version}"; exports.fake = true`)
    expect(findBinding(currentPlatform(), relative('.', file))).toHaveProperty('fake', true)
  })

  test('an addon of another version is refused, and both versions are named', () => {
    const file = join(folder, 'stale.cjs')
    writeFileSync(file, 'exports.version = () => "0.0.1"')
    const message = failure(() => findBinding(currentPlatform(), file))
    expect(message).toContain(
      `${file}: the addon of node-datatrack 0.0.1, and this is node-datatrack ${version}`,
    )
  })

  test.each([
    ['no version', 'module.exports = {}'],
    ['nothing', 'module.exports = null'],
  ])('what is another addon is refused: it exports %s', (_, text) => {
    const file = join(folder, 'other.cjs')
    writeFileSync(file, text)
    expect(failure(() => findBinding(currentPlatform(), file))).toContain(
      `${file}: not the addon of node-datatrack`,
    )
  })

  test('a file that is no library is named as such', () => {
    const file = join(folder, 'pointer.node')
    writeFileSync(file, 'version https://git-lfs.github.com/spec/v1\n'.repeat(3))
    expect(failure(() => findBinding(currentPlatform(), file))).toContain(`${file}: not a native addon: `)
  })

  test.each(foreign())('a file of another platform is named as such: %s', (built, head) => {
    const file = join(folder, 'foreign.node')
    writeFileSync(file, head)
    expect(failure(() => findBinding(currentPlatform(), file))).toContain(`${file}: built for ${built}: `)
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
    expect(message).toContain(`Run: npm install @node-datatrack/native-darwin-x64@${version}\n`)
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

import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { consumer, remove, runIn, tarballs, target } from './consumer'

let packed: ReturnType<typeof tarballs>
let folder: string

beforeAll(() => {
  packed = tarballs()
  folder = consumer(packed.main, packed.platforms)
})
afterAll(() => {
  remove(folder)
})

describe('the tarball', () => {
  test('contains the compiled package, its declarations and its licence, and nothing else', () => {
    const list = execFileSync('tar', ['-tzf', packed.main], { encoding: 'utf8' }).trim().split('\n')
    expect(list).toEqual(
      expect.arrayContaining([
        'package/package.json',
        'package/LICENSE',
        'package/dist/index.js',
        'package/dist/index.mjs',
        'package/dist/index.d.ts',
        'package/dist/index.d.mts',
        'package/dist/main.js',
        'package/dist/rtc-node.js',
        'package/dist/rtc-node.mjs',
        'package/dist/rtc-node.d.ts',
        'package/dist/rtc-node.d.mts',
        'package/rtc-node/package.json',
      ]),
    )
    const others = list.filter((file) => !/^package\/dist\/[\w-]+\.(js|mjs|d\.ts|d\.mts)$/.test(file))
    expect(
      others.filter(
        (file) =>
          !/^package\/((rtc-node\/)?package\.json|LICENSE|README\.md|CHANGELOG\.md|THIRD-PARTY-NOTICES\.txt)$/.test(
            file,
          ),
      ),
    ).toEqual([])
  })

  test.each(['main', 'platform', 'self-contained'])(
    'contains the licences of its parts: %s',
    async (kind) => {
      const { bundledPackages } = await import('../../scripts/lib/bundle.mjs')
      const own = {
        main: packed.main,
        platform: packed.platforms[`@node-datatrack/native-${target()}`],
        'self-contained': packed.selfContained,
      }[kind]
      const text = execFileSync('tar', ['-xzOf', String(own), 'package/THIRD-PARTY-NOTICES.txt'], {
        encoding: 'utf8',
        maxBuffer: 16 << 20,
      })
      const listed = new Set([...text.matchAll(/^(\S+) \d\S*: \S/gm)].map(([, name]) => name))
      const crates = ['aws-lc-sys', 'napi', 'str0m', 'tokio', 'quinn-udp']
      const wanted = [...(kind === 'platform' ? [] : bundledPackages), ...(kind === 'main' ? [] : crates)]
      expect(wanted.filter((name) => !listed.has(name))).toEqual([])
      // Not only their names: the words of the licences.
      expect(text).toContain('Permission is hereby granted, free of charge')
      // The heading of its text, and soon after it what the text is about.
      if (kind !== 'main') expect(text).toMatch(/\naws-lc-sys [\d.]+(?:, [^\n]*)?\n\n[\s\S]{0,400}OpenSSL/)
    },
  )

  test('depends on no package but those of the platforms', () => {
    const manifest = JSON.parse(
      readFileSync(join(folder, 'node_modules/node-datatrack/package.json'), 'utf8'),
    ) as Record<string, object | undefined>
    const { dependencies = {}, peerDependencies = {}, optionalDependencies = {} } = manifest
    expect([dependencies, peerDependencies]).toEqual([{}, {}])
    expect(Object.keys(optionalDependencies).filter((name) => !name.startsWith('@node-datatrack/'))).toEqual(
      [],
    )
    expect(readdirSync(join(folder, 'node_modules')).filter((name) => !name.startsWith('.'))).toEqual([
      '@node-datatrack',
      'node-datatrack',
    ])
  })

  test('depends on the packages of all platforms, also of this one, in its own version', () => {
    const manifest = JSON.parse(
      readFileSync(join(folder, 'node_modules/node-datatrack/package.json'), 'utf8'),
    )
    const wanted = Object.entries(manifest.optionalDependencies as Record<string, string>)
    expect(wanted.map(([name]) => name)).toContain(`@node-datatrack/native-${target()}`)
    expect(wanted.filter(([, version]) => version !== manifest.version)).toEqual([])
  })

  test('the folders in npm/ equal those that `napi create-npm-dirs` makes of package.json', () => {
    const fresh = mkdtempSync(join(tmpdir(), 'datatrack-npm-'))
    const napi = resolve('node_modules/@napi-rs/cli/dist/cli.js')
    writeFileSync(join(fresh, 'package.json'), readFileSync('package.json'))
    execFileSync(process.execPath, [napi, 'create-npm-dirs'], { cwd: fresh })
    const folders = readdirSync('npm').sort()
    expect(folders).toEqual(readdirSync(join(fresh, 'npm')).sort())
    for (const name of folders) {
      const of = (base: string): unknown => JSON.parse(readFileSync(join(base, name, 'package.json'), 'utf8'))
      expect(of('npm'), `npm/${name}: run npx napi create-npm-dirs`).toEqual(of(join(fresh, 'npm')))
    }
    remove(fresh)
  })
})

describe('the installed package', () => {
  test('npm installs the package of this platform only', () => {
    expect(readdirSync(join(folder, 'node_modules/@node-datatrack'))).toEqual([`native-${target()}`])
  })

  test.each([
    ['node-datatrack', 'Loopback', 'index.js'],
    ['node-datatrack/rtc-node', 'TrackKind', 'rtc-node.js'],
  ])(
    'importing %s loads neither the binary nor a dependency, and `import` and `require` are the same',
    (entry, name, file) => {
      const report = JSON.parse(runIn(folder, process.execPath, ['lazy.cjs', entry])) as Record<string, any>
      expect(report['names']).toContain(name)
      expect(report['names']).toEqual([...report['required']].sort())
      expect(report['same']).toBe(true)
      expect(report['binaries']).toEqual([])
      expect(new Set(report['packages'])).toEqual(new Set(['node-datatrack']))
      expect(report['files'].sort()).toEqual(['library.js', file, 'rolldown-runtime.js'].sort())
    },
  )

  test.each(['import.mjs', 'require.cjs'])('carries a frame, %s', (script) => {
    expect(runIn(folder, process.execPath, [script])).toMatch(/^smoke ok/)
  })

  test('has the command line tool', () => {
    expect(runIn(folder, process.execPath, ['node_modules/.bin/datatrack', '--version'])).toMatch(
      /^\d+\.\d+\.\d+/,
    )
  })

  test.each([
    ['a CommonJS program', 'main.cts', "import { Loopback } from 'node-datatrack'"],
    ['an ES module', 'main.mts', "import { Loopback } from 'node-datatrack'"],
  ])('%s type-checks against the declarations, without skipLibCheck', (_, name, source) => {
    writeFileSync(join(folder, name), `${source}\nexport const sfu: Loopback = new Loopback()\n`)
    const tsc = resolve('node_modules/typescript/bin/tsc')
    const types = ['--types', 'node', '--typeRoots', resolve('node_modules/@types')]
    const options = ['--noEmit', '--strict', '--module', 'node18', '--lib', 'es2023,esnext.disposable']
    expect(runIn(folder, process.execPath, [tsc, ...options, ...types, name])).toBe('')
  })
})

describe('the self-contained package', () => {
  test('loads the binary from prebuilds/, without a platform package', () => {
    const own = consumer(packed.selfContained, {})
    try {
      expect(readdirSync(join(own, 'node_modules'))).not.toContain('@node-datatrack')
      const script =
        "require('./smoke.cjs')(require('node-datatrack'), 'prebuilds').then(() => console.log(" +
        "process.report.getReport().sharedObjects.filter((file) => file.endsWith('.node')).join()))"
      expect(runIn(own, process.execPath, ['-e', script])).toMatch(/prebuilds.+datatrack\..*node$/)
    } finally {
      remove(own)
    }
  })
})

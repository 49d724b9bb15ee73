/**
 * The packed package in bundlers, single executables, test runners and package managers. A frame goes over the loopback
 * in each. The settings are those of docs/recipes.md.
 */
import { spawnSync } from 'node:child_process'
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { block } from '../helpers/recipes'
import { consumer, installed, remove, tarballs, target } from './consumer'
import type { Tarballs } from './consumer'

const fixtures = resolve('__test__/package/fixtures')
const scripts = ['smoke.cjs', 'app.mjs', 'app.ts', 'smoke.d.cts', 'frame.test.cjs', 'frame.test.mjs']
const RECIPES = 'docs/recipes.md'
/** It must end; this only keeps a hang from taking the suite with it. ms */
const HANGS = 100_000

let packed: Tarballs
let folder: string
let tools: string
let path: string
const folders: string[] = []

beforeAll(() => {
  packed = tarballs()
  folder = consumer(packed.main, packed.platforms)
  folders.push(folder)
  for (const script of scripts) copyFileSync(join(fixtures, script), join(folder, script))
  tools = installed('bundlers')
  const bun = join(installed('runtimes'), '@oven/bun-linux-x64/bin')
  path = [join(tools, '.bin'), bun, dirname(process.execPath), process.env['PATH']].join(delimiter)
})
afterAll(() => folders.forEach(remove))

/** A new folder outside of the project. */
function newFolder(): string {
  const made = mkdtempSync(join(tmpdir(), 'datatrack-bundlers-'))
  folders.push(made)
  return made
}

/** Runs a script of a shell to its end, and returns all that it has written. */
function sh(script: string, cwd = folder, env: NodeJS.ProcessEnv = {}): string {
  const { DATATRACK_NATIVE_PATH: _, NODE_OPTIONS: __, VITEST: ___, ...inherited } = process.env
  const { status, signal, stdout, stderr } = spawnSync('sh', ['-e', '-c', script], {
    cwd,
    env: { ...inherited, NODE_ENV: undefined, PATH: path, CI: 'true', ...env },
    encoding: 'utf8',
    timeout: HANGS,
  })
  if (status !== 0) throw new Error(`${script}: ${signal ?? status}\n${stdout}\n${stderr}`)
  return stdout + stderr
}

/** Writes a file of docs/recipes.md into the folder. */
function write(name: string, cwd = folder): void {
  writeFileSync(join(cwd, name), block(RECIPES, name))
}

/** Runs what a bundler has written, in a folder that has nothing else. */
function runAlone(output: string, program: string): string {
  const alone = newFolder()
  cpSync(join(folder, output), alone, { recursive: true })
  return sh(program, alone)
}

describe('bundled', () => {
  test.each([
    ['esbuild', 'node app.js'],
    ['esbuild-esm', 'node app.mjs'],
  ])('%s, with the addon beside the bundle', (recipe, program) => {
    expect(sh(`rm -rf out; ${block(RECIPES, recipe)}`)).not.toMatch(/warning/i)
    expect(runAlone('out', program)).toBe('smoke ok bundled\n')
  })

  test('webpack', () => {
    write('webpack.config.cjs')
    expect(sh('rm -rf out; webpack --config webpack.config.cjs --output-path out')).not.toMatch(/warning/i)
    expect(sh('node out/main.js')).toBe('smoke ok bundled\n')
  })

  test('rollup', () => {
    write('rollup.config.mjs')
    // The settings import their plugins from the project.
    symlinkSync(join(tools, '@rollup'), join(folder, 'node_modules/@rollup'))
    expect(sh('rm -rf out; rollup --config rollup.config.mjs')).not.toMatch(/\(!\)|warning/i)
    expect(sh('node out/app.cjs')).toBe('smoke ok bundled\n')
  })

  test('vite, for servers', () => {
    write('vite.config.mjs')
    expect(sh('rm -rf out; vite build')).not.toMatch(/warning/i)
    expect(sh('node out/app.*')).toBe('smoke ok bundled\n')
  })
})

describe('a single executable', () => {
  test('of Bun', () => {
    sh(`rm -rf out; mkdir out; ${block(RECIPES, 'bun').replace('=app', '=out/app')}`)
    expect(runAlone('out', './app')).toBe('smoke ok bundled\n')
  })

  test('of Node.js, with the addon as an asset', () => {
    write('sea.cjs')
    const settings = block(RECIPES, 'sea.json').replaceAll('linux-x64-gnu', target())
    writeFileSync(join(folder, 'sea.json'), settings)
    writeFileSync(join(folder, 'app.cjs'), "require('./smoke.cjs')(require('node-datatrack'), 'sea')")
    sh(`rm -rf out; ${block(RECIPES, 'sea')}`)
    expect(runAlone('out', './app')).toBe('smoke ok sea\n')
  })
})

describe('a test runner', () => {
  test('jest', () => {
    const said = sh(`jest --rootDir ${folder} --testMatch '**/frame.test.cjs'`)
    expect(said).toContain('smoke ok test')
    expect(said).toMatch(/Tests: +1 passed, 1 total/)
  })

  test('vitest', () => {
    const said = sh(`vitest run --globals --root ${folder} frame.test.mjs`)
    expect(said).toContain('smoke ok test')
    expect(said).toContain('1 passed')
  })

  test('tsx', () => {
    expect(sh('tsx app.ts')).toBe('smoke ok typescript\n')
  })
})

describe('a package manager', () => {
  /** A project that depends on the tarballs. Each manager has a place of its own for the platform package. */
  function project(place: (overrides: Record<string, string>) => object): string {
    const made = newFolder()
    const overrides = Object.entries(packed.platforms).map(([name, file]) => [name, `file:${file}`] as const)
    const manifest = {
      ...{ name: 'consumer', version: '1.0.0', private: true },
      dependencies: { 'node-datatrack': `file:${packed.main}` },
      ...place(Object.fromEntries(overrides)),
    }
    writeFileSync(join(made, 'package.json'), JSON.stringify(manifest))
    for (const script of ['smoke.cjs', 'import.mjs', 'require.cjs']) {
      copyFileSync(join(fixtures, script), join(made, script))
    }
    return made
  }

  test('pnpm', () => {
    const made = project(() => ({}))
    const lines = Object.entries(packed.platforms).map(([name, file]) => `  '${name}': 'file:${file}'\n`)
    writeFileSync(join(made, 'pnpm-workspace.yaml'), `packages: []\noverrides:\n${lines.join('')}`)
    sh(`pnpm install --no-frozen-lockfile --store-dir ${newFolder()}`, made)
    expect(sh('node import.mjs; node require.cjs', made)).toBe('smoke ok import\nsmoke ok require\n')
  })

  test("yarn, with Plug'n'Play", () => {
    const made = project((resolutions) => ({ resolutions }))
    writeFileSync(
      join(made, '.yarnrc.yml'),
      'nodeLinker: pnp\nenableTelemetry: false\nenableGlobalCache: false\n',
    )
    writeFileSync(join(made, 'yarn.lock'), '')
    sh('yarn install', made, { YARN_ENABLE_IMMUTABLE_INSTALLS: 'false' })
    expect(sh('yarn node require.cjs', made)).toBe('smoke ok require\n')
  })

  test('bun', () => {
    const made = project((overrides) => ({ overrides }))
    sh(`bun install --cache-dir ${newFolder()}`, made)
    expect(sh('bun import.mjs; bun require.cjs', made)).toBe('smoke ok import\nsmoke ok require\n')
  })

  test('npm without a registry, from two files', () => {
    const made = newFolder()
    for (const file of [packed.main, ...Object.values(packed.platforms)])
      copyFileSync(file, join(made, file.split('/').at(-1)!))
    copyFileSync(join(fixtures, 'smoke.cjs'), join(made, 'smoke.cjs'))
    copyFileSync(join(fixtures, 'import.mjs'), join(made, 'import.mjs'))
    sh(block(RECIPES, 'offline').replaceAll('linux-x64-gnu', target()), made)
    expect(sh('node import.mjs', made)).toBe('smoke ok import\n')
  })

  test('npm, with a lock file and modules of another platform: the error has the command that helps', () => {
    const made = project((overrides) => ({ overrides }))
    sh('npm install --os=darwin --cpu=arm64 --no-audit --no-fund', made)
    const failed = sh('node import.mjs 2>&1 || true', made)
    const name = `@node-datatrack/native-${target()}`
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
    expect(failed).toContain(`Run: npm install ${name}@${version}\n`)
    // The command takes the package from the registry, where this version is not yet. Here it is a file.
    sh('npm pkg delete overrides', made)
    sh(`npm install --no-save --no-audit --no-fund ${packed.platforms[name]}`, made)
    expect(sh('node import.mjs', made)).toBe('smoke ok import\n')
  })
})

/** Next.js takes a minute, and 200 MB of packages. */
if (process.env['DATATRACK_SLOW_BUNDLERS'] === '1') {
  test('Next.js: a route of a standalone server', () => {
    const next = installed('next')
    const app = newFolder()
    cpSync(join(fixtures, 'next'), app, { recursive: true })
    copyFileSync(join(fixtures, 'smoke.cjs'), join(app, 'smoke.cjs'))
    write('next.config.mjs', app)
    mkdirSync(join(app, 'node_modules'))
    cpSync(join(folder, 'node_modules'), join(app, 'node_modules'), { recursive: true })
    cpSync(next, join(app, 'node_modules'), { recursive: true })
    writeFileSync(join(app, 'package.json'), JSON.stringify({ private: true, dependencies: {} }))
    sh('node node_modules/next/dist/bin/next build', app, {
      NEXT_TELEMETRY_DISABLED: '1',
      NODE_ENV: 'production',
    })
    const alone = newFolder()
    cpSync(join(app, '.next/standalone'), alone, { recursive: true })
    const ask = `
      process.chdir(${JSON.stringify(alone)})
      Object.assign(process.env, { PORT: '0', HOSTNAME: '127.0.0.1', NODE_ENV: 'production' })
      const http = require('node:http')
      const listen = http.Server.prototype.listen
      http.Server.prototype.listen = function (...args) {
        this.once('listening', async () => {
          const answer = await fetch('http://127.0.0.1:' + this.address().port + '/api/frame')
          console.log(answer.status, await answer.text())
          process.exit(0)
        })
        return listen.apply(this, args)
      }
      require(${JSON.stringify(join(alone, 'server.js'))})`
    writeFileSync(join(alone, 'ask.cjs'), ask)
    expect(sh('node ask.cjs', alone)).toContain('200 {"frame":"arrived"}')
  })
}

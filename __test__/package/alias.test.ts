/** `@node-datatrack/rtc-node` in place of `@livekit/rtc-node`, with the settings of docs/rtc-node.md. */
import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join, resolve } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { block } from '../helpers/recipes'
import { installed, remove, tarballs } from './consumer'

const PAGE = 'docs/rtc-node.md'
/** It must end; this only keeps a hang from taking the suite with it. ms */
const HANGS = 100_000

/** A library that has rtc-node as a peer, in a version that is not this package's, as `@livekit/agents` has it. */
const library = {
  'package.json': JSON.stringify({
    ...{ name: 'uses-rtc-node', version: '1.0.0', main: './index.cjs' },
    exports: { import: './index.mjs', require: './index.cjs' },
    peerDependencies: { '@livekit/rtc-node': '^0.13.34' },
  }),
  'index.cjs': "module.exports = require('@livekit/rtc-node')\n",
  'index.mjs': "export { Room, AudioFrame } from '@livekit/rtc-node'\n",
}

const programs = {
  'main.cjs': `
    const [own, library, all] = ['@livekit/rtc-node', 'uses-rtc-node', 'node-datatrack'].map(require)
    console.log(own.Room === library.Room, own.AudioFrame === all.AudioFrame)`,
  'main.mjs': `
    import { createRequire } from 'node:module'
    import { AudioFrame, Room } from '@livekit/rtc-node'
    import * as library from 'uses-rtc-node'
    import * as all from 'node-datatrack'
    const { Room: required } = createRequire(import.meta.url)('@livekit/rtc-node')
    console.log(Room === library.Room, AudioFrame === all.AudioFrame, Room === required)`,
}

const folders: string[] = []
let registry: ChildProcess
let url: string
let path: string

function newFolder(files: Readonly<Record<string, string>> = {}): string {
  const made = mkdtempSync(join(tmpdir(), 'datatrack-alias-'))
  folders.push(made)
  for (const [name, text] of Object.entries(files)) writeFileSync(join(made, name), text)
  return made
}

function sh(script: string, cwd: string, env: NodeJS.ProcessEnv = {}): string {
  const { DATATRACK_NATIVE_PATH: _, NODE_OPTIONS: __, VITEST: ___, ...inherited } = process.env
  const { status, signal, stdout, stderr } = spawnSync('sh', ['-e', '-c', script], {
    cwd,
    env: { ...inherited, NODE_ENV: undefined, PATH: path, CI: 'true', npm_config_registry: url, ...env },
    encoding: 'utf8',
    timeout: HANGS,
  })
  if (status !== 0) throw new Error(`${script}: ${signal ?? status}\n${stdout}\n${stderr}`)
  return stdout
}

beforeAll(async () => {
  const packed = tarballs()
  path = [join(installed('bundlers'), '.bin'), dirname(process.execPath), process.env['PATH']].join(delimiter)
  const made = newFolder(library)
  sh('npm pack --silent', made)
  registry = spawn(process.execPath, [
    resolve('__test__/package/registry.mjs'),
    ...[packed.main, packed.alias, ...Object.values(packed.platforms), join(made, 'uses-rtc-node-1.0.0.tgz')],
  ])
  url = await new Promise<string>((resolve) =>
    registry.stdout?.once('data', (said: Buffer) => resolve(said.toString().trim())),
  )
})
afterAll(() => {
  registry.kill()
  folders.forEach(remove)
})

/** A project that depends on the library, and on both packages, with the settings of a block of the page. */
function project(name: string, files: Readonly<Record<string, string>> = {}): string {
  const settings = JSON.parse(block(PAGE, name)) as { readonly dependencies: object }
  const dependencies = {
    ...settings.dependencies,
    ...{ 'node-datatrack': '^0.1.0', 'uses-rtc-node': '^1.0.0' },
  }
  const manifest = { ...{ name: 'consumer', private: true }, ...settings, dependencies }
  return newFolder({ ...programs, 'package.json': JSON.stringify(manifest), ...files })
}

const SAME = 'true true\ntrue true true\n'

test('npm', () => {
  const made = project('alias-npm')
  sh('npm install --no-audit --no-fund', made)
  expect(sh('node main.cjs; node main.mjs', made)).toBe(SAME)
})

test('npm refuses without the override, as the page says', () => {
  const made = project('alias-npm')
  sh('npm pkg delete overrides', made)
  expect(() => sh('npm install --no-audit --no-fund --loglevel=error', made)).toThrow('ERESOLVE')
})

test('pnpm', () => {
  const made = project('alias-npm', { 'pnpm-workspace.yaml': `packages: []\n${block(PAGE, 'alias-pnpm')}` })
  sh('npm pkg delete overrides', made)
  sh(`pnpm install --no-frozen-lockfile --registry ${url} --store-dir ${newFolder()}`, made)
  expect(sh('node main.cjs; node main.mjs', made)).toBe(SAME)
})

test('yarn', () => {
  const settings = [
    ...['nodeLinker: node-modules', 'enableTelemetry: false', 'enableGlobalCache: false'],
    ...["unsafeHttpWhitelist: ['127.0.0.1']", `npmRegistryServer: ${url}`],
  ]
  const made = project('alias-yarn', { '.yarnrc.yml': `${settings.join('\n')}\n`, 'yarn.lock': '' })
  sh('yarn install', made, { YARN_ENABLE_IMMUTABLE_INSTALLS: 'false', YARN_GLOBAL_FOLDER: newFolder() })
  expect(sh('node main.cjs; node main.mjs', made)).toBe(SAME)
})

test('the version that the page names is the one that is packed', () => {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
  const named = readFileSync(PAGE, 'utf8').matchAll(/@node-datatrack\/rtc-node@\^([\w.-]+)/g)
  expect(new Set([...named].map(([, each]) => each))).toEqual(new Set([version]))
})

/**
 * In place of Electron, which no registry has: a Node that refuses external buffers, as Electron does. Programs run on
 * it, and Electron's packagers put it where they put Electron.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { allExamples } from '../../scripts/lib/examples.cjs'
import { inNewRoom, runCli } from '../helpers/cli'
import { tryExample } from '../helpers/examples'
import { forbidExternalBuffers } from '../helpers/no-external-buffers'
import { prelude, runProgram } from '../helpers/programs'
import { block } from '../helpers/recipes'
import { rustAddon } from '../helpers/rust-addon'
import { withServer } from '../helpers/with-server'
import { consumer, installed, remove, tarballs, target } from './consumer'
import type { Tarballs } from './consumer'

/** Time limit of a program, ms. */
const HANGS = 30_000

let folder: string
let plain: string
let refusing: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'datatrack-electron-'))
  plain = join(installed('runtimes'), 'node24/bin/node')
  refusing = join(folder, 'node')
  forbidExternalBuffers(plain, refusing)
})
afterAll(() => {
  remove(folder)
})

describe('a Node that refuses external buffers', () => {
  const server = withServer()

  test('refuses them to an addon that asks for them, and a plain Node gives them', () => {
    const source = `console.log(require(${JSON.stringify(rustAddon('external-addon'))})())`
    const answer = (node: string): string => execFileSync(node, ['-e', source], { encoding: 'utf8' }).trim()
    expect(answer(plain)).toBe('0')
    // napi_no_external_buffers_allowed, of both functions.
    expect(answer(refusing)).toBe('2222')
  })

  test.concurrent.each(allExamples())('runs $name', async (example) => {
    await tryExample(example, refusing)
  })

  test.concurrent.each<[string, (env: NodeJS.ProcessEnv) => NodeJS.ProcessEnv]>([
    ['without a server', () => ({})],
    ['with a server', (env) => env],
  ])('runs the doctor %s', async (_, env) => {
    const { code, stdout, stderr } = await runCli(['doctor'], env(inNewRoom(server)), refusing)
    expect(stderr).toBe('')
    expect(stdout).toMatch(/^ok {6}binary /m)
    expect(stdout).not.toMatch(/^(failed|warning)/m)
    expect(code).toBe(0)
  })

  test.concurrent('runs worker threads, and ends', async () => {
    const worker = `${prelude()}
      traffic().then(({ sfu }) => { sfu.close(); require('node:worker_threads').parentPort.postMessage('done') })`
    const source = `
      const { Worker } = require('node:worker_threads')
      for (let index = 0; index < 3; index++)
        new Worker(${JSON.stringify(worker)}, { eval: true }).on('message', console.log)
      const { sfu } = await traffic()
      sfu.close()`
    const ending = await runProgram(source, prelude(), HANGS, refusing)
    expect(ending).toEqual({ code: 0, signal: null, stdout: 'done\n'.repeat(3), stderr: '' })
  })
})

describe('an application', () => {
  /** The version that the packagers are told. It is only a part of names. */
  const version = '45.5.0'
  const addon = `node_modules/@node-datatrack/native-${target()}/datatrack.${target()}.node`
  const unpacked = `/resources/app.asar.unpacked/`
  let packed: Tarballs
  let path: string
  let app: string

  beforeAll(() => {
    packed = tarballs()
    // The tools need a newer Node than the package does.
    path = [join(installed('electron'), '.bin'), dirname(plain), process.env['PATH']].join(delimiter)
    // What Electron's own archive has.
    mkdirSync(join(folder, 'electron/resources'), { recursive: true })
    copyFileSync(refusing, join(folder, 'electron/electron'))
    writeFileSync(join(folder, 'electron/version'), version)
    app = application(packed.main, packed.platforms)
  })
  afterAll(() => {
    remove(app)
  })

  function sh(script: string, cwd = app): string {
    const { DATATRACK_NATIVE_PATH: _, NODE_OPTIONS: __, VITEST: ___, ...env } = process.env
    const options = { cwd, env: { ...env, PATH: path }, encoding: 'utf8', timeout: 100_000 } as const
    const { status, signal, stdout, stderr } = spawnSync('sh', ['-e', '-c', script], options)
    if (status !== 0) throw new Error(`${script}: ${signal ?? status}\n${stdout}\n${stderr}`)
    return stdout
  }

  /** A folder with the package installed, and the sources of an application. */
  function application(tarball: string, platforms: Record<string, string>): string {
    const made = consumer(tarball, platforms)
    for (const file of ['main.cjs', 'asar.cjs'])
      copyFileSync(resolve('__test__/package/fixtures/electron', file), join(made, file))
    const manifest = JSON.parse(readFileSync(join(made, 'package.json'), 'utf8')) as object
    const fields = { version: '1.0.0', description: 'An application', author: 'A tester', main: 'main.cjs' }
    writeFileSync(join(made, 'package.json'), JSON.stringify({ ...manifest, ...fields }))
    return made
  }

  /** Runs a packed application as Electron does, which reads the archive as if it were a folder of files. */
  function launch(cwd: string): string[] {
    const archive = join(cwd, 'resources/app.asar')
    const listed = sh(`asar list --is-pack ${archive}`)
    expect(listed).toMatch(/^pack *: \/main\.cjs$/m)
    const files = [...listed.matchAll(/^unpack *: \/(.+\.node)$/gm)].map(([, file = '']) => file)
    sh(`asar extract ${archive} ${archive}.extracted`)
    renameSync(archive, `${archive}.packed`)
    renameSync(`${archive}.extracted`, archive)
    // Electron says that these files exist in the archive. Their contents are beside it only.
    for (const file of files) writeFileSync(join(archive, file), '')
    const output = sh(`./consumer --require ./resources/app.asar/asar.cjs resources/app.asar/main.cjs`, cwd)
    return output.trim().split('\n')
  }

  const frames = (cwd: string, file: string): string[] => [
    'smoke ok main',
    `${cwd}${unpacked}${file}`,
    'smoke ok forked',
    `${cwd}${unpacked}${file}`,
  ]

  const builder = (): string =>
    `electron-builder --linux dir -c.electronDist=${folder}/electron -c.electronVersion=${version}`

  test('of electron-builder loads the addon from app.asar.unpacked, without settings', () => {
    sh(`${builder()} -c.directories.output=out`)
    const made = join(app, 'out/linux-unpacked')
    expect(launch(made)).toEqual(frames(made, addon))
  })

  test('of electron-builder with the self-contained package', () => {
    const own = application(packed.selfContained, {})
    try {
      sh(`${builder()} -c.directories.output=out`, own)
      const made = join(own, 'out/linux-unpacked')
      const [platform, arch] = target().split('-')
      const prebuilt = `node_modules/node-datatrack/prebuilds/${platform}-${arch}/datatrack.glibc.node`
      expect(launch(made)).toEqual(frames(made, prebuilt))
    } finally {
      remove(own)
    }
  })

  test('of Electron Forge, which packs with @electron/packager, with the settings of the recipe', () => {
    writeFileSync(join(app, 'forge.config.cjs'), block('docs/recipes.md', 'forge.config.cjs'))
    sh(`python3 -m zipfile -c ../electron-v${version}-linux-x64.zip *`, join(folder, 'electron'))
    const options = `{ ...packagerConfig, dir: '.', out: 'forge', platform: 'linux', arch: 'x64', quiet: true,
      electronVersion: '${version}', electronZipDir: '${folder}', ignore: /^\\/out/ }`
    sh(`node --input-type=module -e "
      import { packager } from '${installed('electron')}/@electron/packager/dist/index.js'
      import { createRequire } from 'node:module'
      const { packagerConfig } = createRequire(process.cwd() + '/')('./forge.config.cjs')
      await packager(${options})"`)
    const made = join(app, 'forge/consumer-linux-x64')
    expect(launch(made)).toEqual(frames(made, addon))
  })
})

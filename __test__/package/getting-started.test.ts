/** docs/getting-started.md, followed literally in an empty folder, with a real server. */
import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { buildServer } from '../helpers/livekit-server'
import { blocksOf } from '../helpers/recipes'
import { remove, tarballs } from './consumer'
import type { Tarballs } from './consumer'

/** The port that `livekit-server --dev` takes. The page names it. */
const PORT = 7880
const HANGS = 60_000

let packed: Tarballs
let folder: string
let env: NodeJS.ProcessEnv
const running: ChildProcess[] = []

beforeAll(async () => {
  packed = tarballs()
  await buildServer()
  folder = mkdtempSync(join(tmpdir(), 'datatrack-getting-started-'))
  // The server that the reader has installed. It stays on this machine.
  const programs = join(folder, '..', `${folder.split('/').at(-1)}-programs`)
  mkdirSync(programs)
  const server = join(programs, 'livekit-server')
  const binary = process.env['LIVEKIT_SERVER_BIN'] ?? resolve('__test__/livekit-server/bin/livekit-server')
  writeFileSync(server, `#!/bin/sh\nexec ${binary} "$@" --node-ip 127.0.0.1 --bind 127.0.0.1\n`)
  chmodSync(server, 0o755)
  const { DATATRACK_NATIVE_PATH: _, ...inherited } = process.env
  const own = Object.entries(inherited).filter(([name]) => !name.startsWith('LIVEKIT_'))
  const path = [programs, dirname(process.execPath), process.env['PATH']].join(delimiter)
  env = { ...Object.fromEntries(own), PATH: path }
})
afterAll(async () => {
  // The server first: it would wait for its participants.
  for (const child of running) {
    if (child.exitCode !== null || child.signalCode !== null) continue
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  remove(folder)
  remove(`${folder}-programs`)
})

/** Runs a block to its end. */
function run(text: string): void {
  const options = { cwd: folder, env, encoding: 'utf8', timeout: HANGS } as const
  const { status, stdout, stderr } = spawnSync('sh', ['-e', '-c', text], options)
  if (status !== 0) throw new Error(`${text}: ${status}\n${stdout}\n${stderr}`)
}

/** Starts a block in a terminal of its own. `exec`: the shell becomes the program, which can be stopped then. */
function start(text: string, read: boolean): ChildProcess {
  const child = spawn('sh', ['-c', `exec ${text}`], {
    cwd: folder,
    env,
    // A pipe that this process does not read, while it waits for a step, would stop the program once it is full.
    stdio: ['ignore', read ? 'pipe' : 'ignore', 'ignore'],
  })
  running.push(child)
  child.stdout?.setEncoding('utf8')
  return child
}

async function isFree(port: number): Promise<boolean> {
  const probe = createServer()
  const free = await new Promise<boolean>((done) => {
    probe.once('error', () => done(false))
    probe.listen(port, '127.0.0.1', () => done(true))
  })
  if (free) await new Promise((done) => probe.close(done))
  return free
}

async function answers(port: number): Promise<void> {
  for (;;) {
    const socket = connect(port, '127.0.0.1')
    const open = await new Promise<boolean>((done) => {
      socket.once('connect', () => done(true)).once('error', () => done(false))
    })
    socket.destroy()
    if (open) return
    await delay(20)
  }
}

/** The same block, with files in place of the registry, where the package is not yet. */
function fromFiles(text: string): string {
  const overrides = Object.entries(packed.platforms).map(([name, file]) => [name, `file:${file}`])
  return text.replace(
    'npm install node-datatrack\n',
    `npm pkg set --json overrides='${JSON.stringify(Object.fromEntries(overrides))}'\nnpm install ${packed.main}\n`,
  )
}

test('each step of the page works, and the desk prints what the robot publishes', async () => {
  expect(await isFree(PORT), `port ${PORT}, which the page names, is in use on this machine`).toBe(true)
  const blocks = blocksOf('docs/getting-started.md')
  let desk: ChildProcess | undefined
  for (const { language, name, text } of blocks) {
    if (language === 'js') writeFileSync(join(folder, String(name)), text)
    else if (name === undefined) run(fromFiles(text))
    else {
      const child = start(text, name === 'desk')
      if (name === 'server') await answers(PORT)
      if (name === 'desk') desk = child
    }
  }
  const lines: string[] = []
  for await (const chunk of desk!.stdout as AsyncIterable<string>) {
    lines.push(...chunk.split('\n').filter((line) => line !== ''))
    if (lines.length >= 5) break
  }
  expect(lines.length).toBeGreaterThanOrEqual(5)
  for (const line of lines) expect(line).toMatch(/^robot \{ x: \d+ \}$/)
})

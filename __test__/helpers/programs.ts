/** Small programs in processes of their own. They use the compiled package, which `npm run build:ts` writes. */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'

/** The path of the compiled package. */
export const built = resolve('dist/index.js')

/** How a program ended. */
export interface Ending {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** A program that hangs is killed after so many ms. Its ending then has a signal, and no exit code. */
const HANGS = 30_000

/**
 * What programs can use. `datatrack` is the package. `traffic()` sends a frame from alice to bob's stream.
 * `flood(local)` then pushes without end. `turn()` waits for a turn of the event loop. It is text so that it can be
 * part of a worker's source, too.
 */
export function prelude(file: string = built): string {
  return `
    const datatrack = require(${JSON.stringify(file)})
    const turn = () => new Promise((resolve) => setImmediate(resolve))
    async function traffic(name = 'track') {
      const sfu = new datatrack.Loopback()
      const alice = sfu.join('alice')
      const bob = sfu.join('bob')
      const local = await alice.localParticipant.publishDataTrack({ name })
      const remote = await bob.remoteParticipants.get('alice').dataTracks.getDeferred(name)
      const stream = remote.subscribe()
      await turn()
      local.tryPush(new Uint8Array([1, 2, 3]))
      await stream.read()
      return { sfu, alice, bob, local, remote, stream }
    }
    function flood(local) {
      for (let frame = 0; frame < 50; frame++) local.tryPush(new Uint8Array(1000))
      setImmediate(flood, local)
    }
  `
}

/**
 * Runs a program to its end. `source` is the body of an async function that follows the {@link prelude}. `hangs`: the
 * time limit, ms, for programs that take longer than others. `runtime`: what runs it.
 */
export function runProgram(
  source: string,
  from: string = prelude(),
  hangs = HANGS,
  runtime = process.execPath,
): Promise<Ending> {
  if (!existsSync(built)) throw new Error(`${built} is missing: run npm run build:ts`)
  return new Promise((settle, reject) => {
    const child = spawn(runtime, ['-e', `${from}\n;(async () => {\n${source}\n})()`], {
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: hangs,
      killSignal: 'SIGKILL',
    })
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    child.on('error', reject)
    child.on('close', (code, signal) => settle({ code, signal, stdout, stderr }))
  })
}

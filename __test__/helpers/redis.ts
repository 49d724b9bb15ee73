/**
 * A Redis for a cluster of LiveKit servers: Debian's `redis-server` on a free port of 127.0.0.1. It writes nothing to
 * disk.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { freePort } from './livekit-server'

export class Redis {
  /** Host and port. */
  readonly address: string
  readonly #process: ChildProcess
  readonly #folder: string

  private constructor(address: string, child: ChildProcess, folder: string) {
    this.address = address
    this.#process = child
    this.#folder = folder
  }

  /** Starts a Redis and waits until it accepts connections. */
  static async start(): Promise<Redis> {
    const folder = await mkdtemp(join(tmpdir(), 'datatrack-redis-'))
    const port = await freePort()
    const child = spawn(
      'redis-server',
      ['--bind', '127.0.0.1', '--port', String(port), '--save', '', '--appendonly', 'no', '--dir', folder],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    // If the test run is aborted, the Redis must not go on running.
    const kill = (): void => void child.kill('SIGKILL')
    process.once('exit', kill)
    child.once('close', () => process.removeListener('exit', kill))
    const redis = new Redis(`127.0.0.1:${port}`, child, folder)
    const output: string[] = []
    // Reads the whole output. Otherwise the pipe would fill up and block the Redis.
    const lines = createInterface(child.stdout)
    await new Promise<void>((resolve, reject) => {
      lines.on('line', (line) => {
        output.push(line)
        if (line.includes('Ready to accept connections')) resolve()
      })
      lines.once('close', () => reject(new Error(`redis-server ended early:\n${output.join('\n')}`)))
      child.once('error', reject)
    })
    return redis
  }

  /** Kills the Redis. */
  async stop(): Promise<void> {
    const closed = once(this.#process, 'close')
    if (this.#process.kill('SIGKILL')) await closed
    await rm(this.#folder, { recursive: true })
  }
}

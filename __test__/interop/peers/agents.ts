/** Programs with LiveKit's agents framework, over this package in place of `@livekit/rtc-node`. */
import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'

/** ms after which a program that was told to end is killed. */
const ENDS = 60_000

/** Installs the framework, unless it is installed. */
export function installAgents(): void {
  const { status } = spawnSync(process.execPath, ['scripts/agents.mjs'], { stdio: 'inherit' })
  if (status !== 0) throw new Error('installing the agents framework failed')
}

/** A program of `__test__/interop/agents`. */
export class AgentProgram {
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>
  readonly #closed: Promise<unknown[]>
  #log = ''
  readonly #kill = (): void => void this.#child.kill('SIGKILL')

  constructor(program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
    this.#child = spawn(process.execPath, [join(resolve('.cache/agents'), program), ...args], {
      env: { ...process.env, ...env },
    })
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#log = (this.#log + text).slice(-10_000)
    })
    this.#closed = once(this.#child, 'close')
    this.#lines = createInterface(this.#child.stdout!)[Symbol.asyncIterator]()
    process.once('exit', this.#kill)
  }

  /** Waits until it has written such a line. */
  async line(wanted: string): Promise<void> {
    for (;;) {
      const { value, done } = await this.#lines.next()
      if (done === true) throw new Error(`the program has ended: ${this.#log}`)
      if (value === wanted) return
      this.#log += `${value}\n`
    }
  }

  /** Tells it to end. Resolves with its exit code, or with what it has written if that is not 0. */
  async end(): Promise<string> {
    const timer = setTimeout(this.#kill, ENDS)
    this.#child.stdin!.end()
    const [code, signal] = (await this.#closed) as [number | null, string | null]
    clearTimeout(timer)
    process.off('exit', this.#kill)
    return code === 0 ? '0' : `${code ?? signal}: ${this.#log}`
  }
}

/**
 * A program in a process of its own. The test exchanges messages with it while it runs. The process may be in a network
 * namespace, and may have flags of Node.js.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { built, prelude } from './programs'
import type { Namespace } from '../../scripts/lib/bad-network.cjs'

export interface ChildOptions {
  /** The network namespace in which the program runs. Default: the machine's own network. */
  readonly namespace?: Namespace | undefined
  /** Flags of Node.js, `--expose-gc` for example. */
  readonly flags?: readonly string[]
}

/**
 * What programs can use in addition to the {@link prelude}. `say(value)` sends a message to the test. `await hear()`
 * receives one from it. `await seen(room, name)` is the track of that name.
 */
const helpers = `
  const say = (value) => process.send(value)
  const heard = [], hearing = []
  process.on('message', (value) => {
    const next = hearing.shift()
    if (next === undefined) heard.push(value)
    else next(value)
  })
  // The test's process has ended, so the program ends, too.
  process.on('disconnect', () => ended || process.exit(1))
  let ended = false
  const hear = async () => heard.length > 0 ? heard.shift() : new Promise((resolve) => hearing.push(resolve))
  const seen = async (room, name) => {
    for await (const track of room.dataTracks({ name })) return track
    throw new Error('the room ended')
  }
`

/** A running program. */
export class Child {
  readonly #process: ChildProcess
  readonly #ended: Promise<unknown>
  readonly #said: unknown[] = []
  #listening: (() => void)[] = []
  #over = false
  #stderr = ''

  private constructor(process: ChildProcess) {
    this.#process = process
    process.stderr?.setEncoding('utf8').on('data', (text: string) => (this.#stderr += text))
    process.on('message', (value) => {
      this.#said.push(value)
      this.#wake()
    })
    this.#ended = once(process, 'close').finally(() => {
      this.#over = true
      this.#wake()
    })
  }

  /**
   * Starts a program and runs `use` beside it. Afterwards the program is killed if it still runs. `source` is the body
   * of an async function. The prelude and the helpers above come before it.
   */
  static async with(
    source: string,
    { namespace, flags = [] }: ChildOptions,
    use: (child: Child) => Promise<void>,
  ): Promise<void> {
    if (!existsSync(built)) throw new Error(`${built} is missing: run npm run build:ts`)
    const args = [
      ...flags,
      '-e',
      `${prelude()}${helpers}\n;(async () => {\n${source}\nended = true\nprocess.disconnect()\n})()`,
    ]
    const [command, rest] = namespace?.command(process.execPath, args) ?? [process.execPath, args]
    const started = spawn(command, rest, { stdio: ['ignore', 'inherit', 'pipe', 'ipc'] })
    const kill = (): void => void started.kill('SIGKILL')
    process.once('exit', kill)
    const child = new Child(started)
    try {
      await use(child)
    } finally {
      kill()
      process.removeListener('exit', kill)
      await child.#ended
    }
  }

  /** The next message of the program. */
  async next<T>(): Promise<T> {
    while (this.#said.length === 0) {
      if (this.#over) throw new Error(`the program has ended\n${this.#stderr}`)
      await new Promise<void>((resolve) => this.#listening.push(resolve))
    }
    return this.#said.shift() as T
  }

  /** Sends a message to the program. The program's `hear()` returns it. */
  tell(value: string | number | boolean | object): void {
    this.#process.send(value)
  }

  /** Waits until the program ends by itself. Returns its exit code and what it wrote to stderr. */
  async end(): Promise<{ readonly code: number | null; readonly stderr: string }> {
    await this.#ended
    return { code: this.#process.exitCode, stderr: this.#stderr }
  }

  /** Resident memory of the program in bytes, as the system counts it. Linux only. */
  get residentBytes(): number {
    return Number(this.#status('VmRSS')) * 1024
  }

  /** How many threads the program has, as the system counts them. Linux only. */
  get threads(): number {
    return Number(this.#status('Threads'))
  }

  #status(name: string): string {
    const status = readFileSync(`/proc/${this.#process.pid}/status`, 'utf8')
    return new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? ''
  }

  #wake(): void {
    const listening = this.#listening
    this.#listening = []
    for (const resolve of listening) resolve()
  }
}

/** A program in a process of its own that a test talks with while it runs: in a namespace, under a debugger's flags. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { built, prelude } from './programs'
import type { Namespace } from '../../scripts/lib/bad-network.cjs'

export interface ChildOptions {
  /** Where it runs. Default: in the machine's own network. */
  readonly namespace?: Namespace | undefined
  /** Flags of node, `--expose-gc` for example. */
  readonly flags?: readonly string[]
}

/**
 * What programs find beside the {@link prelude}: `say(value)` to the test, `await hear()` from it, and
 * `seen(room, name)`, the track of that name.
 */
const helpers = `
  const say = (value) => process.send(value)
  const heard = [], hearing = []
  process.on('message', (value) => {
    const next = hearing.shift()
    if (next === undefined) heard.push(value)
    else next(value)
  })
  // The process that started it has ended.
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
   * Runs `use` beside a program, which is killed afterwards if it still runs. `source` is the body of an async function
   * after the prelude and the helpers above.
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

  /** The next thing that the program says. */
  async next<T>(): Promise<T> {
    while (this.#said.length === 0) {
      if (this.#over) throw new Error(`the program has ended\n${this.#stderr}`)
      await new Promise<void>((resolve) => this.#listening.push(resolve))
    }
    return this.#said.shift() as T
  }

  /** What the program's `hear()` gives. */
  tell(value: string | number | boolean | object): void {
    this.#process.send(value)
  }

  /** Waits for the program to end by itself: its exit code, and what it wrote to stderr. */
  async end(): Promise<{ readonly code: number | null; readonly stderr: string }> {
    await this.#ended
    return { code: this.#process.exitCode, stderr: this.#stderr }
  }

  /** Bytes of memory that it occupies, from the system. Linux only. */
  get residentBytes(): number {
    return Number(this.#status('VmRSS')) * 1024
  }

  /** Its threads, from the system. Linux only. */
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

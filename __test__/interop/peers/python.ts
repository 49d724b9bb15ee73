/** LiveKit's Python SDK as a peer, in a process of its own. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { python } from '../../helpers/python'
import { RemotePeer } from './peer'

interface Answer {
  readonly id: number
  readonly result?: unknown
  readonly error?: string
}

export class PythonPeer extends RemotePeer {
  readonly kind = 'python'
  readonly #child = spawn(python, ['__test__/interop/peers/peer.py'], { stdio: ['pipe', 'pipe', 'inherit'] })
  readonly #closed = once(this.#child, 'close')
  readonly #pending = new Map<number, PromiseWithResolvers>()
  #calls = 0

  constructor() {
    super()
    const kill = (): void => void this.#child.kill('SIGKILL')
    process.once('exit', kill)
    this.#child.once('close', () => {
      process.removeListener('exit', kill)
      for (const { reject } of this.#pending.values()) reject(new Error('the Python program ended'))
    })
    createInterface(this.#child.stdout).on('line', (line) => {
      const { id, result, error } = JSON.parse(line) as Answer
      const pending = this.#pending.get(id)
      this.#pending.delete(id)
      if (error === undefined) pending?.resolve(result)
      else pending?.reject(new Error(`Python: ${error}`))
    })
  }

  protected call(command: string, argument: unknown): Promise<any> {
    const id = ++this.#calls
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject })
      this.#child.stdin.write(`${JSON.stringify({ id, command, argument })}\n`)
    })
  }

  /** Ends the program. */
  async close(): Promise<void> {
    this.#child.stdin.end()
    await this.#closed
  }
}

interface PromiseWithResolvers {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
}

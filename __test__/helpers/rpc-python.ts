/** LiveKit's Python SDK as the other end of calls. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { pythonOf } from './python'

/** Where another SDK goes. */
export interface RpcPeerOptions {
  readonly url: string
  readonly token: string
  readonly passphrase: string | null
  /** Which one of the SDK. Default: the newest that is tested. */
  readonly version?: string | undefined
}

/** What came of a call of the other SDK's. */
export interface PeerOutcome {
  readonly answer?: string
  readonly code?: number
  readonly message?: string
  readonly data?: string | null
}

/** Lets the other SDK call a method. */
export type PeerCall = (call: {
  readonly to: string
  readonly method: string
  readonly payload: string
  /** Seconds. */
  readonly timeout: number
}) => Promise<PeerOutcome>

/** Runs `use` while Python is in the room. */
export async function withPythonRpc(
  { version, ...options }: RpcPeerOptions,
  use: (call: PeerCall) => Promise<void>,
): Promise<void> {
  const child = spawn(pythonOf(version), ['__test__/interop/rpc.py'], { stdio: ['pipe', 'pipe', 'inherit'] })
  const closed = once(child, 'close')
  const kill = (): void => void child.kill('SIGKILL')
  process.once('exit', kill)
  try {
    const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
    const ask = async (question: unknown): Promise<unknown> => {
      child.stdin.write(`${JSON.stringify(question)}\n`)
      const { value, done } = await lines.next()
      if (done === true) throw new Error('the Python program ended early')
      return JSON.parse(value)
    }
    if ((await ask(options)) !== 'connected') throw new Error('the Python program did not connect')
    await use((call) => ask(call) as Promise<PeerOutcome>)
    child.stdin.end()
    await closed
  } finally {
    kill()
    process.removeListener('exit', kill)
  }
}

/** `datatrack rpc call` and `datatrack rpc serve`: calls a method of a participant, and answers calls. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import type { ConnectOptions } from '../connection/connect-options'
import type { EncryptionOptions } from '../e2ee/session-encryption'
import { joinRoom } from '../check/rooms'
import { printable } from '../base/printable'
import { Deferred } from '../base/abort'
import type { RpcInvocationData } from '../rpc/invocation'
import { RpcError } from '../rpc/rpc-error'
import { note, say } from './output'
import { untilDisconnected, untilEnough } from './room-notes'
import { tokenFor } from './server'
import type { ServerSettings } from './settings'

/** What both commands need. */
interface RpcOptions {
  readonly server: ServerSettings
  readonly connect: ConnectOptions
  readonly encryption: EncryptionOptions | undefined
  readonly method: string
  readonly json: boolean
}

/** Options of {@link rpcCall}. */
export interface RpcCallOptions extends RpcOptions {
  /** The identity of the participant that answers. */
  readonly to: string
  readonly payload: string
  /** How long to wait for the answer, s. */
  readonly timeout: number
}

/** Options of {@link rpcServe}. */
export interface RpcServeOptions extends RpcOptions {
  /** Where the answers come from. */
  readonly answer: RpcAnswer
  /** The command ends after so many calls. `undefined`: no limit. */
  readonly count: number | undefined
  readonly quiet: boolean
}

/** The payload of the call; always the same text; what a command writes to its standard output. */
export type RpcAnswer =
  | { readonly kind: 'echo' }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'command'; readonly command: string; readonly args: readonly string[] }

/** Exit codes of `datatrack rpc call`. 1 is an error, 2 a wrong command line. */
export const RpcExit = {
  Ok: 0,
  /** The call failed: the participant answered with an error, or not in time. */
  Failed: 3,
} as const

/** Bytes that a command may answer: the most that RPC carries. */
const MAX_ANSWER = 1_048_576

/** Calls the method once, and resolves with the exit code. */
export async function rpcCall(options: RpcCallOptions, signal: AbortSignal): Promise<number> {
  const { server, method, payload, to, json } = options
  const token = tokenFor(server, 'rpc', { canPublishData: true })
  const room = await joinRoom(server.url, token, { ...options.connect, encryption: options.encryption })
  const begun = performance.now()
  const called = { method, to }
  try {
    const response = await room.localParticipant.performRpc({
      ...{ method, payload, destinationIdentity: to, responseTimeout: options.timeout * 1000 },
      signal: untilDisconnected(room, signal),
    })
    say(json ? JSON.stringify({ ...called, response, ms: Math.round(performance.now() - begun) }) : response)
    return RpcExit.Ok
  } catch (error) {
    if (!(error instanceof RpcError)) throw error
    const { code, message, data } = error
    if (json) say(JSON.stringify({ ...called, error: { code, message, data } }))
    else note(`datatrack: ${printable(to)}: ${message} (code ${code})`)
    return RpcExit.Failed
  } finally {
    await room.disconnect()
  }
}

/** Answers calls until `count` is reached or the signal aborts, and resolves with the exit code. */
export async function rpcServe(options: RpcServeOptions, signal: AbortSignal): Promise<number> {
  const { server, method, quiet, count = Infinity, json } = options
  const token = tokenFor(server, 'rpc', { canPublishData: true })
  const enough = new Deferred<undefined>()
  let calls = 0
  const room = await joinRoom(
    server.url,
    token,
    { ...options.connect, encryption: options.encryption },
    (joining) =>
      joining.registerRpcMethod(method, async (call) => {
        const { callerIdentity: caller, payload } = call
        say(json ? JSON.stringify({ method, caller, payload }) : `${printable(caller)} ${printable(payload)}`)
        try {
          return await answerTo(call, options.answer)
        } finally {
          calls += 1
          if (calls >= count) enough.resolve(undefined)
        }
      }),
  )
  try {
    if (!quiet) note(`Serving ${printable(method)} as ${printable(room.localParticipant.identity)}.`)
    const ended = untilDisconnected(room, signal)
    if (await untilEnough(enough.promise, ended)) {
      // The answer is given to the room after the handler has returned.
      await turn()
      await untilEnough(room.engine.parts.rpc.server.longAnswersSent(), ended)
    }
    return RpcExit.Ok
  } finally {
    await room.disconnect()
  }
}

function answerTo(call: RpcInvocationData, answer: RpcAnswer): string | Promise<string> {
  if (answer.kind === 'echo') return call.payload
  return answer.kind === 'text' ? answer.text : outputOf(call, answer.command, answer.args)
}

/**
 * Runs the command with the payload as standard input.
 *
 * @throws `RpcError` with the command's exit code if that is not 0, which the caller gets
 */
async function outputOf(call: RpcInvocationData, command: string, args: readonly string[]): Promise<string> {
  const child = spawn(command, args, {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, DATATRACK_RPC_CALLER: call.callerIdentity, DATATRACK_RPC_METHOD: call.method },
    signal: call.signal,
  })
  // A command need not read its input.
  child.stdin.on('error', () => undefined)
  child.stdin.end(call.payload)
  const parts: Buffer[] = []
  let length = 0
  child.stdout.on('data', (part: Buffer) => {
    length += part.length
    if (length <= MAX_ANSWER) parts.push(part)
    else child.kill()
  })
  let code: unknown
  try {
    ;[code] = (await once(child, 'close')) as [number | null]
  } catch (error) {
    note(
      `datatrack: the command ${printable(command)} cannot run: ${(error as NodeJS.ErrnoException).code ?? ''}`,
    )
    throw new RpcError(RpcError.ErrorCode.APPLICATION_ERROR, 'the command cannot run')
  }
  if (length > MAX_ANSWER) throw RpcError.builtIn('RESPONSE_PAYLOAD_TOO_LARGE')
  if (code !== 0) throw new RpcError(typeof code === 'number' ? code : 1, `exit code ${String(code)}`)
  return Buffer.concat(parts)
    .toString('utf8')
    .replace(/\r?\n$/, '')
}

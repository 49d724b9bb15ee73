/** The command lines of `datatrack rpc call` and `datatrack rpc serve`. */
import type { Command } from 'commander'
import { encryptionOf } from '../encryption'
import { connectOptions, encryptionOptions, integerIn, numberIn, pathOption, serverOptions } from '../options'
import type { ConnectFlags, EncryptionFlags } from '../options'
import { stopSignal } from '../output'
import { rpcCall, rpcServe } from '../rpc'
import type { RpcAnswer } from '../rpc'
import { requiredServer, SettingsError } from '../settings'

interface CallFlags extends ConnectFlags, EncryptionFlags {
  readonly to: string
  readonly timeout: number
  readonly json?: boolean
}

interface ServeFlags extends ConnectFlags, EncryptionFlags {
  readonly echo?: boolean
  readonly reply?: string
  readonly count?: number
  readonly json?: boolean
  readonly quiet?: boolean
}

/** Adds both commands. */
export function addRpc(datatrack: Command): void {
  const rpc = datatrack.command('rpc').summary('call a method of a participant, or answer calls')
  addCall(rpc)
  addServe(rpc)
}

function addCall(rpc: Command): void {
  const command = rpc
    .command('call')
    .summary('call a method of a participant')
    .description(
      'Calls a method of a participant, and prints the answer. Exit code 3: the participant answered with an error, ' +
        'or not in time.',
    )
    .argument('<method>', 'name of the method')
    .argument('[payload]', 'what the method gets', '')
    .requiredOption('--to <identity>', 'the participant that answers')
    .option('--timeout <seconds>', 'how long to wait for the answer', numberIn(1, 86_400, ' (s)'), 15)
    .option('--json', 'one JSON object: method, to, response, ms; or error in place of response and ms')
  encryptionOptions(pathOption(serverOptions(command, 'single')))
    .addHelpText('after', CALL_EXAMPLES)
    .action(async (method: string, payload: string, flags: CallFlags) => {
      const server = requiredServer(process.env, flags)
      const signal = stopSignal()
      process.exitCode = await rpcCall(
        {
          ...{ server, method, payload, to: flags.to, timeout: flags.timeout, json: flags.json === true },
          connect: connectOptions(flags, signal),
          encryption: await encryptionOf(process.env, flags),
        },
        signal,
      )
    })
}

const CALL_EXAMPLES = `
Examples:
  datatrack rpc call battery --room lab --to robot
  datatrack rpc call drive '{"x":1}' --room lab --to robot --timeout 60 --json`

function addServe(rpc: Command): void {
  const command = rpc
    .command('serve')
    .summary('answer the calls of a method')
    .description(
      'Answers the calls of a method: with what the command behind -- writes to its standard output, with --reply, ' +
        'or with the payload (--echo). The command gets the payload as its standard input; if it fails, the caller ' +
        'gets an error with its exit code. The output has one line for each call.',
    )
    .usage('[options] <method> [-- command arguments…]')
    .argument('<method>', 'name of the method')
    .argument('[command...]', 'answer with what this command writes')
    .option('--reply <text>', 'answer with this text')
    .option('--echo', 'answer with the payload')
    .option('-c, --count <number>', 'end after this many calls', integerIn(1, Number.MAX_SAFE_INTEGER))
    .option('--json', 'one JSON object for each call: method, caller, payload')
    .option('-q, --quiet', 'nothing on standard error but errors')
  encryptionOptions(pathOption(serverOptions(command, 'single')))
    .addHelpText('after', SERVE_EXAMPLES)
    .action(async (method: string, args: string[], flags: ServeFlags) => {
      const answer = answerOf(flags, args)
      const server = requiredServer(process.env, flags)
      const signal = stopSignal()
      process.exitCode = await rpcServe(
        {
          ...{ server, method, answer, count: flags.count },
          ...{ json: flags.json === true, quiet: flags.quiet === true },
          connect: connectOptions(flags, signal),
          encryption: await encryptionOf(process.env, flags),
        },
        signal,
      )
    })
}

const SERVE_EXAMPLES = `
Examples:
  datatrack rpc serve uptime --room lab --identity robot -- uptime
  datatrack rpc serve ping --room lab --identity robot --reply pong`

function answerOf({ echo, reply }: ServeFlags, [command, ...args]: readonly string[]): RpcAnswer {
  const answers: RpcAnswer[] = [
    ...(command === undefined ? [] : [{ kind: 'command', command, args } as const]),
    ...(reply === undefined ? [] : [{ kind: 'text', text: reply } as const]),
    ...(echo === true ? [{ kind: 'echo' } as const] : []),
  ]
  const [answer, another] = answers
  if (answer === undefined || another !== undefined) {
    throw new SettingsError('Give one of --reply, --echo and a command behind --.')
  }
  return answer
}

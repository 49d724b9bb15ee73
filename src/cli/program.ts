/** The command line: its commands, and how their errors are reported. */
import type { Command } from 'commander'
import { loadCommander } from '../base/lazy'
import { addBench } from './commands/bench'
import { addCompletion } from './commands/completion'
import { addDemo } from './commands/demo'
import { addDoctor } from './commands/doctor'
import { addLs } from './commands/ls'
import { addPub } from './commands/pub'
import { addReceive } from './commands/receive'
import { addRpc } from './commands/rpc'
import { addSend } from './commands/send'
import { addSub } from './commands/sub'
import { addToken } from './commands/token'
import { printable } from '../base/printable'
import { version } from '../base/version'
import { WORKER_COMMAND } from './bench-messages'
import { serveBench } from './bench-worker'
import { endWithReader, note, Stopped, withoutTokens } from './output'
import { SettingsError } from './settings'

/** In the order of the help. */
const commands = [
  ...[addDemo, addPub, addSub, addSend, addReceive, addRpc, addLs, addBench, addDoctor],
  ...[addToken, addCompletion],
]

const FAILED = 1
const USAGE = 2

function program(): Command {
  const { Command } = loadCommander()
  const datatrack = new Command('datatrack')
    .description('LiveKit data tracks from the command line.')
    .version(version)
    // Arguments behind the command that `datatrack pub` runs belong to that command.
    .enablePositionalOptions()
    .configureOutput({
      // The error and its suggestion are written as one line.
      outputError: (text, write) =>
        write(
          `${text
            .trim()
            .replace(/^error: /, 'datatrack: ')
            .replaceAll('\n', ' ')}\n`,
        ),
    })
    .exitOverride()
  for (const add of commands) add(datatrack)
  datatrack.command(WORKER_COMMAND, { hidden: true }).action(serveBench)
  return datatrack
}

/** The whole of a process: runs a command, and ends when standard output has no reader any more. */
export function main(args: readonly string[]): Promise<void> {
  endWithReader()
  return run(args)
}

/** Runs a command, reports its error and sets the exit code. `args`: as in `process.argv`. */
export async function run(args: readonly string[]): Promise<void> {
  try {
    await program().parseAsync(args)
  } catch (error) {
    if (error instanceof loadCommander().CommanderError) {
      // The parser has written the error already.
      process.exitCode = error.exitCode === 0 ? 0 : USAGE
      return
    }
    // The user pressed Ctrl-C before the command had begun, so there is nothing to report.
    if (error instanceof Stopped) return
    const message = error instanceof Error ? error.message : String(error)
    note(`datatrack: ${withoutTokens(message).split('\n').map(printable).join('\n')}`)
    process.exitCode = error instanceof SettingsError ? USAGE : FAILED
  }
}

/** The command line: its commands, and how their errors are reported. */
import type { Command } from 'commander'
import { loadCommander } from '../base/lazy'
import { addBench } from './commands/bench'
import { addDemo } from './commands/demo'
import { addDoctor } from './commands/doctor'
import { addLs } from './commands/ls'
import { addPub } from './commands/pub'
import { addSub } from './commands/sub'
import { printable } from '../base/printable'
import { note, Stopped, withoutTokens } from './output'
import { SettingsError } from './settings'

const FAILED = 1
const USAGE = 2

function program(version: string): Command {
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
  for (const add of [addDemo, addPub, addSub, addLs, addBench, addDoctor]) add(datatrack)
  return datatrack
}

/** Runs a command, reports its error and sets the exit code. `args`: as in `process.argv`. */
export async function run(args: readonly string[], version: string): Promise<void> {
  try {
    await program(version).parseAsync(args)
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

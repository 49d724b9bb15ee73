/** The command line of `datatrack ls`. */
import type { Command } from 'commander'
import { ls } from '../ls'
import { connectOptions, numberIn, pathOption, serverOptions } from '../options'
import type { ConnectFlags } from '../options'
import { stopSignal } from '../output'
import { requiredServer } from '../settings'

interface LsFlags extends ConnectFlags {
  readonly json?: boolean
  readonly watch?: boolean
  readonly seconds?: number
}

/** Adds the command. */
export function addLs(datatrack: Command): void {
  const command = datatrack
    .command('ls')
    .summary('list a room: participants and their data tracks')
    .description(
      'Lists the participants of a room and their data tracks. With a key and no room, it lists the rooms. With a ' +
        'key, the command is invisible to the participants.',
    )
    .option('-w, --watch', 'go on, and show what changes')
    .option('-s, --seconds <seconds>', 'watch, and end after this time', numberIn(0.1, 86_400, ' (s)'))
    .option('--json', 'one JSON object a line: a participant, or with --watch an event')
  pathOption(serverOptions(command, 'single'))
    .addHelpText('after', EXAMPLES)
    .action(async (flags: LsFlags) => {
      const server = requiredServer(process.env, flags)
      const signal = stopSignal()
      process.exitCode = await ls(
        {
          server,
          connect: connectOptions(flags, signal),
          json: flags.json === true,
          watch: flags.watch === true || flags.seconds !== undefined,
          seconds: flags.seconds,
        },
        signal,
      )
    })
}

const EXAMPLES = `
Examples:
  datatrack ls
  datatrack ls --room lab
  datatrack ls --room lab --watch --json`

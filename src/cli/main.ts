#!/usr/bin/env node
/** The command `datatrack`. Exit codes: 0 done, 1 failed, 2 wrong command line or setting, 3 see the command. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import { loadCommander } from '../lazy'
import { addBench } from './commands/bench'
import { addDemo } from './commands/demo'
import { addDoctor } from './commands/doctor'
import { addLs } from './commands/ls'
import { addPub } from './commands/pub'
import { addSub } from './commands/sub'
import { endWithReader, note, Stopped } from './output'
import { SettingsError } from './settings'

const FAILED = 1
const USAGE = 2

/** From package.json, which stands above the compiled file wherever the package is installed. */
function packageVersion(): string {
  const text = readFileSync(join(__dirname, '../../../package.json'), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

function program(): Command {
  const { Command } = loadCommander()
  const datatrack = new Command('datatrack')
    .description('LiveKit data tracks from the command line.')
    .version(packageVersion())
    // What stands behind a command to be run belongs to that command.
    .enablePositionalOptions()
    .configureOutput({
      // In one line, with what it suggests.
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

async function main(): Promise<void> {
  try {
    await program().parseAsync()
  } catch (error) {
    if (error instanceof loadCommander().CommanderError) {
      // It has been told.
      process.exitCode = error.exitCode === 0 ? 0 : USAGE
      return
    }
    // Ctrl-C before there was anything to end well.
    if (error instanceof Stopped) return
    note(`datatrack: ${error instanceof Error ? error.message : String(error)}`)
    process.exitCode = error instanceof SettingsError ? USAGE : FAILED
  }
}

endWithReader()
void main()

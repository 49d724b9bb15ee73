/** The command line of `datatrack doctor`. */
import type { Command } from 'commander'
import { doctor } from '../doctor'
import { numberIn, serverOptions } from '../options'
import type { ServerFlags } from '../settings'
import { serverSettings } from '../settings'

interface DoctorFlags extends ServerFlags {
  readonly timeout: number
  readonly json?: boolean
}

/** Adds the command. */
export function addDoctor(datatrack: Command): void {
  const command = datatrack
    .command('doctor')
    .summary('say what keeps data tracks from working')
    .description(
      'Checks, one after the other: the native binary, the address, HTTP, the token, signalling, UDP, TCP, and frames ' +
        'there and back between two participants. Says what fails and what to do. Without a server, it checks the ' +
        'binary alone. Exit code 1: a check failed; 3: none failed, but at least one gave a warning.',
    )
    .option('--timeout <seconds>', 'time limit of each check', numberIn(0.5, 120, ' (s)'), 10)
    .option('--json', 'one JSON object a line')
  serverOptions(command, 'pair')
    .addHelpText('after', EXAMPLES)
    .action(async (flags: DoctorFlags) => {
      const { timeout, json = false, ...server } = flags
      process.exitCode = await doctor({ server: serverSettings(process.env, server), timeout, json })
    })
}

const EXAMPLES = `
Examples:
  datatrack doctor --dev
  LIVEKIT_URL=wss://… LIVEKIT_TOKEN=… datatrack doctor --json`

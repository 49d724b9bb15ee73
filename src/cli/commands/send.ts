/** The command line of `datatrack send`. */
import type { Command } from 'commander'
import { loadCommander } from '../../base/lazy'
import { encryptionOf } from '../encryption'
import { connectOptions, encryptionOptions, pathOption, serverOptions } from '../options'
import type { ConnectFlags, EncryptionFlags } from '../options'
import { stopSignal } from '../output'
import { send } from '../send'
import { requiredServer, SettingsError } from '../settings'

interface SendFlags extends ConnectFlags, EncryptionFlags {
  readonly message?: string
  readonly file?: string
  readonly topic: string
  readonly to: readonly string[]
  readonly wait?: boolean
  readonly json?: boolean
  readonly quiet?: boolean
}

/** Adds the command. */
export function addSend(datatrack: Command): void {
  const { Option } = loadCommander()
  const command = datatrack
    .command('send')
    .summary('send a text or a file to participants')
    .description(
      'Sends a text or a file as a data stream. Participants that are in the room get it; `datatrack receive` ' +
        'writes it.',
    )
    .option('-m, --message <text>', 'send this text')
    .option('-f, --file <file>', 'send this file')
    .option('--topic <topic>', 'topic, which selects the handlers of the receivers', '')
    .addOption(
      new Option('--to <identity>', 'only to that participant; the option can be repeated')
        .default([], 'all participants')
        .argParser((identity: string, before: readonly string[]) => [...before, identity]),
    )
    .option('--wait', 'wait until the participants of --to are in the room')
    .option('--json', 'one JSON object: id, topic, size')
    .option('-q, --quiet', 'nothing on standard error but errors')
  encryptionOptions(pathOption(serverOptions(command, 'single')))
    .addHelpText('after', EXAMPLES)
    .action(async (flags: SendFlags) => {
      const { topic, to, wait = false } = flags
      const content = contentOf(flags)
      if (wait && to.length === 0) throw new SettingsError('--wait goes with --to.')
      const server = requiredServer(process.env, flags)
      const signal = stopSignal()
      await send(
        {
          ...{ server, content, topic, to, wait, json: flags.json === true, quiet: flags.quiet === true },
          connect: connectOptions(flags, signal),
          encryption: await encryptionOf(process.env, flags),
        },
        signal,
      )
    })
}

const EXAMPLES = `
Examples:
  datatrack send --room lab --topic lk.chat -m 'Ready.'
  datatrack send --room lab --topic maps --to robot --file map.png`

function contentOf({ message, file }: SendFlags): { text: string } | { file: string } {
  if (message !== undefined && file === undefined) return { text: message }
  if (file !== undefined && message === undefined) return { file }
  throw new SettingsError('Give --message or --file, and not both.')
}

/** The command line of `datatrack receive`. */
import type { Command } from 'commander'
import { encryptionOf } from '../encryption'
import { connectOptions, encryptionOptions, integerIn, numberIn, pathOption, serverOptions } from '../options'
import type { ConnectFlags, EncryptionFlags } from '../options'
import { stopSignal } from '../output'
import { receive } from '../receive'
import { requiredServer } from '../settings'

interface ReceiveFlags extends ConnectFlags, EncryptionFlags {
  readonly topic: string
  readonly from?: string
  readonly outputDir?: string
  readonly maxSize: number
  readonly count?: number
  readonly seconds?: number
  readonly json?: boolean
  readonly quiet?: boolean
}

/** Default of `--max-size`, bytes. */
const MAX_SIZE = 2 ** 30

/** Adds the command. */
export function addReceive(datatrack: Command): void {
  const command = datatrack
    .command('receive')
    .summary('write the texts and files that participants send')
    .description(
      'Writes each text of a topic as a line, and each file into a folder; the line of a file is its path. ' +
        'Exit code 3: nothing arrived, or less than --count.',
    )
    .option('--topic <topic>', 'topic of the texts and files', '')
    .option('--from <identity>', 'only from that participant')
    .option('-d, --output-dir <folder>', 'put files into this folder; without it, files are not received')
    .option(
      '--max-size <bytes>',
      'the most bytes of a file; a longer one is not kept',
      integerIn(1, Number.MAX_SAFE_INTEGER, ' (bytes)'),
      MAX_SIZE,
    )
    .option(
      '-c, --count <number>',
      'end after so many texts and files',
      integerIn(1, Number.MAX_SAFE_INTEGER),
    )
    .option('-s, --seconds <seconds>', 'end after this time', numberIn(0.1, 86_400, ' (s)'))
    .option('--json', 'one JSON object for each text or file')
    .option('-q, --quiet', 'nothing on standard error but errors')
  encryptionOptions(pathOption(serverOptions(command, 'single')))
    .addHelpText('after', EXAMPLES)
    .action(async (flags: ReceiveFlags) => {
      const { topic, from, outputDir: folder, maxSize, count, seconds } = flags
      const server = requiredServer(process.env, flags)
      const signal = stopSignal()
      process.exitCode = await receive(
        {
          ...{ server, topic, from, folder, maxSize, count, seconds },
          ...{ json: flags.json === true, quiet: flags.quiet === true },
          connect: connectOptions(flags, signal),
          encryption: await encryptionOf(process.env, flags),
        },
        signal,
      )
    })
}

const EXAMPLES = `
Examples:
  datatrack receive --room lab --topic lk.chat
  datatrack receive --room lab --topic maps --output-dir maps --count 1`

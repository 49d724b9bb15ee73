/** The command line of `datatrack bench`. */
import type { Command } from 'commander'
import { bench } from '../bench'
import { FRAME_HEADER } from '../bench-messages'
import { loadCommander } from '../../base/lazy'
import { encryptionOf } from '../encryption'
import { encryptionOptions, integersIn, numberIn, pathOption, serverOptions } from '../options'
import type { ConnectFlags, EncryptionFlags } from '../options'
import { stopSignal } from '../output'
import { requiredServer, SettingsError } from '../settings'

interface BenchFlags extends ConnectFlags, EncryptionFlags {
  readonly rate: readonly number[]
  readonly size: readonly number[]
  readonly seconds: number
  readonly json?: boolean
}

const RATES = [100, 1000, 5000, 10_000, 20_000]
const SIZES = [256]
/** Rates times sizes at most. Each combination is a run, and the bench has to end in a reasonable time. */
const MAX_RUNS = 100

/** Adds the command. */
export function addBench(datatrack: Command): void {
  const { Option } = loadCommander()
  const command = datatrack
    .command('bench')
    .summary('measure what a server delivers, and how fast')
    .description(
      'Sends frames from one process to another through a server at the given rates, and shows how many ' +
        'arrived and how long they took. It puts load on the server. Exit code 3: in at least one run no frame ' +
        'arrived.',
    )
    .addOption(
      new Option('-r, --rate <numbers>', 'frames a second, separated by commas')
        .default(RATES, RATES.join())
        .argParser(integersIn(1, 100_000)),
    )
    .addOption(
      new Option('--size <numbers>', 'bytes of a frame, separated by commas')
        .default(SIZES, SIZES.join())
        .argParser(integersIn(FRAME_HEADER, 2_000_000, ' (bytes)')),
    )
    .option('-s, --seconds <seconds>', 'length of a run', numberIn(0.5, 600, ' (s)'), 3)
    .option('--json', 'one JSON object a line')
  encryptionOptions(pathOption(serverOptions(command, 'pair')))
    .addHelpText('after', EXAMPLES)
    .action(async (flags: BenchFlags) => {
      const { rate: rates, size: sizes, seconds, json = false, passphraseFile, iceTransports } = flags
      if (rates.length * sizes.length > MAX_RUNS) {
        throw new SettingsError(`That makes ${rates.length * sizes.length} runs; ${MAX_RUNS} are enough.`)
      }
      const server = requiredServer(process.env, flags)
      // The file is read here so that an error is reported once. Otherwise both processes would report it.
      await encryptionOf(process.env, flags)
      process.exitCode = await bench(
        { server, iceTransports, passphraseFile, rates, sizes, seconds, json },
        stopSignal(),
      )
    })
}

const EXAMPLES = `
Examples:
  datatrack bench --dev
  datatrack bench --rate 100,1000 --size 256,15000,200000 --seconds 5 --json`

/** The command line of `datatrack demo`. */
import type { Command } from 'commander'
import { demo } from '../demo'
import { loadCommander } from '../../base/lazy'
import { connectOptions, integerIn, numberIn, pathOption, serverOptions } from '../options'
import type { ConnectFlags } from '../options'
import { stopSignal } from '../output'
import { serverSettings } from '../settings'

interface DemoFlags extends ConnectFlags {
  readonly seconds: number
  readonly forever?: boolean
  readonly json?: boolean
  readonly loss: number
  readonly delay: number
  readonly jitter: number
  readonly seed: number
}

/** Adds the command. */
export function addDemo(datatrack: Command): void {
  const { Option } = loadCommander()
  const command = datatrack
    .command('demo')
    .summary('publish three data tracks and a tone, and show them arriving')
    .description(
      'Publishes three data tracks (telemetry; 1,000 frames a second; 20 frames of 200 kB a second) and a tone, and shows them ' +
        'arriving: over the in-process loopback, or through a LiveKit server if one is named. Exit code 3: on at ' +
        'least one track no frame arrived.',
    )
    .addOption(
      new Option('-s, --seconds <seconds>', 'how long it runs')
        .default(8)
        .argParser(numberIn(1, 86_400, ' (s)')),
    )
    .option('-f, --forever', 'run until Ctrl-C')
    .option('--json', 'one JSON object a line')
    .optionsGroup('Network of the loopback:')
    .option('--loss <share>', 'share of packets that the network loses', numberIn(0, 1), 0)
    .option('--delay <ms>', 'how long each packet takes', numberIn(0, 60_000, ' (ms)'), 0)
    .option('--jitter <ms>', 'the most by which a packet takes longer', numberIn(0, 60_000, ' (ms)'), 0)
    .option('--seed <seed>', "the network's seed", integerIn(0, 2 ** 32 - 1), 1)
  pathOption(serverOptions(command, 'pair'))
    .addHelpText('after', EXAMPLES)
    .action(async (flags: DemoFlags) => {
      const { seconds, forever, json = false, loss, delay, jitter, seed, iceTransports, ...server } = flags
      // The first Ctrl-C ends the demo with its summary. A second one ends the process.
      const signal = stopSignal()
      process.exitCode = await demo(
        {
          seconds: forever === true ? Infinity : seconds,
          json,
          network: { loss, delay, jitter, seed },
          server: serverSettings(process.env, server),
          connect: connectOptions({ iceTransports }, signal),
        },
        signal,
      )
    })
}

const EXAMPLES = `
Examples:
  datatrack demo --loss 0.05 --delay 40
  datatrack demo --forever --json
  datatrack demo --dev`

#!/usr/bin/env node
/** The command `datatrack`. Exit codes: 0 done, 1 failed, 2 wrong command line, 3 see the command. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { demo } from './demo'
import { serverSettings } from './server'

const USAGE = 2

/** Reads a number of a range, and says the range when it is none. */
function numberIn(min: number, max: number, unit: string): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (text.trim() === '' || !(value >= min && value <= max)) {
      throw new InvalidArgumentError(`It must be a number from ${min} to ${max}${unit}.`)
    }
    return value
  }
}

/** From package.json, which stands above the compiled file wherever the package is installed. */
function packageVersion(): string {
  const text = readFileSync(join(__dirname, '../../../package.json'), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

interface DemoFlags {
  seconds: number
  forever: boolean
  json: boolean
  loss: number
  delay: number
  jitter: number
  seed: number
}

function program(): Command {
  const datatrack = new Command('datatrack')
    .description('LiveKit data tracks from the command line')
    .version(packageVersion())
    .showHelpAfterError()
    .exitOverride()
  datatrack
    .command('demo')
    .description(
      'publish live telemetry, a 1 kHz and a 20 Hz × 200 kB track, and show them arriving: over the in-process ' +
        'loopback, or through the LiveKit server of LIVEKIT_URL with LIVEKIT_API_KEY and LIVEKIT_API_SECRET. ' +
        'Exit code 3: on some track nothing arrived.',
    )
    .addOption(
      new Option('-s, --seconds <seconds>', 'how long it runs')
        .default(8)
        .argParser(numberIn(1, 86_400, ' (s)')),
    )
    .option('-f, --forever', 'run until Ctrl-C', false)
    .option('--json', 'one JSON object a line', false)
    .option('--loss <share>', 'share of packets that the network loses', numberIn(0, 1, ''), 0)
    .option('--delay <ms>', 'how long each packet takes', numberIn(0, 60_000, ' (ms)'), 0)
    .option('--jitter <ms>', 'how much longer at most', numberIn(0, 60_000, ' (ms)'), 0)
    .option('--seed <seed>', "the network's seed", numberIn(0, 2 ** 32 - 1, ''), 1)
    .action(async ({ seconds, forever, json, ...network }: DemoFlags) => {
      // The first Ctrl-C ends the demo with its summary, a second one ends the process.
      const stop = new AbortController()
      process.once('SIGINT', () => stop.abort())
      process.once('SIGTERM', () => stop.abort())
      process.exitCode = await demo(
        { seconds: forever ? Infinity : seconds, json, network, server: serverSettings(process.env) },
        stop.signal,
      )
    })
  return datatrack
}

async function main(): Promise<void> {
  try {
    await program().parseAsync()
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? 0 : USAGE
      return
    }
    process.stderr.write(`datatrack: ${error instanceof Error ? error.message : String(error)}\n`)
    process.exitCode = 1
  }
}

// A reader that has seen enough (`datatrack demo | head`) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0)
  throw error
})

void main()

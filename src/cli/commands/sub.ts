/** The command line of `datatrack sub`. */
import type { Command } from 'commander'
import { encryptionOf } from '../encryption'
import type { FrameFormat } from '../frame-format'
import { connectOptions, encryptionOptions, integerIn, numberIn, pathOption, serverOptions } from '../options'
import type { ConnectFlags, EncryptionFlags } from '../options'
import { stopSignal } from '../output'
import { requiredServer, SettingsError } from '../settings'
import { sub } from '../sub'
import { subAudio } from '../sub-audio'

interface SubFlags extends ConnectFlags, EncryptionFlags {
  readonly name?: string
  readonly from?: string
  readonly raw?: boolean
  readonly hex?: boolean
  readonly json?: boolean
  readonly verbose?: boolean
  readonly output?: string
  readonly audio?: string
  readonly sampleRate?: number
  readonly stereo?: boolean
  readonly count?: number
  readonly seconds?: number
  readonly once?: boolean
  readonly latest?: boolean
  readonly allowUnencrypted?: boolean
  readonly quiet?: boolean
}

/** Options that concern frames of data. They do not go with `--audio`. */
const DATA_ONLY = [
  'raw',
  'hex',
  'json',
  'verbose',
  'output',
  'count',
  'once',
  'latest',
  'allowUnencrypted',
] as const satisfies readonly (keyof SubFlags)[]

/** Adds the command. */
export function addSub(datatrack: Command): void {
  const command = datatrack
    .command('sub')
    .summary('write frames to standard output or a file')
    .description(
      'Subscribes to the data tracks of a room, those that are there and those that come, and writes their frames: ' +
        'one line each by default. It reports on standard error what was received and dropped. ' +
        'With --audio: writes the first audio track to a WAV file, until the track ends. ' +
        'Exit code 3: no frame came, or fewer than --count.',
    )
    .option('-n, --name <name>', 'only tracks of that name')
    .option('--from <identity>', 'only tracks of that participant')
    .option('--raw', 'payloads alone, without a line break after each')
    .option('--hex', 'hexadecimal digits, one line for each frame')
    .option(
      '--json',
      'one JSON object a line: track, identity, times, and the payload as value, text or base64',
    )
    .option('-v, --verbose', 'put the name of the track before each line, also with --hex')
    .option('-o, --output <file>', 'write to this file')
    .option('--sample-rate <hertz>', 'of --audio; default: 48000', integerIn(8000, 48_000, ' (Hz)'))
    .option('--stereo', 'two channels with --audio; default: one')
    .option('-c, --count <number>', 'end after this many frames', integerIn(1, Number.MAX_SAFE_INTEGER))
    .option('-s, --seconds <seconds>', 'end after this time', numberIn(0.1, 86_400, ' (s)'))
    .option('--once', 'end when the first track has ended')
    .option('--latest', 'begin with the last frame of a track, if its publisher keeps it (pub --latch)')
    .option('--allow-unencrypted', 'with a passphrase: take tracks that are not encrypted, too')
    .option('-q, --quiet', 'nothing on standard error but errors')
  command.addOption(
    command
      .createOption('--audio <file>', 'write the first audio track to this WAV file (16-bit PCM)')
      .conflicts([...DATA_ONLY]),
  )
  encryptionOptions(pathOption(serverOptions(command, 'single')))
    .addHelpText('after', EXAMPLES)
    .action(async (flags: SubFlags) => {
      const server = requiredServer(process.env, flags)
      const signal = stopSignal()
      if (flags.audio !== undefined) {
        process.exitCode = await subAudio(
          {
            server,
            connect: connectOptions(flags, signal),
            encryption: await encryptionOf(process.env, flags),
            name: flags.name,
            from: flags.from,
            seconds: flags.seconds,
            path: flags.audio,
            sampleRate: flags.sampleRate ?? 48_000,
            channels: flags.stereo === true ? 2 : 1,
            quiet: flags.quiet === true,
          },
          signal,
        )
        return
      }
      if (flags.sampleRate !== undefined || flags.stereo !== undefined)
        throw new SettingsError('--sample-rate and --stereo go with --audio.')
      process.exitCode = await sub(
        {
          server,
          connect: connectOptions(flags, signal),
          encryption: await encryptionOf(process.env, flags),
          latest: flags.latest === true,
          allowUnencrypted: flags.allowUnencrypted === true,
          name: flags.name,
          from: flags.from,
          format: formatOf(flags),
          named: namedOf(flags),
          output: flags.output,
          count: flags.count,
          seconds: flags.seconds,
          once: flags.once === true,
          quiet: flags.quiet === true,
        },
        signal,
      )
    })
}

const EXAMPLES = `
Examples:
  datatrack sub --room lab --name log
  datatrack sub --room lab --json --count 10 | jq .latency
  datatrack sub --room lab --name mode --latest --count 1
  datatrack sub --room lab --name scan --from robot --raw --once --output scan.bin
  datatrack sub --room lab --from caller --audio call.wav --seconds 60`

function formatOf({ raw, hex, json }: SubFlags): FrameFormat {
  const formats = Object.entries({ raw, hex, json }).filter(([, chosen]) => chosen === true)
  const [first, second] = formats
  if (second !== undefined) throw new SettingsError('Give one of --raw, --hex and --json.')
  return (first?.[0] as FrameFormat | undefined) ?? 'lines'
}

function namedOf({ verbose = false, raw, json }: SubFlags): boolean {
  if (verbose && raw === true)
    throw new SettingsError('--raw writes no lines, so --verbose does not go with it.')
  return verbose && json !== true
}

/** The command line of `datatrack pub`. */
import type { Command } from 'commander'
import { frameEncodings, schemaEncodings } from '../../base/codec'
import type { DataTrackFrameEncoding, DataTrackSchema, DataTrackSchemaEncoding } from '../../base/codec'
import { loadCommander } from '../../base/lazy'
import { encryptionOf } from '../encryption'
import type { SourceKind } from '../frame-source'
import { connectOptions, encryptionOptions, integerIn, numberIn, pathOption, serverOptions } from '../options'
import type { ConnectFlags, EncryptionFlags } from '../options'
import { stopSignal } from '../output'
import { pub } from '../pub'
import { pubAudio } from '../pub-audio'
import { requiredServer, SettingsError } from '../settings'

interface PubFlags extends ConnectFlags, EncryptionFlags {
  readonly name: string
  readonly message?: string
  readonly file?: string
  readonly audio?: string
  readonly lines?: boolean
  readonly chunk?: number
  readonly rate?: number
  readonly count?: number
  readonly timestamp?: boolean
  readonly encoding?: string
  readonly schema?: string
  readonly schemaEncoding?: string
  readonly latch?: boolean
  readonly maxAge?: number
  readonly waitFor?: string
  readonly settle: number
  readonly waitForSubscriber?: boolean
  readonly quiet?: boolean
}

/** Frame encodings whose schema can be in one language only. */
const USUAL_SCHEMAS: Readonly<Record<string, string>> = {
  protobuf: 'protobuf',
  flatbuffer: 'flatbuffer',
  ros1: 'ros1msg',
  json: 'jsonschema',
}
/** Default size of the frames of a file, in bytes. Such a frame fits into one packet, encrypted or not. */
const FILE_CHUNK = 15_000
/** Bytes of a frame at most. Other SDKs can receive frames that are a little larger. */
const MAX_CHUNK = 2_000_000

/** Options that concern frames of data. They do not go with `--audio`. */
const DATA_ONLY = [
  'message',
  'file',
  'lines',
  'chunk',
  'rate',
  'count',
  'timestamp',
  'encoding',
  'schema',
  'schemaEncoding',
  'latch',
  'maxAge',
] as const satisfies readonly (keyof PubFlags)[]

/** Default of `--settle`, s. A subscription over the internet takes a few tenths of a second. */
const SETTLE = 1

/** Adds the command. */
export function addPub(datatrack: Command): void {
  const command = datatrack
    .command('pub')
    .summary('publish lines or chunks of standard input, a file or a command')
    .description(
      'Publishes a data track: each line of standard input or of a command is a frame, or each chunk of a file. ' +
        'Ends with its source, after the last frame has left, unless --latch is given. With --audio: publishes the ' +
        'sound of a WAV file as an audio track. Exit code 3: frames were dropped.',
    )
    .usage('[options] [-- command arguments…]')
    .argument('[command...]', 'publish what this command writes to its standard output')
    .requiredOption('-n, --name <name>', 'name of the track')
    .option('-m, --message <text>', 'publish this text as one frame')
    .option('-f, --file <file>', `publish this file, in chunks of ${FILE_CHUNK} bytes by default`)
    .option('--lines', 'each line is a frame, also of a file')
    .option('--chunk <bytes>', 'each frame has this many bytes', integerIn(1, MAX_CHUNK, ' (bytes)'))
    .option('-r, --rate <number>', 'frames a second at most', numberIn(0.001, 100_000))
    .option('-c, --count <number>', 'end after this many frames', integerIn(1, Number.MAX_SAFE_INTEGER))
    .option('-t, --timestamp', 'frames carry the time (user timestamp, Unix ms)')
    .option(
      '--encoding <encoding>',
      `encoding of the frames: ${frameEncodings.join(', ')} or custom:<name>`,
      encoding(frameEncodings),
    )
    .option('--schema <name>', 'name of the schema of the frames')
    .option(
      '--schema-encoding <language>',
      `language of the schema, if --encoding does not determine it: ${schemaEncodings.join(', ')} or custom:<name>`,
      encoding(schemaEncodings),
    )
    .option(
      '--latch',
      'keep the last frame for participants that subscribe later (sub --latest), and go on until Ctrl-C',
    )
    .option(
      '--max-age <ms>',
      'drop frames that have waited longer than this to be sent; default: the source waits instead',
      numberIn(1, 60_000, ' (ms)'),
    )
    .option('--wait-for <identity>', 'begin when that participant is in the room')
    .option(
      '--settle <seconds>',
      'wait after publishing, so that participants can subscribe before the first frame; not in an empty room',
      numberIn(0, 60, ' (s)'),
      SETTLE,
    )
    .option(
      '--wait-for-subscriber',
      'begin when a participant is subscribed, instead of --settle; only subscribers with this package announce it',
    )
    .option('-q, --quiet', 'nothing on standard error but errors')
  command.addOption(
    command
      .createOption('--audio <file>', 'publish this WAV file as an audio track: 16-bit PCM, mono or stereo')
      .conflicts([...DATA_ONLY]),
  )
  encryptionOptions(pathOption(serverOptions(command, 'single')))
    .addHelpText('after', EXAMPLES)
    .action(async (args: string[], flags: PubFlags) => {
      const source = sourceOf(flags, args)
      const server = requiredServer(process.env, flags)
      const signal = stopSignal()
      if (flags.audio !== undefined) {
        if (source.kind === 'command')
          throw new SettingsError('Give --audio or a command behind --, not both.')
        process.exitCode = await pubAudio(
          {
            server,
            connect: connectOptions(flags, signal),
            encryption: await encryptionOf(process.env, flags),
            name: flags.name,
            path: flags.audio,
            waitFor: flags.waitFor,
            settle: flags.settle,
            waitForSubscriber: flags.waitForSubscriber === true,
            quiet: flags.quiet === true,
          },
          signal,
        )
        return
      }
      process.exitCode = await pub(
        {
          server,
          connect: connectOptions(flags, signal),
          encryption: await encryptionOf(process.env, flags),
          name: flags.name,
          frameEncoding: flags.encoding as DataTrackFrameEncoding | undefined,
          schema: schemaOf(flags),
          source,
          chunk: chunkOf(flags, source),
          rate: flags.rate,
          count: flags.count,
          timestamp: flags.timestamp === true,
          latch: flags.latch === true,
          maxAge: flags.maxAge,
          waitFor: flags.waitFor,
          settle: flags.settle,
          waitForSubscriber: flags.waitForSubscriber === true,
          quiet: flags.quiet === true,
        },
        signal,
      )
    })
}

const EXAMPLES = `
Examples:
  datatrack pub --room lab --name command --message stop
  ping 192.0.2.1 | datatrack pub --room lab --name ping
  datatrack pub --room lab --name log --timestamp -- journalctl -f
  datatrack pub --room lab --name scan --file scan.bin --chunk 200000 --rate 20
  echo docked | datatrack pub --room lab --name mode --latch
  datatrack pub --room lab --name greeting --audio hello.wav --wait-for-subscriber`

function encoding(known: readonly string[]): (text: string) => string {
  return (text) => {
    if (known.includes(text) || /^custom:.{1,32}$/.test(text)) return text
    const { InvalidArgumentError } = loadCommander()
    throw new InvalidArgumentError(`It must be ${known.join(', ')} or custom:<1 to 32 characters>.`)
  }
}

function sourceOf({ message, file }: PubFlags, [command, ...args]: readonly string[]): SourceKind {
  const given: SourceKind[] = [
    ...(command === undefined ? [] : [{ kind: 'command', command, args } as const]),
    ...(file === undefined ? [] : [{ kind: 'file', path: file } as const]),
    ...(message === undefined ? [] : [{ kind: 'message', text: message } as const]),
  ]
  const [source = { kind: 'stdin' }, another] = given
  if (another !== undefined) throw new SettingsError('Give one of --message, --file and a command behind --.')
  return source
}

function chunkOf({ chunk, lines }: PubFlags, source: SourceKind): number | undefined {
  if (source.kind === 'message' && (lines === true || chunk !== undefined)) {
    throw new SettingsError('--message is one frame: --lines and --chunk do not go with it.')
  }
  if (lines === true && chunk !== undefined) throw new SettingsError('Give --lines or --chunk, not both.')
  return chunk ?? (source.kind === 'file' && lines !== true ? FILE_CHUNK : undefined)
}

function schemaOf({ encoding: frames, schema: name, schemaEncoding }: PubFlags): DataTrackSchema | undefined {
  if (name === undefined) {
    if (schemaEncoding !== undefined) throw new SettingsError('--schema-encoding goes with --schema.')
    return undefined
  }
  const language = schemaEncoding ?? (frames === undefined ? undefined : USUAL_SCHEMAS[frames])
  if (language === undefined) throw new SettingsError('Give --schema-encoding: the language of the schema.')
  return { name, encoding: language as DataTrackSchemaEncoding }
}

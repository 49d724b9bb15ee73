/** The options that several commands share, and the parsers of their values. */
import type { Command } from 'commander'
import type { ConnectOptions, IceTransports } from '../connection/connect-options'
import { loadCommander } from '../base/lazy'
import type { ServerFlags } from './settings'

/** The options of all commands that connect to a server. */
export interface ConnectFlags extends ServerFlags {
  readonly iceTransports: IceTransports
}

/** The options of end-to-end encryption. */
export interface EncryptionFlags {
  readonly passphraseFile?: string | undefined
}

/** A parser of numbers from `min` to `max`. Its error names the range. */
export function numberIn(min: number, max: number, unit = ''): (text: string) => number {
  return (text) => parse(text, min, max, unit, false)
}

/** A parser of whole numbers from `min` to `max`. Its error names the range. */
export function integerIn(min: number, max: number, unit = ''): (text: string) => number {
  return (text) => parse(text, min, max, unit, true)
}

/** A parser of whole numbers from `min` to `max` with commas between them. */
export function integersIn(min: number, max: number, unit = ''): (text: string) => readonly number[] {
  return (text) => text.split(',').map((part) => parse(part, min, max, unit, true))
}

function parse(text: string, min: number, max: number, unit: string, whole: boolean): number {
  const value = Number(text)
  if (text.trim() === '' || !(value >= min && value <= max) || (whole && !Number.isInteger(value))) {
    const { InvalidArgumentError } = loadCommander()
    const kind = whole ? 'a whole number' : 'a number'
    throw new InvalidArgumentError(`It must be ${kind} from ${min} to ${max}${unit}.`)
  }
  return value
}

/**
 * Adds the options for the server and the participant. `pair`: the command joins as two participants. It takes a second
 * token, and no identity.
 */
export function serverOptions(command: Command, kind: 'single' | 'pair'): Command {
  command
    .optionsGroup('Server:')
    .option('--url <url>', "the server's URL, wss://host or ws://host:port (LIVEKIT_URL)")
  apiKeyOptions(command).option(
    '--token <token>',
    'access token, in place of an API key; prefer LIVEKIT_TOKEN for the same reason',
  )
  if (kind === 'pair') {
    command.option(
      '--subscriber-token <token>',
      'access token of a second participant (LIVEKIT_SUBSCRIBER_TOKEN)',
    )
  }
  const room =
    kind === 'pair' ? 'with an API key; default: a new room (LIVEKIT_ROOM)' : 'with an API key (LIVEKIT_ROOM)'
  command.option('--room <name>', `name of the room, ${room}`)
  if (kind === 'single') {
    command.option(
      '--identity <identity>',
      'identity to join with, with an API key; default: a new one (LIVEKIT_IDENTITY)',
    )
  }
  return command
    .option('--dev', 'use the URL and the API key of `livekit-server --dev` on this machine')
    .option('--no-proxy', 'connect directly, whatever HTTP_PROXY, HTTPS_PROXY and ALL_PROXY say')
    .on('option:no-proxy', () => {
      // The variables turn proxies off for all requests of this process, and for the processes that it starts.
      process.env['no_proxy'] = process.env['NO_PROXY'] = '*'
    })
}

function apiKeyOptions(command: Command): Command {
  return command
    .option('--api-key <key>', 'API key to make tokens with, together with --api-secret (LIVEKIT_API_KEY)')
    .option(
      '--api-secret <secret>',
      'API secret; other users of this machine can see options, so prefer LIVEKIT_API_SECRET',
    )
}

/** Adds the options for the API key, for commands that connect to no server. */
export function keyOptions(command: Command): Command {
  return apiKeyOptions(command.optionsGroup('API key:')).option(
    '--dev',
    'use the API key of `livekit-server --dev`',
  )
}

/** Adds the option that chooses the network path. */
export function pathOption(command: Command): Command {
  const { Option } = loadCommander()
  return command.addOption(
    new Option('--ice-transports <which>', 'network paths to try')
      .choices(['all', 'udp', 'tcp', 'relay'])
      .default('all'),
  )
}

/** Adds the options of end-to-end encryption. */
export function encryptionOptions(command: Command): Command {
  return command.option(
    '--passphrase-file <file>',
    'encrypt end to end with the passphrase in that file (or in LIVEKIT_E2EE_PASSPHRASE)',
  )
}

/** The options of `Room.connect` that the flags set. */
export function connectOptions({ iceTransports }: ConnectFlags, signal: AbortSignal): ConnectOptions {
  return { iceTransports, signal }
}

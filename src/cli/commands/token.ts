/** The command line of `datatrack token create`. */
import type { Command } from 'commander'
import { loadCommander } from '../../base/lazy'
import { durationOf } from '../duration'
import { keyOptions } from '../options'
import { requiredKey, SettingsError } from '../settings'
import type { ServerFlags } from '../settings'
import { createToken } from '../token'

interface TokenFlags extends ServerFlags {
  readonly name?: string
  readonly metadata?: string
  readonly attribute: Readonly<Record<string, string>>
  readonly validFor: number
  readonly publish: boolean
  readonly subscribe: boolean
  readonly allowUpdateMetadata?: boolean
  readonly hidden?: boolean
  readonly json?: boolean
}

/** Adds the command. */
export function addToken(datatrack: Command): void {
  const token = datatrack.command('token').summary('make access tokens')
  const { Option } = loadCommander()
  const command = token
    .command('create')
    .summary('make an access token with an API key')
    .description(
      'Prints an access token, with which one participant can join one room. It is made on this machine; no server ' +
        'is asked.',
    )
    .option('--room <name>', 'name of the room (LIVEKIT_ROOM)')
    .option('-i, --identity <identity>', 'identity of the participant (LIVEKIT_IDENTITY)')
    .option('--name <name>', 'name of the participant, which people see')
    .option('--metadata <text>', 'metadata of the participant')
    .addOption(
      new Option('-a, --attribute <key=value>', 'an attribute of the participant; the option can be repeated')
        .default({}, 'none')
        .argParser(attribute),
    )
    .addOption(
      new Option('--valid-for <duration>', 'lifetime of the token: 90s, 15m, 6h or 7d')
        .default(durationOf('6h'), '6h')
        .argParser(durationOf),
    )
    .option('--no-publish', 'the participant cannot publish data')
    .option('--no-subscribe', 'the participant cannot subscribe')
    .option('--allow-update-metadata', 'the participant can change its name, metadata and attributes')
    .option('--hidden', 'other participants do not see the participant')
    .option('--json', 'one JSON object: token, room, identity, expiresAt')
  keyOptions(command)
    .addHelpText('after', EXAMPLES)
    .action((flags: TokenFlags) => {
      const { room = process.env['LIVEKIT_ROOM'], identity = process.env['LIVEKIT_IDENTITY'] } = flags
      if (!room) throw new SettingsError('No room is named. Give --room or LIVEKIT_ROOM.')
      if (!identity) throw new SettingsError('No participant is named. Give --identity or LIVEKIT_IDENTITY.')
      createToken({
        key: requiredKey(process.env, flags),
        ...{ room, identity, name: flags.name, metadata: flags.metadata, attributes: flags.attribute },
        ...{ validFor: flags.validFor, publish: flags.publish, subscribe: flags.subscribe },
        updateMetadata: flags.allowUpdateMetadata === true,
        hidden: flags.hidden === true,
        json: flags.json === true,
      })
    })
}

const EXAMPLES = `
Examples:
  datatrack token create --dev --room lab --identity robot
  datatrack token create --room lab --identity desk --no-publish --valid-for 15m --json`

function attribute(text: string, before: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const at = text.indexOf('=')
  if (at >= 1) return { ...before, [text.slice(0, at)]: text.slice(at + 1) }
  const { InvalidArgumentError } = loadCommander()
  throw new InvalidArgumentError('It must be <key>=<value>.')
}

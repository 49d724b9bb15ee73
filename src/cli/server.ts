/** Tokens for the server that the settings name. */
import { uniqueName } from '../check/rooms'
import type { TokenPair } from '../check/rooms'
import { accessToken } from './access-token'
import { SettingsError } from './settings'
import type { ApiKey, ServerSettings } from './settings'

/** The grants of a participant in its token. */
export interface Grant {
  readonly canPublishData: boolean
  /** Whether the participant may publish audio. */
  readonly canPublish?: boolean
  /** Whether the participant is hidden from other participants. */
  readonly hidden?: boolean
}

/**
 * Lifetime of tokens, s. It only has to cover connecting, because the server renews tokens of connected participants.
 */
const TOKEN_LIFE = 3600

/** The host and port of the server, for messages. */
export function hostOf({ url }: ServerSettings): string {
  return new URL(url).host
}

/**
 * The token of one participant: the given one, or a new one that is made with the API key.
 *
 * @throws `SettingsError` if there is an API key, but no room
 */
export function tokenFor(settings: ServerSettings, command: string, grant: Grant): string {
  const { key, tokens, room, identity } = settings
  if (tokens !== undefined) return tokens.publisher
  if (room === undefined) throw new SettingsError('No room is named. Give --room or LIVEKIT_ROOM.')
  return makeToken(key, room, identity ?? uniqueName(`datatrack-${command}`), grant)
}

/**
 * The tokens of two participants in one room. With an API key the tokens are new. They are for a new room unless the
 * settings name one.
 * `subscriberPublishes`: the subscriber may publish data, too. `audio`: the publisher may publish audio, too.
 *
 * @throws `SettingsError` if there is a token for one participant only
 */
export function tokenPair(
  settings: ServerSettings,
  command: string,
  { subscriberPublishes = false, audio = false } = {},
): TokenPair {
  const { key, tokens } = settings
  if (tokens !== undefined) {
    const { publisher, subscriber } = tokens
    if (subscriber !== undefined) return { publisher, subscriber }
    throw new SettingsError(
      `datatrack ${command} needs two participants, and there is a token for one. Give an API key and secret ` +
        '(LIVEKIT_API_KEY and LIVEKIT_API_SECRET), or another token of the same room with --subscriber-token or ' +
        'LIVEKIT_SUBSCRIBER_TOKEN.',
    )
  }
  const room = settings.room ?? uniqueName(`datatrack-${command}`)
  // The room may be in use. A participant with the same identity would be disconnected, so the identities are unique.
  const name = (role: string): string => (settings.room === undefined ? role : uniqueName(role))
  return {
    publisher: makeToken(key, room, name('robot'), { canPublishData: true, canPublish: audio }),
    subscriber: makeToken(key, room, name('desk'), { canPublishData: subscriberPublishes }),
  }
}

function makeToken(
  key: ApiKey | undefined,
  room: string,
  identity: string,
  { canPublishData, canPublish = false, hidden = false }: Grant,
): string {
  if (key === undefined) throw new SettingsError('There is no API key to make a token with.')
  const grant = { roomJoin: true, room, canPublishData, canSubscribe: true, canPublish, hidden }
  return accessToken(key, { identity, grant, lifetime: TOKEN_LIFE })
}

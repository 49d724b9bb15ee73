/** Tokens for rooms of the server that the settings name. */
import { loadServerSdk } from '../base/lazy'
import { uniqueName } from '../check/rooms'
import type { TokenPair } from '../check/rooms'
import { SettingsError } from './settings'
import type { ApiKey, ServerSettings } from './settings'

/** What a participant may do in a room. */
export interface Grant {
  readonly canPublishData: boolean
  /** Whether other participants do not see the participant. */
  readonly hidden?: boolean
}

/** Lifetime of tokens. It only has to cover connecting: the server renews the tokens of connected participants. */
const TOKEN_LIFE = '1h'

/** The host and port of a server, for people. */
export function hostOf({ url }: ServerSettings): string {
  return new URL(url).host
}

/**
 * A token for one participant.
 *
 * @throws `SettingsError` with a key and no room
 */
export function tokenFor(settings: ServerSettings, command: string, grant: Grant): Promise<string> {
  const { key, tokens, room, identity } = settings
  if (tokens !== undefined) return Promise.resolve(tokens.publisher)
  if (room === undefined) throw new SettingsError('No room is named. Give --room or LIVEKIT_ROOM.')
  return makeToken(key, room, identity ?? uniqueName(`datatrack-${command}`), grant)
}

/**
 * Tokens of two participants of one room: with a key, of a new room unless one is named.
 *
 * @throws `SettingsError` where there is a token for one of them only
 */
export async function tokenPair(
  settings: ServerSettings,
  command: string,
  subscriberPublishes = false,
): Promise<TokenPair> {
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
  // In a room that others use, no one is to be replaced.
  const name = (role: string): string => (settings.room === undefined ? role : uniqueName(role))
  return {
    publisher: await makeToken(key, room, name('robot'), { canPublishData: true }),
    subscriber: await makeToken(key, room, name('desk'), { canPublishData: subscriberPublishes }),
  }
}

function makeToken(
  key: ApiKey | undefined,
  room: string,
  identity: string,
  { canPublishData, hidden = false }: Grant,
): Promise<string> {
  const { AccessToken } = loadServerSdk()
  const access = new AccessToken(key?.apiKey, key?.apiSecret, { identity, ttl: TOKEN_LIFE })
  access.addGrant({ roomJoin: true, room, canPublishData, canSubscribe: true, canPublish: false, hidden })
  return access.toJwt()
}

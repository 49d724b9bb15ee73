/** Which server the commands use, and as whom: LiveKit's own environment variables. */
import { randomBytes } from 'node:crypto'
import { loadServerSdk } from '../lazy'
import { connect } from '../room'
import type { Room } from '../room'

/** What the environment says of a server. */
export interface ServerSettings {
  readonly url: string
  /** Makes tokens; else there are ready ones. */
  readonly key: { readonly apiKey: string; readonly apiSecret: string } | undefined
  /** Tokens of a publisher and of a subscriber. */
  readonly tokens: { readonly publisher: string; readonly subscriber: string } | undefined
}

/** A wrong setting, said in one line. */
export class SettingsError extends Error {}

/**
 * Reads `LIVEKIT_URL` with `LIVEKIT_API_KEY` and `LIVEKIT_API_SECRET`, or with `LIVEKIT_TOKEN` and
 * `LIVEKIT_SUBSCRIBER_TOKEN`. `undefined` when no URL is set.
 *
 * @throws `SettingsError` when something is missing
 */
export function serverSettings(env: NodeJS.ProcessEnv): ServerSettings | undefined {
  const set = (name: string): string | undefined => (env[name] === '' ? undefined : env[name])
  const url = set('LIVEKIT_URL')
  if (url === undefined) return undefined
  const apiKey = set('LIVEKIT_API_KEY')
  const apiSecret = set('LIVEKIT_API_SECRET')
  const publisher = set('LIVEKIT_TOKEN')
  const subscriber = set('LIVEKIT_SUBSCRIBER_TOKEN')
  if (apiKey !== undefined && apiSecret !== undefined) {
    return { url, key: { apiKey, apiSecret }, tokens: undefined }
  }
  if (publisher !== undefined && subscriber !== undefined) {
    return { url, key: undefined, tokens: { publisher, subscriber } }
  }
  throw new SettingsError(
    'LIVEKIT_URL is set. Set LIVEKIT_API_KEY and LIVEKIT_API_SECRET, too; or LIVEKIT_TOKEN and ' +
      'LIVEKIT_SUBSCRIBER_TOKEN, the tokens of two participants of one room.',
  )
}

/** Connects a publisher and a subscriber to one room: a new one, unless the tokens name theirs. */
export async function connectPair(settings: ServerSettings, signal: AbortSignal): Promise<[Room, Room]> {
  const tokens = settings.tokens ?? (await makeTokens(settings))
  const publisher = await connect(settings.url, tokens.publisher, { signal })
  try {
    return [publisher, await connect(settings.url, tokens.subscriber, { signal })]
  } catch (error) {
    await publisher.disconnect()
    throw error
  }
}

async function makeTokens({ key }: ServerSettings): Promise<{ publisher: string; subscriber: string }> {
  const { AccessToken } = loadServerSdk()
  const room = `datatrack-demo-${randomBytes(4).toString('hex')}`
  const token = (identity: string, canPublishData: boolean): Promise<string> => {
    const access = new AccessToken(key?.apiKey, key?.apiSecret, { identity, ttl: '1h' })
    access.addGrant({ roomJoin: true, room, canPublishData, canSubscribe: true, canPublish: false })
    return access.toJwt()
  }
  return { publisher: await token('robot', true), subscriber: await token('desk', false) }
}

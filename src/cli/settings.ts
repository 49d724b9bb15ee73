/**
 * Which server the commands use, and with which credentials. Options come first, then the environment variables that
 * LiveKit's own tools use.
 */

/** A setting is wrong or missing. The message is one line, and the command ends with exit code 2. */
export class SettingsError extends Error {}

/** The options of a command that describe the server. Their names are those of LiveKit's command `lk`. */
export interface ServerFlags {
  readonly url?: string | undefined
  readonly token?: string | undefined
  readonly subscriberToken?: string | undefined
  readonly apiKey?: string | undefined
  readonly apiSecret?: string | undefined
  readonly room?: string | undefined
  readonly identity?: string | undefined
  /** Whether to use the URL and the API key of `livekit-server --dev`. */
  readonly dev?: boolean | undefined
}

/** An API key with its secret. Tokens are made with it. */
export interface ApiKey {
  readonly apiKey: string
  readonly apiSecret: string
}

/** A server, and the credentials for it. */
export interface ServerSettings {
  readonly url: string
  /** The key to make tokens with. `undefined`: the user gave `tokens`. */
  readonly key: ApiKey | undefined
  /**
   * The tokens that the user gave. `publisher` is for the only participant of a command, or for the first of two.
   * `subscriber` is for the second one.
   */
  readonly tokens: { readonly publisher: string; readonly subscriber: string | undefined } | undefined
  /** `room` and `identity` are only set with a key. A token contains both. */
  readonly room: string | undefined
  readonly identity: string | undefined
}

/** The address and the API key of `livekit-server --dev`. */
const DEV = { url: 'ws://127.0.0.1:7880', apiKey: 'devkey', apiSecret: 'secret' }

const CREDENTIALS =
  'Give an API key and secret (--api-key and --api-secret, LIVEKIT_API_KEY and LIVEKIT_API_SECRET) or a token ' +
  '(--token, LIVEKIT_TOKEN).'

/**
 * Reads the settings from options and environment. `undefined` if neither names a server.
 *
 * A credential from the options takes precedence over one from the environment, whether it is a key or a token. If the
 * environment has both, the key is used.
 *
 * @throws `SettingsError` if a setting is missing or wrong, or if two settings contradict each other
 */
export function serverSettings(env: NodeJS.ProcessEnv, flags: ServerFlags = {}): ServerSettings | undefined {
  const set = (flag: string | undefined, name: string): string | undefined => flag ?? (env[name] || undefined)
  const url = flags.url ?? (flags.dev === true ? DEV.url : set(undefined, 'LIVEKIT_URL'))
  if (url === undefined) {
    const { token, subscriberToken, apiKey, apiSecret, room: named, identity: who } = flags
    const given = [token, subscriberToken, apiKey, apiSecret, named, who].some((value) => value !== undefined)
    // The loopback takes none of these options, so the user means a server and has forgotten its URL.
    if (given) throw new SettingsError(missingUrl())
    return undefined
  }
  checkUrl(url)
  const room = set(flags.room, 'LIVEKIT_ROOM')
  const identity = set(flags.identity, 'LIVEKIT_IDENTITY')
  const byFlag = keyOf(flags.apiKey, flags.apiSecret, flags, env)
  if (byFlag !== undefined) return { url, key: byFlag, tokens: undefined, room, identity }
  if (flags.token === undefined) {
    const key = flags.dev === true ? DEV : keyOfEnvironment(env)
    if (key !== undefined) {
      return {
        url,
        key: { apiKey: key.apiKey, apiSecret: key.apiSecret },
        tokens: undefined,
        room,
        identity,
      }
    }
  }
  const publisher = clean(set(flags.token, 'LIVEKIT_TOKEN'), 'token', '--token or LIVEKIT_TOKEN')
  if (publisher === undefined) throw new SettingsError(`The server's URL alone is not enough. ${CREDENTIALS}`)
  for (const [option, value] of [
    ['--room', flags.room],
    ['--identity', flags.identity],
  ]) {
    if (value !== undefined) {
      throw new SettingsError(
        `${option} goes with an API key: a token names its room and its participant itself.`,
      )
    }
  }
  const subscriber = clean(
    set(flags.subscriberToken, 'LIVEKIT_SUBSCRIBER_TOKEN'),
    'token',
    '--subscriber-token or LIVEKIT_SUBSCRIBER_TOKEN',
  )
  return { url, key: undefined, tokens: { publisher, subscriber }, room: undefined, identity: undefined }
}

/** Reads the settings like `serverSettings`, for commands that need a server. */
export function requiredServer(env: NodeJS.ProcessEnv, flags: ServerFlags): ServerSettings {
  const settings = serverSettings(env, flags)
  if (settings === undefined) throw new SettingsError(missingUrl())
  return settings
}

/** The API key, for commands that connect to no server. */
export function requiredKey(env: NodeJS.ProcessEnv, flags: ServerFlags): ApiKey {
  const { apiKey, apiSecret, dev } = flags
  const key = keyOf(apiKey, apiSecret, flags, env) ?? (dev === true ? DEV : keyOfEnvironment(env))
  if (key !== undefined) return { apiKey: key.apiKey, apiSecret: key.apiSecret }
  throw new SettingsError(
    'No API key is given. Give --api-key and --api-secret, LIVEKIT_API_KEY and LIVEKIT_API_SECRET, or --dev for a ' +
      'local `livekit-server --dev`.',
  )
}

function missingUrl(): string {
  return 'No server is named. Give --url, LIVEKIT_URL, or --dev for a local `livekit-server --dev`.'
}

function checkUrl(url: string): void {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (
    parsed === undefined ||
    !['ws:', 'wss:', 'http:', 'https:'].includes(parsed.protocol) ||
    !parsed.hostname
  ) {
    // The message does not repeat the value, because the user may have pasted a token by mistake.
    throw new SettingsError("The server's URL must look like wss://host or ws://host:port.")
  }
}

/** The key if the options give at least one half of it. The other half may come from the environment. */
function keyOf(
  apiKey: string | undefined,
  apiSecret: string | undefined,
  { token }: ServerFlags,
  env: NodeJS.ProcessEnv,
): ApiKey | undefined {
  if (apiKey === undefined && apiSecret === undefined) return undefined
  if (token !== undefined) throw new SettingsError('Give --token or an API key, not both.')
  return complete(apiKey ?? env['LIVEKIT_API_KEY'], apiSecret ?? env['LIVEKIT_API_SECRET'])
}

/** The key from the environment. If only one half of it is set, that is an error unless there is a token. */
function keyOfEnvironment(env: NodeJS.ProcessEnv): ApiKey | undefined {
  const { LIVEKIT_API_KEY: apiKey, LIVEKIT_API_SECRET: apiSecret } = env
  if (!apiKey && !apiSecret) return undefined
  if (env['LIVEKIT_TOKEN'] && !(apiKey && apiSecret)) return undefined
  return complete(apiKey, apiSecret)
}

function complete(givenKey: string | undefined, givenSecret: string | undefined): ApiKey {
  const apiKey = clean(givenKey, 'API key', '--api-key or LIVEKIT_API_KEY')
  const apiSecret = clean(givenSecret, 'API secret', '--api-secret or LIVEKIT_API_SECRET')
  if (!apiKey)
    throw new SettingsError('There is an API secret, but no key: give --api-key or LIVEKIT_API_KEY.')
  if (!apiSecret) {
    throw new SettingsError('There is an API key, but no secret: give --api-secret or LIVEKIT_API_SECRET.')
  }
  return { apiKey, apiSecret }
}

/**
 * The credential without white space around it. Files and clipboards often add a line break.
 *
 * @throws `SettingsError` for a character that no credential contains, and that HTTP headers cannot carry
 */
function clean(value: string | undefined, what: string, from: string): string | undefined {
  const trimmed = value?.trim()
  const wrong = trimmed === undefined ? undefined : /[^!-~]/u.exec(trimmed)?.[0]
  if (wrong === undefined) return trimmed
  const code = (wrong.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')
  throw new SettingsError(`The ${what} (${from}) has a character that does not belong there: U+${code}.`)
}

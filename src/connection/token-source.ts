/** Where tokens come from. Names and shapes are livekit-client's `TokenSource`. */
import type { Agent } from 'node:http'
import { withDeadline } from '../base/abort'
import * as check from '../base/arguments'
import { DataTrackConnectionError } from '../base/errors'
import { isObject } from '../base/arguments'
import { decodeClaims } from './claims'
import { httpRequest } from './http-request'

/** What a token source gives. */
export interface TokenSourceResponseObject {
  /** The server's URL. */
  readonly serverUrl: string
  /** The access token. */
  readonly participantToken: string
  readonly participantName?: string | undefined
  readonly roomName?: string | undefined
}

/** What a configurable token source is asked for. The source decides what it grants. */
export interface TokenSourceFetchOptions {
  readonly roomName?: string | undefined
  readonly participantName?: string | undefined
  readonly participantIdentity?: string | undefined
  readonly participantMetadata?: string | undefined
  readonly participantAttributes?: Readonly<Record<string, string>> | undefined
  /** The agent that is to be sent into the room. */
  readonly agentName?: string | undefined
  readonly agentMetadata?: string | undefined
  /** The deployment of the agent. */
  readonly deployment?: string | undefined
}

/** A token source without parameters. */
export interface TokenSourceFixed {
  fetch(): Promise<TokenSourceResponseObject>
}

/** A token source with parameters. With `force`, it asks for a new token even if it keeps one that is still valid. */
export interface TokenSourceConfigurable {
  fetch(options?: TokenSourceFetchOptions, force?: boolean): Promise<TokenSourceResponseObject>
}

/** Options of {@link TokenSource.endpoint}. */
export interface TokenEndpointOptions {
  /** The request's method. A `GET` request does not contain the options of `fetch`. Default: `POST`. */
  readonly method?: 'GET' | 'POST' | undefined
  /** The request's headers; `content-type` is there already. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** ms that the endpoint may take to answer, 1 to 2^31 − 1. Default: 10,000. */
  readonly timeout?: number | undefined
  /** As in `ConnectOptions`. */
  readonly agent?: Agent | undefined
  /** As in `ConnectOptions`. */
  readonly proxy?: boolean | undefined
  /** As in `ConnectOptions`. */
  readonly ca?: string | Buffer | readonly (string | Buffer)[] | undefined
}

/** @inline */
type Answer = TokenSourceResponseObject | Promise<TokenSourceResponseObject>

/** ms that an endpoint may take to answer. */
const ENDPOINT_TIMEOUT = 10_000
/** Characters of an endpoint's answer: a token and some names. */
export const MAX_TOKEN_ANSWER = 2_097_152
/** s before its end from which a token is not handed out again, as in livekit-client. */
const LEAST_LIFE = 60

class Literal implements TokenSourceFixed {
  readonly #given: TokenSourceResponseObject | (() => Answer)

  constructor(given: TokenSourceResponseObject | (() => Answer)) {
    if (typeof given !== 'function' && !isObject(given)) {
      throw check.invalidType('literal', 'an object or a function', given)
    }
    this.#given = given
  }

  async fetch(): Promise<TokenSourceResponseObject> {
    return typeof this.#given === 'function' ? await this.#given() : this.#given
  }
}

/** Keeps the last answer for as long as its token is good and the same is asked for. */
class Cached implements TokenSourceConfigurable {
  readonly #ask: (options: TokenSourceFetchOptions) => Answer
  #kept: { readonly asked: string; readonly answer: TokenSourceResponseObject } | undefined
  /** Two who ask at the same time get one answer. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(ask: (options: TokenSourceFetchOptions) => Answer) {
    this.#ask = ask
  }

  async fetch(options: TokenSourceFetchOptions = {}, force = false): Promise<TokenSourceResponseObject> {
    const checked = checkFetchOptions(options)
    const answer = this.#turn.then(() => this.#fetch(checked, force))
    this.#turn = answer.catch(() => undefined)
    return await answer
  }

  async #fetch(options: TokenSourceFetchOptions, force: boolean): Promise<TokenSourceResponseObject> {
    const asked = JSON.stringify(options)
    const kept = this.#kept
    if (!force && kept?.asked === asked && isGood(kept.answer.participantToken)) return kept.answer
    this.#kept = undefined
    const answer = await this.#ask(options)
    this.#kept = { asked, answer }
    return answer
  }
}

/** Where a room's tokens come from. */
export const TokenSource = {
  /**
   * One answer, or what a function returns each time.
   *
   * @throws `TypeError` that names the argument
   */
  literal(literal: TokenSourceResponseObject | (() => Answer)): TokenSourceFixed {
    return new Literal(literal)
  },

  /**
   * What a function returns for the options. The answer is kept until its token is about to expire.
   *
   * @throws `TypeError` that names the argument
   */
  custom(custom: (options: TokenSourceFetchOptions) => Answer): TokenSourceConfigurable {
    check.callback('custom', custom)
    return new Cached(custom)
  },

  /**
   * What a server of the application answers to a request in LiveKit's standard format. The answer is kept until its
   * token is about to expire. Redirects are not followed.
   *
   * `fetch` rejects with `DataTrackConnectionError` (`tokenUnavailable`) if the server gives no token.
   *
   * @param url `https://…` or `http://…`
   * @throws `TypeError` or `RangeError` that names the argument
   */
  endpoint(url: string | URL, options: TokenEndpointOptions = {}): TokenSourceConfigurable {
    const target = endpointUrl(url)
    const { method, headers, timeout, agent, proxy, ca } = check.options('options', options)
    const request = {
      method: check.oneOf('options.method', method, 'POST', ['POST', 'GET']),
      headers: { 'content-type': 'application/json', ...checkTexts('options.headers', headers ?? {}) },
      timeout: check.integer('options.timeout', timeout, ENDPOINT_TIMEOUT, 1, 2 ** 31 - 1, ' ms'),
      proxy: check.boolean('options.proxy', proxy, true),
    }
    return new Cached(async (asked) => {
      const body = request.method === 'POST' ? JSON.stringify(requestOf(asked)) : undefined
      try {
        const { status, text } = await httpRequest(target, {
          ...{ method: request.method, headers: request.headers, proxy: request.proxy },
          ...{ agent, ca, maxLength: MAX_TOKEN_ANSWER, ...(body !== undefined && { body }) },
          signal: withDeadline(request.timeout),
        })
        if (status < 200 || status > 299) {
          throw new DataTrackConnectionError('tokenUnavailable', { detail: `HTTP status ${status}`, status })
        }
        return answerOf(JSON.parse(text))
      } catch (cause) {
        if (cause instanceof DataTrackConnectionError) throw cause
        throw new DataTrackConnectionError('tokenUnavailable', { cause })
      }
    })
  },
} as const

/** The URL itself is not repeated: it may have credentials in it. */
function endpointUrl(url: string | URL): URL {
  const parsed = URL.canParse(String(url)) ? new URL(url) : undefined
  if (parsed !== undefined && /^https?:$/.test(parsed.protocol)) return parsed
  const error = new TypeError('The argument "url" must be an http: or https: URL')
  throw Object.assign(error, { code: 'ERR_INVALID_ARG_VALUE' })
}

const texts = [
  'roomName',
  'participantName',
  'participantIdentity',
  'participantMetadata',
  'agentName',
  'agentMetadata',
  'deployment',
] as const

/** In a fixed order, so that options of the same content are the same text. */
function checkFetchOptions(given: TokenSourceFetchOptions): TokenSourceFetchOptions {
  const options = check.options('options', given)
  const checked: Record<string, unknown> = {}
  for (const name of texts) {
    if (options[name] !== undefined) checked[name] = check.string(`options.${name}`, options[name])
  }
  const { participantAttributes } = options
  if (participantAttributes !== undefined) {
    const attributes = checkTexts('options.participantAttributes', participantAttributes)
    checked['participantAttributes'] = Object.fromEntries(
      Object.entries(attributes).sort(([left], [right]) => (left < right ? -1 : 1)),
    )
  }
  return checked
}

function checkTexts(name: string, given: unknown): Readonly<Record<string, string>> {
  if (!isObject(given)) throw check.invalidType(name, 'an object', given)
  const entries = Object.entries(given)
  return Object.fromEntries(entries.map(([key, value]) => [key, check.string(`${name}.${key}`, value)]))
}

/** `livekit.TokenSourceRequest` in JSON. */
function requestOf(options: TokenSourceFetchOptions): object {
  const { agentName, agentMetadata, deployment } = options
  const agent = {
    ...(agentName !== undefined && { agent_name: agentName }),
    ...(agentMetadata !== undefined && { metadata: agentMetadata }),
    ...(deployment !== undefined && { deployment }),
  }
  return {
    room_name: options.roomName,
    participant_name: options.participantName,
    participant_identity: options.participantIdentity,
    participant_metadata: options.participantMetadata,
    participant_attributes: options.participantAttributes,
    ...(Object.keys(agent).length > 0 && { room_config: { agents: [agent] } }),
  }
}

/** `livekit.TokenSourceResponse` in JSON, whose fields have either of two names. */
function answerOf(json: unknown): TokenSourceResponseObject {
  const answer = isObject(json) ? json : {}
  const text = (camel: string, snake: string): string | undefined => {
    const value = answer[camel] ?? answer[snake]
    return typeof value === 'string' && value !== '' ? value : undefined
  }
  const participantToken = text('participantToken', 'participant_token')
  if (participantToken === undefined) {
    throw new DataTrackConnectionError('tokenUnavailable', { detail: 'the answer has no participantToken' })
  }
  const participantName = text('participantName', 'participant_name')
  const roomName = text('roomName', 'room_name')
  return {
    serverUrl: text('serverUrl', 'server_url') ?? '',
    participantToken,
    ...(participantName !== undefined && { participantName }),
    ...(roomName !== undefined && { roomName }),
  }
}

/** Whether a token can be handed out again. One that says nothing of its end is not kept, as in livekit-client. */
function isGood(token: string): boolean {
  const { notBefore = 0, expires } = decodeClaims(token) ?? {}
  const now = Date.now() / 1000
  return expires !== undefined && notBefore <= now && expires - LEAST_LIFE > now
}

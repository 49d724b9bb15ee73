/**
 * Access tokens: JSON Web Tokens that are signed with the API secret (HS256). `livekit-server-sdk` makes the same
 * tokens, and is the reference in the tests.
 */
import { createHmac } from 'node:crypto'
import type { ApiKey } from './settings'

/** What the owner of a token may do. The names are those of LiveKit's `video` claim. */
export interface VideoGrant {
  readonly room?: string
  readonly roomJoin?: boolean
  readonly roomList?: boolean
  readonly canPublish?: boolean
  readonly canPublishData?: boolean
  readonly canSubscribe?: boolean
  readonly canUpdateOwnMetadata?: boolean
  readonly hidden?: boolean
}

/** What a token says. */
export interface TokenOptions {
  /** The identity of the participant. Requests to the room service need none. */
  readonly identity?: string | undefined
  readonly name?: string | undefined
  readonly metadata?: string | undefined
  readonly attributes?: Readonly<Record<string, string>> | undefined
  readonly grant: VideoGrant
  /** Lifetime, s. */
  readonly lifetime: number
}

/** Makes a token that is valid from now on. */
export function accessToken(key: ApiKey, options: TokenOptions): string {
  const { identity, name, metadata, attributes, grant, lifetime } = options
  const now = Math.floor(Date.now() / 1000)
  const claims = {
    ...{ iss: key.apiKey, nbf: now, exp: now + lifetime },
    // JSON.stringify leaves `undefined` out.
    ...{ sub: identity, name, metadata, attributes, video: grant },
  }
  const signed = [{ alg: 'HS256', typ: 'JWT' }, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.')
  return `${signed}.${createHmac('sha256', key.apiSecret).update(signed).digest('base64url')}`
}

/** `datatrack token create`: prints an access token. */
import { accessToken } from './access-token'
import { say } from './output'
import type { ApiKey } from './settings'

/** Options of {@link createToken}. */
export interface CreateTokenOptions {
  readonly key: ApiKey
  readonly room: string
  readonly identity: string
  readonly name?: string | undefined
  readonly metadata?: string | undefined
  readonly attributes: Readonly<Record<string, string>>
  /** Lifetime, s. */
  readonly validFor: number
  /** Whether the participant may publish data, and whether it may subscribe. */
  readonly publish: boolean
  readonly subscribe: boolean
  /** Whether the participant may change its name, metadata and attributes. */
  readonly updateMetadata: boolean
  readonly hidden: boolean
  readonly json: boolean
}

/** Runs the command. */
export function createToken(options: CreateTokenOptions): void {
  const { key, room, identity, name, metadata, attributes, validFor, publish, subscribe } = options
  const { updateMetadata, hidden, json } = options
  const expiresAt = new Date(Date.now() + validFor * 1000).toISOString()
  const token = accessToken(key, {
    ...{ identity, name, metadata, lifetime: validFor },
    ...(Object.keys(attributes).length > 0 && { attributes }),
    grant: {
      ...{ roomJoin: true, room, canPublish: publish, canPublishData: publish, canSubscribe: subscribe },
      ...(updateMetadata && { canUpdateOwnMetadata: true }),
      ...(hidden && { hidden }),
    },
  })
  say(json ? JSON.stringify({ token, room, identity, expiresAt }) : token)
}

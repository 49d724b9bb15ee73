/** What the server says of a participant, and what has changed when it says it again. */
import { isObject } from '../base/arguments'
import { entryOf } from '../base/map-keys'
import type { ParticipantInfoMessage, ParticipantPermissionMessage } from '../signal/messages'

/** What a participant may do; from its token, or as the application's server changed it. Names are livekit-client's. */
export interface ParticipantPermissions {
  /** Media tracks of others; data tracks need no grant in livekit-server 1.13. */
  readonly canSubscribe: boolean
  /** Media tracks. */
  readonly canPublish: boolean
  /** Data tracks and data packets. */
  readonly canPublishData: boolean
  /** Its own metadata, name and attributes: the grant `canUpdateOwnMetadata`. */
  readonly canUpdateMetadata: boolean
  /** Others are not told of it. */
  readonly hidden: boolean
}

/** Numbers of `livekit.ParticipantInfo.Kind`. */
const kinds = {
  0: 'standard',
  1: 'ingress',
  2: 'egress',
  3: 'sip',
  4: 'agent',
  7: 'connector',
  8: 'bridge',
} as const

/** What a participant is; `other:` stands before a number that this version does not know. */
export type ParticipantKind = (typeof kinds)[keyof typeof kinds] | `other:${number}`

/** @internal */
export function kindOf(number: number | undefined): ParticipantKind {
  const known: Readonly<Record<number, ParticipantKind>> = kinds
  return known[number ?? 0] ?? `other:${number ?? 0}`
}

/** @internal Seconds by all servers, milliseconds by newer ones. */
export function joinedAtOf({ joinedAt, joinedAtMs }: ParticipantInfoMessage): Date | undefined {
  const ms = Number(joinedAtMs ?? 0) || Number(joinedAt ?? 0) * 1000
  return Number.isFinite(ms) && ms > 0 ? new Date(ms) : undefined
}

/** @internal */
export function permissionsOf(
  message: ParticipantPermissionMessage | undefined,
): ParticipantPermissions | undefined {
  if (message === undefined) return undefined
  return {
    canSubscribe: message.canSubscribe ?? false,
    canPublish: message.canPublish ?? false,
    canPublishData: message.canPublishData ?? false,
    canUpdateMetadata: message.canUpdateMetadata ?? false,
    hidden: message.hidden ?? false,
  }
}

/** Capabilities of a client that are kept; there are three. */
const MAX_CAPABILITIES = 64

/** @internal What is kept of a participant: only what is used, so that the rest of the message can go. */
export function keptOf(info: ParticipantInfoMessage): ParticipantInfoMessage {
  const { sid, identity, state, name, metadata, attributes, kind, joinedAt, joinedAtMs, version } = info
  return {
    ...{ sid, identity, state, name, metadata, attributes, kind, joinedAt, joinedAtMs, version },
    permission: permissionsOf(info.permission),
    clientProtocol: info.clientProtocol,
    capabilities: info.capabilities?.slice(0, MAX_CAPABILITIES),
  }
}

/** @internal What an update changed; what it did not is absent. */
export interface ParticipantChanges {
  /** The name now. */
  readonly name?: string
  /** The metadata before. */
  readonly metadata?: string
  /** Attributes that changed, as they are now; empty: it is gone. */
  readonly attributes?: Readonly<Record<string, string>>
  /** The permissions before. */
  readonly permissions?: { readonly before: ParticipantPermissions | undefined }
}

/** @internal */
export function changesOf(before: ParticipantInfoMessage, now: ParticipantInfoMessage): ParticipantChanges {
  const name = now.name ?? ''
  const metadata = before.metadata ?? ''
  const attributes = changedAttributes(before.attributes ?? {}, now.attributes ?? {})
  const had = permissionsOf(before.permission)
  const has = permissionsOf(now.permission)
  const same = Object.entries(has ?? {}).every(
    ([permission, value]) => had?.[permission as keyof ParticipantPermissions] === value,
  )
  return {
    ...(name !== (before.name ?? '') && { name }),
    ...(metadata !== (now.metadata ?? '') && { metadata }),
    ...(Object.keys(attributes).length > 0 && { attributes }),
    ...(!same && { permissions: { before: had } }),
  }
}

function changedAttributes(
  before: Readonly<Record<string, string>>,
  now: Readonly<Record<string, string>>,
): Record<string, string> {
  const keys = [...new Set([...Object.keys(before), ...Object.keys(now)])]
  const changed = keys.filter((key) => entryOf(before, key) !== entryOf(now, key))
  return Object.fromEntries(changed.map((key) => [key, entryOf(now, key) ?? '']))
}

/** @internal Whether the server's word is an older one of the same session, overtaken on its way. */
export function isOlder(info: ParticipantInfoMessage, than: ParticipantInfoMessage): boolean {
  return info.sid === than.sid && (info.version ?? 0) < (than.version ?? 0)
}

/** @internal Whether a message is a participant, as far as it has to be one. Without an identity it is none. */
export function isParticipant(message: unknown): message is ParticipantInfoMessage {
  if (!isObject(message) || typeof message['sid'] !== 'string') return false
  const { identity } = message
  return typeof identity === 'string' && identity !== ''
}

/** The server's description of a participant, and what changes between two descriptions. */
import { isObject } from '../base/arguments'
import { entryOf } from '../base/map-keys'
import { becameActive } from './participant-state'
import { MAX_KIND_DETAILS, MAX_PUBLISH_SOURCES } from '../signal/limits'
import type { ParticipantInfoMessage, ParticipantPermissionMessage } from '../signal/messages'
import { timeOf } from './times'

/**
 * What a participant may do, from its token or as changed by the application's server. The names are livekit-client's.
 */
export interface ParticipantPermissions {
  /** Whether it may subscribe to tracks: data tracks and media tracks. */
  readonly canSubscribe: boolean
  /** Whether it may publish media tracks. */
  readonly canPublish: boolean
  /** Whether it may publish data tracks and data packets. */
  readonly canPublishData: boolean
  /** Whether it may change its own metadata, name and attributes: the grant `canUpdateOwnMetadata`. */
  readonly canUpdateMetadata: boolean
  /** Whether other participants are not told about it. */
  readonly hidden: boolean
  /** The sources of media that the participant may publish. Empty: all sources, if `canPublish` is `true`. */
  readonly canPublishSources: readonly TrackSource[]
  /** Whether the participant may subscribe to metrics of other participants. */
  readonly canSubscribeMetrics: boolean
  /** Whether the participant may control an agent's session. */
  readonly canManageAgentSession: boolean
  /**
   * Whether the participant records the room. LiveKit's newer name for that is the {@link ParticipantKind} `egress`.
   */
  readonly recorder: boolean
  /** Whether the participant is an agent. LiveKit's newer name for that is the {@link ParticipantKind} `agent`. */
  readonly agent: boolean
}

/** Numbers of `livekit.TrackSource`, from 0 on. */
const sources = ['unknown', 'camera', 'microphone', 'screen_share', 'screen_share_audio'] as const

/** A source of media; the texts are those of livekit-client's `Track.Source`. `other:` precedes an unknown number. */
export type TrackSource = (typeof sources)[number] | `other:${number}`

/** @internal */
export function sourceOf(number: number): TrackSource {
  return sources[number] ?? `other:${number}`
}

/** @internal The number of a source. */
export function sourceNumber(source: (typeof sources)[number]): number {
  return sources.indexOf(source)
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

/** The kind of a participant. `other:` precedes a number that this version does not know. */
export type ParticipantKind = (typeof kinds)[keyof typeof kinds] | `other:${number}`

/** @internal */
export function kindOf(number: number | undefined): ParticipantKind {
  const known: Readonly<Record<number, ParticipantKind>> = kinds
  return known[number ?? 0] ?? `other:${number ?? 0}`
}

/** Numbers of `livekit.ParticipantInfo.KindDetail`, from 0 on. */
const details = [
  'cloudAgent',
  'forwarded',
  'connectorWhatsapp',
  'connectorTwilio',
  'bridgeRtsp',
  'simulation',
] as const

/** More about a participant's kind. `other:` precedes a number that this version does not know. */
export type ParticipantKindDetail = (typeof details)[number] | `other:${number}`

/** @internal */
export function kindDetailsOf(numbers: readonly number[] | undefined): ParticipantKindDetail[] {
  return (numbers ?? []).map((number) => details[number] ?? (`other:${number}` as const))
}

/** @internal */
export function joinedAtOf({ joinedAt, joinedAtMs }: ParticipantInfoMessage): Date | undefined {
  return timeOf(joinedAtMs, joinedAt)
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
    canPublishSources: numbersIn(message.canPublishSources, MAX_PUBLISH_SOURCES).map(sourceOf),
    canSubscribeMetrics: message.canSubscribeMetrics ?? false,
    canManageAgentSession: message.canManageAgentSession ?? false,
    recorder: message.recorder ?? false,
    agent: message.agent ?? false,
  }
}

/** The first whole numbers of a list that a server sent. Anything else is left out. */
function numbersIn(list: unknown, most: number): number[] {
  if (!Array.isArray(list)) return []
  return list.slice(0, most).filter((each): each is number => Number.isInteger(each))
}

/** Capabilities of a client that are kept; there are three. */
const MAX_CAPABILITIES = 64

/** @internal What is kept of a participant: only what is used, so that the rest of the message can go. */
export function keptOf(info: ParticipantInfoMessage): ParticipantInfoMessage {
  // Field by field: a room may have thousands of participants, and copying by spreads takes several times as long.
  return {
    sid: info.sid,
    identity: info.identity,
    state: info.state,
    name: info.name,
    metadata: info.metadata,
    attributes: info.attributes,
    kind: info.kind,
    joinedAt: info.joinedAt,
    joinedAtMs: info.joinedAtMs,
    version: info.version,
    permission: keptPermission(info.permission),
    kindDetails: numbersIn(info.kindDetails, MAX_KIND_DETAILS),
    clientProtocol: info.clientProtocol,
    capabilities: info.capabilities?.slice(0, MAX_CAPABILITIES),
  }
}

/** @internal */
export function keptPermission(
  message: ParticipantPermissionMessage | undefined,
): ParticipantPermissionMessage | undefined {
  if (message === undefined) return undefined
  return {
    canSubscribe: message.canSubscribe,
    canPublish: message.canPublish,
    canPublishData: message.canPublishData,
    canUpdateMetadata: message.canUpdateMetadata,
    hidden: message.hidden,
    canSubscribeMetrics: message.canSubscribeMetrics,
    canManageAgentSession: message.canManageAgentSession,
    recorder: message.recorder,
    agent: message.agent,
    canPublishSources: numbersIn(message.canPublishSources, MAX_PUBLISH_SOURCES),
  }
}

/** @internal What an update changed. Unchanged fields are absent. */
export interface ParticipantChanges {
  /** The new name. */
  readonly name?: string
  /** The metadata before the change. */
  readonly metadata?: string
  /** The changed attributes with their new values; an empty value means removed. */
  readonly attributes?: Readonly<Record<string, string>>
  /** The permissions before the change. */
  readonly permissions?: { readonly before: ParticipantPermissions | undefined }
  /** The participant can be sent to from now on. */
  readonly active?: true
}

/** @internal */
export function changesOf(before: ParticipantInfoMessage, now: ParticipantInfoMessage): ParticipantChanges {
  const name = now.name ?? ''
  const metadata = before.metadata ?? ''
  const attributes = changedAttributes(before.attributes ?? {}, now.attributes ?? {})
  const had = permissionsOf(before.permission)
  const has = permissionsOf(now.permission)
  const same = Object.entries(has ?? {}).every(
    // A list is compared by its content.
    ([permission, value]) => String(had?.[permission as keyof ParticipantPermissions]) === String(value),
  )
  return {
    ...(name !== (before.name ?? '') && { name }),
    ...(metadata !== (now.metadata ?? '') && { metadata }),
    ...(Object.keys(attributes).length > 0 && { attributes }),
    ...(!same && { permissions: { before: had } }),
    ...(becameActive(before, now) && { active: true as const }),
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

/** @internal Whether a description is older than another one of the same session and was overtaken by it. */
export function isOlder(info: ParticipantInfoMessage, than: ParticipantInfoMessage): boolean {
  return info.sid === than.sid && (info.version ?? 0) < (than.version ?? 0)
}

/** @internal Whether a message describes a participant, as far as needed here. It must have an identity. */
export function isParticipant(message: unknown): message is ParticipantInfoMessage {
  if (!isObject(message) || typeof message['sid'] !== 'string') return false
  const { identity } = message
  return typeof identity === 'string' && identity !== ''
}

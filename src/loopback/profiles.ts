/** Descriptions and permissions of the loopback's participants, and requests to change them, as in livekit-server. */
import * as check from '../base/arguments'
import { sourceNumber } from '../room/participant-info'
import type { TrackSource } from '../room/participant-info'
import { RequestResponseReason } from '../signal/messages'
import type { ParticipantPermissionMessage, UpdateMetadataMessage } from '../signal/messages'

/** livekit-server's default limits in bytes. */
const MAX_NAME = 256
const MAX_METADATA = 512 * 1024
const MAX_ATTRIBUTES = 64 * 1024

/** What a participant is allowed to do. */
export interface LoopbackPermissions {
  /** Whether the participant may publish data: data tracks, data packets and streams. Default: `true`. */
  readonly canPublishData?: boolean | undefined
  /** Whether the participant may change its own metadata, name and attributes. Default: `true`. */
  readonly canUpdateMetadata?: boolean | undefined
  /** Whether the participant may publish audio tracks. Default: `true`. */
  readonly canPublish?: boolean | undefined
  /** The sources of tracks that the participant may publish. Empty: all of them. Default: all. */
  readonly canPublishSources?: readonly TrackSource[] | undefined
  /** Whether the participant may subscribe to tracks. Default: `true`. */
  readonly canSubscribe?: boolean | undefined
}

const sources = ['unknown', 'camera', 'microphone', 'screen_share', 'screen_share_audio'] as const

/** What a participant is allowed to do, as the SFU keeps it. */
interface Permissions {
  readonly canPublishData: boolean
  readonly canUpdateMetadata: boolean
  readonly canPublish: boolean
  /** `livekit.TrackSource`. */
  readonly canPublishSources: readonly number[]
  readonly canSubscribe: boolean
}

/** Everything is allowed. */
export const everything: Permissions = {
  canPublishData: true,
  canUpdateMetadata: true,
  canPublish: true,
  canPublishSources: [],
  canSubscribe: true,
}

/**
 * The permissions that are given.
 *
 * @throws `TypeError` or `RangeError` that names the permission
 */
export function checkPermissions(name: string, given: LoopbackPermissions | undefined): Partial<Permissions> {
  const options = check.options(name, given)
  const flags = ['canPublishData', 'canUpdateMetadata', 'canPublish', 'canSubscribe'] as const
  const checked: Partial<Record<(typeof flags)[number], boolean>> = {}
  for (const flag of flags) {
    const value = options[flag]
    if (value !== undefined) checked[flag] = check.requiredBoolean(`${name}.${flag}`, value)
  }
  if (options.canPublishSources === undefined) return checked
  const list = check.strings(`${name}.canPublishSources`, options.canPublishSources)
  const numbers = list.map((source, index) =>
    sourceNumber(check.oneOf(`${name}.canPublishSources[${index}]`, source, 'unknown', sources)),
  )
  return { ...checked, canPublishSources: numbers }
}

/** The permissions of a description. */
export function permissionsIn(description: Permissions): Permissions {
  const { canPublishData, canUpdateMetadata, canPublish, canPublishSources, canSubscribe } = description
  return { canPublishData, canUpdateMetadata, canPublish, canPublishSources, canSubscribe }
}

/** A participant's description. */
export interface ParticipantDescription extends Permissions {
  readonly identity: string
  readonly name: string
  readonly metadata: string
  readonly attributes: Readonly<Record<string, string>>
  readonly isAgent: boolean
  /** Whether other participants are not told about it. */
  readonly isHidden: boolean
}

/** Why a request is refused. */
export interface Refusal {
  readonly reason: number
  readonly message: string
}

/** Why an update is refused; `undefined` if it is not. In the order of livekit-server's checks. */
export function refusalOfUpdate(
  { canUpdateMetadata }: ParticipantDescription,
  { name, metadata, attributes }: UpdateMetadataMessage,
): Refusal | undefined {
  if (!canUpdateMetadata) {
    return {
      reason: RequestResponseReason.NotAllowed,
      message: 'this participant may not update its own metadata',
    }
  }
  const attributeBytes = Object.entries(attributes).reduce((sum, pair) => sum + bytes(pair.join('')), 0)
  const over = [
    ['name', bytes(name) > MAX_NAME],
    ['metadata', bytes(metadata) > MAX_METADATA],
    ['attributes', attributeBytes > MAX_ATTRIBUTES],
  ].find(([, isOver]) => isOver)
  return over && { reason: RequestResponseReason.LimitExceeded, message: `too large: ${String(over[0])}` }
}

/** The description after an update. An empty text changes nothing; an empty attribute is removed. */
export function updated(
  description: ParticipantDescription,
  update: Partial<Pick<ParticipantDescription, 'name' | 'metadata' | 'attributes'>>,
): ParticipantDescription {
  const attributes = { ...description.attributes, ...update.attributes }
  return {
    ...description,
    name: update.name === undefined || update.name === '' ? description.name : update.name,
    metadata:
      update.metadata === undefined || update.metadata === '' ? description.metadata : update.metadata,
    attributes: Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== '')),
  }
}

/** A participant's permissions in the form that all participants receive. */
export function permissionOf(description: ParticipantDescription): ParticipantPermissionMessage {
  return { ...permissionsIn(description), hidden: description.isHidden }
}

function bytes(text: string): number {
  return Buffer.byteLength(text)
}

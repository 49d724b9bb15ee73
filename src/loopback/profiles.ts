/** Descriptions and permissions of the loopback's participants, and requests to change them, as in livekit-server. */
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
}

/** A participant's description. */
export interface ParticipantDescription {
  readonly identity: string
  readonly name: string
  readonly metadata: string
  readonly attributes: Readonly<Record<string, string>>
  readonly isAgent: boolean
  readonly canPublishData: boolean
  readonly canUpdateMetadata: boolean
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
  const { canPublishData, canUpdateMetadata } = description
  return { canSubscribe: true, canPublish: true, canPublishData, canUpdateMetadata, hidden: false }
}

function bytes(text: string): number {
  return Buffer.byteLength(text)
}

/** The description of a stream. The names are livekit-client's. */
import type { DataStream_Header } from '@livekit/protocol'

/** Properties of text and byte streams. */
export interface BaseStreamInfo {
  /** The stream's unique id; a UUID unless the sender chose another. */
  readonly id: string
  readonly topic: string
  readonly mimeType: string
  /** When the stream began, by the sender's clock, in ms since 1970. */
  readonly timestamp: number
  /** Bytes in all, before compression; `undefined` if the sender did not know. A text counts in UTF-8. */
  readonly size: number | undefined
  /** Attributes that the sender added. Attributes that come with the stream's end are here once it has ended. */
  readonly attributes: Readonly<Record<string, string>>
  /** Whether the stream is end-to-end encrypted. */
  readonly encrypted: boolean
}

/** The description of a byte stream. */
export interface ByteStreamInfo extends BaseStreamInfo {
  /** The name that the sender gave, a file's name for example. */
  readonly name: string
}

/** The description of a text stream. */
export interface TextStreamInfo extends BaseStreamInfo {
  /** Ids of the byte streams that belong to the text: its attachments, which arrive on the same topic. */
  readonly attachedStreamIds: readonly string[]
  /** The id of the stream that this one answers. */
  readonly replyToStreamId: string | undefined
  /** `update`: the text replaces an earlier one; see `version`. */
  readonly type: 'create' | 'update'
  /** The version of an update, as the sender counts. */
  readonly version: number
}

/** The MIME type of texts. */
export const TEXT_MIME_TYPE = 'text/plain'
/** The MIME type of bytes without another one. */
export const BYTES_MIME_TYPE = 'application/octet-stream'
/** The name of bytes without another one. */
export const UNKNOWN_NAME = 'unknown'

/** `livekit.DataStream.OperationType`. */
const UPDATE = 1

/**
 * @internal The description in a stream's header; `undefined` if it is neither text nor bytes. It is called for each
 * call of RPC, so it creates no objects in between.
 */
export function infoOf(
  header: DataStream_Header,
  encrypted: boolean,
  attributes: Readonly<Record<string, string>>,
):
  | { readonly kind: 'text'; readonly info: TextStreamInfo }
  | { readonly kind: 'bytes'; readonly info: ByteStreamInfo }
  | undefined {
  const { streamId: id, topic, mimeType, totalLength, contentHeader } = header
  const timestamp = Number(header.timestamp)
  const size = totalLength === undefined ? undefined : Number(totalLength)
  switch (contentHeader.case) {
    case 'textHeader': {
      const { attachedStreamIds, replyToStreamId, operationType, version } = contentHeader.value
      const info: TextStreamInfo = {
        id,
        topic,
        mimeType,
        timestamp,
        size,
        attributes,
        encrypted,
        attachedStreamIds: [...attachedStreamIds],
        replyToStreamId: replyToStreamId === '' ? undefined : replyToStreamId,
        type: (operationType as number) === UPDATE ? 'update' : 'create',
        version,
      }
      return { kind: 'text', info }
    }
    case 'byteHeader': {
      const name = contentHeader.value.name === '' ? UNKNOWN_NAME : contentHeader.value.name
      return { kind: 'bytes', info: { id, topic, mimeType, timestamp, size, attributes, encrypted, name } }
    }
    default:
      return undefined
  }
}

/** Overhead of a text in a list, and of an entry in a map, in bytes. */
const TEXT_OVERHEAD = 32
const ENTRY_OVERHEAD = 128

/** @internal Bytes that attributes take in memory. An estimate that is never too low. */
export function costOfTexts(attributes: Readonly<Record<string, string>>): number {
  let cost = 0
  for (const [name, value] of Object.entries(attributes))
    cost += ENTRY_OVERHEAD + (name.length + value.length) * 2
  return cost
}

/** @internal Bytes that a header takes in memory, estimated in the same way. */
export function costOfHeader({
  streamId,
  topic,
  mimeType,
  attributes,
  contentHeader,
}: DataStream_Header): number {
  let cost = (streamId.length + topic.length + mimeType.length) * 2 + costOfTexts(attributes)
  if (contentHeader.case === 'byteHeader') cost += contentHeader.value.name.length * 2
  if (contentHeader.case === 'textHeader') {
    cost += contentHeader.value.replyToStreamId.length * 2
    for (const id of contentHeader.value.attachedStreamIds) cost += TEXT_OVERHEAD + id.length * 2
  }
  return cost
}

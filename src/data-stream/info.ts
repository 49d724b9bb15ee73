/** What is known of a stream beside its content. Names are livekit-client's. */
import type { DataStream_Header } from '@livekit/protocol'

/** What text and byte streams have in common. */
export interface BaseStreamInfo {
  /** Unique; a UUID unless its sender chose otherwise. */
  readonly id: string
  readonly topic: string
  readonly mimeType: string
  /** When it was begun, by its sender's clock, ms since 1970. */
  readonly timestamp: number
  /** Bytes in all, before compression; `undefined`: its sender did not know. Text counts as UTF-8. */
  readonly size: number | undefined
  /** What its sender attached, by key. What comes with the end of the stream is here when it has ended. */
  readonly attributes: Readonly<Record<string, string>>
  /** Whether it is end-to-end encrypted. */
  readonly encrypted: boolean
}

/** What is known of a byte stream. */
export interface ByteStreamInfo extends BaseStreamInfo {
  /** A file's name, for example. */
  readonly name: string
}

/** What is known of a text stream. */
export interface TextStreamInfo extends BaseStreamInfo {
  /** Ids of the byte streams that belong to it: its attachments, which come on the same topic. */
  readonly attachedStreamIds: readonly string[]
  /** The stream that it answers. */
  readonly replyToStreamId: string | undefined
  /** `update`: it replaces an earlier one; see `version`. */
  readonly type: 'create' | 'update'
  /** Of an update, as its sender counts. */
  readonly version: number
}

/** Mime type of texts. */
export const TEXT_MIME_TYPE = 'text/plain'
/** Mime type of bytes that nobody gave another. */
export const BYTES_MIME_TYPE = 'application/octet-stream'
/** Name of bytes that nobody gave another. */
export const UNKNOWN_NAME = 'unknown'

/** `livekit.DataStream.OperationType`. */
const UPDATE = 1

function baseInfo(header: DataStream_Header, encrypted: boolean): BaseStreamInfo {
  return {
    id: header.streamId,
    topic: header.topic,
    mimeType: header.mimeType,
    timestamp: Number(header.timestamp),
    size: header.totalLength === undefined ? undefined : Number(header.totalLength),
    attributes: { ...header.attributes },
    encrypted,
  }
}

/** @internal What the header of a stream says; `undefined`: it is neither text nor bytes. */
export function infoOf(
  header: DataStream_Header,
  encrypted: boolean,
):
  | { readonly kind: 'text'; readonly info: TextStreamInfo }
  | { readonly kind: 'bytes'; readonly info: ByteStreamInfo }
  | undefined {
  const { contentHeader } = header
  switch (contentHeader.case) {
    case 'textHeader': {
      const { attachedStreamIds, replyToStreamId, operationType, version } = contentHeader.value
      const info: TextStreamInfo = {
        ...baseInfo(header, encrypted),
        attachedStreamIds: [...attachedStreamIds],
        replyToStreamId: replyToStreamId === '' ? undefined : replyToStreamId,
        type: (operationType as number) === UPDATE ? 'update' : 'create',
        version,
      }
      return { kind: 'text', info }
    }
    case 'byteHeader': {
      const { name } = contentHeader.value
      return {
        kind: 'bytes',
        info: { ...baseInfo(header, encrypted), name: name === '' ? UNKNOWN_NAME : name },
      }
    }
    default:
      return undefined
  }
}

/** What a text of a list, and an entry of a map, cost beside their characters, bytes. */
const TEXT_OVERHEAD = 32
const ENTRY_OVERHEAD = 128

/** @internal Bytes of attributes as they are kept, roughly: never less than they take. */
export function costOfTexts(attributes: Readonly<Record<string, string>>): number {
  let cost = 0
  for (const [name, value] of Object.entries(attributes))
    cost += ENTRY_OVERHEAD + (name.length + value.length) * 2
  return cost
}

/** @internal The same of a header. */
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

/** What streams are sent with. Names are livekit-client's. */
import { randomUUID } from 'node:crypto'
import * as check from '../base/arguments'
import type { FileSource } from './file-source'
import { BYTES_MIME_TYPE, TEXT_MIME_TYPE, UNKNOWN_NAME } from './info'
import type { BaseStreamInfo, ByteStreamInfo, TextStreamInfo } from './info'

/** What all streams are sent with. */
export interface StreamOptions {
  /** Which handlers get it. Default: `''`. */
  readonly topic?: string | undefined
  /** Identities of those who get it. Default: everybody in the room. */
  readonly destinationIdentities?: readonly string[] | undefined
  /** What receivers get beside it, by key. Default: nothing. */
  readonly attributes?: Readonly<Record<string, string>> | undefined
  /** Its id, unique in the room. Default: a UUID. */
  readonly streamId?: string | undefined
  /** Gives it up: receivers get an `abnormalEnd`, and what waits here rejects with the signal's `reason`. */
  readonly signal?: AbortSignal | undefined
}

/** What a complete content is sent with. */
export interface SendOptions extends StreamOptions {
  /** Is called with the share that was sent, from 0 to 1. */
  readonly onProgress?: ((progress: number) => void) | undefined
  /** Whether it may be compressed; it is when all receivers can decompress it and it becomes smaller. Default: `true`. */
  readonly compress?: boolean | undefined
}

/** Options of a text that refers to another. */
export interface TextReferences {
  /** The stream that it answers. Default: none. */
  readonly replyToStreamId?: string | undefined
  /** `update`: it replaces an earlier one. Default: `create`. */
  readonly type?: 'create' | 'update' | undefined
  /** Of an update, counted by you: 0 to 2^31 − 1. Default: 0. */
  readonly version?: number | undefined
}

/** Options of {@link LocalParticipant.sendText}. */
export interface SendTextOptions extends SendOptions, TextReferences {
  /** Files that belong to the text; they follow as byte streams on the same topic. Default: none. */
  readonly attachments?: readonly FileSource[] | undefined
}

/** Options of {@link LocalParticipant.streamText}. */
export interface StreamTextOptions extends StreamOptions, TextReferences {
  /** Bytes of UTF-8 in all, if known. */
  readonly totalSize?: number | undefined
  /** Ids of byte streams that belong to the text. Default: none. */
  readonly attachedStreamIds?: readonly string[] | undefined
}

/** What bytes are described with. */
export interface BytesDescription {
  /** A name for receivers. Default: a file's own name, else `unknown`. */
  readonly name?: string | undefined
  /** Default: that of a `Blob`, else `application/octet-stream`. */
  readonly mimeType?: string | undefined
}

/** Options of {@link LocalParticipant.sendBytes}. */
export interface SendBytesOptions extends SendOptions, BytesDescription {}

/** Options of {@link LocalParticipant.sendFile}. */
export interface SendFileOptions extends SendOptions, BytesDescription {}

/** Options of {@link LocalParticipant.streamBytes}. */
export interface StreamBytesOptions extends StreamOptions, BytesDescription {
  /** Bytes in all, if known. */
  readonly totalSize?: number | undefined
}

/** @internal Where a stream goes. */
export interface Destination {
  readonly destinationIdentities: readonly string[]
  readonly signal: AbortSignal | undefined
}

/** @internal How a complete content is sent. */
export interface Sending extends Destination {
  readonly progress: (share: number) => void
  readonly compress: boolean
}

/** @internal */
export function checkDestination(options: StreamOptions): Destination {
  return {
    destinationIdentities: check.strings(
      'options.destinationIdentities',
      options.destinationIdentities ?? [],
    ),
    signal: check.signal('options.signal', options.signal),
  }
}

/** @internal */
export function checkSending(options: SendOptions): Sending {
  const { onProgress } = options
  if (onProgress !== undefined) check.callback('options.onProgress', onProgress)
  return {
    ...checkDestination(options),
    progress: (share) => onProgress?.(share),
    compress: check.boolean('options.compress', options.compress, true),
  }
}

/** @internal */
export function checkTextInfo(
  options: StreamTextOptions,
  size: number | undefined,
  encrypted: boolean,
): TextStreamInfo {
  const { replyToStreamId } = options
  return {
    ...baseInfo(options, TEXT_MIME_TYPE, size, encrypted),
    attachedStreamIds: check.strings('options.attachedStreamIds', options.attachedStreamIds ?? []),
    replyToStreamId:
      replyToStreamId === undefined ? undefined : check.string('options.replyToStreamId', replyToStreamId),
    type: check.oneOf('options.type', options.type, 'create', ['create', 'update']),
    version: check.integer('options.version', options.version, 0, 0, 0x7fff_ffff),
  }
}

/** @internal `own`: what the content says of itself. */
export function checkBytesInfo(
  options: StreamOptions & BytesDescription,
  size: number | undefined,
  encrypted: boolean,
  own: { readonly name?: string; readonly mimeType?: string } = {},
): ByteStreamInfo {
  const mimeType = check.string('options.mimeType', options.mimeType ?? own.mimeType ?? BYTES_MIME_TYPE)
  return {
    ...baseInfo(options, mimeType, size, encrypted),
    name: check.string('options.name', options.name ?? own.name ?? UNKNOWN_NAME),
  }
}

/** @internal */
export function checkTotalSize(size: number | undefined): number | undefined {
  if (size === undefined) return undefined
  return check.integer('options.totalSize', size, 0, 0, Number.MAX_SAFE_INTEGER, ' bytes')
}

function baseInfo(
  options: StreamOptions,
  mimeType: string,
  size: number | undefined,
  encrypted: boolean,
): BaseStreamInfo {
  const attributes: Readonly<Record<string, unknown>> = check.options(
    'options.attributes',
    options.attributes,
  )
  for (const [name, value] of Object.entries(attributes)) check.string(`options.attributes.${name}`, value)
  const id = check.string('options.streamId', options.streamId ?? randomUUID())
  if (id === '') throw check.outOfRange('options.streamId.length', '>= 1', 0)
  return {
    id,
    topic: check.string('options.topic', options.topic ?? ''),
    mimeType,
    timestamp: Date.now(),
    size,
    attributes: { ...options.attributes },
    encrypted,
  }
}

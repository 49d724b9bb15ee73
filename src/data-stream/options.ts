/** Options of sending streams. The names are livekit-client's. */
import { randomUUID } from 'node:crypto'
import * as check from '../base/arguments'
import { checkSenderIdentity } from '../data-packet/sender-identity'
import type { FileSource } from './file-source'
import { BYTES_MIME_TYPE, TEXT_MIME_TYPE, UNKNOWN_NAME } from './info'
import type { BaseStreamInfo, ByteStreamInfo, TextStreamInfo } from './info'

/** Options of all streams. */
export interface StreamOptions {
  /** The topic, which selects the receivers' handlers. Default: `''`. */
  readonly topic?: string | undefined
  /** Identities of the receivers. Default: all participants in the room. */
  readonly destinationIdentities?: readonly string[] | undefined
  /**
   * The participant in whose name an agent sends the stream, for example a transcription of what that participant said.
   * The server accepts it only for text streams from participants of the kind `agent`. Other streams have the sender's
   * own identity. Default: the local participant.
   */
  readonly senderIdentity?: string | undefined
  /** Attributes that receivers get with the stream. Default: none. */
  readonly attributes?: Readonly<Record<string, string>> | undefined
  /** The stream's id, unique in the room. Default: a UUID. */
  readonly streamId?: string | undefined
  /** Aborts the stream. Receivers get an `abnormalEnd`, and pending calls reject with the signal's `reason`. */
  readonly signal?: AbortSignal | undefined
}

/** Options of sending complete content. */
export interface SendOptions extends StreamOptions {
  /** Called with the share that has been sent, from 0 to 1. */
  readonly onProgress?: ((progress: number) => void) | undefined
  /**
   * Whether the content may be compressed. It is if all receivers can decompress it and it becomes smaller. Default:
   * `true`.
   */
  readonly compress?: boolean | undefined
}

/** Options of a text that refers to another stream. */
export interface TextReferences {
  /** The id of the stream that this one answers. Default: none. */
  readonly replyToStreamId?: string | undefined
  /** `update`: the text replaces an earlier one. Default: `create`. */
  readonly type?: 'create' | 'update' | undefined
  /** The version of an update, counted by the application: 0 to 2^31 − 1. Default: 0. */
  readonly version?: number | undefined
}

/** Options of {@link LocalParticipant.sendText}. */
export interface SendTextOptions extends SendOptions, TextReferences {
  /** Files that belong to the text. They follow as byte streams on the same topic. Default: none. */
  readonly attachments?: readonly FileSource[] | undefined
}

/** Options of {@link LocalParticipant.streamText}. */
export interface StreamTextOptions extends StreamOptions, TextReferences {
  /** Bytes of UTF-8 in all, if known. */
  readonly totalSize?: number | undefined
  /** Ids of the byte streams that belong to the text. Default: none. */
  readonly attachedStreamIds?: readonly string[] | undefined
}

/** Description of bytes. */
export interface BytesDescription {
  /** A name for the receivers. Default: the file's own name, else `unknown`. */
  readonly name?: string | undefined
  /** Default: the MIME type of a `Blob`, else `application/octet-stream`. */
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

/** @internal The receivers of a stream. */
export interface Destination {
  readonly destinationIdentities: readonly string[]
  readonly senderIdentity: string | undefined
  readonly signal: AbortSignal | undefined
}

/** @internal How complete content is sent. */
export interface Sending extends Destination {
  readonly progress: (share: number) => void
  readonly compress: boolean
  /** Called when the channel has accepted all of it. With it, the acknowledgement is noticed late. */
  readonly handedOver?: (() => void) | undefined
}

/** @internal */
export function checkDestination(options: StreamOptions): Destination {
  return {
    destinationIdentities: check.strings(
      'options.destinationIdentities',
      options.destinationIdentities ?? [],
    ),
    senderIdentity: checkSenderIdentity('options.senderIdentity', options.senderIdentity),
    signal: check.signal('options.signal', options.signal),
  }
}

/** @internal The identities that the packet of a header has. */
export function identitiesIn({ destinationIdentities, senderIdentity }: Destination): readonly string[] {
  return senderIdentity === undefined ? destinationIdentities : [...destinationIdentities, senderIdentity]
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

/** @internal `own`: the name and MIME type that the content itself has. */
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

/** @internal A copy of the attributes. */
export function checkAttributes(
  given: Readonly<Record<string, string>> | undefined,
): Readonly<Record<string, string>> {
  const attributes: Readonly<Record<string, unknown>> = check.options('options.attributes', given)
  for (const [name, value] of Object.entries(attributes)) check.string(`options.attributes.${name}`, value)
  return { ...given }
}

function baseInfo(
  options: StreamOptions,
  mimeType: string,
  size: number | undefined,
  encrypted: boolean,
): BaseStreamInfo {
  const id = check.string('options.streamId', options.streamId ?? randomUUID())
  if (id === '') throw check.outOfRange('options.streamId.length', '>= 1', 0)
  return {
    id,
    topic: check.string('options.topic', options.topic ?? ''),
    mimeType,
    timestamp: Date.now(),
    size,
    attributes: checkAttributes(options.attributes),
    encrypted,
  }
}

/** The first packet of a stream. */
import type { DataStream_ByteHeader, DataStream_Header, DataStream_TextHeader } from '@livekit/protocol'
import { loadProtocol } from '../base/lazy'
import { encode } from '../base/packet-writer'
import type { PacketValue } from '../data-packet/sender'
import { DataStreamError } from '../base/errors'
import type { ByteStreamInfo, TextStreamInfo } from './info'

/** The most bytes of content in a packet, and of a packet that carries a header. */
export const CHUNK_SIZE = 15_000

/** A stream's kind and description. */
export type StreamDescription =
  | { readonly kind: 'text'; readonly info: TextStreamInfo }
  | { readonly kind: 'bytes'; readonly info: ByteStreamInfo }

/** How the content is sent. */
export interface ContentOptions {
  /** Whether it is compressed. */
  readonly compressed: boolean
  /** The whole content, if the header carries it. */
  readonly inlineContent?: Uint8Array | undefined
}

export type HeaderValue = Extract<PacketValue, { case: 'streamHeader' }>

/** The header as the value of a packet. */
export function headerOf(
  stream: StreamDescription,
  { compressed, inlineContent }: ContentOptions,
): HeaderValue {
  const { DataStream_Header, DataStream_CompressionType } = loadProtocol()
  const { info } = stream
  const value = new DataStream_Header()
  value.streamId = info.id
  value.topic = info.topic
  value.mimeType = info.mimeType
  value.timestamp = BigInt(info.timestamp)
  value.attributes = { ...info.attributes }
  value.compression = compressed ? DataStream_CompressionType.DEFLATE_RAW : DataStream_CompressionType.NONE
  if (info.size !== undefined) value.totalLength = BigInt(info.size)
  if (inlineContent !== undefined) value.inlineContent = inlineContent
  value.contentHeader =
    stream.kind === 'bytes'
      ? { case: 'byteHeader', value: byteHeader(stream.info) }
      : { case: 'textHeader', value: textHeader(stream.info) }
  return { case: 'streamHeader', value }
}

function byteHeader({ name }: ByteStreamInfo): DataStream_ByteHeader {
  const { DataStream_ByteHeader } = loadProtocol()
  const header = new DataStream_ByteHeader()
  header.name = name
  return header
}

function textHeader(info: TextStreamInfo): DataStream_TextHeader {
  const { DataStream_TextHeader, DataStream_OperationType } = loadProtocol()
  const { CREATE, UPDATE } = DataStream_OperationType
  const header = new DataStream_TextHeader()
  header.attachedStreamIds = [...info.attachedStreamIds]
  header.replyToStreamId = info.replyToStreamId ?? ''
  header.operationType = info.type === 'update' ? UPDATE : CREATE
  header.version = info.version
  return header
}

/** The most bytes of UTF-8 for one UTF-16 unit, and the overhead of a text or number field. */
const BYTES_PER_UNIT = 3
const FIELD_OVERHEAD = 12
/** The number of fields in a header that are not counted one by one. */
const OTHER_FIELDS = 12

/** Whether a header's packet is small enough for all SDKs and servers on its way. */
export function headerFits(value: HeaderValue, destinationIdentities: readonly string[]): boolean {
  if (atMost(value.value, destinationIdentities) <= CHUNK_SIZE) return true
  const { DataPacket } = loadProtocol()
  const packet = new DataPacket({ destinationIdentities: [...destinationIdentities], value })
  return encode(packet).length <= CHUNK_SIZE
}

/** An upper bound of the packet's bytes. It is faster to compute than the exact size. */
function atMost(header: DataStream_Header, destinationIdentities: readonly string[]): number {
  const { contentHeader, attributes } = header
  const texts = [header.streamId, header.topic, header.mimeType, ...destinationIdentities]
  for (const key in attributes) texts.push(key, attributes[key] ?? '')
  if (contentHeader.case === 'byteHeader') texts.push(contentHeader.value.name)
  if (contentHeader.case === 'textHeader') {
    texts.push(contentHeader.value.replyToStreamId, ...contentHeader.value.attachedStreamIds)
  }
  let bytes = OTHER_FIELDS * FIELD_OVERHEAD + (header.inlineContent?.length ?? 0)
  for (const text of texts) bytes += text.length * BYTES_PER_UNIT + FIELD_OVERHEAD
  return bytes
}

/** @throws `DataStreamError` (`headerTooLarge`) */
export function assertHeaderFits(value: HeaderValue, destinationIdentities: readonly string[]): void {
  if (!headerFits(value, destinationIdentities)) throw new DataStreamError('headerTooLarge')
}

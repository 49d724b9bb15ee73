/** The first packet of a stream. */
import { loadProtocol } from '../lazy'
import type { PacketValue } from '../data-packet/sender'
import { DataStreamError } from '../errors'
import type { ByteStreamInfo, TextStreamInfo } from './info'

/** Bytes of content in a packet at most, and of a packet that carries a header. */
export const CHUNK_SIZE = 15_000

/** A stream's kind and what is known of it. */
export type StreamDescription =
  | { readonly kind: 'text'; readonly info: TextStreamInfo }
  | { readonly kind: 'bytes'; readonly info: ByteStreamInfo }

/** How the content travels. */
export interface ContentOptions {
  /** Whether it is compressed. */
  readonly compressed: boolean
  /** All of it, where the header carries it. */
  readonly inlineContent?: Uint8Array | undefined
}

export type HeaderValue = Extract<PacketValue, { case: 'streamHeader' }>

/** The header as a packet's value. */
export function headerOf(
  stream: StreamDescription,
  { compressed, inlineContent }: ContentOptions,
): HeaderValue {
  const { DataStream_Header, DataStream_CompressionType, DataStream_OperationType } = loadProtocol()
  const { info } = stream
  const value = new DataStream_Header({
    streamId: info.id,
    topic: info.topic,
    mimeType: info.mimeType,
    timestamp: BigInt(info.timestamp),
    attributes: { ...info.attributes },
    compression: compressed ? DataStream_CompressionType.DEFLATE_RAW : DataStream_CompressionType.NONE,
    ...(info.size !== undefined && { totalLength: BigInt(info.size) }),
    ...(inlineContent !== undefined && { inlineContent }),
    contentHeader:
      stream.kind === 'bytes'
        ? { case: 'byteHeader', value: { name: stream.info.name } }
        : {
            case: 'textHeader',
            value: {
              attachedStreamIds: [...stream.info.attachedStreamIds],
              replyToStreamId: stream.info.replyToStreamId ?? '',
              operationType:
                stream.info.type === 'update'
                  ? DataStream_OperationType.UPDATE
                  : DataStream_OperationType.CREATE,
              version: stream.info.version,
            },
          },
  })
  return { case: 'streamHeader', value }
}

/** Whether the packet of a header is small enough for all on its way. */
export function headerFits(value: HeaderValue, destinationIdentities: readonly string[]): boolean {
  const { DataPacket } = loadProtocol()
  const packet = new DataPacket({ destinationIdentities: [...destinationIdentities], value })
  return packet.toBinary().length <= CHUNK_SIZE
}

/** @throws `DataStreamError` (`headerTooLarge`) */
export function assertHeaderFits(value: HeaderValue, destinationIdentities: readonly string[]): void {
  if (!headerFits(value, destinationIdentities)) throw new DataStreamError('headerTooLarge')
}

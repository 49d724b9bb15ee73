/** A participant that writes whatever a test wants to its channels. */
import { DataPacket } from '@livekit/protocol'
import { Room } from '../../index'
import type { MessageChannel } from '../../src/data-packet/channels'

/** What a data packet carries. */
export type RawValue = DataPacket['value']

/** A room whose channels are in reach. */
export class RawRoom extends Room {
  /** Writes bytes; what is returned is a `SendStatus`. */
  write(channel: MessageChannel, bytes: Uint8Array): number {
    const { connection } = this.engine
    if (connection === undefined) throw new Error('not connected')
    return connection.channels.send(channel, bytes)
  }

  /** Writes a data packet to all, or to those who are named. */
  writePacket(
    value: RawValue,
    channel: MessageChannel = 'reliable',
    destinationIdentities: string[] = [],
  ): number {
    return this.write(channel, new DataPacket({ value, destinationIdentities }).toBinary())
  }

  /** Bytes that wait for a channel. */
  buffered(channel: MessageChannel): number {
    return this.engine.connection?.channels.bufferedAmount(channel) ?? 0
  }
}

/** The bytes of a length-delimited field, as any protobuf message may have and ignore. */
export function unknownField(number: number, length: number): Uint8Array {
  const bytes: number[] = []
  const varint = (value: number): void => {
    for (; value >= 0x80; value >>>= 7) bytes.push((value & 0x7f) | 0x80)
    bytes.push(value)
  }
  varint(number * 8 + 2)
  varint(length)
  return Buffer.concat([Uint8Array.from(bytes), new Uint8Array(length)])
}

/** A participant that writes any bytes to its data channels. */
import { DataPacket } from '@livekit/protocol'
import { Room } from '../../index'
import type { MessageChannel } from '../../src/data-packet/channels'

/** The content of a data packet. */
export type RawValue = DataPacket['value']

/** A room, and access to its data channels. */
export class RawRoom extends Room {
  /** Writes bytes to a channel. Returns a `SendStatus`. */
  write(channel: MessageChannel, bytes: Uint8Array): number {
    const { connection } = this.engine
    if (connection === undefined) throw new Error('not connected')
    return connection.channels.send(channel, bytes)
  }

  /** Writes a data packet to all participants, or to those with the given identities. */
  writePacket(
    value: RawValue,
    channel: MessageChannel = 'reliable',
    destinationIdentities: string[] = [],
  ): number {
    return this.write(channel, new DataPacket({ value, destinationIdentities }).toBinary())
  }

  /** Bytes that wait to be sent on a channel. */
  buffered(channel: MessageChannel): number {
    return this.engine.connection?.channels.bufferedAmount(channel) ?? 0
  }
}

/** The bytes of a length-delimited field. Each protobuf message may have an unknown one, and receivers ignore it. */
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

/** The channels of a room's messages, without a connection. */
import type { MessageChannel, MessageChannels } from '../../src/data-packet/channels'
import { SendStatus } from '../../src/native/native'

/** A channel that acknowledges when the test says so, and writes down what it is asked. */
export class ScriptedChannel implements MessageChannels {
  readonly maxMessageSize = 65_535
  readonly log: string[] = []
  readonly messages: Uint8Array[] = []
  buffered = 0
  limit = 64 * 1024

  send(_channel: MessageChannel, message: Uint8Array, more = false): number {
    this.log.push(more ? 'send more' : 'send')
    this.messages.push(message)
    this.buffered += message.length
    return SendStatus.Queued
  }

  flush(): void {
    this.log.push('flush')
  }

  bufferedAmount(): number {
    return this.buffered
  }

  reliableLimit(): number {
    return this.limit
  }

  watchBuffered(_channel: MessageChannel, bytes: number): void {
    this.log.push(`watch ${bytes}`)
  }
}

/** Which streams of a sender are kept: those that are open, and those that were not read to their end. */
import { DataStreamError } from '../base/errors'
import type { IncomingStream } from './incoming-stream'

interface OfSender {
  readonly all: Set<IncomingStream>
  /** All of it has come, and no reader has begun with it; the oldest first. */
  readonly ignored: Set<IncomingStream>
}

/**
 * See the top of this file. A handler may ignore a stream, so at the limit the oldest that no reader has begun with makes room.
 * Streams that are open or being read are not touched.
 */
export class KeptStreams {
  readonly #limit: number
  readonly #senders = new Map<string, OfSender>()

  /** `limit`: streams of one sender. */
  constructor(limit: number) {
    this.#limit = limit
  }

  /** Whether the sender may have another stream. */
  makeRoom(sender: string): boolean {
    const of = this.#senders.get(sender)
    if (of === undefined || of.all.size < this.#limit) return true
    for (const oldest of of.ignored) {
      oldest.drop(new DataStreamError('bufferFull'))
      return true
    }
    return false
  }

  add(sender: string, stream: IncomingStream): void {
    const of = this.#senders.get(sender) ?? { all: new Set(), ignored: new Set() }
    this.#senders.set(sender, of)
    of.all.add(stream)
    stream.watch({
      ended: () => {
        if (!stream.begun) of.ignored.add(stream)
      },
      begun: () => of.ignored.delete(stream),
      released: () => {
        of.ignored.delete(stream)
        of.all.delete(stream)
        if (of.all.size === 0 && this.#senders.get(sender) === of) this.#senders.delete(sender)
      },
    })
  }
}

/** The streams of each sender that are kept: open ones, and those not read to their end. */
import { DataStreamError } from '../base/errors'
import type { IncomingStream } from './incoming-stream'

interface OfSender {
  readonly all: Set<IncomingStream>
  /** Complete streams that no reader has started to read, oldest first. */
  readonly ignored: Set<IncomingStream>
}

/**
 * Limits the streams of each sender. A handler may ignore a stream. So at the limit, the oldest complete stream that no
 * reader has started to read is dropped. Streams that are open or being read stay.
 */
export class KeptStreams {
  readonly #limit: number
  readonly #senders = new Map<string, OfSender>()

  /** `limit`: streams of one sender. */
  constructor(limit: number) {
    this.#limit = limit
  }

  /** Whether the sender may have another stream. Drops an ignored one if that makes room. */
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

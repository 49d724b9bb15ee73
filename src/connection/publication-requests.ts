/**
 * The order of requests about publications.
 *
 * Signals and packets take different paths, so an unpublish request could overtake the last packets of its track, and
 * the server would drop them. The request therefore waits until the server has the packets. Later publish requests wait
 * behind it, because the server has to free a name or a handle before it can be used again.
 */
import type { RoomSignalRequest } from '../signal/messages'

/** See the top of this file. */
export class PublicationRequests {
  readonly #drained: () => Promise<void> | undefined
  readonly #send: (request: RoomSignalRequest) => void
  #waiting: RoomSignalRequest[] = []

  /** `drained`: settles when the server has the packets sent so far. `undefined` if it already has them. */
  constructor(drained: () => Promise<void> | undefined, send: (request: RoomSignalRequest) => void) {
    this.#drained = drained
    this.#send = send
  }

  /** Sends a request now, or when its turn comes. */
  push(request: RoomSignalRequest): void {
    if (this.#waiting.length > 0) {
      this.#waiting.push(request)
      return
    }
    const drained = request.case === 'unpublishDataTrackRequest' ? this.#drained() : undefined
    if (drained === undefined) {
      this.#send(request)
      return
    }
    this.#waiting.push(request)
    void this.#sendAfter(drained)
  }

  async #sendAfter(first: Promise<void>): Promise<void> {
    for (
      let drained: Promise<void> | undefined = first;
      this.#waiting.length > 0;
      drained = this.#drained()
    ) {
      const count = this.#waiting.length
      await drained
      for (const request of this.#waiting.slice(0, count)) this.#send(request)
      this.#waiting.splice(0, count)
    }
  }
}

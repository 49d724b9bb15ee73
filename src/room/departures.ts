/** The connections that a room has left. They still send what was accepted before, and then end. */
import { abortable } from '../base/abort'
import type { RoomConnection } from '../connection/contract'
import type { PacketSender } from '../data-packet/sender'
import type { Session } from '../session/session'

/** See the top of this file. */
export class Departures {
  #all: Promise<void> | undefined

  /** Resolves when all of them have ended. */
  get ended(): Promise<void> {
    return this.#all ?? Promise.resolve()
  }

  /** Waits until all of them have ended. Throws the signal's `reason`. */
  async wait(signal: AbortSignal): Promise<void> {
    if (this.#all !== undefined) await abortable(this.#all, signal)
  }

  /** Leaves a room. The connection sends what was accepted before, and tells the room nothing more. */
  leave(session: Session, connection: RoomConnection, packets: PacketSender): void {
    session.finish(() => packets.handleKeysChanged())
    const left = connection.leave({
      get isDrained() {
        return packets.isDrained
      },
      drained: () => packets.drained(),
      bufferedAmountLow: () => packets.handleBufferedAmountLow(),
      close: () => {
        packets.close()
        session.close(true)
      },
    })
    const all = Promise.all([this.#all, left]).then(() => {
      if (this.#all === all) this.#all = undefined
    })
    this.#all = all
  }
}

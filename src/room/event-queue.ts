/** Queues events: in the order of what they report, and each after its change is complete. */
import { reportUncaught } from '../base/abort'

/**
 * A room changes in several steps, with several events. Listeners may disconnect the room and connect it again. If they
 * were called between two steps, the rest of the change would be applied to another connection, and reported after
 * `disconnected`. So a change is completed first. Events that a listener causes come after the events that happened
 * before.
 */
export class EventQueue {
  readonly #waiting: (() => void)[] = []
  /** Whether a change is being made or listeners are being called. */
  #busy = false

  /** Makes a change, then emits its events. A change within another change emits its events with the outer one. */
  run<T>(change: () => T): T {
    if (this.#busy) return change()
    this.#busy = true
    try {
      return change()
    } finally {
      this.#drain()
      this.#busy = false
    }
  }

  /** Queues an event. A listener that throws must not stop the events after it. */
  add(tell: () => void): void {
    this.#waiting.push(tell)
    this.run(() => undefined)
  }

  #drain(): void {
    // Events that listeners cause are added while the loop runs.
    for (const tell of this.#waiting) {
      try {
        tell()
      } catch (error) {
        reportUncaught(error)
      }
    }
    this.#waiting.length = 0
  }
}

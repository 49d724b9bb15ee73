/** Events in the order of what they tell, and each after all of its change is made. */
import { reportUncaught } from '../base/abort'

/**
 * A room changes in several steps, and tells of each. Listeners may disconnect the room, and connect it again: were they
 * called between two steps, the rest of the change would be made to another connection, and told after `disconnected`. So
 * a change is made to its end first. What a listener causes is told after what happened before it.
 */
export class EventQueue {
  readonly #waiting: (() => void)[] = []
  /** A change is being made, or listeners are being called. */
  #busy = false

  /** Makes a change. Its events are told when it is done; within another change, when that one is. */
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

  /** Tells an event in its turn. A listener that throws must not keep the room from what comes after it. */
  add(tell: () => void): void {
    this.#waiting.push(tell)
    this.run(() => undefined)
  }

  #drain(): void {
    // What listeners cause is added while the loop runs.
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

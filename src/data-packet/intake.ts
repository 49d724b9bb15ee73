/** Takes the messages that come in portions: whoever sends many must not keep the event loop from everything else. */
import { reportUncaught } from '../base/abort'
import type { MessageChannel } from './channels'

/** A message as it came. */
export interface IncomingMessage {
  readonly channel: MessageChannel
  readonly data: Uint8Array
}

/** ms for which messages are handed out before timers, sockets and other connections have their turn. */
export const TURN = 5
/**
 * Messages after which what their handlers have put off is run, and the clock is looked at: what they do in promises is part
 * of the time that they take.
 */
const BATCH = 8

/** See the top of this file. */
export class MessageIntake {
  readonly #poll: () => IncomingMessage[]
  readonly #deliver: (message: IncomingMessage) => void
  #messages: readonly IncomingMessage[] = []
  #next = 0
  #running = false
  #closed = false

  /** `poll`: some of the messages there are; none: there will be another {@link wake}. */
  constructor(poll: () => IncomingMessage[], deliver: (message: IncomingMessage) => void) {
    this.#poll = poll
    this.#deliver = deliver
  }

  /** There are messages. The first of them are handed out at once. */
  wake(): void {
    if (this.#running || this.#closed) return
    this.#running = true
    this.#run(performance.now())
  }

  /** Nothing more is handed out. */
  close(): void {
    this.#closed = true
    this.#messages = []
  }

  #run(begun: number): void {
    for (let count = 0; count < BATCH; count++) {
      const message = this.#take()
      if (message === undefined) {
        this.#running = false
        return
      }
      try {
        this.#deliver(message)
      } catch (error) {
        reportUncaught(error)
      }
      if (performance.now() - begun >= TURN) {
        setImmediate(() => this.#run(performance.now()))
        return
      }
    }
    queueMicrotask(() => this.#run(begun))
  }

  #take(): IncomingMessage | undefined {
    if (this.#closed) return undefined
    if (this.#next >= this.#messages.length) {
      this.#messages = this.#poll()
      this.#next = 0
    }
    return this.#messages[this.#next++]
  }
}

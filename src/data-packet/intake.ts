/** Handles incoming messages in portions, so that a peer that sends many does not block the event loop. */
import { reportUncaught } from '../base/abort'
import type { MessageChannel } from './channels'

/** A received message. */
export interface IncomingMessage {
  readonly channel: MessageChannel
  readonly data: Uint8Array
}

/** ms to handle messages before timers, sockets and other connections get a turn. */
export const TURN = 5
/**
 * Messages after which microtasks run and the time is checked. So the time includes the work that handlers do in
 * promises.
 */
const BATCH = 8

/** Handles incoming messages in portions. */
export class MessageIntake {
  readonly #poll: () => IncomingMessage[]
  readonly #deliver: (message: IncomingMessage) => void
  #messages: readonly IncomingMessage[] = []
  #next = 0
  #running = false
  #closed = false

  /** `poll` returns some of the available messages. After it has returned none, the owner calls {@link wake} again. */
  constructor(poll: () => IncomingMessage[], deliver: (message: IncomingMessage) => void) {
    this.#poll = poll
    this.#deliver = deliver
  }

  /** There are messages. The first portion is handled at once. */
  wake(): void {
    if (this.#running || this.#closed) return
    this.#running = true
    this.#run(performance.now())
  }

  /** Handles no more messages. */
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

/**
 * The former room: after a room has left, it takes the room's place in the connection. It reacts only to the end of the
 * connection.
 */
import type { SignalResponseLike } from '../signal/messages'
import type { ConnectableRoom, LastWords } from './contract'
import { LINGER_TIMEOUT } from './linger-timeout'

/** See the top of this file. */
export class FormerRoom implements ConnectableRoom {
  readonly encryption = undefined
  readonly reconnectPolicy = undefined
  /** Resolves when the connection has ended. */
  readonly gone: Promise<void>
  readonly #words: LastWords
  readonly #close: () => void
  readonly #timer: NodeJS.Timeout
  #resolve = (): void => undefined
  #ended = false

  /**
   * `linger`: resolves when the SFU has all data, or can no longer get it. `close`: ends the connection. It is called
   * once: after the linger, on a timeout, or when the connection is lost.
   */
  constructor(words: LastWords, linger: () => Promise<void>, close: () => void) {
    this.#words = words
    this.#close = close
    this.gone = new Promise((resolve) => (this.#resolve = resolve))
    // The timer also keeps the process alive. With an unreferenced room, nothing else would.
    this.#timer = setTimeout(() => this.end(), LINGER_TIMEOUT)
    void this.#run(linger)
  }

  async #run(linger: () => Promise<void>): Promise<void> {
    await this.#words.drained()
    await linger()
    this.end()
  }

  /** Ends the connection at once. Idempotent. */
  end(): void {
    if (this.#ended) return
    this.#ended = true
    clearTimeout(this.#timer)
    this.#words.close()
    this.#close()
    this.#resolve()
  }

  receive({ message }: SignalResponseLike): void {
    if (message.case === 'leave') this.end()
  }

  connectionLost(): void {
    this.end()
  }

  bufferedAmountLow(): void {
    if (!this.#ended) this.#words.bufferedAmountLow()
  }

  joining(): [] {
    return []
  }

  attach(): void {
    // The room has left.
  }

  tokenRefreshed(): void {
    // The room has left.
  }

  signalConnected(): void {
    // The room has left.
  }

  connectionReconnecting(): void {
    // The room has left.
  }

  connectionResumed(): void {
    // The room has left.
  }

  connectionRebuilt(): void {
    // The room has left.
  }

  receiveMessage(): void {
    // The room has left.
  }

  tracksSent(): void {
    // The room has left.
  }
}

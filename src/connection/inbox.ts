/**
 * A server's messages, handed on in their order and for a few ms at a time: whatever it sends, the event loop turns in
 * between, and what waits is bounded, because nothing more is read meanwhile.
 */
import { signalParts } from '../signal/parts'
import type { SignalPart } from '../signal/parts'

/** ms of a turn of the event loop that messages may take; a part that is begun is handled to its end. */
export const TURN_MS = 8
/** Bytes of messages that wait, as they came: with more, the socket is not read. One message more may be under way. */
export const MAX_INBOX_BYTES = 1_048_576
/** What a message that waits takes beside its content, bytes. */
const MESSAGE_BYTES = 64

/** What an inbox serves. */
export interface InboxOwner {
  handle(part: SignalPart): void
  /** Whether the socket is to be read. */
  setFlowing(flowing: boolean): void
}

type Parts = ReturnType<typeof signalParts>

/** See the top of this file. It hands out nothing until {@link Inbox.open}. */
export class Inbox {
  readonly #owner: InboxOwner
  readonly #now: () => number
  #messages: Uint8Array[] = []
  #bytes = 0
  #parts: Parts | undefined
  #open = false
  #closed = false
  #flowing = true
  /** When the turn is over, for messages; `undefined`: none has come in this one. */
  #until: number | undefined
  #whenEmpty: (() => void) | undefined

  constructor(owner: InboxOwner, now = (): number => performance.now()) {
    this.#owner = owner
    this.#now = now
  }

  /** The first part of the first message; the others wait. `undefined`: it has none. */
  first(message: Uint8Array): SignalPart | undefined {
    const parts = signalParts(message)
    this.#parts = parts
    return nextPart(parts)
  }

  push(message: Uint8Array): void {
    if (this.#closed) return
    this.#messages.push(message)
    this.#bytes += message.length + MESSAGE_BYTES
    this.#run()
  }

  /** Hands out what waits, and from now on what comes. */
  open(): void {
    this.#open = true
    this.#run()
  }

  /** Calls `then` when all that came has been handed out: the socket has ended. */
  end(then: () => void): void {
    this.#whenEmpty = then
    this.#run()
  }

  /** Hands out nothing more. */
  close(): void {
    this.#closed = true
    this.#messages = []
    this.#parts = undefined
    this.#whenEmpty = undefined
  }

  #run(): void {
    if (this.#open && this.#until === undefined) {
      this.#until = this.#now() + TURN_MS
      setImmediate(() => {
        this.#until = undefined
        if (this.#pending) this.#run()
      })
    }
    while (this.#open && this.#pending && this.#now() < (this.#until ?? 0)) {
      const part = this.#next()
      if (part !== undefined) this.#owner.handle(part)
    }
    this.#regulate()
    if (this.#pending && this.#open) return
    const then = this.#whenEmpty
    this.#whenEmpty = undefined
    then?.()
  }

  get #pending(): boolean {
    return this.#parts !== undefined || this.#messages.length > 0
  }

  /** The next part; `undefined`: there may be more all the same. */
  #next(): SignalPart | undefined {
    if (this.#parts === undefined) {
      const message = this.#messages.shift()
      if (message === undefined) return undefined
      this.#bytes -= message.length + MESSAGE_BYTES
      this.#parts = signalParts(message)
    }
    try {
      const { value, done } = this.#parts.next()
      if (done === true) this.#parts = undefined
      return value ?? undefined
    } catch {
      // A message that cannot be decoded is left out; the next one may be fine.
      this.#parts = undefined
      return undefined
    }
  }

  #regulate(): void {
    const flowing = this.#bytes <= MAX_INBOX_BYTES
    if (flowing === this.#flowing || this.#closed) return
    this.#flowing = flowing
    this.#owner.setFlowing(flowing)
  }
}

function nextPart(parts: Parts): SignalPart | undefined {
  try {
    // Not by a loop, which would end what the others are to come from.
    for (let next = parts.next(); next.done !== true; next = parts.next()) {
      if (next.value !== undefined) return next.value
    }
  } catch {
    // None of LiveKit's.
  }
  return undefined
}

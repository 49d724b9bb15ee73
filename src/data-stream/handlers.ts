/** Who handles which topic: handlers of this package, which nobody takes away, and those of the program. */
import type { ByteStreamReader, TextStreamReader } from './readers'

/** Is called with each text stream of a topic. What it returns or throws does not disturb the room. */
export type TextStreamHandler = (
  reader: TextStreamReader,
  participantInfo: { readonly identity: string },
) => unknown

/** Is called with each byte stream of a topic. What it returns or throws does not disturb the room. */
export type ByteStreamHandler = (
  reader: ByteStreamReader,
  participantInfo: { readonly identity: string },
) => unknown

/** Handlers of one kind of streams by topic. */
export class HandlerTable<Handler> {
  readonly #internal = new Map<string, Set<Handler>>()
  readonly #registered = new Map<string, Set<Handler>>()

  /** A handler of this package's own. Returns what takes it away. */
  addInternal(topic: string, handler: Handler): () => void {
    return add(this.#internal, topic, handler)
  }

  /** A handler of the program. Returns what takes it away. */
  register(topic: string, handler: Handler): () => void {
    return add(this.#registered, topic, handler)
  }

  /** Takes a handler of the program away; all of the topic, if none is named. */
  unregister(topic: string, handler: Handler | undefined): void {
    if (handler === undefined) this.#registered.delete(topic)
    else remove(this.#registered, topic, handler)
  }

  /** Who is to get a stream; those of this package first. */
  of(topic: string): Handler[] {
    return [...(this.#internal.get(topic) ?? []), ...(this.#registered.get(topic) ?? [])]
  }
}

function add<Handler>(table: Map<string, Set<Handler>>, topic: string, handler: Handler): () => void {
  const handlers = table.get(topic) ?? new Set()
  table.set(topic, handlers)
  handlers.add(handler)
  return () => remove(table, topic, handler)
}

function remove<Handler>(table: Map<string, Set<Handler>>, topic: string, handler: Handler): void {
  const handlers = table.get(topic)
  if (handlers?.delete(handler) === true && handlers.size === 0) table.delete(topic)
}

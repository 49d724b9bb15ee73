/** The handlers of each topic: this package's own, which the application cannot remove, and the application's. */
import type { ByteStreamReader, TextStreamReader } from './readers'

/**
 * Called with each text stream of a topic. Its result is ignored. The `DataStreamError` of a stream that failed is
 * logged; any other error that it throws becomes an uncaught exception.
 */
export type TextStreamHandler = (
  reader: TextStreamReader,
  participantInfo: { readonly identity: string },
) => unknown

/**
 * Called with each byte stream of a topic. Its result is ignored. The `DataStreamError` of a stream that failed is
 * logged; any other error that it throws becomes an uncaught exception.
 */
export type ByteStreamHandler = (
  reader: ByteStreamReader,
  participantInfo: { readonly identity: string },
) => unknown

interface InternalHandler<Handler> {
  readonly handler: Handler
  readonly wanted: () => boolean
}

/** Handlers by topic, for one kind of streams. */
export class HandlerTable<Handler> {
  readonly #internal = new Map<string, Set<InternalHandler<Handler>>>()
  readonly #registered = new Map<string, Set<Handler>>()

  /**
   * Adds an internal handler. Returns a function that removes it. `wanted`: whether it takes a stream at the moment; by
   * default it takes all.
   */
  addInternal(topic: string, handler: Handler, wanted: () => boolean = () => true): () => void {
    return add(this.#internal, topic, { handler, wanted })
  }

  /** Adds a handler of the application. Returns a function that removes it. */
  register(topic: string, handler: Handler): () => void {
    return add(this.#registered, topic, handler)
  }

  /** Removes a handler of the application; without `handler`, all of the topic. */
  unregister(topic: string, handler: Handler | undefined): void {
    if (handler === undefined) this.#registered.delete(topic)
    else remove(this.#registered, topic, handler)
  }

  /** The handlers that get a stream of the topic, internal ones first. */
  of(topic: string): Handler[] {
    const internal = [...(this.#internal.get(topic) ?? [])].filter(({ wanted }) => wanted())
    return [...internal.map(({ handler }) => handler), ...(this.#registered.get(topic) ?? [])]
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

/** Helps to find leaks. */
import { loadedEnvironment } from './environment'

/**
 * Kinds of native objects that can be open. `session`: the native half of a connected room, or of a manager.
 * `publication`: a local track. `connection`: a room's connection to a server.
 */
export type HandleKind = 'session' | 'stream' | 'publication' | 'loopback' | 'connection' | 'audioStream'

/** A native object that is open. */
export interface Handle {
  readonly kind: HandleKind | (string & {})
  /** Unique among the objects of its kind. */
  readonly id: number
  /** The stack of its creation if the environment variable `DATATRACK_DEBUG` is `handles`; else `undefined`. */
  readonly createdAt: string | undefined
}

/** All native objects that this thread has open. Empty when all are closed, and before the first is created. */
export function handles(): readonly Handle[] {
  const environment = loadedEnvironment()
  if (environment === undefined) return []
  return environment.binding
    .handles()
    .map(({ kind, id, createdAt }) => ({ kind, id, createdAt: createdAt ?? undefined }))
}

/** What helps to find leaks. */
import { loadedEnvironment } from './environment'

/** What can be alive: `connection` is a room's connection to a server. */
export type HandleKind = 'session' | 'stream' | 'publication' | 'loopback' | 'connection'

/** Something native that is alive. */
export interface Handle {
  readonly kind: HandleKind | (string & {})
  /** Unique among those of its kind. */
  readonly id: number
  /** Where it was created, when the environment variable `DATATRACK_DEBUG` is `handles`; else `undefined`. */
  readonly createdAt: string | undefined
}

/** All that this thread has open. Empty when everything was closed, and before anything was used. */
export function handles(): readonly Handle[] {
  const environment = loadedEnvironment()
  if (environment === undefined) return []
  return environment.binding
    .handles()
    .map(({ kind, id, createdAt }) => ({ kind, id, createdAt: createdAt ?? undefined }))
}

/** What helps to find leaks. */
import { loadedEnvironment } from './environment'

/** Something native that is alive. */
export interface Handle {
  readonly kind: 'session' | 'stream' | 'publication' | 'loopback' | (string & {})
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

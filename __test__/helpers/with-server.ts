/** One LiveKit server for all tests of a file. */
import { afterAll, beforeAll } from 'vitest'
import { LivekitServer } from './livekit-server'
import type { ServerOptions } from './livekit-server'

/**
 * A server that runs while the tests of the file run, or those of the `describe` that calls this function. Call it
 * before hooks that use the server: it then starts before them, and stops after theirs.
 */
export function withServer(options?: ServerOptions): LivekitServer {
  const server = new LivekitServer(options)
  beforeAll(() => server.start())
  afterAll(() => server.stop())
  return server
}

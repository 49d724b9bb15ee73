// The real LiveKit server that tests run against. It is built once, from the Go modules of __test__/livekit-server.
import { existsSync, statSync } from 'node:fs'
import { fromRoot, run, say, seconds } from './steps.mjs'

const folder = fromRoot('__test__/livekit-server')
const built = fromRoot('__test__/livekit-server/bin/livekit-server')

/** Builds the server unless it is built, and returns its path. `LIVEKIT_SERVER_BIN` names an existing one. */
export async function buildLivekitServer() {
  const given = process.env.LIVEKIT_SERVER_BIN
  if (given !== undefined) return given
  const modules = fromRoot('__test__/livekit-server/go.mod')
  if (existsSync(built) && statSync(built).mtimeMs >= statSync(modules).mtimeMs) return built
  say('Building livekit-server with go build: some minutes, once …')
  const start = performance.now()
  await run('go', ['build', '-o', built, 'github.com/livekit/livekit-server/cmd/server'], { cwd: folder })
  say(`Built the server in ${seconds(start)}.`)
  return built
}

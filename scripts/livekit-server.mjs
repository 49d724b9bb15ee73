// Builds the LiveKit server for the tests, unless it is built already. --newest: the newest one that can be built.
import { parseArgs } from 'node:util'
import { buildLivekitServer, buildNewestServer } from './lib/livekit-server.mjs'
import { main, say } from './lib/steps.mjs'

await main(async () => {
  const { values } = parseArgs({ options: { newest: { type: 'boolean', default: false } } })
  say(await (values.newest ? buildNewestServer() : buildLivekitServer()))
})

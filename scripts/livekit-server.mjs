// Builds the LiveKit server for the tests, unless it is built already.
import { buildLivekitServer } from './lib/livekit-server.mjs'
import { main, say } from './lib/steps.mjs'

await main(async () => say(await buildLivekitServer()))

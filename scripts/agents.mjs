// Installs LiveKit's agents framework for the tests, unless it is installed already.
import { installAgents } from './lib/agents.mjs'
import { main } from './lib/steps.mjs'

await main(installAgents)

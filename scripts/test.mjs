// `npm test`: installs, builds what is out of date, and runs all tests. Node built-ins only until npm has run.
// DATATRACK_PROFILE=release tests the addon of `npm run build`.
import { spawnSync } from 'node:child_process'
import { buildAddon, buildTypeScript, ensureInstalled } from './lib/build.mjs'
import { lacksNetworks } from './lib/link.mjs'
import { buildLivekitServer } from './lib/livekit-server.mjs'
import { hostName } from './lib/platform.mjs'
import { main } from './lib/steps.mjs'
import { Suite } from './lib/suite.mjs'

await main(async () => {
  const suite = new Suite()
  const built = await suite.prepare('Build', async () => {
    await ensureInstalled()
    await buildAddon({ profile: process.env.DATATRACK_PROFILE })
    await buildTypeScript()
  })
  if (built) await runAll(suite)
  suite.finish()
})

async function runAll(suite) {
  // First, because the driver's own tests run against it, too.
  const hasServer = process.env.LIVEKIT_SERVER_BIN !== undefined || starts('go', 'version')
  if (hasServer) {
    await suite.prepare('LiveKit server', async () => {
      process.env.LIVEKIT_SERVER_BIN = await buildLivekitServer()
    })
  }
  await suite.cargo('Rust: core, driver and binding', ['--workspace'])
  await suite.vitest('TypeScript: unit', 'vitest.config.mts')
  const server = 'End to end, through a LiveKit server'
  if (hasServer) await suite.vitest(server, 'vitest.e2e.config.mts')
  else suite.skip(server, 'Go, which builds the server')
  const network = 'Through a bad network, to that server'
  const lacking = hasServer ? lacksNetworks() : 'Go, which builds the server'
  if (lacking === undefined) await suite.vitest(network, 'vitest.network.config.mts')
  else suite.skip(network, lacking)
  const python = "With LiveKit's Python SDK, through that server"
  if (hasServer && starts('python3', '-m', 'venv', '--help')) {
    await suite.vitest(python, 'vitest.interop.config.mts')
  } else suite.skip(python, 'Go, or Python with venv')
  await suite.vitest('The packed package, installed', 'vitest.package.config.mts')
  const runtimes = 'The packed package in Node 20 to 26, Bun and Deno'
  if (hostName() === 'linux-x64-gnu') await suite.vitest(runtimes, 'vitest.runtimes.config.mts')
  else suite.skip(runtimes, 'a linux-x64-gnu system, for which npm has them all')
}

/** Whether the machine has that program. */
function starts(command, ...args) {
  return spawnSync(command, args).status === 0
}

// `npm run interop:full`: every SDK that this machine has, with ours, in both directions. It prints one table of lost
// data, and one table of the calls, data streams and data packets that get through.
import { buildAddon, buildTypeScript, ensureInstalled } from './lib/build.mjs'
import { buildLivekitServer } from './lib/livekit-server.mjs'
import { hasChromium, hasPython, hasRtcNode, hasServer } from './lib/machine.mjs'
import { fromRoot, main, say, spawnStep, StepError } from './lib/steps.mjs'

await main(async () => {
  if (!hasServer()) throw new StepError('this machine lacks Go, which builds the server')
  await ensureInstalled()
  await buildAddon({ profile: process.env.DATATRACK_PROFILE })
  await buildTypeScript()
  process.env.LIVEKIT_SERVER_BIN = await buildLivekitServer()
  const peers = ['ours']
  for (const [name, has, lacking] of [
    ['chromium', hasChromium(), 'Chromium (CHROMIUM_BIN)'],
    ['python', hasPython(), 'Python with venv'],
    ['rtc-node', hasRtcNode(), 'what @livekit/rtc-node is built for'],
  ]) {
    if (has) peers.push(name)
    else if (process.env.CI === 'true')
      throw new StepError(`this machine lacks ${lacking}, and CI skips nothing`)
    else say(`skipped: ${name} (this machine lacks ${lacking})`)
  }
  process.env.INTEROP_PEERS = peers.join(',')
  const config = '--config=__test__/interop/vitest.full.config.mts'
  const { code } = await spawnStep(process.execPath, [
    fromRoot('node_modules/vitest/vitest.mjs'),
    'run',
    config,
  ])
  process.exitCode = code
})

// `npm test`: installs, builds what is out of date, and runs all tests. Only Node built-ins are used until npm has run.
// DATATRACK_PROFILE=release tests the addon of `npm run build`.
import { readdirSync } from 'node:fs'
import { buildAddon, buildTypeScript, ensureInstalled } from './lib/build.mjs'
import { lacksNetworks } from './lib/build-bad-network.mjs'
import { buildLivekitServer } from './lib/livekit-server.mjs'
import { hasChromium, hasCoturn, hasPython, hasRedis, hasRtcNode, hasServer } from './lib/machine.mjs'
import { hostName } from './lib/platform.mjs'
import { fromRoot, main } from './lib/steps.mjs'
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

/**
 * Of the driver's package only the tests that use SCTP. The whole workspace is named, because with one package alone
 * Cargo would choose other features for half of all crates, and build them again.
 */
function driverOverStockSctp() {
  const tests = readdirSync(fromRoot('crates/transport/tests')).filter((name) => name.endsWith('.rs'))
  const selected = tests.map((name) => `--test=${name.slice(0, -3)}`)
  return ['--workspace', '--features=datatrack-transport/sctp-stock', ...selected]
}

async function runAll(suite) {
  // The server comes first, because the driver's own tests run against it, too.
  const lacksServer = hasServer() ? undefined : 'Go, which builds the server'
  if (lacksServer === undefined) {
    await suite.prepare('LiveKit server', async () => {
      process.env.LIVEKIT_SERVER_BIN = await buildLivekitServer()
    })
  }
  await suite.cargo('Rust: core, driver and binding', ['--workspace'])
  await suite.cargo("Rust: SCTP, beside str0m's own", ['--manifest-path=__test__/sctp/Cargo.toml'])
  await suite.cargo("Rust: driver, over str0m's own SCTP", driverOverStockSctp())
  await suite.vitest('TypeScript: unit', '__test__/unit/vitest.config.mts')
  await suite.vitest('Whole programs', '__test__/process/vitest.config.mts')
  const server = 'End to end, through a LiveKit server'
  const e2e = '__test__/e2e/vitest.config.mts'
  if (lacksServer === undefined) await suite.vitest(server, e2e, '--project=e2e', '--project=alone')
  else suite.skip(server, lacksServer)
  const network = 'Through a bad network, to that server'
  const networks = lacksServer ?? lacksNetworks()
  if (networks === undefined) await suite.vitest(network, '__test__/network/vitest.config.mts')
  else suite.skip(network, networks)
  const interop = (...names) => [
    '__test__/interop/vitest.config.mts',
    ...names.map((name) => `__test__/interop/${name}.test.ts`),
  ]
  const python = interop('python', 'reliable-python')
  for (const [title, has, what, ...tests] of [
    ['Through two servers that share a Redis', hasRedis, 'redis-server', e2e, '--project=cluster'],
    ['Through relays', hasCoturn, 'turnserver (coturn)', e2e, '--project=turn'],
    ["With LiveKit's Python SDK, through that server", hasPython, 'Python with venv', ...python],
    [
      'With livekit-client in Chromium, through that server',
      hasChromium,
      'Chromium (CHROMIUM_BIN)',
      ...interop('chromium', 'reliable-chromium'),
    ],
    [
      'With @livekit/rtc-node, through that server',
      hasRtcNode,
      'what @livekit/rtc-node is built for',
      ...interop('reliable-rtc-node', 'rtc-node'),
    ],
    [
      'Audio of @livekit/rtc-node, Python and Chromium, through that server',
      () => hasRtcNode() && hasPython() && hasChromium(),
      'Python with venv, Chromium (CHROMIUM_BIN), and what @livekit/rtc-node is built for',
      ...interop('audio', 'speaking'),
    ],
    [
      "A voice agent of LiveKit's agents framework, through that server",
      () => hasRtcNode() && hasPython() && hasChromium(),
      'Python with venv, Chromium (CHROMIUM_BIN), and what @livekit/rtc-node is built for',
      ...interop('voice-agent'),
    ],
    [
      'With both of them: agents, chat, and who can be sent to',
      () => hasRtcNode() && hasChromium(),
      'Chromium (CHROMIUM_BIN), and what @livekit/rtc-node is built for',
      ...interop('agents', 'participant-active'),
    ],
  ]) {
    const lacking = lacksServer ?? (has() ? undefined : what)
    if (lacking === undefined) await suite.vitest(title, ...tests)
    else suite.skip(title, lacking)
  }
  await suite.vitest('The packed package, installed', '__test__/package/vitest.config.mts')
  const runtimes = 'The packed package in Node 20 to 26, Bun and Deno'
  if (hostName() === 'linux-x64-gnu')
    await suite.vitest(runtimes, '__test__/package/vitest.runtimes.config.mts')
  else suite.skip(runtimes, 'a linux-x64-gnu system, for which npm has them all')
  const bundlers = 'The packed package in bundlers and package managers, its types, the getting-started page'
  const lacksBundlers = hostName() === 'linux-x64-gnu' ? lacksServer : 'a linux-x64-gnu system'
  if (lacksBundlers === undefined) await suite.vitest(bundlers, '__test__/package/vitest.bundlers.config.mts')
  else suite.skip(bundlers, lacksBundlers)
  const electron = 'In place of Electron: a Node that refuses external buffers'
  if (lacksBundlers === undefined) await suite.vitest(electron, '__test__/package/vitest.electron.config.mts')
  else suite.skip(electron, lacksBundlers)
}

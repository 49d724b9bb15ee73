// `npm run platforms`: builds the addon for other platforms, and runs the package on them: on the Node and Bun that npm
// and PyPI have for them, and an emulator. It prints a table of what was built and run. It needs Debian on x64, root,
// and many minutes.
// --only=linux-arm64-gnu,…: some of the platforms. --release: as releases are built. --no-build: runs what was built
// before.
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { LivekitServer } from '../benches/e2e/server.mjs'
import { buildAddon, buildTypeScript, DEV_PROFILE, ensureInstalled } from './lib/build.mjs'
import { cache } from './lib/platforms/cache.mjs'
import { Debian } from './lib/platforms/debian.mjs'
import { platforms } from './lib/platforms/platforms.mjs'
import { crossEnvironment, SUITE } from './lib/platforms/toolchain.mjs'
import { attempt, install, trials, versionOf } from './lib/platforms/trials.mjs'
import { heading, main, say, StepError } from './lib/steps.mjs'

await main(async () => {
  const { values } = parseArgs({
    options: {
      only: { type: 'string' },
      release: { type: 'boolean', default: false },
      'no-build': { type: 'boolean', default: false },
    },
  })
  const profile = values.release ? 'release' : DEV_PROFILE
  const only = values.only?.split(',')
  const chosen = platforms.filter(({ target }) => only?.includes(target.name) ?? true)
  if (chosen.length === 0)
    throw new StepError(`there are ${platforms.map((one) => one.target.name).join(', ')}`)
  await ensureInstalled()
  if (!values['no-build']) await buildTypeScript()
  const compilers = values['no-build'] ? undefined : await Debian.of(SUITE)
  const server = await LivekitServer.start()
  const rows = []
  try {
    const env = {
      LIVEKIT_URL: server.url,
      LIVEKIT_TOKEN: await server.token('platforms', 'publisher'),
      LIVEKIT_SUBSCRIBER_TOKEN: await server.token('platforms', 'subscriber'),
    }
    for (const platform of chosen) {
      const { name } = platform.target
      heading(name)
      const addon = cache(`datatrack.${name}.node`)
      try {
        if (compilers !== undefined) await build(platform, addon, compilers, profile)
        rows.push(...(await tryPlatform(platform, addon, env)))
      } catch (error) {
        // The other platforms take long, and may be well.
        if (!(error instanceof StepError)) throw error
        say(error.message)
        rows.push({ platform: name, failed: true, built: 'failed' })
      }
    }
  } finally {
    await server.stop()
  }
  print(rows)
  if (rows.some(({ failed }) => failed)) process.exitCode = 1
})

/** Runs everything on a platform. Returns a row of the table for each runtime. */
async function tryPlatform({ target, package: name = target.name, check, runtimes }, addon, server) {
  await check?.(addon)
  const size = `${(readFileSync(addon).length / 1e6).toFixed(1)} MB`
  const needs = oldestGlibc(addon)
  const built = needs === undefined ? size : `${size}, glibc ≥ ${needs}`
  const folder = install(target.name, name, addon)
  const rows = []
  for (const { name: program, on, command } of await runtimes()) {
    const runtime = `${program} ${await versionOf(command, folder)}, ${on}`
    const result = { platform: target.name, built, runtime, failed: false }
    for (const [name, programs] of Object.entries(trials(server))) {
      const { passed, failures } = await attempt(programs, command, folder)
      result[name] = `${passed}/${programs.length}`
      result.failed ||= failures.length > 0
      say(`${runtime}: ${name} ${result[name]}`)
      failures.forEach((failure) => say(failure))
    }
    rows.push(result)
  }
  return rows.length > 0 ? rows : [{ platform: target.name, built, runtime: 'none: linked, not run' }]
}

async function build({ target, std, env }, path, compilers, profile) {
  const cross = await crossEnvironment(compilers, { std })
  await buildAddon({ profile, target, zig: true, path, env: { ...cross, ...(await env()) } })
}

/** The version of glibc that an addon needs. `undefined`: it is for another C library. */
function oldestGlibc(addon) {
  const minor = [...readFileSync(addon, 'latin1').matchAll(/GLIBC_2\.(\d+)/g)].map(([, each]) => Number(each))
  return minor.length === 0 ? undefined : `2.${Math.max(...minor)}`
}

function print(rows) {
  const columns = ['platform', 'built', 'runtime', ...Object.keys(trials({}))]
  const cells = [columns, ...rows.map((row) => columns.map((column) => row[column] ?? '–'))]
  const widths = columns.map((_, index) => Math.max(...cells.map((line) => line[index].length)))
  heading('Platforms')
  for (const line of cells)
    say(
      line
        .map((cell, index) => cell.padEnd(widths[index]))
        .join('  ')
        .trimEnd(),
    )
}

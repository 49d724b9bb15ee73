// `npm run platforms`: builds the addon for each platform of package.json, and runs the package on them: on the Node and
// Bun that npm and PyPI have for them, and an emulator. It prints a table of what was built and run. It needs Debian on
// x64, root, and an hour or more.
// --only=linux-arm64-gnu,…: some of the platforms. --release: as releases are built. --no-build: runs what was built
// before.
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { LivekitServer } from '../benches/e2e/server.mjs'
import { buildAddon, buildTypeScript, DEV_PROFILE, ensureInstalled } from './lib/build.mjs'
import { cache } from './lib/platforms/cache.mjs'
import { Debian } from './lib/platforms/debian.mjs'
import { platforms } from './lib/platforms/platforms.mjs'
import { startSpeaker } from './lib/platforms/speaker.mjs'
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
  const failed = values['no-build'] ? [] : await buildAll(chosen, profile)
  const rows = await tryAll(chosen, failed)
  print(rows)
  if (rows.some(({ failed }) => failed)) process.exitCode = 1
})

/** Builds the TypeScript, and each platform's addon. Returns the platforms that failed. */
async function buildAll(chosen, profile) {
  await buildTypeScript()
  const compilers = await Debian.of(SUITE)
  const failed = []
  for (const platform of chosen.filter(({ elsewhere }) => elsewhere === undefined)) {
    heading(`${platform.target.name}: build`)
    const built = await unlessItFails(() => build(platform, compilers, profile))
    if (built === undefined) failed.push(platform)
  }
  return failed
}

/** Runs what was built. Returns the rows of the table. */
async function tryAll(chosen, failed) {
  const server = await LivekitServer.start()
  const endSpeaker = await startSpeaker(server.url, await server.token('audio', 'speaker'))
  const rows = []
  try {
    const env = {
      LIVEKIT_URL: server.url,
      LIVEKIT_TOKEN: await server.token('platforms', 'publisher'),
      LIVEKIT_SUBSCRIBER_TOKEN: await server.token('platforms', 'subscriber'),
      LIVEKIT_LISTENER_TOKEN: await server.token('audio', 'listener'),
    }
    for (const platform of chosen) {
      const { name } = platform.target
      heading(name)
      const tried = failed.includes(platform)
        ? [{ built: 'failed', failed: true }]
        : await unlessItFails(() => tryPlatform(platform, env))
      for (const row of tried ?? [{ runtime: 'failed', failed: true }]) rows.push({ platform: name, ...row })
    }
  } finally {
    await endSpeaker()
    await server.stop()
  }
  return rows
}

/** Resolves with `undefined` if `body` fails. The other platforms take long, and may be well. */
async function unlessItFails(body) {
  try {
    return await body()
  } catch (error) {
    if (!(error instanceof StepError)) throw error
    say(error.message)
    return undefined
  }
}

function addonOf({ target }) {
  return cache(`datatrack.${target.name}.node`)
}

/** Runs everything on a platform. Returns a row of the table for each runtime. */
async function tryPlatform(platform, server) {
  const { target, package: name, check, runtimes } = platform
  if (platform.elsewhere !== undefined)
    return [{ built: `by ${platform.elsewhere}`, runtime: 'none: not built here' }]
  const addon = addonOf(platform)
  await check?.(addon)
  const size = `${(readFileSync(addon).length / 1e6).toFixed(1)} MB`
  const needs = oldestGlibc(addon)
  const built = needs === undefined ? size : `${size}, glibc ≥ ${needs}`
  const folder = install(target.name, name, addon)
  const rows = []
  for (const { name: program, on, command } of await runtimes()) {
    const runtime = `${program} ${await versionOf(command, folder)}, ${on}`
    const result = { built, runtime, failed: false }
    for (const [name, programs] of Object.entries(trials(server))) {
      const { passed, failures } = await attempt(programs, command, folder)
      result[name] = `${passed}/${programs.length}`
      result.failed ||= failures.length > 0
      say(`${runtime}: ${name} ${result[name]}`)
      failures.forEach((failure) => say(failure))
    }
    rows.push(result)
  }
  return rows.length > 0 ? rows : [{ built, runtime: 'none: linked, not run' }]
}

/** Returns the addon's path. */
async function build(platform, compilers, profile) {
  const { target, own, std, env } = platform
  if (own) return buildAddon({ profile, path: addonOf(platform) })
  const cross = await crossEnvironment(compilers, { std })
  return buildAddon({
    profile,
    target,
    zig: true,
    path: addonOf(platform),
    env: { ...cross, ...(await env()) },
  })
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

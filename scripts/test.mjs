// `npm test`: installs, builds what is out of date, and runs all tests. Node built-ins only until npm has run.
// DATATRACK_PROFILE=release tests the addon of `npm run build`.
import { buildAddon, buildTypeScript, ensureInstalled } from './lib/build.mjs'
import { hostName } from './lib/platform.mjs'
import { heading, main } from './lib/steps.mjs'
import { Suite } from './lib/suite.mjs'

await main(async () => {
  const suite = new Suite()
  heading('Build')
  await ensureInstalled()
  await buildAddon({ profile: process.env.DATATRACK_PROFILE })
  await buildTypeScript()

  await suite.cargo('Rust: core, driver and binding', ['--workspace'])
  await suite.vitest('TypeScript: unit', 'vitest.config.mts')
  await suite.vitest('The packed package, installed', 'vitest.package.config.mts')
  if (hostName() === 'linux-x64-gnu') {
    await suite.vitest('The packed package in Node 20 to 26, Bun and Deno', 'vitest.runtimes.config.mts')
  } else {
    suite.skip(
      'The packed package in Node 20 to 26, Bun and Deno',
      'a linux-x64-gnu system, for which npm has them all',
    )
  }
  suite.finish()
})

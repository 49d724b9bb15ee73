// `npm start`: installs, builds and runs the demo, from a fresh clone on. Node built-ins only until npm has run.
// Arguments go to the demo: `npm start -- --forever`.
import { buildAddon, buildTypeScript, ensureInstalled } from './lib/build.mjs'
import { fromRoot, main, say, spawnStep } from './lib/steps.mjs'

await main(async () => {
  await ensureInstalled()
  await buildAddon()
  await buildTypeScript()
  say('Running `datatrack demo` …')
  const { code } = await spawnStep(process.execPath, [
    fromRoot('dist/src/cli/main.js'),
    'demo',
    ...process.argv.slice(2),
  ])
  process.exitCode = code
})

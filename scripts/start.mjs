// `npm start`: installs, builds and runs the demo, starting from a fresh clone. Only Node built-ins are used until npm
// has run. Arguments go to the demo: `npm start -- --forever`.
import { buildAddon, buildTypeScript, ensureInstalled } from './lib/build.mjs'
import { fromRoot, main, say, spawnStep } from './lib/steps.mjs'

await main(async () => {
  await ensureInstalled()
  await buildAddon()
  await buildTypeScript()
  say('Running `datatrack demo` …')
  // Ctrl-C reaches the demo, too. The demo ends by itself, and its exit code becomes ours.
  process.on('SIGINT', () => {})
  const { code } = await spawnStep(process.execPath, [
    fromRoot('dist/main.js'),
    'demo',
    ...process.argv.slice(2),
  ])
  process.exitCode = code
})

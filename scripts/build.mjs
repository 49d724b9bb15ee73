// `npm run build`: the release build. Without --release the faster one of `npm start` and `npm test`.
// --only=addon, --only=ts: one half.
import { parseArgs } from 'node:util'
import { buildAddon, buildTypeScript, DEV_PROFILE, ensureInstalled } from './lib/build.mjs'
import { main } from './lib/steps.mjs'

await main(async () => {
  const { values } = parseArgs({
    options: { release: { type: 'boolean', default: false }, only: { type: 'string' } },
  })
  await ensureInstalled()
  if (values.only !== 'ts') await buildAddon({ profile: values.release ? 'release' : DEV_PROFILE })
  if (values.only !== 'addon') await buildTypeScript({ clean: values.release })
})

// `npm run build`: the release build. Without --release: the faster build of `npm start` and `npm test`. --only=addon,
// --only=ts: only one half. --target=<Rust triple>: for another platform; --zig: with cargo-zigbuild.
import { parseArgs } from 'node:util'
import { buildAddon, buildTypeScript, DEV_PROFILE, ensureInstalled } from './lib/build.mjs'
import { targets } from './lib/platform.mjs'
import { main, StepError } from './lib/steps.mjs'

await main(async () => {
  const { values } = parseArgs({
    options: {
      release: { type: 'boolean', default: false },
      only: { type: 'string' },
      target: { type: 'string' },
      zig: { type: 'boolean', default: false },
    },
  })
  const target = targets().find(({ triple }) => triple === values.target)
  if (values.target !== undefined && target === undefined) {
    throw new StepError(`${values.target} is none of the targets in package.json`)
  }
  await ensureInstalled()
  const profile = values.release ? 'release' : DEV_PROFILE
  if (values.only !== 'ts') await buildAddon({ profile, target, zig: values.zig })
  if (values.only !== 'addon') await buildTypeScript({ release: values.release })
})

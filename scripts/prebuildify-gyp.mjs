#!/usr/bin/env node
// Takes node-gyp's place for prebuildify. node-gyp would download Node's headers and compile with them. We need
// neither, since cargo builds the addon against Node-API. So this puts that build where prebuildify looks:
// build/Release.
import { copyFileSync, existsSync, mkdirSync, rmSync } from 'node:fs'
import { addonPath, buildAddon } from './lib/build.mjs'
import { hostName, targets } from './lib/platform.mjs'
import { fromRoot, main, StepError } from './lib/steps.mjs'

await main(async () => {
  // prebuildify passes its wishes in environment variables.
  const { PREBUILD_PLATFORM: platform, PREBUILD_ARCH: arch, PREBUILD_LIBC: libc } = process.env
  const abi = libc === 'musl' ? 'musl' : 'gnu'
  const target = targets().find(
    (one) => one.platform === platform && one.arch === arch && (platform !== 'linux' || one.abi === abi),
  )
  if (target === undefined) throw new StepError(`no target for ${platform} ${arch} ${libc}`)
  const { name } = target
  // A release collects all binaries in npm/. A developer has only this machine's.
  let addon = [fromRoot('npm', name, `datatrack.${name}.node`), addonPath(name)].find(existsSync)
  if (addon === undefined && name === hostName()) addon = await buildAddon({ profile: 'release' })
  if (addon === undefined) throw new StepError(`there is no addon for ${name}: it can be built in CI only`)
  const output = fromRoot('build/Release')
  rmSync(output, { recursive: true, force: true })
  mkdirSync(output, { recursive: true })
  copyFileSync(addon, fromRoot('build/Release/datatrack.node'))
})

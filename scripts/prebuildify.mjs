// `npm run prebuildify`: makes prebuilds/<platform>-<arch>/, a layout that Electron packagers include as it is. It
// takes this machine's binary, or with --all that of each target (a release has them all in npm/). --out: the
// destination.
import { createRequire } from 'node:module'
import { parseArgs, promisify } from 'node:util'
import { hostName, targets } from './lib/platform.mjs'
import { fromRoot, main, root, say } from './lib/steps.mjs'

await main(async () => {
  const { values } = parseArgs({
    options: { all: { type: 'boolean', default: false }, out: { type: 'string', default: root } },
  })
  const prebuildify = promisify(createRequire(import.meta.url)('prebuildify'))
  const script = fromRoot('scripts/prebuildify-gyp.mjs')
  for (const { platform, arch, abi, name } of targets().filter(
    (one) => values.all || one.name === hostName(),
  )) {
    await prebuildify({
      cwd: root,
      out: values.out,
      name: 'datatrack',
      platform,
      arch,
      libc: abi === 'musl' ? 'musl' : 'glibc',
      // glibc and musl share a folder, so the file name tells them apart.
      tagLibc: platform === 'linux',
      napi: true,
      targets: ['20.4.0'],
      // On Windows it is run by a shell, which ignores a script's first line.
      nodeGyp: process.platform === 'win32' ? `node "${script}"` : script,
    })
    say(`prebuilds/${platform}-${arch}/ has the binary of ${name}.`)
  }
})

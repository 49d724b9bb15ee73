// `npm run pack:release`: makes the tarballs that are published, in release/ (or --out=<folder>): node-datatrack, a
// package for each platform, and @node-datatrack/rtc-node. If --prebuilds=<folder> names the folder that has prebuilds/,
// it also makes a node-datatrack that contains all binaries (release/self-contained/). All targets' binaries must be in
// npm/ (`napi artifacts` puts them there). --host packs only this machine's build.
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { addonPath } from './lib/build.mjs'
import { aliasFiles, aliasManifest } from './lib/alias.mjs'
import { crates, notices, npmPackages } from './lib/notices.mjs'
import { hostName, targets } from './lib/platform.mjs'
import { fromRoot, main, run, say, StepError } from './lib/steps.mjs'

const stage = fromRoot('.cache/pack')
/** The texts that other authors' licences require. */
const NOTICES = 'THIRD-PARTY-NOTICES.txt'

await main(async () => {
  const { values } = parseArgs({
    options: {
      host: { type: 'boolean', default: false },
      out: { type: 'string', default: fromRoot('release') },
      prebuilds: { type: 'string' },
    },
  })
  const out = resolve(values.out)
  const chosen = targets().filter(({ name }) => !values.host || name === hostName())
  rmSync(stage, { recursive: true, force: true })
  rmSync(out, { recursive: true, force: true })
  mkdirSync(stage, { recursive: true })
  mkdirSync(out, { recursive: true })

  const manifest = JSON.parse(readFileSync(fromRoot('package.json'), 'utf8'))
  delete manifest.scripts
  delete manifest.devDependencies
  manifest.napi.targets = chosen.map(({ triple }) => triple)
  // npm's provenance compares it with the repository in which the workflow ran.
  const { GITHUB_REPOSITORY: repository } = process.env
  if (repository) manifest.repository = { type: 'git', url: `git+https://github.com/${repository}.git` }
  writeManifest(stage, manifest)
  // Source maps name files that the package does not have.
  cpSync(fromRoot('dist'), join(stage, 'dist'), { recursive: true, filter: (file) => !file.endsWith('.map') })
  for (const file of ['README.md', 'LICENSE', 'CHANGELOG.md'].filter((file) => existsSync(fromRoot(file)))) {
    copyFileSync(fromRoot(file), join(stage, file))
  }

  // Tools that do not know the field `exports` find the entry by its folder.
  mkdirSync(join(stage, 'rtc-node'))
  writeManifest(join(stage, 'rtc-node'), { main: '../dist/rtc-node.js', types: '../dist/rtc-node.d.ts' })

  const asked = npmPackages()
  if (values.prebuilds !== undefined) {
    // The package contains the binaries, so it contains their crates, too.
    const all = new Map(chosen.flatMap(({ triple }) => crates(triple)).map((crate) => [crate.folder, crate]))
    writeNotices(stage, [...asked, ...all.values()])
    cpSync(resolve(values.prebuilds, 'prebuilds'), join(stage, 'prebuilds'), { recursive: true })
    await pack(stage, join(out, 'self-contained'))
    rmSync(join(stage, 'prebuilds'), { recursive: true })
  }
  writeNotices(stage, asked)

  for (const target of chosen) stagePlatform(target, values.host, manifest.repository)
  // Checks each binary against its package and names the packages as optional dependencies.
  const napi = fromRoot('node_modules/@napi-rs/cli/dist/cli.js')
  await run(
    process.execPath,
    [napi, 'prepublish', '-t', 'npm', '--skip-optional-publish', '--no-gh-release'],
    {
      cwd: stage,
    },
  )
  for (const { name } of chosen) await pack(join(stage, 'npm', name), out)
  await pack(stage, out)
  await pack(stageAlias(manifest), out)
  say(`Packed ${chosen.length} of ${targets().length} platforms to ${out}.`)
})

function writeNotices(folder, parts) {
  const title = 'What this package contains, and the licences of it.'
  writeFileSync(join(folder, NOTICES), notices(title, parts))
}

function writeManifest(folder, manifest) {
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`)
}

/** The package of one platform: what `napi create-npm-dirs` wrote, and the binary. */
function stagePlatform({ name, triple }, host, repository) {
  const file = `datatrack.${name}.node`
  const binary = host ? addonPath(name) : fromRoot('npm', name, file)
  if (!existsSync(binary))
    throw new StepError(`${binary} is missing: ${host ? 'npm run build' : 'napi artifacts'} first`)
  const folder = join(stage, 'npm', name)
  cpSync(fromRoot('npm', name), folder, { recursive: true })
  copyFileSync(binary, join(folder, file))
  const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  writeManifest(folder, {
    ...manifest,
    files: [...manifest.files, NOTICES],
    ...(repository && { repository }),
  })
  writeNotices(folder, crates(triple))
  if (existsSync(fromRoot('LICENSE'))) copyFileSync(fromRoot('LICENSE'), join(folder, 'LICENSE'))
}

/** `@node-datatrack/rtc-node`, which takes the place of `@livekit/rtc-node`. Returns its folder. */
function stageAlias(manifest) {
  const folder = join(stage, 'alias')
  mkdirSync(folder)
  writeManifest(folder, aliasManifest(manifest))
  for (const [file, text] of Object.entries(aliasFiles)) writeFileSync(join(folder, file), text)
  if (existsSync(fromRoot('LICENSE'))) copyFileSync(fromRoot('LICENSE'), join(folder, 'LICENSE'))
  return folder
}

async function pack(folder, destination) {
  mkdirSync(destination, { recursive: true })
  await run('npm', ['pack', '--silent', `--pack-destination=${destination}`], { cwd: folder })
}

// LiveKit's agents framework in `.cache/agents`, with this package in place of `@livekit/rtc-node`, as an alias puts it
// there; and a second copy of the framework with `@livekit/rtc-node` itself, to compare.
import { copyFileSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { aliasFiles, aliasManifest } from './alias.mjs'
import { fromRoot, root, run, say } from './steps.mjs'

/** The programs, and what they need from npm. */
const sources = fromRoot('__test__/interop/agents')

/** Where the programs are that run on this package. */
export const agentsFolder = fromRoot('.cache/agents')
/** Where they are that run on `@livekit/rtc-node`. */
const originalFolder = join(agentsFolder, 'original')

/** Installs the framework, unless it is installed, and copies the programs there. It needs a built `dist/`. */
export async function installAgents() {
  const lock = readFileSync(join(sources, 'package-lock.json'), 'utf8')
  const stamp = join(agentsFolder, 'node_modules/.installed')
  if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== lock) {
    say(`Installing LiveKit's agents framework into ${agentsFolder} …`)
    mkdirSync(agentsFolder, { recursive: true })
    for (const file of ['package.json', 'package-lock.json'])
      copyFileSync(join(sources, file), join(agentsFolder, file))
    // The framework wants another version of rtc-node, which npm would install beside it.
    const options = ['--legacy-peer-deps', '--ignore-scripts', '--no-audit', '--no-fund']
    await run('npm', ['ci', ...options], { cwd: agentsFolder })
    rmSync(originalFolder, { recursive: true, force: true })
    writeFileSync(stamp, lock)
  }
  putAlias()
  copyPrograms(agentsFolder)
  return agentsFolder
}

/** The same with `@livekit/rtc-node`, which is installed in that folder. */
export async function installOriginalAgents(rtcNode) {
  const packages = join(originalFolder, 'node_modules/@livekit')
  if (!existsSync(join(packages, 'agents'))) {
    // A copy of its own finds another rtc-node. What else it needs, it finds above.
    mkdirSync(packages, { recursive: true })
    cpSync(join(agentsFolder, 'node_modules/@livekit/agents'), join(packages, 'agents'), { recursive: true })
  }
  link(rtcNode, join(packages, 'rtc-node'))
  copyPrograms(originalFolder)
  return originalFolder
}

/** What a package manager puts there for an alias, with this folder in place of the installed package. */
function putAlias() {
  const alias = join(agentsFolder, 'node_modules/@livekit/rtc-node')
  mkdirSync(alias, { recursive: true })
  const manifest = aliasManifest(JSON.parse(readFileSync(fromRoot('package.json'), 'utf8')))
  for (const [name, text] of Object.entries({ ...aliasFiles, 'package.json': JSON.stringify(manifest) }))
    writeFileSync(join(alias, name), text)
  link(root, join(agentsFolder, 'node_modules/node-datatrack'))
}

function link(target, path) {
  rmSync(path, { force: true })
  symlinkSync(target, path, 'junction')
}

function copyPrograms(folder) {
  for (const file of readdirSync(sources))
    if (file.endsWith('.mjs')) copyFileSync(join(sources, file), join(folder, file))
}

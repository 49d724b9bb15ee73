// Windows programs on Linux: Wine, and what an addon for Windows is linked with.
import { copyFileSync, existsSync, linkSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { run, spawnStep } from '../steps.mjs'
import { cache } from './cache.mjs'
import { Debian } from './debian.mjs'
import { inside, prepareRoot } from './roots.mjs'
import { npmRuntimes } from './runtimes.mjs'
import { compile } from './toolchain.mjs'

/** The first suite whose Wine has what Node.js 24 imports, for example `ProcessPrng`. */
const SUITE_OF_WINE = 'trixie'
/** Wine itself, and what it needs without a screen, a sound card and devices. */
const PACKAGES = [
  ...['wine64', 'libwine', 'libc6', 'libgcc-s1', 'libunwind8', 'liblzma5'].map((name) => `${name}:amd64`),
  'libz-mingw-w64',
]
/** Wine's own libraries for Windows programs. */
const SYSTEM_LIBRARIES = 'usr/lib/x86_64-linux-gnu/wine/x86_64-windows'

const SERVER = '/usr/lib/wine/wineserver64'
const ENVIRONMENT = {
  HOME: '/windows',
  WINEPREFIX: '/windows',
  // The default is a script, and the root has no shell.
  WINESERVER: SERVER,
  WINEDEBUG: '-all',
  // Wine would ask whether it may download .NET and a browser.
  WINEDLLOVERRIDES: 'mscoree,mshtml=',
}

/** Fetches Wine, and Node and Bun for Windows. The programs' root is a folder that has these, and nothing else. */
export async function onWine() {
  const root = cache('root-wine')
  await (await Debian.of(SUITE_OF_WINE)).unpack(PACKAGES, root)
  const npm = await npmRuntimes()
  prepareRoot(root)
  for (const each of ['lib', 'lib64']) {
    rmSync(join(root, each), { force: true })
    symlinkSync(`usr/${each}`, join(root, each))
  }
  copyFileSync(join(root, 'usr/x86_64-w64-mingw32/lib/zlib1.dll'), join(root, SYSTEM_LIBRARIES, 'zlib1.dll'))
  for (const [name, file] of [
    ['node.exe', 'node-win/bin/node.exe'],
    ['bun.exe', '@oven/bun-windows-x64/bin/bun.exe'],
  ]) {
    rmSync(join(root, name), { force: true })
    linkSync(join(npm, file), join(root, name))
  }
  await prepareWindows(root)
  await endServer(root)
  return [
    { name: 'Node', on: 'Wine 10', command: wine(root, '/node.exe') },
    { name: 'Bun', on: 'Wine 10', command: wine(root, '/bun.exe') },
  ]
}

/** Makes Windows' drive C, once for each folder of Wine. */
async function prepareWindows(root) {
  const [drive, stamp] = [join(root, 'windows'), join(root, 'windows/.made')]
  if (existsSync(stamp)) return
  rmSync(drive, { recursive: true, force: true })
  mkdirSync(join(drive, 'drive_c/windows/system32'), { recursive: true })
  copyFileSync(join(root, SYSTEM_LIBRARIES, 'zlib1.dll'), join(drive, 'drive_c/windows/system32/zlib1.dll'))
  // It says at length which fonts it does not have.
  await run(...wine(root, 'wineboot')(['--init'], drive), { stdio: 'ignore' })
  writeFileSync(stamp, '')
}

/** A function that turns arguments and a folder into a command, which runs a Windows program in that folder. */
const wine = (root, program) => withSettings(root, '/usr/lib/wine/wine64', program)

/** The same for a program of Wine itself. */
const withSettings =
  (root, ...program) =>
  (args, folder) => {
    const [command, rest] = inside(root, ...program)(args, folder)
    const settings = Object.entries(ENVIRONMENT).map(([name, value]) => `${name}=${value}`)
    return ['env', [...settings, command, ...rest]]
  }

/**
 * Ends Wine's server, which stays for some seconds after the last program. The server opens the programs' files. It has
 * mounted the folder of the program that started it, and a later program would see that folder.
 */
async function endServer(root) {
  await spawnStep(...withSettings(root, SERVER)(['--kill'], join(root, 'tmp')), { stdio: 'ignore' })
}

/** What Node.js looks for in an addon. rustc says so in a file that zig ignores. */
const EXPORTS = `
  .section .drectve, "yni"
  .ascii " -export:napi_register_module_v1"
`
/** Libraries of GNU's stack protector. rustc names them for this ABI; zig has what they contain at another place. */
const STACK_PROTECTOR = ['libssp.a', 'libssp_nonshared.a']

/**
 * cargo's variables for an addon of the GNU ABI. The addon finds Node's functions when it is loaded, but napi-build
 * wants a library to link with. So that "library" says what the addon exports.
 */
export async function windowsEnvironment() {
  const folder = cache('libnode')
  mkdirSync(folder, { recursive: true })
  const source = join(folder, 'exports.s')
  writeFileSync(source, EXPORTS)
  await compile(['-target', 'x86_64-windows-gnu', '-c', source, '-o', join(folder, 'libnode.a')])
  writeFileSync(join(folder, 'libnode.dll'), '')
  for (const each of STACK_PROTECTOR) writeFileSync(join(folder, each), '!<arch>\n')
  // aws-lc brings its assembly for Windows ready-made: no NASM needed.
  return { LIBNODE_PATH: folder, AWS_LC_SYS_PREBUILT_NASM: '1' }
}

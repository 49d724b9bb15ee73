// Packages of Debian, unpacked into folders. The machine's own packages stay as they are: apt gets lists of its own, and
// nothing is installed. apt checks the signatures.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { run, StepError } from '../steps.mjs'
import { cache } from './cache.mjs'

const SOURCES = '/etc/apt/sources.list.d/debian.sources'
/** The CPUs whose packages are looked for, in Debian's words. */
const ARCHITECTURES = ['amd64', 'arm64']

/** The packages of a suite (`bookworm`, …), from the same mirrors as the machine's own. */
export class Debian {
  #env

  static async of(suite) {
    if (!existsSync(SOURCES)) throw new StepError(`${SOURCES} is missing: the parts come from Debian`)
    const debian = new Debian()
    const folder = cache('apt', suite)
    for (const each of ['sources', 'lists/partial', 'archives/partial'])
      mkdirSync(join(folder, each), { recursive: true })
    const own = readFileSync(SOURCES, 'utf8')
    const [, current = suite] = /^Suites: *(\w+)/m.exec(own) ?? []
    writeFileSync(join(folder, 'sources/debian.sources'), own.replaceAll(current, suite))
    const settings = [
      ['Dir::Etc::sourcelist', '/dev/null'],
      ['Dir::Etc::sourceparts', join(folder, 'sources')],
      ['Dir::State::lists', join(folder, 'lists')],
      ['Dir::Cache::archives', join(folder, 'archives')],
      ['Dir::Cache::pkgcache', ''],
      ['Dir::Cache::srcpkgcache', ''],
      // Nothing is installed there, so whatever a package needs is fetched, too.
      ['Dir::State::status', '/dev/null'],
      ['APT::Install-Recommends', 'false'],
      ['APT::Sandbox::User', 'root'],
    ].map(([name, value]) => `${name} "${value}";`)
    const architectures = `APT::Architectures { ${ARCHITECTURES.map((each) => `"${each}";`).join(' ')} };`
    writeFileSync(join(folder, 'apt.conf'), [...settings, architectures, ''].join('\n'))
    debian.#env = { ...process.env, APT_CONFIG: join(folder, 'apt.conf') }
    await run('apt-get', ['update', '-qq'], { env: debian.#env })
    return debian
  }

  /** What a package depends on directly, by name. */
  dependencies(name) {
    const { stdout } = spawnSync('apt-cache', ['depends', '--important', name], {
      env: this.#env,
      encoding: 'utf8',
    })
    return [...stdout.matchAll(/^ *Depends: (\S+)$/gm)].map(([, each]) => each)
  }

  /** Unpacks packages (`libc6:arm64`, …) into a folder, once for each list of names. */
  async unpack(names, folder) {
    const stamp = join(folder, '.unpacked')
    const list = names.join('\n')
    if (existsSync(stamp) && readFileSync(stamp, 'utf8') === list) return
    const downloads = `${folder}.download`
    for (const each of [folder, downloads]) {
      rmSync(each, { recursive: true, force: true })
      mkdirSync(each, { recursive: true })
    }
    await run('apt-get', ['download', '-qq', ...names], { cwd: downloads, env: this.#env })
    for (const file of readdirSync(downloads)) await run('dpkg', ['-x', join(downloads, file), folder])
    rmSync(downloads, { recursive: true })
    writeFileSync(stamp, list)
  }
}

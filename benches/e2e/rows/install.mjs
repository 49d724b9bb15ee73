// The size of an installation, and the cost of loading it.
import { spawnSync } from 'node:child_process'
import { lstatSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { addonPath } from '../../../scripts/lib/build.mjs'
import { fromRoot } from '../../../scripts/lib/steps.mjs'
import { env } from '../agent.mjs'
import { places } from '../peers.mjs'

function bytesOf(path) {
  const stat = lstatSync(path)
  if (!stat.isDirectory()) return stat.isFile() ? stat.size : 0
  return readdirSync(path).reduce((total, name) => total + bytesOf(join(path, name)), 0)
}

/** The largest native library below a folder. */
function binaryOf(path) {
  const files = readdirSync(path, { recursive: true }).filter((file) => /\.(node|so)$/.test(file))
  return Math.max(...files.map((file) => lstatSync(join(path, file)).size))
}

const installed = {
  ours() {
    const addon = addonPath()
    // The package has no dependencies but the package of the platform. A developer's build has source maps, too.
    const packed = readdirSync(fromRoot('dist')).filter((name) => !name.endsWith('.map'))
    const dist = packed.reduce((total, name) => total + bytesOf(fromRoot('dist', name)), 0)
    return { all: dist + bytesOf(addon) + bytesOf(fromRoot('package.json')), binary: bytesOf(addon) }
  },
  python() {
    const packages = join(places.environment, 'lib')
    const [version] = readdirSync(packages)
    const folder = join(packages, version, 'site-packages')
    // Neither the files that every environment has, nor those that Python compiles on first use.
    const named = readdirSync(folder).filter(
      (name) => !/^(pip|setuptools|wheel|pkg_resources|_distutils)/.test(name),
    )
    const cached = (path) =>
      readdirSync(path, { recursive: true })
        .filter((file) => file.endsWith('.pyc'))
        .reduce((total, file) => total + lstatSync(join(path, file)).size, 0)
    const all = named.reduce((total, name) => {
      const path = join(folder, name)
      return total + bytesOf(path) - (lstatSync(path).isDirectory() ? cached(path) : 0)
    }, 0)
    return { all, binary: binaryOf(join(folder, 'livekit')) }
  },
  'rtc-node'() {
    // All packages there except those that drive Chromium.
    const own = readdirSync(places.packages).filter(
      (name) => !name.startsWith('.') && name !== 'playwright-core',
    )
    return {
      all: own.reduce((total, name) => total + bytesOf(join(places.packages, name)), 0),
      binary: binaryOf(join(places.packages, '@livekit')),
    }
  },
}

const node = (body) => [
  process.execPath,
  '--input-type=module',
  '-e',
  `import { createRequire } from 'node:module'
   const require = createRequire(${JSON.stringify(fromRoot('benches/e2e/x.mjs'))})
   const [rss, start] = [process.memoryUsage.rss(), performance.now()]
   ${body}
   console.log(JSON.stringify({ ms: performance.now() - start, bytes: process.memoryUsage.rss() - rss }))
   process.exit(0)`,
]
const dist = (file) => JSON.stringify(fromRoot('dist', file))
const python = (body) => [
  places.python,
  '-c',
  `import json, time
def rss():
    return int(open('/proc/self/statm').read().split()[1]) * 4096
before, start = rss(), time.perf_counter()
${body}
print(json.dumps({'ms': (time.perf_counter() - start) * 1000, 'bytes': rss() - before}))`,
]
/** CPU time of all threads of a process that imports a package and connects a room, without what Node.js itself takes. */
const connecting = (body) => [
  process.execPath,
  '--input-type=module',
  '-e',
  `import { createRequire } from 'node:module'
   const require = createRequire(${JSON.stringify(fromRoot('benches/e2e/x.mjs'))})
   const { URL_OF_SERVER: url, TOKEN: token } = process.env
   const before = process.cpuUsage()
   ${body}
   const { user, system } = process.cpuUsage(before)
   console.log(JSON.stringify({ ms: (user + system) / 1000, bytes: 0 }))
   process.exit(0)`,
]
const connects = {
  ours: connecting(`const { Room } = require(${dist('index.js')}); await new Room().connect(url, token)`),
  python: [
    places.python,
    '-c',
    `import asyncio, json, os, time
async def main():
    before = time.process_time()
    from livekit import rtc
    await rtc.Room().connect(os.environ['URL_OF_SERVER'], os.environ['TOKEN'])
    print(json.dumps({'ms': (time.process_time() - before) * 1000, 'bytes': 0}), flush=True)
    os._exit(0)
asyncio.run(main())`,
  ],
  'rtc-node': connecting(
    `const { Room } = require('@livekit/rtc-node'); await new Room().connect(url, token, { autoSubscribe: false })`,
  ),
}
const loads = {
  ours: {
    import: node(`await import(${dist('index.mjs')})`),
    require: node(`require(${dist('index.js')})`),
    // The first use of a room loads the addon.
    room: node(`const { Loopback } = require(${dist('index.js')}); new Loopback().join('alice')`),
  },
  python: { import: python('from livekit import rtc'), room: python('from livekit import rtc; rtc.Room') },
  'rtc-node': {
    import: node(`await import(require.resolve('@livekit/rtc-node'))`),
    require: node(`require('@livekit/rtc-node')`),
    room: node(`const { Room } = require('@livekit/rtc-node'); new Room()`),
  },
}

function run(what, [program, ...args], environment) {
  const options = { encoding: 'utf8', cwd: fromRoot(), env: environment, timeout: 60_000 }
  const { stdout, stderr, status } = spawnSync(program, args, options)
  if (status !== 0) throw new Error(`${what} failed: ${stderr.trim().split('\n').at(-1)}`)
  // rtc-node writes its log there, too.
  return JSON.parse(stdout.split('\n').find((line) => line.startsWith('{"ms"')))
}

const median = (runs, name) => runs.map((run) => run[name]).sort((a, b) => a - b)[runs.length >> 1]

export async function install(bench, kind) {
  const rows = {}
  if (kind in installed) {
    const { all, binary } = installed[kind]()
    rows['installed MB'] = { best: all / 1e6 }
    rows['binary MB'] = { best: binary / 1e6 }
  }
  const rounds = bench.quick ? 3 : 11
  for (const [what, command] of Object.entries(loads[kind] ?? {})) {
    const runs = Array.from({ length: rounds }, () => run(`${what} of ${kind}`, command, env))
    rows[`${what} ms`] = { best: median(runs, 'ms') }
    rows[`${what} MB`] = { best: median(runs, 'bytes') / 1e6 }
  }
  if (kind in connects) {
    const runs = []
    for (let round = 0; round < rounds; round++) {
      const TOKEN = await bench.server.token(`connects-${process.pid}`, `${kind}-${round}`)
      const given = { ...env, URL_OF_SERVER: bench.server.url, TOKEN }
      runs.push(run(`connecting of ${kind}`, connects[kind], given))
    }
    rows['connect CPU ms'] = { best: median(runs, 'ms') }
  }
  return rows
}

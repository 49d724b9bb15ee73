// The real LiveKit servers that tests run against. Each is built once, from Go modules of __test__/livekit-server.
import { cpSync, existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fromRoot, run, say, seconds } from './steps.mjs'

const folder = fromRoot('__test__/livekit-server')
const program = 'github.com/livekit/livekit-server/cmd/server'

/** Builds the server unless it is built, and returns its path. `LIVEKIT_SERVER_BIN` names an existing one. */
export async function buildLivekitServer() {
  return process.env.LIVEKIT_SERVER_BIN ?? (await build(folder, 'livekit-server', () => undefined))
}

const NEWEST = 'v1.13.11'
/**
 * What the newest server calls of LiveKit's forks of pion, and plain pion does not have: two ways to save round trips,
 * which are off unless the configuration asks for them.
 */
const ONLY_IN_FORKS = ['\t\tse.EnableSped(true)\n', '\t\tse.EnableSctpSnap(true)\n']

/** Builds the newest server that builds with plain pion modules, unless it is built, and returns its path. */
export async function buildNewestServer() {
  return await build(join(folder, 'newest'), 'livekit-server-newest', copySources)
}

/** Its go.mod names the copy, without those calls. */
async function copySources(cwd) {
  const module = `github.com/livekit/livekit-server@${NEWEST}`
  const { output } = await run('go', ['mod', 'download', '-json', module], {
    cwd: fromRoot('.'),
    capture: true,
  })
  const copy = fromRoot('.cache/livekit-server-source')
  rmSync(copy, { recursive: true, force: true })
  cpSync(JSON.parse(output).Dir, copy, { recursive: true })
  await run('chmod', ['-R', 'u+w', copy], { cwd })
  const file = join(copy, 'pkg/rtc/transport.go')
  let source = readFileSync(file, 'utf8')
  for (const call of ONLY_IN_FORKS) {
    if (!source.includes(call)) throw new Error(`${file} has other calls than expected`)
    source = source.replace(call, '')
  }
  writeFileSync(file, source)
}

async function build(cwd, name, prepare) {
  const built = join(folder, 'bin', name)
  const modules = join(cwd, 'go.mod')
  if (existsSync(built) && statSync(built).mtimeMs >= statSync(modules).mtimeMs) return built
  say(`Building ${name} with go build: some minutes, once …`)
  const start = performance.now()
  await prepare(cwd)
  await run('go', ['build', '-o', built, program], { cwd })
  say(`Built the server in ${seconds(start)}.`)
  return built
}

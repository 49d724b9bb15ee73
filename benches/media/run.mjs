// `npm run bench:media`: audio tracks heard by this package and its peers, through one real LiveKit server, in one run.
//   --seconds=10      for how long CPU time is measured
//   --rounds=10       subscriptions of which the first sound is timed
//   --no-build        takes the addon and dist/ that are there
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpus, loadavg } from 'node:os'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { buildAddon, buildTypeScript, ensureInstalled } from '../../scripts/lib/build.mjs'
import { fromRoot, heading, main, say } from '../../scripts/lib/steps.mjs'
import { peers, places } from '../e2e/peers.mjs'
import { cpuTimes, memory, threads } from '../e2e/processes.mjs'
import { table } from '../report.mjs'

const { values: options } = parseArgs({
  options: {
    seconds: { type: 'string', default: '10' },
    rounds: { type: 'string', default: '10' },
    'no-build': { type: 'boolean', default: false },
  },
})
const COUNTS = [1, 10]

const node = (kind, folder) => ({
  command: process.execPath,
  args: [fromRoot('benches/media/agent.mjs'), kind, folder],
  answers: 3,
})
const kinds = {
  ours: node('ours', fromRoot('.')),
  'rtc-node': node('rtc-node', fromRoot('benches/e2e')),
  python: { command: places.python, args: [fromRoot('benches/media/agent.py')], answers: 1 },
}

/** A participant in a process of its own. */
class Agent {
  #child
  #lines
  #stderr = ''
  #kill = () => this.#child.kill('SIGKILL')

  constructor({ command, args, answers }) {
    const stdio = ['pipe', answers === 1 ? 'pipe' : 'ignore', 'pipe', 'pipe']
    this.#child = spawn(command, args, { stdio })
    this.#child.stderr.setEncoding('utf8').on('data', (text) => (this.#stderr += text))
    this.#lines = createInterface(this.#child.stdio[answers])[Symbol.asyncIterator]()
    process.once('exit', this.#kill)
  }

  get pid() {
    return this.#child.pid
  }

  async ask(command, argument) {
    this.#child.stdin.write(`${JSON.stringify([command, argument])}\n`)
    const { value, done } = await this.#lines.next()
    if (done) throw new Error(`the agent has ended: ${this.#stderr}`)
    const { result, error } = JSON.parse(value)
    if (error !== undefined) throw new Error(error)
    return result
  }

  async stop() {
    const closed = once(this.#child, 'close')
    this.#kill()
    process.off('exit', this.#kill)
    await closed
  }
}

/** Runs `use` with an agent that is in the room. */
async function joined(server, room, identity, kind, use) {
  const agent = new Agent(kinds[kind])
  try {
    await agent.ask('join', { url: server.url, token: await server.token(room, identity) })
    return await use(agent)
  } finally {
    await agent.stop()
  }
}

/** What a participant costs that hears so many tracks. */
async function measure(server, kind, count) {
  const room = `${kind} ${count}`
  const tones = Array.from({ length: count }, (_, index) => 300 + 100 * index)
  return joined(server, room, 'publisher', 'rtc-node', async (publisher) => {
    await publisher.ask('publish', { tones })
    const onsets =
      count === 1
        ? await joined(server, room, 'first', kind, (hearer) =>
            hearer.ask('onsets', { rounds: Number(options.rounds) }),
          )
        : []
    return joined(server, room, 'hearer', kind, async (hearer) => {
      const idle = memory([hearer.pid]).resident
      await hearer.ask('hear', { count })
      await delay(1000)
      const [before, begun] = [cpuTimes([hearer.pid]), performance.now()]
      await delay(1000 * Number(options.seconds))
      const used = cpuTimes([hearer.pid]).get(hearer.pid) - before.get(hearer.pid)
      return {
        cpu: (100 * used) / ((performance.now() - begun) / 1000),
        grown: (memory([hearer.pid]).resident - idle) / (1 << 20),
        threads: threads([hearer.pid]),
        onsets: onsets.sort((a, b) => a - b),
      }
    })
  })
}

const at = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]

await main(async () => {
  await ensureInstalled()
  for (const kind of ['rtc-node', 'python']) await peers[kind].install()
  if (!options['no-build']) {
    await buildAddon({ profile: 'release' })
    await buildTypeScript()
  }
  const { LivekitServer } = await import('../e2e/server.mjs')
  const server = await LivekitServer.start()
  const rows = []
  try {
    for (const count of COUNTS) {
      for (const kind of Object.keys(kinds)) {
        const { cpu, grown, threads, onsets } = await measure(server, kind, count)
        const first =
          onsets.length === 0 ? '' : `${at(onsets, 0.5).toFixed(0)} / ${at(onsets, 0.9).toFixed(0)}`
        rows.push([kind, String(count), cpu.toFixed(1), grown.toFixed(1), String(threads), first])
        say(`${kind}, ${count}: ${cpu.toFixed(1)} %`)
      }
    }
  } finally {
    await server.stop()
  }
  heading(`Audio tracks heard; ${cpus().length} cores, load ${loadavg()[0].toFixed(1)}`)
  const head = ['', 'tracks', 'CPU, % of a core', 'MB above idle', 'threads', 'first sound, ms, p50 / p90']
  table(head, rows)
})

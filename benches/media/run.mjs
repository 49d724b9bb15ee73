// `npm run bench:media`: audio tracks heard and published by this package and its peers, through one real LiveKit
// server, in one run.
//   --seconds=10      for how long CPU time is measured
//   --rounds=10       subscriptions of which the first sound is timed, and tones of which the beginning is
//   --only=published  the rows of that table alone: heard, published, beginnings or agent
//   --no-build        takes the addon and dist/ that are there
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpus, loadavg } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { installAgents, installOriginalAgents } from '../../scripts/lib/agents.mjs'
import { buildAddon, buildTypeScript, ensureInstalled } from '../../scripts/lib/build.mjs'
import { fromRoot, heading, main, say, StepError } from '../../scripts/lib/steps.mjs'
import { peers, places } from '../e2e/peers.mjs'
import { cpuTimes, memory, threads } from '../e2e/processes.mjs'
import { table } from '../report.mjs'

const { values: options } = parseArgs({
  options: {
    seconds: { type: 'string', default: '10' },
    rounds: { type: 'string', default: '10' },
    only: { type: 'string', default: '' },
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
      return { ...(await cost(hearer, idle)), onsets: onsets.sort((a, b) => a - b) }
    })
  })
}

/** What of a process is measured while it does something. */
async function cost(agent, idle) {
  await delay(1000)
  const [before, begun] = [cpuTimes([agent.pid]), performance.now()]
  await delay(1000 * Number(options.seconds))
  const used = cpuTimes([agent.pid]).get(agent.pid) - before.get(agent.pid)
  return {
    cpu: (100 * used) / ((performance.now() - begun) / 1000),
    grown: (memory([agent.pid]).resident - idle) / (1 << 20),
    threads: threads([agent.pid]),
  }
}

/** What a participant costs that publishes so many tracks. All are heard, by a participant of this package. */
function published(server, kind, count) {
  const room = `${kind} publishes ${count}`
  const tones = Array.from({ length: count }, (_, index) => 300 + 100 * index)
  return joined(server, room, 'publisher', kind, (publisher) =>
    joined(server, room, 'hearer', 'ours', async (hearer) => {
      const idle = memory([publisher.pid]).resident
      await publisher.ask('publish', { tones })
      await hearer.ask('hear', { count })
      return cost(publisher, idle)
    }),
  )
}

/** From the capture of a tone's beginning until it is heard, ms. The same kind of participant is at both ends. */
function beginnings(server, kind, queueSize) {
  const room = `${kind} begins ${queueSize}`
  return joined(server, room, 'publisher', kind, (publisher) =>
    joined(server, room, 'hearer', kind, async (hearer) => {
      const rounds = Number(options.rounds)
      const [spoken, heard] = await Promise.all([
        publisher.ask('speak', { seconds: rounds + 5, queueSize }),
        hearer.ask('beeps', { rounds }),
      ])
      const since = (time) => time - Math.max(...spoken.filter((begun) => begun <= time))
      return heard.map(since).sort((a, b) => a - b)
    }),
  )
}

/**
 * A voice agent of LiveKit's agents framework, on this package or on rtc-node, answers a caller of this package: what it
 * costs, and how long it takes from the end of the caller's tone to the beginning of the agent's.
 */
function talked(server, kind, folder) {
  const room = `an agent on ${kind}`
  return joined(server, room, 'caller', 'ours', async (caller) => {
    const token = await server.token(room, 'agent', { canUpdateOwnMetadata: true })
    const program = spawn(process.execPath, [join(folder, 'direct.mjs'), server.url, token], {
      stdio: ['pipe', 'ignore', 'inherit'],
    })
    const closed = once(program, 'close')
    try {
      await caller.ask('meet')
      // The first answer is not measured: code is loaded and compiled.
      await caller.ask('talk', { rounds: 1 })
      const [before, begun] = [cpuTimes([program.pid]), performance.now()]
      const times = await caller.ask('talk', { rounds: Number(options.rounds) })
      const used = cpuTimes([program.pid]).get(program.pid) - before.get(program.pid)
      return {
        cpu: (1000 * used) / times.length,
        seconds: (performance.now() - begun) / 1000 / times.length,
        resident: memory([program.pid]).resident / (1 << 20),
        threads: threads([program.pid]),
        times: times.sort((a, b) => a - b),
      }
    } finally {
      program.kill('SIGKILL')
      await closed
    }
  })
}

const at = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]

const quantiles = (sorted) =>
  sorted.length === 0 ? '' : `${at(sorted, 0.5).toFixed(0)} / ${at(sorted, 0.9).toFixed(0)}`

/** The rows of each table. */
const tables = {
  heard: async (server) => {
    const rows = []
    for (const count of COUNTS) {
      for (const kind of Object.keys(kinds)) {
        const { cpu, grown, threads, onsets } = await measure(server, kind, count)
        rows.push([kind, String(count), cpu.toFixed(1), grown.toFixed(1), String(threads), quantiles(onsets)])
        say(`heard by ${kind}, ${count}: ${cpu.toFixed(1)} %`)
      }
    }
    const head = ['', 'tracks', 'CPU, % of a core', 'MB above idle', 'threads', 'first sound, ms, p50 / p90']
    return ['Audio tracks heard', head, rows]
  },
  published: async (server) => {
    const rows = []
    for (const count of COUNTS) {
      for (const kind of ['ours', 'rtc-node']) {
        const { cpu, grown, threads } = await published(server, kind, count)
        rows.push([kind, String(count), cpu.toFixed(1), grown.toFixed(1), String(threads)])
        say(`published by ${kind}, ${count}: ${cpu.toFixed(1)} %`)
      }
    }
    return ['Audio tracks published', ['', 'tracks', 'CPU, % of a core', 'MB above idle', 'threads'], rows]
  },
  beginnings: async (server) => {
    const rows = []
    for (const [kind, queueSize] of [
      ['ours', 1000],
      ['ours', 0],
      ['rtc-node', 1000],
      ['rtc-node', 0],
    ]) {
      const times = await beginnings(server, kind, queueSize)
      rows.push([kind, String(queueSize), quantiles(times)])
      say(`${kind}, queueSize ${queueSize}: ${quantiles(times)} ms`)
    }
    return ['A tone, from its capture until it is heard', ['', 'queueSize', 'ms, p50 / p90'], rows]
  },
  agent: async (server) => {
    const folders = { ours: await installAgents() }
    folders['rtc-node'] = await installOriginalAgents(join(places.packages, '@livekit/rtc-node'))
    const found = []
    for (const [kind, folder] of Object.entries(folders)) {
      const { cpu, seconds, resident, threads, times } = await talked(server, kind, folder)
      found.push([cpu, at(times, 0.5), at(times, 0.9), resident, threads, seconds])
      say(`an agent on ${kind}: ${cpu.toFixed(0)} ms of CPU an answer, ${quantiles(times)} ms`)
    }
    const [ours, theirs] = found
    found.push(ours.map((figure, index) => figure / theirs[index]))
    const names = [...Object.keys(folders), 'ours ÷ rtc-node']
    const rows = found.map((figures, index) => [
      names[index],
      ...figures.map((figure) => figure.toFixed(index === 2 ? 2 : figure < 10 ? 1 : 0)),
    ])
    const head = [
      '',
      'CPU ms an answer',
      'until it begins, ms, p50',
      'p90',
      'resident MB',
      'threads',
      's in all',
    ]
    return ['A voice agent of @livekit/agents', head, rows]
  },
}

await main(async () => {
  if (options.only !== '' && !Object.hasOwn(tables, options.only))
    throw new StepError(`there is no table ${options.only}; there are ${Object.keys(tables).join(', ')}`)
  await ensureInstalled()
  for (const kind of ['rtc-node', 'python']) await peers[kind].install()
  if (!options['no-build']) {
    await buildAddon({ profile: 'release' })
    await buildTypeScript()
  }
  const { LivekitServer } = await import('../e2e/server.mjs')
  const server = await LivekitServer.start()
  try {
    const wanted = options.only === '' ? Object.keys(tables) : [options.only]
    for (const name of wanted) {
      const [title, head, rows] = await tables[name](server)
      heading(`${title}; ${cpus().length} cores, load ${loadavg()[0].toFixed(1)}`)
      table(head, rows)
    }
  } finally {
    await server.stop()
  }
})

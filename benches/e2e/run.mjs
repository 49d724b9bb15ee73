// `npm run bench:e2e`: this package and its peers through one real LiveKit server, in one run.
//   --quick           a few minutes, to see that it works: the figures are rough
//   --only=row,row    rates, latency, cpu, tracks, far, relay, start, rooms, rpc, stream, streams8,
//                     install
//   --peers=kind,kind ours, python, chromium, rtc-node
//   --no-build        takes the addon and dist/ that are there
//   --json=file       writes all that was measured, each probe too; --from=file prints such a file again
//   --markdown        puts the table into docs/performance.md
//   --crates          lists the addon's bytes by crate (needs cargo-bloat)
import { readFileSync, writeFileSync } from 'node:fs'
import { cpus, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { buildAddon, buildTypeScript, ensureInstalled } from '../../scripts/lib/build.mjs'
import { fromRoot, heading, main, run, say, seconds, StepError } from '../../scripts/lib/steps.mjs'
import { printCrates } from './crates.mjs'
import { peers } from './peers.mjs'
import { cells, markdown } from './table.mjs'

const PAGE = 'docs/performance.md'
const [BEGIN, END] = ['<!-- bench:e2e -->', '<!-- /bench:e2e -->']

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    peers: { type: 'string', default: Object.keys(peers).join(',') },
    'no-build': { type: 'boolean', default: false },
    json: { type: 'string' },
    from: { type: 'string' },
    markdown: { type: 'boolean', default: false },
    crates: { type: 'boolean', default: false },
  },
})

const known = (what, given, names) => {
  for (const name of given) {
    if (!names.includes(name))
      throw new StepError(`there is no ${what} ${name}; there are ${names.join(', ')}`)
  }
  return given
}

async function prepare(kinds) {
  await ensureInstalled()
  for (const kind of kinds) await peers[kind].install?.()
  if (options['no-build'] || !kinds.includes('ours')) return
  await buildAddon({ profile: 'release' })
  await buildTypeScript()
}

/** Rows whose figures are medians of this many rounds, in which the contenders take turns. */
const ROUNDS = { latency: 3, cpu: 3, tracks: 3, rpc: 3, stream: 3, relay: 3 }

/** Adds a round's figures to those of the earlier rounds, and takes the median. */
function merge(into, rows) {
  for (const [key, row] of Object.entries(rows)) {
    const figures = [...(into[key]?.figures ?? []), row.best ?? undefined]
    const sorted = figures.filter((figure) => figure !== undefined).sort((a, b) => a - b)
    into[key] = { ...row, figures, best: sorted[sorted.length >> 1] }
  }
}

async function loadRows() {
  const { rates } = await import('./rows/rates.mjs')
  const { cpu, latency, tracks } = await import('./rows/steady.mjs')
  const { far } = await import('./rows/far.mjs')
  const { relay } = await import('./rows/relay.mjs')
  const { rooms, start } = await import('./rows/start.mjs')
  const { rpc, stream, streams8 } = await import('./rows/reliable.mjs')
  const { install } = await import('./rows/install.mjs')
  return { latency, cpu, rates, tracks, far, relay, start, rooms, rpc, stream, streams8, install }
}

async function measure(kinds, keep) {
  const rows = await loadRows()
  const wanted = known('row', options.only?.split(',') ?? Object.keys(rows), Object.keys(rows))
  const { LivekitServer } = await import('./server.mjs')
  const server = await LivekitServer.start()
  const results = Object.fromEntries(kinds.map((kind) => [kind, {}]))
  const notes = []
  try {
    const bench = { server, quick: options.quick }
    for (const row of wanted) {
      const rounds = options.quick ? 1 : (ROUNDS[row] ?? 1)
      for (const kind of Array.from({ length: rounds }, () => kinds).flat()) {
        const begun = performance.now()
        try {
          merge(results[kind], await rows[row](bench, kind, peers[kind].sizes))
          say(`${row}, ${kind}: ${seconds(begun)}`)
        } catch (error) {
          notes.push(`not measured: ${row}, ${kind}: ${error.message}`)
          say(notes.at(-1))
        }
      }
      keep({ results, notes })
    }
  } finally {
    await server.stop()
  }
}

/** How late frames are offered if no library takes them: what a publisher's loop reaches by itself. */
async function pacing(kinds) {
  const { Agent } = await import('./agent.mjs')
  const lines = []
  for (const kind of kinds) {
    const agent = new Agent(kind)
    try {
      const { pushed, offered, late } = await agent.ask(
        'pace',
        { phase: 1, size: 256, rate: 40_000, seconds: 1 },
        1,
      )
      lines.push(
        `${kind} ${Math.round((100 * (pushed || offered)) / offered)} % (${late.toFixed(1)} ms late at most)`,
      )
    } finally {
      await agent.stop()
    }
  }
  return `Pacing alone, 40,000 frames/s pushed nowhere: ${lines.join(', ')}.`
}

function machine() {
  const [processor] = cpus()
  const load = loadavg()[0].toFixed(1)
  return (
    `Node.js ${process.version}, ${process.platform} ${process.arch}, ${cpus().length} × ` +
    `${processor?.model.trim()}; load before the run: ${load}${options.quick ? '; --quick' : ''}`
  )
}

function writePage(text) {
  const page = readFileSync(fromRoot(PAGE), 'utf8')
  const [before, rest] = page.split(BEGIN)
  const after = rest?.split(END)[1]
  if (after === undefined) throw new StepError(`${PAGE} has no ${BEGIN} … ${END}`)
  writeFileSync(fromRoot(PAGE), `${before}${BEGIN}\n\n${text}\n\n${END}${after}`)
  say(`Wrote the table into ${PAGE}.`)
}

// All started processes end with the run, also when the run is interrupted.
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1))

await main(async () => {
  let found
  if (options.from !== undefined) {
    found = JSON.parse(readFileSync(options.from, 'utf8'))
  } else {
    const kinds = known('peer', options.peers.split(','), Object.keys(peers))
    await prepare(kinds)
    const begun = performance.now()
    found = { machine: machine(), pacing: await pacing(kinds) }
    heading(found.machine)
    say(found.pacing)
    // Results are written row by row, so that an interrupted run leaves what it has measured.
    await measure(kinds, (rows) => {
      Object.assign(found, rows, { took: seconds(begun) })
      if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(found, null, 1)}\n`)
    })
  }
  const table = markdown(cells(found.results))
  heading('This package beside its peers, through one LiveKit server')
  say(table)
  for (const note of found.notes) say(`note: ${note}`)
  say(`Measured in ${found.took}.`)
  if (options.markdown) {
    const notes = found.notes.map((note) => `- ${note}`)
    writePage(
      [`${found.machine}. ${found.pacing} Measured in ${found.took}.`, '', table, ...notes].join('\n'),
    )
  }
  if (options.crates) await printCrates(run)
})

// `npm run bench:network -- --server`: data tracks to a real LiveKit server behind a bad network, with our SCTP engine
// and with the one that str0m has by itself, in turns. The publisher is at the near end; the server and the subscriber
// are at the far end.
import { mkdirSync } from 'node:fs'
import { BadNetwork } from '../scripts/lib/bad-network.cjs'
import { buildBadNetwork, lacksNetworks } from '../scripts/lib/build-bad-network.mjs'
import { buildAddon, buildTypeScript, ensureInstalled } from '../scripts/lib/build.mjs'
import { fromRoot, heading, say, seconds, StepError } from '../scripts/lib/steps.mjs'
import { withPair } from './e2e/agent.mjs'
import { peers } from './e2e/peers.mjs'
import { LivekitServer } from './e2e/server.mjs'
import { table } from './report.mjs'

/** The line: 20 Mbit/s in each direction, 20 ms one way, a queue of 50 ms. */
const LINE = { bytesPerSecond: 2.5e6, delayMs: 20, queueBytes: 125_000 }
/** Frames of 1 KiB that are offered each second: with headers, a little more than the line carries. */
const OFFERED = { size: 1_024, rate: 2_400, warm: 3 }
/** The share of the datagrams that the line loses, and how many times as much as str0m's engine ours should carry. */
const LOSSES = [{ loss: 0 }, { loss: 0.01, times: 3 }, { loss: 0.05, times: 6 }]
const ENGINES = [
  { name: 'stock', features: ['sctp-stock'] },
  { name: 'ours', features: [] },
]
const ROUNDS = 3

export async function throughServer(quick) {
  const lacking = lacksNetworks()
  if (lacking !== undefined) throw new StepError(`this machine lacks ${lacking}`)
  await ensureInstalled()
  await buildTypeScript()
  await buildBadNetwork()
  for (const engine of ENGINES) await addPeer(engine)
  const start = performance.now()
  const rounds = quick ? 1 : ROUNDS
  const found = await BadNetwork.with((network) => measure(network, rounds, quick ? 3 : 10))
  heading('A data track to a LiveKit server over 20 Mbit/s and 40 ms, 1 KiB, MB/s')
  table(
    ['', ...ENGINES.map(({ name }) => name), 'ratio', 'to reach', ''],
    LOSSES.map(({ loss, times }) => row(loss, times, found)),
  )
  say(`\nThe median of ${rounds}. Measured in ${seconds(start)}.`)
}

/** A participant whose addon has that engine. */
async function addPeer({ name, features }) {
  mkdirSync(fromRoot('.cache/bench-network'), { recursive: true })
  const path = fromRoot(`.cache/bench-network/${name}.node`)
  await buildAddon({ path, features })
  const [program, ...args] = peers.ours.command
  peers[name] = { ...peers.ours, command: ['env', `DATATRACK_NATIVE_PATH=${path}`, program, ...args] }
}

async function measure(network, rounds, duration) {
  const found = []
  const server = await LivekitServer.start(network.far)
  const places = { publisher: network.near, subscriber: network.far }
  try {
    for (const { loss } of Array.from({ length: rounds }, () => LOSSES).flat()) {
      for (const { name } of ENGINES) {
        await network.set({ ...LINE, loss: 0 })
        const result = await withPair(
          server,
          name,
          async (pair) => {
            await network.set({ loss })
            return pair.offer({ ...OFFERED, seconds: duration }, server)
          },
          ['track'],
          places,
        )
        found.push({ name, loss, goodput: (result.perSecond * OFFERED.size) / 1e6 })
        say(`${100 * loss} %, ${name}: ${found.at(-1).goodput.toFixed(2)} MB/s`)
      }
    }
    return found
  } finally {
    await server.stop()
  }
}

function row(loss, times, found) {
  const [stock, ours] = ENGINES.map(({ name }) => {
    const goodputs = found
      .filter((one) => one.name === name && one.loss === loss)
      .map(({ goodput }) => goodput)
    return goodputs.sort((a, b) => a - b)[goodputs.length >> 1]
  })
  const verdict = times === undefined ? ['', ''] : [`≥ ${times} ×`, ours >= times * stock ? 'met' : 'MISSED']
  return [
    `${100 * loss} % lost`,
    stock.toFixed(2),
    ours.toFixed(2),
    `${(ours / stock).toFixed(1)} ×`,
    ...verdict,
  ]
}

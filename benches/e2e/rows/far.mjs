// Through a bad network, the one that this project's tests use: the publisher is at one end, the server and the
// subscriber are at the other.
import { BadNetwork } from '../../../scripts/lib/bad-network.cjs'
import { buildBadNetwork, lacksNetworks } from '../../../scripts/lib/build-bad-network.mjs'
import { StepError } from '../../../scripts/lib/steps.mjs'
import { withPair } from '../agent.mjs'
import { LivekitServer } from '../server.mjs'

/** One-way delay in ms. */
const FAR = 20
/** Frames a second of 15 KiB: 10.8, 13.8 and 18.4 MB/s. */
const OFFERED = [700, 900, 1200]
const SIZE = 15_360
/** Large frames at a rate so low that the connection is cold before each one. */
const SELDOM = [
  { label: '36 kB', size: 36_000 },
  { label: '200 kB', size: 200_000 },
]
const PATHS = [
  { label: 'near', delayMs: 0 },
  { label: 'far', delayMs: FAR },
]

/**
 * The highest throughput to a server that is 40 ms away, and the share of large frames that arrive, one a second, near
 * and far.
 */
export async function far(bench, kind, limit) {
  const lacking = lacksNetworks()
  if (lacking !== undefined) throw new StepError(`this machine lacks ${lacking}`)
  await buildBadNetwork()
  return BadNetwork.with(async (network) => {
    const server = await LivekitServer.start(network.far)
    const places = { publisher: network.near, subscriber: network.far }
    const through = (use) => withPair(server, kind, use, ['track'], places)
    try {
      const rows = {}
      for (const { label: path, delayMs } of PATHS) {
        await network.set({ delayMs })
        for (const { label, size } of SELDOM) {
          if (size > limit) continue
          const load = { size, rate: 1, seconds: bench.quick ? 3 : 10, warm: 0 }
          const result = await through((pair) => pair.offer(load, server))
          rows[`seldom ${label} ${path}`] = { best: 100 * result.share, probes: [result] }
        }
      }
      const probes = []
      await through(async (pair) => {
        for (const rate of bench.quick ? OFFERED.slice(0, 1) : OFFERED) {
          probes.push(await pair.offer({ size: SIZE, rate, seconds: 3, warm: 2 }, server))
        }
      })
      rows['far MB/s'] = {
        best: (Math.max(...probes.map(({ perSecond }) => perSecond)) * SIZE) / 1e6,
        probes,
      }
      return rows
    } finally {
      await server.stop()
    }
  })
}

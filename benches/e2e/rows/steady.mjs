// Frames at rates that all peers can hold: their latency and their cost.
import { withPair } from '../agent.mjs'

const LATENCIES = [
  { label: '256 B, 100/s', size: 256, rate: 100, seconds: 5 },
  { label: '256 B, 1,000/s', size: 256, rate: 1000, seconds: 3 },
  { label: '15 KiB, 50/s', size: 15_360, rate: 50, seconds: 8 },
]
const COSTS = [
  { label: '500/s', rate: 500, seconds: 5 },
  { label: '5,000/s', rate: 5000, seconds: 3 },
]
const TRACKS = 20

export async function latency(bench, kind, limit) {
  const rows = {}
  for (const { label, size, rate, seconds } of LATENCIES) {
    if (size > limit) continue
    await withPair(bench.server, kind, async (pair) => {
      const result = await pair.offer(
        { size, rate, seconds: bench.quick ? 2 : seconds, warm: bench.quick ? 0.5 : 2 },
        bench.server,
      )
      rows[`p50 ${label}`] = { best: result.p50, probes: [result] }
      rows[`p99 ${label}`] = { best: result.p99 }
    })
  }
  return rows
}

/**
 * CPU seconds for each 100,000 frames that arrived, and the memory used. The publisher's loop also spends CPU time on
 * keeping the pace, which is much at 500/s and no library's cost. It is measured separately and subtracted.
 */
export async function cpu(bench, kind) {
  const rows = {}
  for (const { label, rate, seconds } of COSTS) {
    await withPair(bench.server, kind, async (pair) => {
      const load = { size: 1024, rate, warm: 0 }
      await pair.offer({ ...load, seconds: bench.quick ? 0.5 : 2 }, bench.server)
      const result = await pair.offer({ ...load, seconds: bench.quick ? 2 : seconds }, bench.server)
      const pacing = await pair.pace({ ...load, seconds: result.seconds })
      const each = (spent) => ({ best: (spent * 100_000) / result.received })
      rows[`cpu publisher ${label}`] = { ...each(result.publisherCpu - pacing), probes: [result] }
      rows[`cpu pacing ${label}`] = each(pacing)
      rows[`cpu subscriber ${label}`] = each(result.subscriberCpu)
      if (rate === 500) {
        for (const side of ['publisher', 'subscriber']) {
          rows[`memory ${side}`] = { best: resident(pair[side].memory(), kind) }
        }
      }
      rows[`cpu delivered ${label}`] = { best: 100 * result.share }
    })
  }
  return rows
}

/** The highest resident memory. For several processes, the proportional share of what they share now. */
const resident = ({ peak, shared }, kind) => (kind === 'chromium' ? shared : peak) / 1e6

export async function tracks(bench, kind) {
  const names = Array.from({ length: TRACKS }, (_, number) => `track-${number}`)
  const load = { size: 1024, rate: 50 * TRACKS, seconds: bench.quick ? 2 : 5, warm: 1 }
  const result = await withPair(bench.server, kind, (pair) => pair.offer(load, bench.server), names)
  return { 'tracks delivered': { best: 100 * result.share, probes: [result] } }
}

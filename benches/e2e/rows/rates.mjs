// The highest rate without loss, and the highest throughput at any rate.
import { withPair } from '../agent.mjs'

/** The condition under which a rate passes. */
const SHARE = 0.999
const P99 = 250
/** The first rates of the search, by size. */
const SIZES = [
  { size: 256, label: '256 B', from: 500 },
  { size: 4096, label: '4 KiB', from: 100 },
  { size: 15_360, label: '15 KiB', from: 50 },
  { size: 204_800, label: '200 KiB', from: 4 },
]
const HIGHEST = 128_000
const LOWEST = 2
/** A rate is refined until the lowest failing rate is at most higher by this factor. */
const STEP = 1.1

const passes = ({ share, p99 }) => share >= SHARE && p99 !== null && p99 <= P99

export async function rates(bench, kind, limit) {
  const rows = {}
  for (const { size, label, from } of SIZES) {
    if (size > limit) continue
    const probes = []
    const seconds = bench.quick ? 0.7 : 3
    await withPair(bench.server, kind, async (pair) => {
      const deadline = performance.now() + (bench.quick ? 7000 : 90_000)
      const probe = async (rate) => {
        const result = await pair.offer({ size, rate, seconds, warm: bench.quick ? 0.2 : 1 }, bench.server)
        probes.push(result)
        return result
      }
      const { good, bad } = await double(probe, bench.quick ? 2 * from : from, deadline)
      await refine(probe, good, bad, deadline, bench.quick ? 1.9 : STEP)
    })
    const passed = probes.filter(passes)
    rows[`rate ${label}`] = { best: Math.max(0, ...passed.map(({ rate }) => rate)), lowest: LOWEST, probes }
    rows[`most ${label}`] = { best: Math.max(...probes.map(({ perSecond }) => perSecond)) }
  }
  return rows
}

/** Doubles a rate until two in a row fail, since the second may deliver more. Or halves it until one passes. */
async function double(probe, from, deadline) {
  let good
  let bad
  for (let rate = from, failures = 0; rate <= HIGHEST && failures < 2; rate *= 2) {
    if (performance.now() > deadline) break
    if (passes(await probe(rate))) {
      good = rate
      bad = undefined
      failures = 0
    } else {
      bad ??= rate
      failures += 1
    }
  }
  for (let rate = from / 2; good === undefined && rate >= LOWEST && performance.now() < deadline; rate /= 2) {
    if (passes(await probe(rate))) good = rate
    else bad = rate
  }
  return { good, bad }
}

/** Narrows the gap between a rate that passed and one that failed. A failing rate gets a second try. */
async function refine(probe, good, bad, deadline, step) {
  while (good !== undefined && bad !== undefined && bad / good > step && performance.now() < deadline) {
    const rate = Math.round(Math.sqrt(good * bad))
    if (rate === good || rate === bad) return
    if (passes(await probe(rate)) || passes(await probe(rate))) good = rate
    else bad = rate
  }
}

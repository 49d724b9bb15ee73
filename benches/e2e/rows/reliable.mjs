// The reliable channel: calls, streams, and calls beside a flood of frames or of streams.
import { setTimeout as delay } from 'node:timers/promises'
import { withPair } from '../agent.mjs'

const CALL = { identity: 'subscriber', method: 'echo', payload: jsonOf(100) }
/** Requests and answers by their size: within one packet, just within one packet, and several packets. */
const SIZES = { '': 100, ' 14 kB': 14_000, ' 100 kB': 100_000 }
/** Calls before those that are measured, and the measured ones: three of them are above p99. */
const [WARMING, CALLS] = [20, 300]
/** Calls until one succeeds, 100 ms apart. */
const TRIES = 100
const TOPIC = 'bulk'
/** More than the server can forward. */
const FLOOD = { size: 15_360, rate: 3000 }

export async function rpc(bench, kind) {
  return withPair(bench.server, kind, async ({ publisher, subscriber }) => {
    await subscriber.ask('answer', { method: CALL.method })
    const rows = {}
    for (const [label, size] of Object.entries(SIZES)) {
      const call = { ...CALL, payload: jsonOf(size) }
      await reach(publisher, call)
      await publisher.ask('calls', { ...call, count: WARMING }, 30)
      const idle = await publisher.ask('calls', { ...call, count: CALLS }, 120)
      rows[`rpc${label} p50`] = { best: idle.p50, idle }
      rows[`rpc${label} p99`] = { best: idle.p99, failed: idle.failed }
    }
    const seconds = bench.quick ? 3 : 5
    const flood = { ...FLOOD, phase: 1_000_000, seconds: seconds + 1, warm: 0 }
    const flooding = publisher.ask('offer', flood, seconds + 10)
    const calls = { ...CALL, seconds, interval: 20 }
    const loaded = await publisher.ask('calls', calls, seconds + 20)
    await publisher.ask('stop')
    const { pushed, refused } = await flooding
    const { received } = await subscriber.ask('collect', { phase: flood.phase })
    return {
      ...rows,
      'rpc flood p50': { best: loaded.p50, loaded, pushed, refused, received },
      'rpc flood p99': { best: loaded.p99, failed: loaded.failed },
      'rpc flood over idle': { best: loaded.p99 === null ? null : loaded.p99 - rows['rpc p50'].best },
    }
  })
}

export async function stream(bench, kind) {
  const size = bench.quick ? 5e6 : 50e6
  return withPair(
    bench.server,
    kind,
    async (pair) => {
      const sent = () => streams(pair, size, 1, bench.quick ? 20 : 60)
      const [{ bytes, ended, seconds }, cpu] = await pair.spending(bench.server, sent)
      const each = (spent) => ({ best: (spent * 50e6) / bytes })
      return {
        'stream MB/s': { best: bytes / 1e6 / seconds, ended, size },
        'stream cpu publisher': each(cpu[0]),
        'stream cpu subscriber': each(cpu[1]),
        'stream cpu server': each(cpu[2]),
      }
    },
    [],
  )
}

/** Eight streams at once, with calls between them. */
export async function streams8(bench, kind) {
  const [size, count] = [bench.quick ? 1e6 : 50e6, 8]
  return withPair(
    bench.server,
    kind,
    async (pair) => {
      await pair.subscriber.ask('answer', { method: CALL.method })
      await pair.publisher.ask('calls', { ...CALL, count: WARMING })
      const longest = bench.quick ? 20 : 90
      const sent = streams(pair, size, count, longest)
      const calls = pair.publisher.ask('calls', { ...CALL, interval: 50, seconds: longest }, longest + 30)
      const { bytes, ended, seconds } = await sent
      await pair.publisher.ask('stop')
      const { p50, p99, failed } = await calls
      return {
        'streams MB/s': { best: bytes / 1e6 / seconds, ended, count, size },
        'streams rpc p50': { best: p50 },
        'streams rpc p99': { best: p99, failed },
      }
    },
    [],
  )
}

/**
 * Sends several streams at once. Returns what arrived, and in which time. A stream that takes too long ends with its
 * process.
 */
async function streams({ publisher, subscriber }, size, count, longest) {
  await subscriber.ask('receiveStreams', { topic: TOPIC })
  const begun = performance.now()
  const sending = Array.from({ length: count }, () =>
    publisher.ask('sendStream', { topic: TOPIC, identity: CALL.identity, size }, longest),
  )
  const failed = Promise.all(sending).then(() => new Promise(() => {}))
  const arriving = subscriber.ask('streams', { topic: TOPIC, count, seconds: longest }, longest)
  const { bytes, ended } = await Promise.race([arriving, failed])
  for (const each of sending) each.catch(() => {})
  failed.catch(() => {})
  arriving.catch(() => {})
  return { bytes, ended, seconds: (performance.now() - begun) / 1000 }
}

/**
 * Waits until calls of that size succeed. Until an SDK knows of the recipient, it takes no request above the 15 KiB of
 * RPC version 1.
 */
async function reach(publisher, call) {
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const { failed } = await publisher.ask('calls', { ...call, count: 1 }, 30)
    if (failed === 0) return
    await delay(100)
  }
}

/** JSON of so many characters, all of them ASCII, as applications send it: it compresses to a quarter. */
function jsonOf(size) {
  const records = []
  let random = 1
  for (let length = 0; length < size; length += records.at(-1).length) {
    random = (random * 48_271) % 2_147_483_647
    const name = `sensor-${random % 97}`
    records.push(JSON.stringify({ id: random, name, value: random / 2_147_483_647, ok: random % 3 > 0 }))
  }
  return `[${records.join(',')}]`.slice(0, size)
}

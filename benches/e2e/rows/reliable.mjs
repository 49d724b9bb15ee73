// The reliable channel: calls, streams, and calls beside a flood of frames or of streams.
import { withPair } from '../agent.mjs'

const CALL = { identity: 'subscriber', method: 'echo', size: 100 }
const TOPIC = 'bulk'
/** More than the server can forward. */
const FLOOD = { size: 15_360, rate: 3000 }

export async function rpc(bench, kind) {
  return withPair(bench.server, kind, async ({ publisher, subscriber }) => {
    await subscriber.ask('answer', { method: CALL.method })
    await publisher.ask('calls', { ...CALL, count: 20 })
    const idle = await publisher.ask('calls', { ...CALL, count: bench.quick ? 100 : 300 }, 60)
    const seconds = bench.quick ? 3 : 5
    const flood = { ...FLOOD, phase: 1_000_000, seconds: seconds + 1, warm: 0 }
    const flooding = publisher.ask('offer', flood, seconds + 10)
    const calls = { ...CALL, seconds, interval: 20 }
    const loaded = await publisher.ask('calls', calls, seconds + 20)
    await publisher.ask('stop')
    const { pushed, refused } = await flooding
    const { received } = await subscriber.ask('collect', { phase: flood.phase })
    return {
      'rpc p50': { best: idle.p50, idle },
      'rpc p99': { best: idle.p99 },
      'rpc flood p50': { best: loaded.p50, loaded, pushed, refused, received },
      'rpc flood p99': { best: loaded.p99, failed: loaded.failed },
      'rpc flood over idle': { best: loaded.p99 === null ? null : loaded.p99 - idle.p50 },
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
      await pair.publisher.ask('calls', { ...CALL, count: 20 })
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

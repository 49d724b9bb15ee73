// The time from the start of a process to its first frame, and the cost of rooms without traffic.
import { setTimeout as delay } from 'node:timers/promises'
import { Agent, joiner } from '../agent.mjs'

const NAMES = ['track']
const PHASE = 1
/** ms after which a room is idle. */
const SETTLE = 1500

/** A publisher that starts while the subscriber waits, and the reverse. */
export async function start(bench, kind) {
  const rounds = bench.quick ? 1 : 5
  const times = { publisher: [], subscriber: [] }
  for (let round = 0; round < rounds; round++) {
    for (const side of ['publisher', 'subscriber']) times[side].push(await first(bench.server, kind, side))
  }
  const row = (values) => ({ best: [...values].sort((a, b) => a - b)[values.length >> 1], values })
  return { 'start publisher': row(times.publisher), 'start subscriber': row(times.subscriber) }
}

async function first(server, kind, side) {
  const join = joiner(server)
  const open = {
    async publisher(agent) {
      await join(agent, 'publisher')
      await agent.ask('publish', { names: NAMES })
      await agent.ask('probe', { phase: PHASE, interval: 2 })
    },
    async subscriber(agent) {
      await join(agent, 'subscriber')
      await agent.ask('subscribe', { names: NAMES })
    },
  }
  const agents = { publisher: undefined, subscriber: undefined }
  const other = side === 'publisher' ? 'subscriber' : 'publisher'
  agents[other] = new Agent(kind)
  try {
    // A subscriber waits for a track inside of its command.
    const waiting = open[other](agents[other])
    if (other === 'publisher') await waiting
    else await agents[other].ask('stop')
    await delay(SETTLE)
    agents[side] = new Agent(kind)
    const begun = agents[side].started
    const flowing = agents.subscriber.ask('flowing', { phase: PHASE, names: NAMES })
    await Promise.all([
      waiting,
      open[side](agents[side]),
      flowing.then(() => (agents.at = performance.now())),
    ])
    await agents.publisher.ask('stop')
    return agents.at - begun
  } finally {
    await Promise.all([agents.publisher?.stop(), agents.subscriber?.stop()])
  }
}

/** What the first, the second and the tenth room of a process add. */
export async function rooms(bench, kind) {
  const agent = new Agent(kind)
  const seen = []
  try {
    const join = joiner(bench.server)
    await agent.ask('stop')
    const look = async (settle = SETTLE) => {
      await delay(settle)
      seen.push({
        threads: agent.threads(),
        memory: agent.memory()[kind === 'chromium' ? 'shared' : 'resident'],
      })
    }
    // A browser frees some of the memory that it used to start.
    await look(2 * SETTLE)
    for (let number = 1; number <= 10; number++) {
      await join(agent, `idle-${number}`, 'room')
      if (number <= 2 || number === 10) await look()
    }
  } finally {
    await agent.stop()
  }
  const [none, one, two, ten] = seen
  const megabytes = (more, less, rooms = 1) => ({ best: (more.memory - less.memory) / rooms / 1e6 })
  return {
    'threads 1': { best: one.threads, none: none.threads },
    'threads 2': { best: two.threads },
    'threads 10': { best: ten.threads },
    'room 1': megabytes(one, none),
    'room 2': megabytes(two, one),
    'room 3 to 10': megabytes(ten, two, 8),
  }
}

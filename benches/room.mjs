// `npm run bench:room`: a room of many participants, and the import of the package. The server's messages go into our
// room and into livekit-client's in the same process, from their bytes on, without a socket. It needs a build.
//
// --participants=1000, --seconds=5 of updates at 100 a second.
import { execFileSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { compiled } from '../scripts/lib/bundle.mjs'
import { fromRoot, heading, main, say } from '../scripts/lib/steps.mjs'

const require = createRequire(import.meta.url)
const ours = (file) => require(compiled(file))

const UPDATES_A_SECOND = 100
/** Updates at full speed. */
const FAST_UPDATES = 4000
/** How much more a participant may cost in the largest room than in the smallest one, before this says so. */
const LINEAR = 2
/** Processes that import each package. */
const IMPORTS = 9

/** A participant as a server describes it: metadata, attributes, and two data tracks. */
function participant(protocol, index, version) {
  return new protocol.ParticipantInfo({
    sid: `PA_${index}`,
    identity: `participant ${index}`,
    name: `Participant ${index}`,
    state: 2,
    version,
    metadata: JSON.stringify({ index, note: 'x'.repeat(160) }),
    attributes: { role: 'robot', battery: String(version % 100), firmware: '1.2.3' },
    permission: { canSubscribe: true, canPublish: true, canPublishData: true },
    joinedAt: 1_780_000_000n,
    dataTracks: [0, 1].map((track) => ({
      pubHandle: track + 1,
      sid: `DTR_${index}_${track}`,
      name: `t${track}`,
    })),
  })
}

function joinMessage(protocol, count) {
  const others = Array.from({ length: count }, (_, index) => participant(protocol, index + 1, 1))
  const value = {
    room: { sid: 'RM_1', name: 'bench', numParticipants: count + 1 },
    participant: participant(protocol, 0, 1),
    otherParticipants: others,
    serverInfo: { version: '1.13.5' },
  }
  return new protocol.SignalResponse({ message: { case: 'join', value } }).toBinary()
}

/** The bytes of so many updates, each of one participant after the other. */
function updateMessages(protocol, participants, count) {
  return Array.from({ length: count }, (_, index) => {
    const changed = participant(protocol, 1 + (index % participants), 2 + index)
    const value = { participants: [changed] }
    return new protocol.SignalResponse({ message: { case: 'update', value } }).toBinary()
  })
}

/** Our room, over a connection that carries nothing. */
function openOurs() {
  const { Room } = ours('index.js')
  const { environment } = ours('src/native/environment.js')
  const { sessionOptions } = ours('src/session/session-options.js')
  const { signalParts } = ours('src/signal/parts.js')
  const native = environment().binding.createServerSession(sessionOptions(undefined))
  const nothing = () => undefined
  const room = new Room()
  const channels = {
    ...{ maxMessageSize: 65_535, send: () => 0, flush: nothing, bufferedAmount: () => 0 },
    ...{ reliableLimit: () => 65_536, watchBuffered: nothing },
  }
  const connection = {
    ...{ native, channels, sendRequest: nothing, setRef: nothing, stats: nothing, reconnectNow: nothing },
    ...{ simulate: nothing, close: () => native.close() },
  }
  connection.leave = (words) => {
    words.close()
    connection.close()
    return Promise.resolve()
  }
  room.engine.attach(connection, 'participant 0')
  return {
    room,
    receive: (bytes) => {
      for (const part of signalParts(bytes)) if (part !== undefined) room.engine.receive(part)
    },
    close: () => room.disconnect(),
  }
}

/** livekit-client's room; what its signal client would do with a message is done here. */
function openTheirs(protocol) {
  const { Room, setLogLevel } = require('livekit-client')
  setLogLevel('silent')
  const room = new Room()
  return {
    room,
    receive: (bytes) => {
      const { message } = protocol.SignalResponse.fromBinary(bytes)
      if (message.case === 'join') room.applyJoinResponse(message.value)
      else room.handleParticipantUpdates(message.value.participants)
    },
    close: () => Promise.resolve(),
  }
}

const cpuMs = ({ user, system }) => (user + system) / 1000

function memory() {
  globalThis.gc()
  globalThis.gc()
  const { heapUsed, external, rss } = process.memoryUsage()
  return { heap: heapUsed + external, rss }
}

const MB = (bytes) => (bytes / 1e6).toFixed(1)

/** What the join message costs, and then updates at 100 a second; `seconds` of 0: only the former. */
async function measure(open, protocol, participants, seconds) {
  const join = joinMessage(protocol, participants)
  const updates = updateMessages(protocol, participants, UPDATES_A_SECOND * seconds)
  const before = memory()
  const contender = open(protocol)
  const started = process.cpuUsage()
  contender.receive(join)
  const joined = cpuMs(process.cpuUsage(started))
  const after = memory()
  if (contender.room.remoteParticipants.size !== participants)
    throw new Error('some participants are missing')
  const updating = process.cpuUsage()
  const begun = performance.now()
  for (const [index, update] of updates.entries()) {
    contender.receive(update)
    const due = begun + ((index + 1) * 1000) / UPDATES_A_SECOND
    await delay(Math.max(0, due - performance.now()))
  }
  const cpu = seconds === 0 ? 0 : cpuMs(process.cpuUsage(updating)) / (performance.now() - begun)
  // The same as fast as it goes: what an update costs without the waits between them.
  const more = updateMessages(protocol, participants, seconds === 0 ? 0 : FAST_UPDATES)
  const fast = process.cpuUsage()
  for (const update of more) contender.receive(update)
  const perUpdate = cpuMs(process.cpuUsage(fast)) / FAST_UPDATES
  await contender.close()
  return { joined, heap: after.heap - before.heap, rss: after.rss - before.rss, cpu, perUpdate }
}

/** ms of a fresh process that imports a package, without what a process takes by itself; the median, and modules. */
function importTime(specifier) {
  const source = (code) => `const t = process.hrtime.bigint(); ${code}; console.log(
    Number(process.hrtime.bigint() - t) / 1e6, Object.keys(require.cache).length, process.memoryUsage().rss)`
  const once = (code) =>
    execFileSync(process.execPath, ['-e', source(code)], { cwd: fromRoot('.'), encoding: 'utf8' })
      .trim()
      .split(' ')
      .map(Number)
  const runs = Array.from({ length: IMPORTS }, () => once(`require(${JSON.stringify(specifier)})`))
  runs.sort(([left], [right]) => left - right)
  return runs[runs.length >> 1]
}

await main(async () => {
  const { values } = parseArgs({
    options: {
      participants: { type: 'string', default: '1000' },
      seconds: { type: 'string', default: '5' },
    },
  })
  if (globalThis.gc === undefined) throw new Error('run it with --expose-gc, as `npm run bench:room` does')
  const [participants, seconds] = [Number(values.participants), Number(values.seconds)]
  const protocol = require('@livekit/protocol')
  const contenders = [
    ['node-datatrack', openOurs],
    ['livekit-client', openTheirs],
  ]
  for (const [, open] of contenders) await measure(open, protocol, 100, 0)

  heading(`A room of ${participants} participants, and updates of them at ${UPDATES_A_SECOND} a second`)
  for (const [name, open] of contenders) {
    const { joined, heap, rss, cpu, perUpdate } = await measure(open, protocol, participants, seconds)
    say(
      `${name.padEnd(15)} join ${joined.toFixed(0)} ms of CPU, ${MB(heap)} MB of heap, ${MB(rss)} MB of RSS; ` +
        `updates ${(cpu * 100).toFixed(1)} % of a core, ${(perUpdate * 1000).toFixed(0)} µs each at full speed`,
    )
  }

  heading(
    'CPU of the join message, µs a participant: the same for any number of them, unless something is quadratic',
  )
  const sizes = [participants / 4, participants, participants * 4]
  for (const [name, open] of contenders) {
    const costs = []
    for (const size of sizes) {
      const rounds = []
      for (let round = 0; round < 3; round++) rounds.push((await measure(open, protocol, size, 0)).joined)
      costs.push((Math.min(...rounds) * 1000) / size)
    }
    const grows = costs.at(-1) / costs[0] > LINEAR ? ' — grows' : ''
    say(
      `${name.padEnd(15)} ${sizes.map((size, at) => `${size}: ${costs[at].toFixed(0)}`).join(', ')}${grows}`,
    )
  }

  heading('Importing the package: median of fresh processes')
  for (const specifier of ['./dist/index.js', 'livekit-client']) {
    const [ms, modules, rss] = importTime(specifier)
    say(`${specifier.padEnd(15)} ${ms.toFixed(1)} ms, ${modules} modules, ${MB(rss)} MB of RSS in all`)
  }
})

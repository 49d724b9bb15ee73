// `npm run soak -- --minutes=10`: what a participant that sends as fast as it can costs another one, through a real LiveKit
// server. Each of the two is a process of its own, and so is one that does nothing: it shows what the machine itself delays.
// Data packets of all kinds, changed ones among them, take turns with frames of a data track. A second hostile participant,
// a program in Rust, writes data-track packets that no publisher would send: random handles, numbers, headers and bytes.
//   --minutes=2       for how long
//   --seed=1          what is sent
//   --audio           no hostile participants, but audio tracks between two processes; see soak-audio.mjs
// Needs a build (`npm run build`). It ends with 1 when the victim ends or loses its connection, when its event loop is
// busy for longer than the idle one stops and 50 ms more, or when it holds more memory than MAX_RSS.
import { fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { createInterface } from 'node:readline'
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { PacketMaker } from '../scripts/lib/packet-mutations.mjs'
import { Dice } from '../scripts/lib/signal-mutations.mjs'
import { DEV_PROFILE } from '../scripts/lib/build.mjs'
import { fromRoot, main, run, say, StepError } from '../scripts/lib/steps.mjs'
import { LivekitServer } from './e2e/server.mjs'

const require = createRequire(import.meta.url)
const { values: options } = parseArgs({
  options: {
    minutes: { type: 'string', default: '2' },
    seed: { type: 'string', default: '1' },
    audio: { type: 'boolean', default: false },
    tracks: { type: 'string', default: '20' },
    /** What a process of it is. */
    role: { type: 'string' },
    url: { type: 'string' },
    token: { type: 'string' },
  },
})

/** ms between two reports. */
const REPORT = 10_000
/** ms between two looks at the event loop. */
const TIMER = 5
/** ms that the victim's event loop may be busy for longer than the loop of the idle process stops. */
const MAX_BLOCK = 50
/** Bytes: what the bounds of streams, calls and messages allow together is some 500 MiB, and a program has some itself. */
const MAX_RSS = 1024 * 2 ** 20
/** Bytes a second that are sent at most. */
const RATE = 50_000_000
/** Packets that are made beforehand, and sent again and again: making them is slower than sending them. */
const GROUPS = 1000
/** Bytes of a message. */
const LARGEST = 60_000
/** The participant in Rust. */
const RAW = fromRoot('target', DEV_PROFILE, 'examples', 'raw_participant')
/** Of `SendStatus`. */
const BUFFER_FULL = 1
const CLOSED = 3
/** Bytes in a channel. */
const AHEAD = 1_000_000

const mib = (bytes) => Math.round(bytes / 2 ** 20)
const nothing = () => {}

/**
 * Reports the delays of this process's event loop, each time those since the last report. `busy` is the longest time between
 * two timers in which this process had the processor, too: on a machine that does other things the rest is not its fault.
 */
function reportLoop(more) {
  const histogram = monitorEventLoopDelay({ resolution: TIMER })
  histogram.enable()
  let busy = 0
  let last = { clock: performance.now(), cpu: process.cpuUsage() }
  setInterval(() => {
    const clock = performance.now()
    const { user, system } = process.cpuUsage(last.cpu)
    busy = Math.max(busy, Math.min(clock - last.clock - TIMER, (user + system) / 1000))
    last = { clock, cpu: process.cpuUsage() }
  }, TIMER)
  setInterval(() => {
    const [max, p99] = [histogram.max / 1e6, histogram.percentile(99) / 1e6]
    process.send({ max, p99, busy, rss: process.memoryUsage().rss, ...more() })
    histogram.reset()
    busy = 0
  }, REPORT)
}

async function victim() {
  const { connect, RoomEvent, setLogLevel } = require(fromRoot('dist', 'index.js'))
  setLogLevel('error')
  const room = await connect(options.url, options.token)
  const seen = { packets: 0, texts: 0, calls: 0, frames: 0, raw: 0, lost: 0 }
  room.on(RoomEvent.DataReceived, () => (seen.packets += 1))
  room.on(RoomEvent.Reconnecting, () => (seen.lost += 1))
  room.on(RoomEvent.Disconnected, () => (seen.lost += 1))
  for (const topic of ['read', '', '__proto__']) {
    room.registerTextStreamHandler(topic, (reader) => {
      seen.texts += 1
      reader.readAll().catch(nothing)
    })
  }
  room.registerTextStreamHandler('ignore', nothing)
  room.registerByteStreamHandler('read', (reader) => void reader.bytes().catch(nothing))
  room.registerByteStreamHandler('ignore', nothing)
  room.registerRpcMethod('echo', ({ payload }) => {
    seen.calls += 1
    return payload
  })
  room.registerRpcMethod('never', () => new Promise(nothing))
  void readFrames(room, 'flood', () => (seen.frames += 1))
  void readFrames(room, 'raw', () => (seen.raw += 1))
  reportLoop(() => {
    const { received: data, ...rest } = room.dataPacketStats()
    const { bufferedBytes, open, dropped } = room.dataStreamStats()
    return {
      seen: { ...seen },
      data,
      dropped: rest.dropped,
      streams: { bufferedBytes, open, dropped },
      tracks: room.packetStats(),
    }
  })
  process.send('ready')
}

async function readFrames(room, name, seen) {
  for await (const track of room.dataTracks({ name })) {
    for await (const frame of track.subscribe()) if (frame.payload.length > 0) seen()
  }
}

/** Messages of all kinds, again and again. */
function makeMessages() {
  const dice = new Dice(Number(options.seed))
  const maker = new PacketMaker(require('@livekit/protocol'), dice)
  const messages = []
  for (let count = 0; count < GROUPS; count++) messages.push(...maker.messages(undefined))
  // One that is empty or larger ends the server's reader of the channel, and with it the flood.
  return messages.filter(({ data }) => data.length > 0 && data.length <= LARGEST)
}

/** Returns the bytes that were sent. */
function push(track, frame) {
  try {
    track.tryPush(frame)
    return frame.length
  } catch {
    // The queue is full, or the connection is being rebuilt.
    return 0
  }
}

async function attacker() {
  const { Room, setLogLevel } = require(fromRoot('dist', 'index.js'))
  setLogLevel('error')
  const room = new Room()
  // What it is answered does not matter.
  room.engine.receiveMessage = () => {}
  await room.connect(options.url, options.token)
  const messages = makeMessages()
  const track = await room.localParticipant.publishDataTrack({ name: 'flood' })
  const frame = new Uint8Array(20_000)
  let sent = 0
  reportLoop(() => {
    const since = { sent, state: room.state }
    sent = 0
    return since
  })
  process.send('ready')
  let allowance = 0
  let last = performance.now()
  for (let next = 0; ;) {
    const now = performance.now()
    allowance = Math.min(allowance + ((now - last) / 1000) * RATE, AHEAD)
    last = now
    const before = allowance
    while (allowance > 0 && room.state === 'connected') {
      const { channel, data } = messages[next]
      const { channels } = room.engine.connection
      if (channels.bufferedAmount(channel) > AHEAD) break
      const status = channels.send(channel, data)
      if (status === BUFFER_FULL || status === CLOSED) break
      next = (next + 1) % messages.length
      allowance -= data.length
      if (next % 10 === 0) {
        allowance -= push(track, frame)
      }
    }
    room.engine.connection?.channels.flush?.()
    sent += before - allowance
    if (before === allowance) await delay(1)
    else await turn()
  }
}

const roles = { victim, attacker, idle: async () => (reportLoop(() => ({})), process.send('ready')) }

/** Processes that are to be stopped, whatever happens. */
const children = []

async function start(role, url = '', token = '') {
  const args = [`--role=${role}`, `--seed=${options.seed}`, `--url=${url}`, `--token=${token}`]
  const child = fork(fileURLToPath(import.meta.url), args, { execArgv: ['--max-old-space-size=2048'] })
  children.push(child)
  const [said] = await Promise.race([once(child, 'message'), once(child, 'exit')])
  if (said !== 'ready') throw new StepError(`the ${role} ended with ${said}`)
  return child
}

/** The participant that writes data-track packets as it likes. `ended`: settles when it has ended, with the reason. */
function startRaw(url, token) {
  const child = spawn(RAW, [url, token], { stdio: ['ignore', 'pipe', 'inherit'] })
  children.push(child)
  const ended = once(child, 'exit').then(
    ([code, signal]) => `the raw participant ended with ${signal ?? code}`,
  )
  const raw = { sent: '', ended }
  createInterface({ input: child.stdout }).on('line', (line) => (raw.sent = line))
  return raw
}

/** Why the victim failed. `calm`: ms for which the idle process's loop stopped. */
function judge(its, calm) {
  const faults = []
  if (its.busy > calm + MAX_BLOCK)
    faults.push(
      `its event loop was busy for ${its.busy.toFixed(0)} ms, the idle one stopped for ${calm.toFixed(0)} ms`,
    )
  if (its.rss > MAX_RSS) faults.push(`it holds ${mib(its.rss)} MiB`)
  if (its.seen.lost > 0) faults.push(`it lost its connection ${its.seen.lost} times`)
  return faults
}

async function soak() {
  const example = ['--package', 'datatrack-transport', '--example', 'raw_participant']
  await run('cargo', ['build', '--quiet', '--profile', DEV_PROFILE, ...example])
  const server = await LivekitServer.start()
  const faults = []
  let over = false
  const fault = (what) => over || faults.push(what)
  try {
    const latest = {}
    const keep = (name, child) => child.on('message', (its) => (latest[name] = its))
    const idle = await start('idle')
    keep('idle', idle)
    const target = await start('victim', server.url, await server.token('soak', 'victim'))
    const hostile = await start('attacker', server.url, await server.token('soak', 'mallory'))
    const raw = startRaw(server.url, await server.token('soak', 'raw'))
    const ended = once(target, 'exit').then(([code, signal]) => fault(`it ended with ${signal ?? code}`))
    void raw.ended.then(fault)
    keep('hostile', hostile)
    let most = { busy: 0, rss: 0, calm: 0 }
    target.on('message', (its) => {
      const { idle: calm = { max: 0 }, hostile: flood = { sent: 0 } } = latest
      most = {
        busy: Math.max(most.busy, its.busy),
        rss: Math.max(most.rss, its.rss),
        calm: Math.max(most.calm, calm.max),
      }
      say(
        `loop max ${its.max.toFixed(1)} ms, busy ${its.busy.toFixed(1)} ms, p99 ${its.p99.toFixed(1)} ms (idle process: max ${calm.max.toFixed(1)} ms); ` +
          `RSS ${mib(its.rss)} MiB; sent ${(flood.sent / 1e6 / (REPORT / 1000)).toFixed(1)} MB/s; ${its.data} data packets, ` +
          `dropped ${JSON.stringify(its.dropped)}; ${JSON.stringify(its.seen)}; streams ${JSON.stringify(its.streams)}; raw: ${raw.sent}; track packets ${JSON.stringify(its.tracks)}`,
      )
      faults.push(...judge(its, most.calm))
    })
    await Promise.race([ended, delay(Number(options.minutes) * 60_000)])
    say(`At most: event loop busy for ${most.busy.toFixed(1)} ms, RSS ${mib(most.rss)} MiB.`)
  } finally {
    over = true
    for (const child of children) child.kill('SIGKILL')
    await server.stop()
  }
  if (faults.length > 0) throw new StepError(`The victim failed:\n${[...new Set(faults)].join('\n')}`)
  say('The victim held.')
}

const role = options.role === undefined ? undefined : roles[options.role]
if (role === undefined) {
  const { soakAudio } = await import('./soak-audio.mjs')
  const [minutes, tracks] = [Number(options.minutes), Number(options.tracks)]
  await main(options.audio ? () => soakAudio({ minutes, tracks }) : soak)
} else {
  process.on('disconnect', () => process.exit(0))
  await role()
}

// `npm run soak -- --audio --minutes=10`: audio tracks between two processes, through a real LiveKit server, for a long
// time. Each process publishes half of them, and hears the others. Half of the tracks are captured in real time, as by a microphone; the others are captured ahead, as speech
// synthesis is, so their queue is always full. Each track has a faint tone, and a loud beep every two seconds. The run
// tells how long a beep takes from its capture until it is heard, at the beginning and at the end: queues that drift
// show there. It also tells what memory the processes have.
//   --minutes=2       for how long
//   --tracks=20       how many tracks; a participant hears at most 16 of another one
// It ends with 1 when a process ends, when memory or a delay has grown (`GROWTH`, `DRIFT`), or when counters do not add
// up.
import { fork } from 'node:child_process'
import { on, once } from 'node:events'
import { createRequire } from 'node:module'
import { loadavg } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { fromRoot, heading, say, StepError } from '../scripts/lib/steps.mjs'
import { cpuTimes, memory, threads } from './e2e/processes.mjs'
import { LivekitServer } from './e2e/server.mjs'
import { table } from './report.mjs'

const RATE = 48_000
/** ms of a captured frame in real time, and ahead. Tones of whole multiples of 50 Hz fit into both. */
const [REAL_TIME, AHEAD] = [20, 100]
/** ms from the beginning of a beep to the next one, and its length. */
const [BEEPS, BEEP] = [2000, 40]
/** Amplitudes of the tone, and of the beep. What is above `HEARD` is a beep. */
const [FAINT, LOUD, HEARD] = [300, 12_000, 4000]
/** ms between two reports. */
const REPORT = 30_000
/** Bytes by which the memory of a process may grow between the first half of the run and the second. */
const GROWTH = 8 * 2 ** 20
/** Fixes the size of V8's young generation. By default it grows twice, by 16 MB, whatever is in it. */
const FLAGS = ['--max-semi-space-size=1']
/** ms by which the median delay may grow between the first and the last report. */
const DRIFT = 20

/** ms by the clock that all processes of the machine share. */
const clock = () => Number(process.hrtime.bigint() / 1000n) / 1000
const kindOf = (name) => name.split(' ')[0]

/** A frame of the tone; the beep is in its first `beep` ms. */
function frameOf(sdk, tone, ms, beep) {
  const frame = sdk.AudioFrame.create(RATE, 1, (RATE * ms) / 1000)
  for (let at = 0; at < frame.data.length; at++) {
    const amplitude = at < (RATE * beep) / 1000 ? LOUD : FAINT
    frame.data[at] = amplitude * Math.sin((2 * Math.PI * tone * at) / RATE)
  }
  return frame
}

/** Publishes its tracks, and hears those of the other participant. */
async function participant(sdk, { url, token, tracks }) {
  const room = new sdk.Room()
  const streams = []
  room.on('trackSubscribed', (track, { trackName: name }) => {
    const stream = new sdk.AudioStream(track)
    streams.push(stream)
    void hear(stream, (at) => process.send({ heard: name, at }))
  })
  await room.connect(url, token, { autoSubscribe: true })
  const [realTime, ahead, publications] = [[], [], []]
  for (const index of tracks) {
    const isAhead = index % 2 === 1
    const name = `${isAhead ? 'ahead' : 'real-time'} ${index}`
    const ms = isAhead ? AHEAD : REAL_TIME
    const source = new sdk.AudioSource(RATE, 1, isAhead ? 1000 : 0)
    const [quiet, loud] = [0, BEEP].map((beep) => frameOf(sdk, 300 + 50 * index, ms, beep))
    const track = sdk.LocalAudioTrack.createAudioTrack(name, source)
    publications.push(await room.localParticipant.publishTrack(track, { dtx: index % 8 < 4 }))
    // So that not all of them beep at once.
    const first = (index * BEEPS) / 20
    /** Captures the frame number `count`. */
    const capture = (count) => {
      const since = (((count * ms - first) % BEEPS) + BEEPS) % BEEPS
      if (since < ms) process.send({ captured: name, at: clock() })
      return source.captureFrame(since < BEEP ? loud : quiet)
    }
    if (isAhead) ahead.push(capture)
    else realTime.push(capture)
  }
  process.send('ready')
  for (const capture of ahead) void whenThereIsRoom(capture)
  inRealTime(realTime)
  setInterval(() => {
    const [heard, spoken] = [streams, publications].map((all) => all.map((each) => each.stats()))
    process.send({ stats: { heard, spoken } })
  }, REPORT)
}

/** Tells when each beep begins. */
async function hear(stream, tell) {
  let last = 0
  for await (const { data } of stream) {
    if (!data.some((sample) => sample > HEARD)) continue
    const at = clock()
    if (at - last > BEEPS / 2) tell(at)
    last = at
  }
}

async function whenThereIsRoom(capture) {
  for (let count = 0; ; count++) await capture(count)
}

function inRealTime(captures) {
  const begun = clock()
  let count = 0
  setInterval(() => {
    for (; count * REAL_TIME <= clock() - begun; count++) for (const capture of captures) void capture(count)
  }, REAL_TIME)
}

const sum = (all, name) => all.reduce((total, stats) => total + stats[name], 0)
const mib = (bytes) => (bytes / 2 ** 20).toFixed(1)

/** The counters of all tracks together, and whether they add up. */
function counted(participants) {
  const [heard, spoken] = ['heard', 'spoken'].map((which) => participants.flatMap((its) => its[which]))
  const packets = ['Decoded', 'Late', 'Duplicate', 'Invalid', 'Surplus', 'Discarded', 'Undecryptable', 'Held']
  const parts = [
    'packetsSent',
    'packetsQueued',
    'packetsDropped',
    'unitsWithheld',
    'unitsMuted',
    'unitsFailed',
  ]
  const total = (all, names) => names.reduce((whole, name) => whole + sum(all, name), 0)
  const closes =
    sum(heard, 'packetsReceived') ===
      total(
        heard,
        packets.map((name) => `packets${name}`),
      ) &&
    sum(heard, 'framesProduced') === total(heard, ['framesDelivered', 'framesDropped', 'framesQueued']) &&
    sum(spoken, 'units') === total(spoken, parts)
  const seconds = (name) => (sum(heard, name) / RATE).toFixed(2)
  return {
    closes,
    text:
      `received ${sum(heard, 'packetsReceived')}, lost ${sum(heard, 'packetsLost')}, surplus ${sum(heard, 'packetsSurplus')}; ` +
      `concealed ${seconds('samplesConcealed')} s, silent ${seconds('samplesSilent')} s; frames dropped ${sum(heard, 'framesDropped')}; ` +
      `sent ${sum(spoken, 'packetsSent')}, withheld ${sum(spoken, 'unitsWithheld')}, dropped ${sum(spoken, 'packetsDropped')}`,
  }
}

/** The delays of the beeps since the last report. */
class Delays {
  #captured = new Map()
  #delays = new Map()

  captured({ captured: name, at }) {
    const times = this.#captured.get(name) ?? []
    this.#captured.set(name, [...times, at].slice(-4))
  }

  heard({ heard: name, at }) {
    const begun = this.#captured.get(name)?.findLast((time) => time <= at)
    if (begun === undefined) return
    const kind = kindOf(name)
    this.#delays.set(kind, [...(this.#delays.get(kind) ?? []), at - begun])
  }

  /** Minimum, median and maximum, by kind. */
  take() {
    const delays = this.#delays
    this.#delays = new Map()
    return new Map(
      [...delays].sort().map(([kind, all]) => {
        const sorted = all.sort((one, other) => one - other)
        return [kind, [sorted[0], sorted[sorted.length >> 1], sorted.at(-1)]]
      }),
    )
  }
}

const spread = (delays) => delays.map((ms) => ms.toFixed(1)).join(' / ')

/** See the top of this file. */
export async function soakAudio({ minutes, tracks }) {
  const server = await LivekitServer.start()
  const children = {}
  const faults = []
  try {
    const all = Array.from({ length: tracks }, (_, index) => index)
    for (const [role, its] of [
      ['one', all.filter((index) => index % 4 < 2)],
      ['other', all.filter((index) => index % 4 >= 2)],
    ]) {
      const options = { url: server.url, token: await server.token('soak', role), tracks: its }
      const child = fork(fileURLToPath(import.meta.url), [JSON.stringify(options)], { execArgv: FLAGS })
      children[role] = child
      const ended = once(child, 'exit').then(([code, signal]) => signal ?? code)
      const ready = (async () => {
        for await (const [said] of on(child, 'message')) if (said === 'ready') return said
      })()
      const said = await Promise.race([ready, ended])
      if (said !== 'ready') throw new StepError(`the process "${role}" ended with ${said}`)
      child.on('exit', (code, signal) => faults.push(`the ${role} ended with ${signal ?? code}`))
    }
    const reports = await watch(children, minutes, faults)
    for (const child of Object.values(children)) child.removeAllListeners('exit')
    judge(reports, faults)
    heading(`${tracks} audio tracks for ${minutes} min; load ${loadavg()[0].toFixed(1)}`)
    const [first, last] = [reports[0], reports.at(-1)]
    table(
      ['', 'first 30 s', 'last 30 s'],
      [
        ...[...first.delays].map(([kind, delays]) => [
          `delay ${kind}, ms, min / median / max`,
          spread(delays),
          spread(last.delays.get(kind) ?? []),
        ]),
        ...Object.keys(children).map((role) => [
          `memory of the ${role}, MiB`,
          mib(first.resident[role]),
          mib(last.resident[role]),
        ]),
      ],
    )
    say(last.counted.text)
  } finally {
    for (const child of Object.values(children)) child.kill('SIGKILL')
    await server.stop()
  }
  if (faults.length > 0) throw new StepError(faults.join('\n'))
  say('All held.')
}

/** Reports for so many minutes, after the first half minute. */
async function watch(children, minutes, faults) {
  const delays = new Delays()
  const stats = {}
  for (const [role, child] of Object.entries(children)) {
    child.on('message', (said) => {
      if (said.captured !== undefined) delays.captured(said)
      else if (said.heard !== undefined) delays.heard(said)
      else stats[role] = said.stats
    })
  }
  const pids = Object.fromEntries(Object.entries(children).map(([role, { pid }]) => [role, pid]))
  await delay(REPORT)
  delays.take()
  const reports = []
  let cpu = cpuTimes(Object.values(pids))
  for (let left = (minutes * 60_000) / REPORT; left > 0 && faults.length === 0; left--) {
    await delay(REPORT)
    const resident = Object.fromEntries(
      Object.entries(pids).map(([role, pid]) => [role, memory([pid]).resident]),
    )
    const report = { delays: delays.take(), resident, counted: counted(Object.values(stats)) }
    reports.push(report)
    const now = cpuTimes(Object.values(pids))
    const used = Object.entries(pids).map(
      ([role, pid]) =>
        `${role} ${mib(resident[role])} MiB, ${threads([pid])} threads, ${((100_000 * (now.get(pid) - cpu.get(pid))) / REPORT).toFixed(1)} %`,
    )
    cpu = now
    say(
      `${[...report.delays].map(([kind, all]) => `${kind} ${spread(all)} ms`).join(', ')}; ` +
        `${used.join(', ')}; ${report.counted.text}; load ${loadavg()[0].toFixed(1)}`,
    )
  }
  return reports
}

/** What has grown, and what does not add up. */
function judge(reports, faults) {
  if (reports.length < 2) return
  const [first, last] = [reports[0], reports.at(-1)]
  for (const [kind, [, median]] of first.delays) {
    const grown = (last.delays.get(kind)?.[1] ?? Infinity) - median
    if (grown > DRIFT) faults.push(`the delay ${kind} has grown by ${grown.toFixed(1)} ms`)
  }
  const half = reports.length >> 1
  const floor = (some, role) => Math.min(...some.map(({ resident }) => resident[role]))
  for (const role of Object.keys(first.resident)) {
    const grown = floor(reports.slice(half), role) - floor(reports.slice(0, half), role)
    if (grown > GROWTH) faults.push(`the memory of the ${role} has grown by ${mib(grown)} MiB`)
  }
  if (!last.counted.closes) faults.push('counters do not add up')
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.on('disconnect', () => process.exit(0))
  const sdk = createRequire(import.meta.url)(fromRoot('dist', 'index.js'))
  sdk.setLogLevel('error')
  await participant(sdk, JSON.parse(process.argv[2]))
}

// JavaScript push → addon → loopback → addon → JavaScript `for await`, compared with livekit-client's plain JavaScript
// in the same process. The contenders take turns. Wall time is measured by hrtime, the process's CPU time by
// process.cpuUsage.
import { createRequire } from 'node:module'
import { fromRoot } from '../scripts/lib/steps.mjs'
import { loadLivekitClient } from './livekit-client.mjs'

const require = createRequire(import.meta.url)

export const SIZES = [
  ['64 B', 64],
  ['256 B', 256],
  ['1 KiB', 1 << 10],
  ['15 KiB', 15 << 10],
  ['200 KiB', 200 << 10],
  ['1 MiB', 1 << 20],
]

/** Frames in flight at a time. Neither queue overflows with that many (1 MiB, 1,024 frames). */
const inFlight = (size) => Math.max(1, Math.min(256, Math.floor((1 << 20) / (size + 256)) - 1))

const turnOfLoop = () => new Promise((resolve) => setImmediate(resolve))

/** Moves frames over `tracks` tracks with one stream each. */
class Addon {
  static async open({ Loopback, ExternalE2EEKeyProvider }, { tracks, size, encrypted = false }) {
    const sfu = new Loopback()
    const join = async (identity) => {
      if (!encrypted) return sfu.join(identity)
      const keyProvider = new ExternalE2EEKeyProvider({ keyDerivation: 'HKDF' })
      await keyProvider.setKey('a key for the bench')
      return sfu.join(identity, { encryption: { keyProvider } })
    }
    const [alice, bob] = [await join('alice'), await join('bob')]
    const addon = new Addon(sfu, size)
    for (let index = 0; index < tracks; index++) {
      const name = `track ${index}`
      // If other processes keep the machine busy for a while, no frame may be lost here.
      addon.locals.push(await alice.localParticipant.publishDataTrack({ name, maxQueueAge: Infinity }))
      const remote = await bob.remoteParticipants.get('alice').dataTracks.getDeferred(name)
      addon.consume(remote.subscribe({ maxBufferAge: Infinity }))
    }
    await turnOfLoop()
    return addon
  }

  constructor(sfu, size) {
    this.sfu = sfu
    this.size = size
    this.window = inFlight(size)
    this.payload = new Uint8Array(size).fill(7)
    this.locals = []
    this.next = 0
    this.sent = 0
    this.goal = 0
    this.received = 0
    this.done = null
  }

  async consume(stream) {
    try {
      for await (const frame of stream) {
        if (frame.payload.byteLength !== this.size) throw new Error('a frame arrived damaged')
        this.received++
        // Half of the frames have arrived. The other half keeps both sides busy meanwhile.
        if (this.sent - this.received <= this.window >> 1) this.push()
        if (this.received === this.goal) this.done.resolve()
      }
    } catch (error) {
      this.done?.reject(error)
    }
  }

  push() {
    const { locals, payload } = this
    while (this.sent < this.goal && this.sent - this.received < this.window) {
      locals[this.next].tryPush({ payload })
      this.next = this.next + 1 === locals.length ? 0 : this.next + 1
      this.sent++
    }
  }

  async run(frames) {
    this.goal += frames
    const finished = new Promise((resolve, reject) => (this.done = { resolve, reject }))
    this.push()
    await within(30_000, finished, () => `${this.goal - this.received} frames of ${frames} were lost`)
  }

  close() {
    this.sfu.close()
  }
}

/** Fails instead of hanging when a frame was lost. */
async function within(ms, promise, message) {
  let timer
  const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error(message())), ms)))
  try {
    await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

class Plain {
  constructor(pipeline, size) {
    this.pipeline = pipeline
    this.payload = new Uint8Array(size).fill(7)
  }

  run(frames) {
    const { pipeline, payload } = this
    for (let frame = 0; frame < frames; frame++) {
      if (pipeline(payload)?.payload.byteLength !== payload.byteLength) throw new Error('a frame was lost')
    }
  }
}

/** Nanoseconds per frame: wall time, and CPU time of all processors. */
async function measure(contender, frames) {
  const cpu = process.cpuUsage()
  const start = process.hrtime.bigint()
  await contender.run(frames)
  const wall = Number(process.hrtime.bigint() - start)
  const { user, system } = process.cpuUsage(cpu)
  return { wall: wall / frames, cpu: ((user + system) * 1_000) / frames }
}

async function compare(contenders, { rounds, turnMs }) {
  const counts = new Map()
  for (const [name, contender] of contenders) {
    let frames = 16
    // Runs twice as long as a turn, so that the code is fully compiled.
    for (;;) {
      const { wall } = await measure(contender, frames)
      if ((wall * frames) / 1e6 > turnMs || frames > 1e7) {
        counts.set(name, Math.max(16, Math.round((turnMs * 1e6) / wall)))
        break
      }
      frames *= 2
    }
  }
  const samples = new Map(contenders.map(([name]) => [name, []]))
  for (let round = 0; round < rounds; round++) {
    for (const [name, contender] of contenders) {
      samples.get(name).push(await measure(contender, counts.get(name)))
    }
  }
  return new Map([...samples].map(([name, all]) => [name, summary(all)]))
}

function summary(samples) {
  const sorted = (key) => samples.map((sample) => sample[key]).sort((one, other) => one - other)
  const [wall, cpu] = [sorted('wall'), sorted('cpu')]
  const middle = samples.length >> 1
  return { wall: wall[middle], min: wall[0], max: wall.at(-1), cpu: cpu[middle] }
}

/** Runs everything; yields `{ group, size, name, wall, min, max, cpu }`. */
export async function* addonRows({ quick }) {
  const plan = quick ? { rounds: 5, turnMs: 10 } : { rounds: 21, turnMs: 40 }
  const library = require(fromRoot('dist/index.js'))
  const pipeline = loadLivekitClient()
  for (const [size, bytes] of SIZES) {
    const ours = await Addon.open(library, { tracks: 1, size: bytes })
    const sealed = await Addon.open(library, { tracks: 1, size: bytes, encrypted: true })
    const results = await compare(
      [
        ['ours', ours],
        ['ours, E2EE', sealed],
        ['livekit-client', new Plain(pipeline(), bytes)],
      ],
      plan,
    )
    ours.close()
    sealed.close()
    for (const [name, result] of results) yield { group: 'addon', size, name, ...result }
  }
  const contenders = []
  for (const tracks of [1, 1_000]) contenders.push([tracks, await Addon.open(library, { tracks, size: 256 })])
  for (const [tracks, result] of await compare(contenders, plan)) {
    yield { group: 'tracks', size: '256 B', name: tracks, ...result }
  }
  for (const [, contender] of contenders) contender.close()
}

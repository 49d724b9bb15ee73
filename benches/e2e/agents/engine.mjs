// What a participant of the bench does: offers frames at a rate, and records what arrives. The same code drives our
// package, rtc-node and livekit-client in its page, so it uses nothing that only Node.js or only a browser has;
// python.py is its translation. `adapter` is the library:
//
//   connect(url, token, options)   disconnect()            now(): ms of a clock that all processes share
//   publish(name): push(payload), which returns nothing or a promise, and throws or rejects when it refuses
//   subscribe(name, onFrame)       registerRpc(method, answer)        call(identity, method, payload)
//   openStream(topic, identity, size): { write(chunk), close() }      onStream(topic, onChunk, onEnd)
//   room(url, token): an idle room more                               pause(ms)
//
// A payload begins with: float64 the time it was sent, uint32 the phase it belongs to, uint32 its number.

const HEADER = 16
/** A publisher's lateness up to this many ms does not count as latency: timers are not more exact than that. */
const GRAIN = 5
/** Pushes before the publisher looks at the clock and yields to the event loop. */
const BATCH = 64
/** Pushes that may be in flight. Further pushes count as refused. */
const OUTSTANDING = 4096
/** How many ms after the end a frame that was due before it may still be pushed. */
const GRACE = 250
const CHUNK = 15_000

export class Engine {
  #adapter
  #tracks = new Map()
  /** By phase: how many arrived, and their latencies. */
  #phases = new Map()
  #waiting = new Set()
  #lastFrame = 0
  #streams = new Map()
  #stopped = false

  constructor(adapter) {
    this.#adapter = adapter
  }

  /** Runs one command and returns its result. */
  handle({ op, ...args }) {
    return this[op](args)
  }

  async connect({ url, token, options }) {
    await this.#adapter.connect(url, token, options)
  }

  async room({ url, token }) {
    await this.#adapter.room(url, token)
  }

  async publish({ names }) {
    for (const name of names) this.#tracks.set(name, await this.#adapter.publish(name))
  }

  async subscribe({ names }) {
    for (const name of names) await this.#adapter.subscribe(name, (payload) => this.#arrived(payload, name))
  }

  /** Pushes a small frame on each track every few ms until `stop`. */
  probe({ phase, interval = 10 }) {
    this.#stopped = false
    const push = async () => {
      while (!this.#stopped) {
        for (const track of this.#tracks.values()) this.#push(track, frameOf(HEADER, phase), 0, {})
        await this.#adapter.pause(interval)
      }
    }
    void push()
  }

  stop() {
    this.#stopped = true
  }

  /** Resolves when a frame of the phase has arrived on each track. */
  flowing({ phase, names }) {
    const missing = new Set(names)
    return new Promise((resolve) => {
      const look = (name, of) => {
        if (of === phase) missing.delete(name)
        if (missing.size > 0) return
        this.#waiting.delete(look)
        resolve()
      }
      this.#waiting.add(look)
      look()
    })
  }

  /**
   * Offers `rate` frames a second in all, to the tracks in turn, for `warm` and then for `seconds`. Frames of the
   * warm-up belong to phase 0. A frame that could not be pushed in that time still counts as offered, and so as lost.
   */
  async offer({ phase, size, rate, seconds, warm = 0 }) {
    const tracks = [...this.#tracks.values()]
    const counts = { pushed: 0, refused: 0, late: 0, outstanding: 0 }
    const [warming, measured] = [Math.round(rate * warm), Math.round(rate * seconds)]
    const [first, payload] = [frameOf(size, 0), frameOf(size, phase)]
    const start = this.#adapter.now()
    const end = start + (warm + seconds) * 1000 + GRACE
    this.#stopped = false
    for (let number = 0; number < warming + measured && !this.#stopped;) {
      let now = this.#adapter.now()
      if (now > end) break
      const due = Math.min(warming + measured, 1 + Math.floor(((now - start) * rate) / 1000))
      for (let batch = Math.min(due, number + BATCH); number < batch; number++) {
        const intended = start + (number * 1000) / rate
        const frame = number < warming ? first : payload
        const of = number < warming ? { outstanding: 0 } : counts
        frame.view.setUint32(12, number, true)
        if (number >= warming) counts.late = Math.max(counts.late, now - intended)
        this.#push(tracks[number % tracks.length], frame, now - intended > GRAIN ? intended : now, of)
        if ((number & 7) === 7) now = this.#adapter.now()
      }
      if (number < due) await this.#adapter.pause(0)
      else await this.#adapter.pause(Math.max(1, start + (number * 1000) / rate - this.#adapter.now()))
    }
    return { offered: measured, pushed: counts.pushed, refused: counts.refused, late: counts.late }
  }

  /** The same without a library: what the pacing alone reaches. */
  async pace(args) {
    const [tracks, push] = [this.#tracks, () => {}]
    this.#tracks = new Map([['none', push]])
    try {
      return await this.offer(args)
    } finally {
      this.#tracks = tracks
    }
  }

  /** What arrived of a phase, once nothing has arrived for `quiet` ms, or after `longest` ms. */
  async collect({ phase, quiet = 300, longest = 3000 }) {
    const start = this.#adapter.now()
    for (;;) {
      const now = this.#adapter.now()
      const idle = now - Math.max(this.#lastFrame, start)
      const done = idle >= quiet
      if (done || now - start >= longest) {
        const { latencies = [], first, last } = this.#phases.get(phase) ?? {}
        this.#phases.delete(phase)
        return {
          received: latencies.length,
          quiet: done,
          span: (last ?? 0) - (first ?? 0),
          ...summary(latencies),
        }
      }
      await this.#adapter.pause(50)
    }
  }

  #push(track, { bytes, view }, stamp, counts) {
    if (counts.outstanding >= OUTSTANDING) {
      counts.refused += 1
      return
    }
    view.setFloat64(0, stamp, true)
    try {
      const pending = track(bytes)
      counts.pushed += 1
      if (pending === undefined) return
      counts.outstanding += 1
      pending.catch(() => (counts.refused += 1)).finally(() => (counts.outstanding -= 1))
    } catch {
      counts.refused += 1
    }
  }

  #arrived(payload, name) {
    const now = this.#adapter.now()
    const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength)
    const phase = view.getUint32(8, true)
    this.#lastFrame = now
    if (phase !== 0) {
      let of = this.#phases.get(phase)
      if (of === undefined) this.#phases.set(phase, (of = { latencies: [], first: now }))
      of.latencies.push(now - view.getFloat64(0, true))
      of.last = now
    }
    for (const look of this.#waiting) look(name, phase)
  }

  // What is reliable.

  answer({ method }) {
    this.#adapter.registerRpc(method, (payload) => payload)
  }

  /** Makes calls one after the other, `interval` ms apart: `count` of them, or until `stop`. */
  async calls({ identity, method, payload, count = Infinity, interval = 0, seconds = Infinity }) {
    const times = []
    let failed = 0
    this.#stopped = false
    const end = this.#adapter.now() + seconds * 1000
    while (times.length + failed < count && !this.#stopped && this.#adapter.now() < end) {
      const start = this.#adapter.now()
      try {
        await this.#adapter.call(identity, method, payload)
        times.push(this.#adapter.now() - start)
      } catch {
        failed += 1
      }
      if (interval > 0) await this.#adapter.pause(interval)
    }
    return { failed, ...summary(times) }
  }

  /** Counts the bytes of streams that arrive on a topic. */
  receiveStreams({ topic }) {
    const state = { bytes: 0, ended: 0 }
    this.#streams.set(topic, state)
    this.#adapter.onStream(
      topic,
      (chunk) => (state.bytes += chunk.byteLength),
      () => (state.ended += 1),
    )
  }

  /** Resolves when `count` streams have ended, or after `seconds`, with what arrived by then. */
  async streams({ topic, count, seconds }) {
    const state = this.#streams.get(topic)
    const end = this.#adapter.now() + seconds * 1000
    while (state.ended < count && this.#adapter.now() < end) await this.#adapter.pause(5)
    return { ...state }
  }

  async sendStream({ topic, identity, size }) {
    const stream = await this.#adapter.openStream(topic, identity, size)
    const chunk = new Uint8Array(CHUNK)
    for (let left = size; left > 0; left -= chunk.length) {
      await stream.write(left < chunk.length ? chunk.subarray(0, left) : chunk)
    }
    await stream.close()
  }

  async disconnect() {
    await this.#adapter.disconnect()
  }
}

function frameOf(size, phase) {
  const bytes = new Uint8Array(size)
  const view = new DataView(bytes.buffer)
  view.setUint32(8, phase, true)
  return { bytes, view }
}

/** Percentiles in ms. */
function summary(latencies) {
  const sorted = Float64Array.from(latencies).sort()
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? null
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), max: at(1) }
}

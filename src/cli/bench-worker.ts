/** One of the two processes of `datatrack bench`. Each end has its own process, and so its own event loop. */
import type { LocalDataTrack } from '../data-track/local'
import type { RemoteDataTrack } from '../data-track/remote'
import type { DataTrackStream } from '../data-track/stream'
import { DataTrackPushFrameError } from '../base/errors'
import { Deferred } from '../base/abort'
import type { Room } from '../room/room'
import { FRAME_HEADER, PROBE_RUN, sharedClock } from './bench-messages'
import type { BenchAnswer, BenchRequest, ReceivedFigures, SentFigures } from './bench-messages'
import { encryptionOf } from './encryption'
import { LatencyHistogram } from './histogram'
import { pace } from '../check/pace'
import { dropsOf } from './progress'
import { joinRoom } from '../check/rooms'

/** Small frames a second before the first run. */
const PROBE_RATE = 50
/** If no frame arrives for so many ms, the missing frames of a run are lost. */
const SILENCE = 500
/** Time limit for sending the last frames of a run, ms. */
const FLUSH = 5000
/** After a pause of the process, frames of the last so many seconds are made up for. */
const CATCH_UP = 0.1

/** One end of the bench: the publisher or the subscriber. */
interface Worker {
  handle(request: BenchRequest): Promise<unknown>
}

class Publisher implements Worker {
  readonly #track: LocalDataTrack
  #probing: AbortController | undefined

  constructor(track: LocalDataTrack) {
    this.#track = track
  }

  static async start(room: Room, name: string): Promise<Publisher> {
    return new Publisher(await room.localParticipant.publishDataTrack({ name }))
  }

  handle(request: BenchRequest): Promise<unknown> {
    if (request.type === 'probe') this.#probe(request.on)
    if (request.type === 'send') return this.#send(request)
    return Promise.resolve()
  }

  #probe(on: boolean): void {
    this.#probing?.abort()
    if (!on) return
    this.#probing = new AbortController()
    const frame = frameOf(PROBE_RUN, FRAME_HEADER)
    pace(PROBE_RATE, this.#probing.signal, () => this.#push(frame))
  }

  async #send({ run, rate, size, seconds }: Extract<BenchRequest, { type: 'send' }>): Promise<SentFigures> {
    const track = this.#track
    const before = track.stats()
    const frame = frameOf(run, size)
    const last = Math.round(rate * seconds)
    const cpu = cpuMeter()
    const stop = new AbortController()
    const done = new Deferred<undefined>()
    pace(
      rate,
      stop.signal,
      (index) => {
        this.#push(frame)
        if (index < last) return
        stop.abort()
        done.resolve(undefined)
      },
      Math.max(100, Math.ceil(rate * CATCH_UP)),
    )
    await done.promise
    const share = cpu()
    await track.flush({ signal: AbortSignal.timeout(FLUSH) }).catch(() => undefined)
    const after = track.stats()
    return {
      pushed: after.pushed - before.pushed,
      sent: after.sent - before.sent,
      dropped: increase(before.dropped, after.dropped),
      cpu: share,
    }
  }

  #push(frame: DataView<ArrayBuffer>): void {
    frame.setFloat64(4, sharedClock())
    try {
      this.#track.tryPush(new Uint8Array(frame.buffer))
    } catch (error) {
      // While the room is reconnecting, the frame is not pushed. The figures show it: `pushed` is lower than the rate.
      if (!(error instanceof DataTrackPushFrameError && error.reason === 'reconnecting')) throw error
    }
  }
}

class Subscriber implements Worker {
  readonly #track: RemoteDataTrack
  readonly #stream: DataTrackStream
  readonly #first = new Deferred<undefined>()
  readonly #latencies = new LatencyHistogram()
  #run = PROBE_RUN
  #received = 0
  #max = 0
  #heardAt = 0
  #before: Record<string, number> = {}
  #cpu = cpuMeter()

  constructor(track: RemoteDataTrack) {
    this.#track = track
    this.#stream = track.subscribe()
    void this.#read().catch((error: unknown) => this.#first.reject(error))
  }

  static async start(room: Room, name: string): Promise<Subscriber> {
    for await (const track of room.dataTracks({ name })) return new Subscriber(track)
    throw new Error('the room closed before the track appeared')
  }

  async handle(request: BenchRequest): Promise<unknown> {
    if (request.type === 'await') await this.#first.promise
    if (request.type === 'count') this.#count(request.run)
    return request.type === 'report' ? await this.#report(request.sent) : undefined
  }

  async #read(): Promise<void> {
    for await (const { payload } of this.#stream) {
      const header = new DataView(payload.buffer, payload.byteOffset, payload.byteLength)
      const now = sharedClock()
      this.#heardAt = now
      if (header.getUint32(0) !== this.#run) continue
      const latency = now - header.getFloat64(4)
      this.#received += 1
      this.#max = Math.max(this.#max, latency)
      this.#latencies.record(latency)
      this.#first.resolve(undefined)
    }
    throw new Error('the track has ended')
  }

  #count(run: number): void {
    this.#run = run
    this.#received = 0
    this.#max = 0
    this.#latencies.clear()
    this.#before = this.#drops()
    this.#cpu = cpuMeter()
  }

  /** Waits until all sent frames have arrived, or until none has arrived for `SILENCE`. */
  async #report(sent: number): Promise<ReceivedFigures> {
    const cpu = this.#cpu()
    const since = sharedClock()
    while (this.#received < sent && sharedClock() - Math.max(since, this.#heardAt) < SILENCE) {
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    const any = this.#received > 0
    return {
      received: this.#received,
      p50: this.#latencies.percentile(0.5) ?? null,
      p99: this.#latencies.percentile(0.99) ?? null,
      max: any ? this.#max : null,
      dropped: increase(this.#before, this.#drops()),
      cpu,
    }
  }

  #drops(): Record<string, number> {
    return dropsOf(this.#track.stats().dropped, this.#stream.stats().dropped)
  }
}

function frameOf(run: number, size: number): DataView<ArrayBuffer> {
  const frame = new DataView(new ArrayBuffer(size))
  frame.setUint32(0, run)
  return frame
}

/** Returns a function that tells which share of a core this process has used since now. */
function cpuMeter(): () => number {
  const before = process.cpuUsage()
  const since = performance.now()
  return () => {
    const { user, system } = process.cpuUsage(before)
    return (user + system) / 1000 / Math.max(1, performance.now() - since)
  }
}

type Counts = Readonly<Record<string, number | undefined>>

function increase(before: Counts, after: Counts): Record<string, number> {
  const negative = Object.entries(before).map(([reason, number = 0]) => [reason, -number] as const)
  const sums: Record<string, number> = {}
  for (const [reason, number = 0] of [...negative, ...Object.entries(after)]) {
    sums[reason] = (sums[reason] ?? 0) + number
  }
  return dropsOf(sums)
}

async function connect(request: Extract<BenchRequest, { type: 'connect' }>): Promise<Worker> {
  const { role, url, token, iceTransports, passphraseFile, track } = request
  const encryption = await encryptionOf(process.env, { passphraseFile })
  const room = await joinRoom(url, token, { iceTransports, encryption })
  process.once('disconnect', () => void room.disconnect().then(() => process.exit(0)))
  return await (role === 'publisher' ? Publisher.start(room, track) : Subscriber.start(room, track))
}

/** Serves the requests of the process that has forked this one. */
export function serveBench(): void {
  let worker: Promise<Worker> | undefined
  const answer = (message: BenchAnswer): void => {
    // The parent process may have ended. Sending to it would then throw.
    if (process.connected) process.send?.(message)
  }
  process.on('message', (request: BenchRequest) => {
    const result = (async () => {
      if (request.type !== 'connect') return await (await worker)?.handle(request)
      worker = connect(request)
      await worker
      return undefined
    })()
    result.then(
      (value) => answer({ ok: true, value }),
      (error: unknown) =>
        answer({ ok: false, message: error instanceof Error ? error.message : String(error) }),
    )
  })
  // The process is useless without its parent. It ends even if it has no room yet that could disconnect.
  process.on('disconnect', () => setTimeout(() => process.exit(0), 1000))
  // Ctrl-C signals all processes of the terminal. This process ignores it, and ends when the parent disconnects.
  process.on('SIGINT', () => undefined)
}

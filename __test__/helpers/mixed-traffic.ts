/**
 * Traffic of all kinds from one room to another: frames of a data track, reliable and lossy packets, text streams and
 * calls. Each message is numbered or compared, so that the test knows which ones were lost, doubled or changed.
 */
import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { expect } from 'vitest'
import { RoomEvent } from '../../index'
import type { DataTrackStream, LocalDataTrack, RemoteDataTrack, Room } from '../../index'
import { pace } from '../../src/check/pace'
import type { LivekitServer } from './livekit-server'
import { lostByServer, pattern, same, seen, sum } from './scene'
import { allOverflows } from './udp-overflows'

/** Frames a second, and bytes of ten in a row. The largest one takes two packets. */
export const FRAME_RATE = 500
const FRAME_BYTES = [16, 200, 1000, 200, 4000, 200, 1000, 16, 200, 20_000] as const
/** Packets a second of either kind, and the most bytes of one. */
const PACKET_RATE = 50
const PACKET_BYTES = 1200
/** Characters of a text stream. */
const TEXT = 300_000
/** ms between two streams, and between two calls. */
const PAUSE = 100
/** Small frames that fit into one datagram. */
const FRAMES_OF_DATAGRAM = 16

/** What arrived, and what did not. */
export interface TrafficFigures {
  readonly frames: number
  /** Frames that were lost while the connection was interrupted, and at other times. */
  readonly lostFrames: readonly [interrupted: number, otherwise: number]
  /** Packets that the server says it dropped, datagrams that it did not send, and those that no program read in time. */
  readonly losses: readonly [packets: number, datagrams: number, unread: number]
  /** Frames that the publisher's queue dropped. */
  readonly dropped: number
  readonly reliable: number
  readonly lossy: number
  readonly lostLossy: number
  readonly texts: number
  readonly calls: number
  /** Reliable packets, streams and calls that failed because the connection was rebuilt. */
  readonly failed: number
}

/** Numbered messages of one kind: those that were sent, and those that have arrived. */
class Numbers {
  sent = 0
  newest = -1
  readonly arrived: number[] = []

  saw(number: number): void {
    this.arrived.push(number)
    this.newest = Math.max(this.newest, number)
  }

  /** The numbers in this range that have not arrived. */
  missing(from: number, to: number): number[] {
    const arrived = new Set(this.arrived)
    return Array.from({ length: to - from }, (_, index) => from + index).filter(
      (number) => !arrived.has(number),
    )
  }
}

/** A message with its number; {@link numberOf} checks it. */
function numbered(number: number, length: number): Uint8Array {
  const bytes = pattern(length, number)
  new DataView(bytes.buffer).setUint32(0, number)
  return bytes
}

function numberOf(bytes: Uint8Array): number {
  const number = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0)
  if (!same(bytes, numbered(number, bytes.length))) throw new Error(`message ${number} was changed`)
  return number
}

export class MixedTraffic {
  readonly #from: Room
  readonly #to: Room
  readonly #server: LivekitServer
  readonly #over = new AbortController()
  readonly #working: Promise<void>[] = []
  readonly #frames = new Numbers()
  readonly #reliable = new Numbers()
  readonly #lossy = new Numbers()
  /** Numbers of reliable packets whose promises rejected, and of those that may be lost because the receiver was away. */
  readonly #refused = new Set<number>()
  readonly #away: [from: number, to: number][] = []
  /** The first frame of each interruption, and the first frame after it. */
  readonly #interruptions: [from: number, to: number][] = []
  readonly #texts = new Map<string, boolean>()
  #calls = 0
  #failed = 0
  #interrupted = false
  /** How often the connection was interrupted so far. */
  #epoch = 0
  /**
   * Frames that may have been lost while the connection was not interrupted: the track says that its queue was full
   * (of a machine that is too busy to send), the server says that it lost them, or a program did not read its UDP socket
   * in time. That may be the relay, the server or this process.
   */
  #explained = 0
  readonly #overflows = allOverflows()
  #baseline = 0
  #error: Error | undefined
  #local: LocalDataTrack | undefined
  #remote: RemoteDataTrack | undefined

  private constructor(from: Room, to: Room, server: LivekitServer) {
    this.#from = from
    this.#to = to
    this.#server = server
  }

  /** Starts the traffic, and resolves when frames arrive. */
  static async start(from: Room, to: Room, server: LivekitServer): Promise<MixedTraffic> {
    const traffic = new MixedTraffic(from, to, server)
    await traffic.#start()
    return traffic
  }

  get #name(): string {
    return `from ${this.#from.localParticipant.identity} in ${this.#from.name}`
  }

  async #start(): Promise<void> {
    const [from, to, over] = [this.#from, this.#to, this.#over.signal]
    this.#receive()
    // A busy machine may let frames wait for longer than usual. That is no loss.
    const local = await from.localParticipant.publishDataTrack({ name: this.#name, maxQueueAge: Infinity })
    const remote = await seen(to, this.#name)
    this.#local = local
    this.#remote = remote
    const stream = remote.subscribe({ maxBufferAge: Infinity, bufferSize: 65_536, maxBufferBytes: 64 << 20 })
    await stream.ready
    this.#run(this.#read(stream))
    pace(FRAME_RATE, over, () => this.#push(local))
    pace(PACKET_RATE, over, (index) => this.#sendPackets(index))
    this.#run(this.#sendTexts())
    this.#run(this.#call())
    over.addEventListener('abort', () => stream.close())
    await this.#reaches(() => this.#frames.newest >= 0)
    this.#baseline = this.#losses()
    this.#interruptions.push([0, this.#frames.sent])
  }

  /** A failure of one kind of traffic ends the test. */
  #run(work: Promise<void>): void {
    this.#working.push(work.catch((error: unknown) => void (this.#error ??= error as Error)))
  }

  #losses(): number {
    if (this.#local === undefined) return 0
    const [packets, datagrams, unread] = this.#causes(this.#local)
    return (this.#local.stats().dropped.queueFull ?? 0) + packets + FRAMES_OF_DATAGRAM * (datagrams + unread)
  }

  #causes(local: LocalDataTrack): TrafficFigures['losses'] {
    const way = { servers: [this.#server], local, to: this.#to }
    const packets = lostByServer(way, 0)
    return [packets, lostByServer(way, 1) - packets, allOverflows() - this.#overflows]
  }

  #receive(): void {
    const { identity } = this.#from.localParticipant
    this.#to.on(RoomEvent.DataReceived, (payload, participant, kind, topic) => {
      if (topic !== 'mixed' || participant?.identity !== identity) return
      try {
        ;(kind === 'reliable' ? this.#reliable : this.#lossy).saw(numberOf(payload))
      } catch (error) {
        this.#error ??= error as Error
      }
    })
    this.#to.registerTextStreamHandler(`mixed from ${identity}`, async (reader) => {
      const epoch = this.#epoch
      try {
        this.#texts.set(await reader.readAll(), true)
      } catch (error) {
        if (!this.#mayFail(epoch)) throw error
      }
    })
    this.#to.registerRpcMethod(`mixed from ${identity}`, ({ payload }) =>
      Promise.resolve(payload.toUpperCase()),
    )
  }

  async #read(stream: DataTrackStream): Promise<void> {
    for await (const { payload } of stream) this.#frames.saw(numberOf(payload))
  }

  #push(local: LocalDataTrack): void {
    const frames = this.#frames
    const bytes = FRAME_BYTES[frames.sent % FRAME_BYTES.length] ?? 16
    try {
      local.tryPush({ payload: numbered(frames.sent, bytes) })
      frames.sent++
    } catch (error) {
      // A track takes no frames while its room reconnects.
      if ((error as { reason?: string }).reason !== 'reconnecting') this.#error ??= error as Error
    }
  }

  #sendPackets(index: number): void {
    const bytes = 4 + ((index * 97) % (PACKET_BYTES - 4))
    const lossy = this.#lossy.sent
    if (this.#from.state === 'connected') {
      const sent = this.#from.localParticipant.publishData(numbered(lossy, bytes), { topic: 'mixed' })
      this.#lossy.sent++
      // The channel was full, or the room began to reconnect: the packet is lost.
      sent.catch(() => undefined)
    }
    const number = this.#reliable.sent++
    const epoch = this.#epoch
    const options = { topic: 'mixed', reliable: true }
    const sending = this.#from.localParticipant.publishData(numbered(number, bytes), options)
    this.#run(
      sending.catch((error: unknown) => {
        if (!this.#mayFail(epoch)) throw error
        this.#refused.add(number)
        this.#failed++
      }),
    )
  }

  async #sendTexts(): Promise<void> {
    const topic = `mixed from ${this.#from.localParticipant.identity}`
    while (!this.#over.signal.aborted) {
      const text = randomBytes(TEXT / 2).toString('hex')
      const epoch = this.#epoch
      this.#texts.set(text, false)
      try {
        await this.#from.localParticipant.sendText(text, { topic })
        await this.#reaches(() => this.#texts.get(text) === true || this.#mayFail(epoch))
      } catch (error) {
        if (!this.#mayFail(epoch)) throw error
      }
      if (this.#texts.get(text) === false) this.#failed++
      await delay(PAUSE)
    }
  }

  async #call(): Promise<void> {
    const method = `mixed from ${this.#from.localParticipant.identity}`
    const destinationIdentity = this.#to.localParticipant.identity
    for (let number = 0; !this.#over.signal.aborted; number++) {
      const epoch = this.#epoch
      const payload = `call ${number}`
      try {
        const answer = await this.#from.localParticipant.performRpc({ destinationIdentity, method, payload })
        expect(answer).toBe(payload.toUpperCase())
        this.#calls++
      } catch (error) {
        if (!this.#mayFail(epoch)) throw error
        this.#failed++
      }
      await delay(PAUSE)
    }
  }

  /** Whether the connection has been interrupted since then, or still is. */
  #mayFail(epoch: number): boolean {
    return this.#interrupted || epoch !== this.#epoch
  }

  async #reaches(condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.#error !== undefined) throw this.#error
      await delay(5)
    }
  }

  /** Resolves when so many more frames have arrived, and besides a text and the answer to a call. */
  async carries(frames: number): Promise<void> {
    const [newest, calls, texts] = [this.#frames.newest + frames, this.#calls, this.#arrivedTexts]
    await this.#reaches(
      () => this.#frames.newest >= newest && this.#calls > calls && this.#arrivedTexts > texts,
    )
  }

  get #arrivedTexts(): number {
    return [...this.#texts.values()].filter(Boolean).length
  }

  /** The connection is about to be interrupted. Resolves when all frames that were pushed so far have arrived. */
  async breaks(): Promise<void> {
    const pushed = this.#frames.sent
    await this.#reaches(() => this.#frames.newest >= pushed - 1)
    this.#explained += this.#losses() - this.#baseline
    this.#interrupted = true
    this.#epoch++
    this.#interruptions.push([pushed, Infinity])
    this.#away.push([this.#reliable.newest + 1, Infinity])
  }

  /** Resolves when a frame arrives that is pushed after this call. */
  async flowsAgain(): Promise<void> {
    const pushed = this.#frames.sent
    await this.#reaches(() => this.#frames.newest >= pushed)
  }

  /** The connection is back. `rebuilt`: in a new session, so that messages may be lost. */
  comesBack(rebuilt: boolean): void {
    // The server may have lost frames already that come after the newest one here. It was sent no later ones than these.
    this.#baseline = this.#losses()
    const interruption = this.#interruptions.at(-1)
    if (interruption !== undefined) interruption[1] = this.#frames.sent
    this.#interrupted = false
    this.#epoch++
    const away = this.#away.at(-1)
    if (away !== undefined) away[1] = rebuilt ? this.#reliable.sent : away[0]
  }

  /** Ends the traffic, and checks all of it. */
  async stop(): Promise<TrafficFigures> {
    const frames = this.#frames.sent
    await this.#reaches(() => this.#frames.newest >= frames - 1)
    this.#explained += this.#losses() - this.#baseline
    this.#over.abort()
    // Each promise that is settled may start another one.
    for (let at = 0; at < this.#working.length; at++) await this.#working[at]
    // The server has the reliable packets. The last ones may still be on their way to the receiver.
    await this.#reaches(() => this.#reliable.newest >= this.#reliable.sent - 1)
    if (this.#error !== undefined) throw this.#error
    const interrupted = this.#interruptions.flatMap(([from, to]) => this.#frames.missing(from, to))
    const otherwise = this.#frames.missing(0, frames).length - interrupted.length
    for (const numbers of [this.#frames, this.#reliable, this.#lossy]) {
      expect(new Set(numbers.arrived).size).toBe(numbers.arrived.length)
    }
    expect(this.#reliable.arrived).toEqual([...this.#reliable.arrived].sort((left, right) => left - right))
    const lost = this.#reliable.missing(0, this.#reliable.sent).filter((number) => {
      const away = this.#away.some(([from, to]) => from <= number && number < to)
      return !away && !this.#refused.has(number)
    })
    const known = { away: this.#away, arrived: this.#reliable.newest, sent: this.#reliable.sent }
    expect(lost, `reliable packets: ${JSON.stringify(known)}`).toEqual([])
    expect(otherwise, `lost frames: ${this.#account(frames)}`).toBeLessThanOrEqual(this.#explained)
    return {
      frames: this.#frames.arrived.length,
      lostFrames: [interrupted.length, otherwise],
      losses: this.#local === undefined ? [0, 0, 0] : this.#causes(this.#local),
      dropped: sum(this.#local?.stats().dropped ?? {}),
      reliable: this.#reliable.arrived.length,
      lossy: this.#lossy.arrived.length,
      lostLossy: this.#lossy.sent - this.#lossy.arrived.length,
      texts: this.#arrivedTexts,
      calls: this.#calls,
      failed: this.#failed,
    }
  }
  /** Which frames are missing, and what both ends have counted. */
  #account(frames: number): string {
    const missing = this.#frames.missing(0, frames)
    const first = missing.filter((number) => !missing.includes(number - 1))
    const runs = first.map((number) => {
      let last = number
      while (missing.includes(last + 1)) last++
      return `${number}–${last}`
    })
    return JSON.stringify({
      runs,
      interruptions: this.#interruptions,
      sent: this.#local?.stats(),
      received: this.#remote?.stats(),
      connections: [this.#from, this.#to].map((room) => room.stats().connection?.datagramsLost),
    })
  }
}

/** Twenty reconnects in a row, of each kind, with so many tracks that handles of one session are other tracks' in the next. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest'
import { RoomEvent } from '../../index'
import type { DataTrackStream, LocalDataTrack, Room } from '../../index'
import { LivekitServer } from '../helpers/livekit-server'
import { Scene, event, seen } from '../helpers/scene'
import { SignalProxy } from '../helpers/signal-proxy'

const ROUNDS = 20
/** Handles begin at a random number below 256 in each session: with so many, sessions are bound to overlap. */
const TRACKS = 40
/** livekit-server 1.13.5 takes so many new subscriptions at once, and the others when its timer comes round, after 3 s. */
const AT_ONCE = 5
/** ms between two rounds of frames, one on each track. */
const PERIOD = 50

let server: LivekitServer
let proxy: SignalProxy
beforeAll(async () => {
  server = await LivekitServer.start()
})
afterAll(() => server.stop())
beforeEach(async () => {
  proxy = await SignalProxy.start(server.url)
})
afterEach(() => proxy.close())

/** Reads a track, whose payloads carry its name, and must never see another's. */
class Reader {
  readonly #name: string
  readonly strange: string[] = []
  #newest = -1
  #waiting: (() => void)[] = []
  readonly done: Promise<void>

  constructor(name: string, stream: DataTrackStream) {
    this.#name = name
    this.done = this.#read(stream)
  }

  /** Resolves when a frame has come that was pushed in that round or later. */
  async reached(round: number): Promise<void> {
    while (this.#newest < round) await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  async #read(stream: DataTrackStream): Promise<void> {
    for await (const { payload } of stream) {
      const [name, round] = Buffer.from(payload).toString().split(' ')
      if (name !== this.#name) this.strange.push(`${name ?? ''} on ${this.#name}`)
      this.#newest = Math.max(this.#newest, Number(round))
      const waiting = this.#waiting
      this.#waiting = []
      for (const resolve of waiting) resolve()
    }
  }
}

/** Pushes a frame on each track, again and again; what is refused while a room reconnects is lost. */
class Flow {
  readonly #tracks: readonly LocalDataTrack[]
  readonly #timer: NodeJS.Timeout
  round = 0

  constructor(tracks: readonly LocalDataTrack[]) {
    this.#tracks = tracks
    this.#timer = setInterval(() => this.#push(), PERIOD)
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #push(): void {
    this.round++
    for (const track of this.#tracks) {
      try {
        track.tryPush(Buffer.from(`${track.name} ${this.round}`))
      } catch (error) {
        expect(error).toMatchObject({ reason: 'reconnecting' })
      }
    }
  }
}

/** Waits for so many of them. */
function some(count: number, promises: readonly Promise<void>[]): Promise<void> {
  return new Promise((resolve) => {
    let done = 0
    for (const promise of promises) void promise.then(() => ++done === count && resolve())
  })
}

/** The tables of subscriber handles, as the server sent them: which tracks each number has stood for. */
function recordHandles(): ReadonlyMap<string, ReadonlySet<string>> {
  const meanings = new Map<string, Set<string>>()
  proxy.onResponse(({ message }) => {
    if (message.case !== 'dataTrackSubscriberHandles') return
    for (const [handle, { trackSid }] of Object.entries(message.value.subHandles)) {
      const sids = meanings.get(handle) ?? new Set()
      meanings.set(handle, sids.add(trackSid))
    }
  })
  return meanings
}

it.each([
  ['resumes', 'resume', 'bob', 'auto'],
  ['resumes with two peer connections', 'resume', 'bob', 'dual'],
  ["new sessions of the subscriber's", 'reconnect', 'bob', 'auto'],
  ["new sessions of the publisher's", 'reconnect', 'alice', 'dual'],
] as const)(
  `${ROUNDS} %s in a row while frames flow: none arrives on another track`,
  (_what, action, who, peerConnections) =>
    Scene.with(server, async (scene) => {
      const join = (identity: string) =>
        scene.join(identity, {
          connect: { peerConnections },
          ...(identity === who && { url: proxy.url }),
        })
      const rooms: Record<'alice' | 'bob', Room> = { alice: await join('alice'), bob: await join('bob') }
      const meanings = recordHandles()
      const ended: string[] = []
      for (const room of Object.values(rooms)) {
        room.on(RoomEvent.Disconnected, (reason) => ended.push(reason))
        room.on(RoomEvent.DataTrackUnpublished, (_sid, { name }) => ended.push(name))
      }
      const names = Array.from({ length: TRACKS }, (_none, index) => `track-${index}`)
      const locals = await Promise.all(
        names.map((name) => rooms.alice.localParticipant.publishDataTrack({ name })),
      )
      const streams = await Promise.all(names.map(async (name) => (await seen(rooms.bob, name)).subscribe()))
      const readers = streams.map((stream, index) => new Reader(names[index]!, stream))
      const flow = new Flow(locals)
      const all = (round: number) => readers.map((reader) => reader.reached(round))
      await Promise.all(all(0))
      for (let round = 0; round < ROUNDS; round++) {
        const back = event(rooms[who], RoomEvent.Reconnected)
        proxy.sendAway(action)
        await back
        await some(AT_ONCE, all(flow.round + 1))
      }
      await Promise.all(all(flow.round + 1))
      flow.stop()
      for (const stream of streams) stream.close()
      await Promise.all(readers.map(({ done }) => done))
      expect(readers.flatMap(({ strange }) => strange)).toEqual([])
      expect(ended).toEqual([])
      // Else nothing was tested.
      const shared = [...meanings.values()].filter((sids) => sids.size > 1)
      if (action === 'reconnect' && who === 'bob') expect(shared.length).toBeGreaterThan(0)
    }),
  120_000,
)

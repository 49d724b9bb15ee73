/**
 * Twenty reconnects of each kind in a row. There are so many tracks that a handle of one session stands for another
 * track in the next session.
 */
import { afterEach, beforeEach, expect, it } from 'vitest'
import { RoomEvent } from '../../index'
import type { DataTrackStream, LocalDataTrack, Room } from '../../index'
import { Scene, event, seen } from '../helpers/scene'
import { SignalProxy } from '../helpers/signal-proxy'
import { withServer } from '../helpers/with-server'

const ROUNDS = 20
/** In each session, handles begin at a random number below 256. With so many tracks, the sessions overlap. */
const TRACKS = 40
/** livekit-server 1.13.5 handles so many new subscriptions at once. The others wait up to 3 s, for its timer. */
const AT_ONCE = 5
/** ms between two rounds. In each round, one frame is pushed on each track. */
const PERIOD = 50

const server = withServer()
let proxy: SignalProxy
beforeEach(async () => {
  proxy = await SignalProxy.start(server.url)
})
afterEach(() => proxy.close())

/** Reads a track. The payloads contain the name of their track, so that the reader notices frames of another one. */
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

  /** Resolves when a frame has arrived that was pushed in that round or later. */
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

/** Pushes a frame on each track in each round. Frames that a track refuses while the room is reconnecting are lost. */
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

/** Resolves when so many of the promises have resolved. */
function some(count: number, promises: readonly Promise<void>[]): Promise<void> {
  return new Promise((resolve) => {
    let done = 0
    for (const promise of promises) void promise.then(() => ++done === count && resolve())
  })
}

/** For each subscriber handle that the server has sent: the SIDs of all tracks for which it has stood. */
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
  `after ${ROUNDS} %s in a row, no frame has arrived on another track`,
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
      // At least one handle has stood for two tracks. Otherwise the test would have tested nothing.
      const shared = [...meanings.values()].filter((sids) => sids.size > 1)
      if (action === 'reconnect' && who === 'bob') expect(shared.length).toBeGreaterThan(0)
    }),
  120_000,
)

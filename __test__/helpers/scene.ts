/** Rooms of a real server in one test, and frames through it. */
import { setTimeout as delay } from 'node:timers/promises'
import { Room } from '../../index'
import type {
  ConnectOptions,
  DataTrackFrame,
  DataTrackPublishOptions,
  DataTrackStream,
  LocalDataTrack,
  PushableFrame,
  RemoteDataTrack,
  RoomEvents,
  RoomOptions,
} from '../../index'
import type { LivekitServer, TokenOptions } from './livekit-server'

export interface JoinOptions extends TokenOptions {
  readonly room?: RoomOptions
  readonly connect?: ConnectOptions
  /** Where to connect to, if not to the server itself. */
  readonly url?: string
  /** Called before the room is connected. */
  readonly before?: (room: Room) => void
}

let scenes = 0

/** A room name of its own on the server, and the participants that the test put into it. */
export class Scene {
  readonly server: LivekitServer
  readonly name = `room-${process.pid}-${++scenes}`
  readonly #rooms: Room[] = []

  constructor(server: LivekitServer) {
    this.server = server
  }

  /** Runs `use`, then disconnects all rooms that joined. */
  static async with(server: LivekitServer, use: (scene: Scene) => Promise<void>): Promise<void> {
    const scene = new Scene(server)
    try {
      await use(scene)
    } finally {
      await Promise.all(scene.#rooms.map((room) => room.disconnect()))
    }
  }

  token(identity: string, options?: TokenOptions): Promise<string> {
    return this.server.token(this.name, identity, options)
  }

  /** Connects a participant. */
  async join(identity: string, options: JoinOptions = {}): Promise<Room> {
    const room = new Room(options.room)
    this.#rooms.push(room)
    options.before?.(room)
    await room.connect(options.url ?? this.server.url, await this.token(identity, options), options.connect)
    return room
  }
}

/** The next time a room emits that event; ask before what causes it. */
export function event<Name extends keyof RoomEvents>(
  room: Room,
  name: Name,
): Promise<Parameters<RoomEvents[Name]>> {
  return new Promise((resolve) => {
    room.once(name, ((...args: Parameters<RoomEvents[Name]>) => resolve(args)) as RoomEvents[Name])
  })
}

/** A track of `from`, as `to` sees it. */
export async function publish(
  from: Room,
  to: Room,
  options: Partial<DataTrackPublishOptions> = {},
): Promise<{ local: LocalDataTrack; remote: RemoteDataTrack }> {
  const local = await from.localParticipant.publishDataTrack({ name: 'track', ...options })
  return { local, remote: await seen(to, local.name) }
}

/** The track of that name, once the room knows it. */
export async function seen(room: Room, name: string): Promise<RemoteDataTrack> {
  for await (const track of room.dataTracks({ name })) return track
  throw new Error(`the room ended before ${name} came`)
}

/** What marks frames that only find out whether the path is there. */
const PROBE = 2n ** 60n
/** ms between two of them. */
const PROBES = 20

/**
 * Sends probes until one arrives. A subscription takes effect at the server some time after the call, and nothing tells
 * when; so does a path after a reconnect.
 */
export async function flowing(local: LocalDataTrack, ...streams: DataTrackStream[]): Promise<void> {
  const done = new AbortController()
  const probing = (async () => {
    for (let probe = PROBE; !done.signal.aborted; probe++) {
      if (local.isPublished()) await local.push({ payload: new Uint8Array(1), userTimestamp: probe })
      await delay(PROBES)
    }
    return local.stats()
  })()
  try {
    await Promise.all(streams.map((stream) => probeOf(stream)))
  } finally {
    done.abort()
    await probing
  }
}

async function probeOf(stream: DataTrackStream): Promise<void> {
  if ((await stream.read()) === undefined) throw new Error('the stream ended')
}

/** The next frame that is no probe. */
export async function next(stream: DataTrackStream): Promise<DataTrackFrame> {
  for (;;) {
    const frame = await stream.read()
    if (frame === undefined) throw new Error('the stream ended')
    if (frame.userTimestamp === undefined || frame.userTimestamp < PROBE) return frame
  }
}

/** Bytes that differ from each other and from those of other seeds. */
export function pattern(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length)
  let state = seed * 2_654_435_761 + length
  for (let at = 0; at < length; at++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    bytes[at] = state >>> 24
  }
  return bytes
}

/** Whether two payloads are the same; far faster than `toEqual` for a megabyte. */
export function same(left: Uint8Array, right: Uint8Array): boolean {
  return Buffer.compare(left, right) === 0
}

/** Pushes a frame and waits for it: `true` if it arrived as it was sent. */
export async function carried(
  local: LocalDataTrack,
  stream: DataTrackStream,
  frame: Exclude<PushableFrame, Uint8Array>,
): Promise<boolean> {
  await local.push(frame)
  const arrived = await next(stream)
  return same(arrived.payload, frame.payload) && arrived.userTimestamp === frame.userTimestamp
}

/**
 * Bytes of a frame that the server forwards also when next to nothing went that way before: of two packets it drops the
 * second one if the subscriber has not acknowledged the first, as a connection that was never busy has drained nothing.
 */
export const ONE_PACKET = 15_000

/** How often a frame may be lost on its way before something else is wrong. */
const LOSSES = 3

/** A track's way, for {@link lossesOf}. */
export interface Way {
  /** One, or the nodes of a cluster. */
  readonly servers: readonly LivekitServer[]
  readonly local: LocalDataTrack
  /** The subscriber's room, and what it has of the track. */
  readonly to: Room
  readonly remote: RemoteDataTrack
  readonly stream: DataTrackStream
}

/**
 * Pushes a large frame until it arrives as it was sent, and returns how often it was lost. livekit-server drops packets
 * when it or a receiver gets too little of a busy machine, as its log says, and now and then sends one not after all. A
 * frame that is missing without that, or that the subscriber has not counted as dropped, is none of the server's losses.
 */
export async function lossesOf(way: Way, frame: Exclude<PushableFrame, Uint8Array>): Promise<number> {
  const { local, remote, stream } = way
  const arriving = next(stream)
  for (let losses = 0; losses <= LOSSES; losses++) {
    const [before, known] = [sum(remote.stats().dropped), lostByServer(way)]
    await local.push(frame)
    const waiting = new AbortController()
    const arrived = await Promise.race([arriving, dropped(remote, before, waiting.signal)])
    waiting.abort()
    if (arrived === undefined) {
      if (lostByServer(way) === known) throw new Error('a frame was lost, and not by the server')
      continue
    }
    if (!same(arrived.payload, frame.payload)) throw new Error('the frame has other bytes')
    if (arrived.userTimestamp !== frame.userTimestamp) throw new Error('the frame has another timestamp')
    return losses
  }
  throw new Error(`the frame was lost ${LOSSES + 1} times`)
}

/** Packets that it says it dropped, and datagrams that it encrypted and that did not come, so far. */
export function lostByServer({ servers, local, to }: Pick<Way, 'servers' | 'local' | 'to'>): number {
  const said = servers.flatMap((server) => [...server.droppedPackets(local.name).values()])
  return said.reduce((total, count) => total + count, 0) + (to.stats().connection?.datagramsLost ?? 0)
}

/** Resolves when a track's subscriber has dropped more frames than that, or with the signal. */
async function dropped(remote: RemoteDataTrack, before: number, signal: AbortSignal): Promise<undefined> {
  while (!signal.aborted && sum(remote.stats().dropped) === before) await delay(PROBES)
}

/** All of a kind of drops. */
export function sum(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0)
}

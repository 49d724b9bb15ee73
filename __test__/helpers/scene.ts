/** Participants of one test in a room of a real server, and frames between them. */
import { setTimeout as delay } from 'node:timers/promises'
import { Room, RoomEvent } from '../../index'
import type {
  ConnectOptions,
  ConnectToken,
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
  /** The URL to connect to. Default: the server itself. */
  readonly url?: string
  /** Where the token comes from. Default: a token of the scene. */
  readonly source?: ConnectToken
  /** Called with the room before it connects. */
  readonly before?: (room: Room) => void
}

let scenes = 0

/** A room on the server that no other test uses, and the participants that the test adds to it. */
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
    const token = options.source ?? (await this.token(identity, options))
    await room.connect(options.url ?? this.server.url, token, options.connect)
    return room
  }
}

/** Resolves with the arguments of the next event of that name. Call it before the cause of the event. */
export function event<Name extends keyof RoomEvents>(
  room: Room,
  name: Name,
): Promise<Parameters<RoomEvents[Name]>> {
  return new Promise((resolve) => {
    room.once(name, ((...args: Parameters<RoomEvents[Name]>) => resolve(args)) as RoomEvents[Name])
  })
}

/** Publishes a track in the room `from` and waits until the room `to` knows it. Returns both views of the track. */
export async function publish(
  from: Room,
  to: Room,
  options: Partial<DataTrackPublishOptions> = {},
): Promise<{ local: LocalDataTrack; remote: RemoteDataTrack }> {
  const local = await from.localParticipant.publishDataTrack({ name: 'track', ...options })
  return { local, remote: await seen(to, local.name) }
}

/** Waits until the room knows a track of that name, and returns it. */
export async function seen(room: Room, name: string): Promise<RemoteDataTrack> {
  for await (const track of room.dataTracks({ name })) return track
  throw new Error(`the room ended before ${name} came`)
}

/** Waits until the room knows that the server sends data to that participant. */
export async function active(room: Room, identity: string): Promise<void> {
  while (!room.remoteParticipants.has(identity)) await event(room, RoomEvent.ParticipantConnected)
  await room.remoteParticipants.get(identity)?.waitUntilActive()
}

/** User timestamps from this value on mark probes: frames that test whether the server forwards a track. */
export const PROBE = 2n ** 60n
/** ms between two probes. */
const PROBES = 20

/**
 * Sends probes until one arrives in each stream. The server begins to forward some time after the subscription, and
 * some time after a reconnect. It does not announce that.
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

/** The next frame of the stream that is no probe. */
export async function next(stream: DataTrackStream): Promise<DataTrackFrame> {
  for (;;) {
    const frame = await stream.read()
    if (frame === undefined) throw new Error('the stream ended')
    if (frame.userTimestamp === undefined || frame.userTimestamp < PROBE) return frame
  }
}

/** Pseudorandom bytes. Another seed gives other bytes. */
export function pattern(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length)
  let state = seed * 2_654_435_761 + length
  for (let at = 0; at < length; at++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    bytes[at] = state >>> 24
  }
  return bytes
}

/** Whether two payloads are equal. For a megabyte, this is much faster than `toEqual`. */
export function same(left: Uint8Array, right: Uint8Array): boolean {
  return Buffer.compare(left, right) === 0
}

/** Pushes a frame and waits for the next one. Returns whether it arrived unchanged. */
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
 * Bytes of a frame that fits into one packet. The server forwards such a frame even if it has sent almost nothing to
 * the subscriber before. Of two packets on such a connection, it drops the second one if the subscriber has not
 * acknowledged the first.
 */
export const ONE_PACKET = 15_000

/** How often one frame may be lost. More losses are a fault. */
const LOSSES = 3

/** The way of a track from publisher to subscriber, for {@link lossesOf}. */
export interface Way {
  /** One server, or the nodes of a cluster. */
  readonly servers: readonly LivekitServer[]
  readonly local: LocalDataTrack
  /** The subscriber's room, with the track and the stream there. */
  readonly to: Room
  readonly remote: RemoteDataTrack
  readonly stream: DataTrackStream
}

/**
 * Pushes a frame until it arrives unchanged, and returns how often it was lost. On a busy machine, livekit-server drops
 * packets and says so in its log. Now and then it also encrypts a datagram and does not send it. Each loss must have
 * one of these causes, and the subscriber must have counted the frame as dropped. Otherwise the loss is not the
 * server's.
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

/**
 * Losses of the server so far: packets that it dropped, as its log says, and the packets in datagrams that it encrypted
 * and that did not arrive. `each`: the packets that one datagram has room for.
 */
export function lostByServer(
  { servers, local, to }: Pick<Way, 'servers' | 'local' | 'to'>,
  each = 1,
): number {
  const said = servers.flatMap((server) => [...server.droppedPackets(local.name).values()])
  return said.reduce((total, count) => total + count, 0) + each * (to.stats().connection?.datagramsLost ?? 0)
}

/** Resolves when the subscriber has dropped another frame of the track, or when the signal aborts. */
async function dropped(remote: RemoteDataTrack, before: number, signal: AbortSignal): Promise<undefined> {
  while (!signal.aborted && sum(remote.stats().dropped) === before) await delay(PROBES)
}

/** The sum of all counts. */
export function sum(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0)
}

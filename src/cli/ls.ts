/** `datatrack ls`: who is in a room and what they publish; without a room, which rooms there are. */
import type { ConnectOptions } from '../connection/connect-options'
import type { RemoteDataTrack } from '../data-track/remote'
import { RoomEvent } from '../room/events'
import { loadServerSdk } from '../base/lazy'
import type { RemoteParticipant } from '../room/participant'
import type { Room } from '../room/room'
import { note, printable, say, Stopped } from './output'
import { untilDisconnected } from './room-notes'
import { joinRoom, tokenFor } from './server'
import { SettingsError } from './settings'
import type { ServerSettings } from './settings'
import { layOut, LiveBlock } from './table'

/** Options of {@link ls}. */
export interface LsOptions {
  readonly server: ServerSettings
  readonly connect: ConnectOptions
  /** One JSON object a line instead of a table. */
  readonly json: boolean
  /** Whether it goes on and tells what changes. */
  readonly watch: boolean
  /** How long it watches, s. */
  readonly seconds: number | undefined
}

/** Lists until there is no more to list or the signal aborts; resolves with the exit code. */
export async function ls(options: LsOptions, signal: AbortSignal): Promise<number> {
  const { server } = options
  if (server.key !== undefined && server.room === undefined) {
    await listRooms(server, options)
    return 0
  }
  // With a key nobody in the room sees who is looking.
  const token = await tokenFor(server, 'ls', { canPublishData: false, hidden: true })
  const { watch, json } = options
  const watcher = !watch ? undefined : json ? new JsonWatcher() : watcherFor()
  const room = await joinRoom(server.url, token, options.connect, (joining) => watcher?.listen(joining))
  try {
    const ended = untilDisconnected(room, signal)
    if (watcher !== undefined) await watching(watcher, room, options.seconds, ended)
    else if (json) for (const line of participants(room)) say(JSON.stringify(line))
    else roomTable(room).forEach(say)
    return 0
  } finally {
    await room.disconnect()
  }
}

async function watching(
  watcher: Watcher,
  room: Room,
  seconds: number | undefined,
  signal: AbortSignal,
): Promise<void> {
  watcher.start(room)
  const timer = seconds === undefined ? undefined : AbortSignal.timeout(seconds * 1000)
  const over = timer === undefined ? signal : AbortSignal.any([signal, timer])
  await new Promise<void>((resolve) => {
    if (over.aborted) resolve()
    else over.addEventListener('abort', () => resolve(), { once: true })
  })
  watcher.stop()
  if (signal.aborted && !(signal.reason instanceof Stopped)) throw signal.reason
}

/** Tells what changes in a room. */
interface Watcher {
  /** Before the room is connected. */
  listen(room: Room): void
  start(room: Room): void
  stop(): void
}

function watcherFor(): Watcher {
  return process.stdout.isTTY ? new TableWatcher() : new LineWatcher()
}

/** A table that is redrawn when something changes. */
class TableWatcher implements Watcher {
  readonly #block = new LiveBlock(process.stdout)
  #room: Room | undefined

  listen(room: Room): void {
    const draw = (): void => this.#draw()
    room.on(RoomEvent.ParticipantConnected, draw)
    room.on(RoomEvent.ParticipantDisconnected, draw)
    room.on(RoomEvent.DataTrackPublished, draw)
    room.on(RoomEvent.DataTrackUnpublished, draw)
  }

  start(room: Room): void {
    this.#room = room
    this.#draw()
  }

  /** Leaving a room takes everybody out of it: the last table stays. */
  stop(): void {
    this.#room = undefined
  }

  #draw(): void {
    if (this.#room !== undefined) this.#block.draw(roomTable(this.#room))
  }
}

/** Events a line: what was there is told as if it came. */
abstract class EventWatcher implements Watcher {
  #stopped = false

  listen(room: Room): void {
    const tell = (type: string, participant: string, track?: RemoteDataTrack): void => {
      if (!this.#stopped) this.tell(type, participant, track)
    }
    room.on(RoomEvent.ParticipantConnected, ({ identity }) => tell('participantConnected', identity))
    room.on(RoomEvent.ParticipantDisconnected, ({ identity }) => tell('participantDisconnected', identity))
    room.on(RoomEvent.DataTrackPublished, (track) =>
      tell('dataTrackPublished', track.publisherIdentity, track),
    )
    room.on(RoomEvent.DataTrackUnpublished, (_sid, track) =>
      tell('dataTrackUnpublished', track.publisherIdentity, track),
    )
  }

  start(): void {
    // Events say it all.
  }

  stop(): void {
    this.#stopped = true
  }

  protected abstract tell(type: string, identity: string, track: RemoteDataTrack | undefined): void
}

class JsonWatcher extends EventWatcher {
  protected tell(type: string, identity: string, track: RemoteDataTrack | undefined): void {
    say(JSON.stringify({ type, identity, ...(track !== undefined && { track: describe(track) }) }))
  }
}

class LineWatcher extends EventWatcher {
  protected tell(type: string, identity: string, track: RemoteDataTrack | undefined): void {
    const sign = type === 'participantConnected' || type === 'dataTrackPublished' ? '+' : '-'
    const what = track === undefined ? [] : [printable(track.name), ...details(track)]
    say([sign, printable(identity), ...what].join(' '))
  }
}

function participants(room: Room): object[] {
  return [...room.remoteParticipants.values()].map(({ identity, sid, name, dataTracks }) => ({
    identity,
    sid,
    name,
    dataTracks: [...dataTracks.values()].map(describe),
  }))
}

function describe({ info }: RemoteDataTrack): object {
  const { sid, name, usesE2ee, frameEncoding, schema } = info
  return { sid, name, usesE2ee, frameEncoding, schema }
}

/** The room as a table: a row for each track, and one for who has none. */
export function roomTable(room: Room): string[] {
  const all = [...room.remoteParticipants.values()]
  if (all.length === 0) return ['Nobody is there.']
  return layOut(['participant', 'track', 'encoding', 'schema', 'encrypted'], all.flatMap(rowsOf))
}

function rowsOf({ identity, dataTracks }: RemoteParticipant): string[][] {
  const tracks = [...dataTracks.values()]
  if (tracks.length === 0) return [[printable(identity), '–', '', '', '']]
  return tracks.map(({ info }) => [
    printable(identity),
    printable(info.name),
    printable(info.frameEncoding ?? '–'),
    info.schema === undefined ? '–' : printable(`${info.schema.name} (${info.schema.encoding})`),
    info.usesE2ee ? 'yes' : 'no',
  ])
}

function details({ info }: RemoteDataTrack): string[] {
  return [
    ...(info.frameEncoding === undefined ? [] : [printable(info.frameEncoding)]),
    ...(info.schema === undefined ? [] : [printable(`${info.schema.name} (${info.schema.encoding})`)]),
    ...(info.usesE2ee ? ['encrypted'] : []),
  ]
}

/** Asks the server's API, which takes a key only. */
async function listRooms({ url, key }: ServerSettings, { json, watch }: LsOptions): Promise<void> {
  if (watch) throw new SettingsError('--watch needs a room: give --room or LIVEKIT_ROOM.')
  const { RoomServiceClient } = loadServerSdk()
  const client = new RoomServiceClient(url.replace(/^ws/, 'http'), key?.apiKey, key?.apiSecret)
  const rooms = await client.listRooms().catch((error: unknown) => {
    throw new Error(`the rooms cannot be listed: ${error instanceof Error ? error.message : String(error)}`)
  })
  if (json) {
    for (const { name, sid, numParticipants } of rooms) say(JSON.stringify({ name, sid, numParticipants }))
    return
  }
  if (rooms.length === 0) {
    note('There are no rooms.')
    return
  }
  const rows = rooms.map(({ name, numParticipants }) => [printable(name), String(numParticipants)])
  layOut(['room', 'participants'], rows).forEach(say)
}

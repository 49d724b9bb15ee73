/** `datatrack ls`: lists the participants of a room and their tracks. Without a room, it lists the rooms. */
import { setTimeout as delay } from 'node:timers/promises'
import { withDeadline } from '../base/abort'
import type { ConnectOptions } from '../connection/connect-options'
import type { RemoteDataTrack } from '../data-track/remote'
import { RoomEvent } from '../room/events'
import type { RemoteParticipant } from '../room/remote-participant'
import type { Room } from '../room/room'
import { printable } from '../base/printable'
import { note, say, Stopped } from './output'
import { listRooms } from './room-api'
import { untilDisconnected } from './room-notes'
import { joinRoom } from '../check/rooms'
import { tokenFor } from './server'
import { SettingsError } from './settings'
import type { ApiKey, ServerSettings } from './settings'
import { layOutWithin, LiveBlock } from './table'

/** Options of {@link ls}. */
export interface LsOptions {
  readonly server: ServerSettings
  readonly connect: ConnectOptions
  /** Whether to print one JSON object a line instead of a table. */
  readonly json: boolean
  /** Whether the command goes on and shows what changes. */
  readonly watch: boolean
  /** How long the command watches, s. `undefined`: until Ctrl-C. */
  readonly seconds: number | undefined
}

/** Exit codes of `datatrack ls`. 1 is an error, 2 a wrong command line. */
export const LsExit = {
  Ok: 0,
  /** The server does not have the room. */
  NoRoom: 3,
} as const

/** Runs the command until it has listed everything or the signal aborts, and resolves with the exit code. */
export async function ls(options: LsOptions, signal: AbortSignal): Promise<number> {
  const { server } = options
  const { key, room: named } = server
  const { seconds } = options
  const over = seconds === undefined ? signal : withDeadline(seconds * 1000, signal)
  if (key !== undefined) {
    if (named === undefined) {
      await tellRooms(server, key, options, signal)
      return LsExit.Ok
    }
    if (!(await isThere(server, key, named, options, over, signal))) {
      note(`There is no room ${printable(named)}.`)
      return LsExit.NoRoom
    }
  }
  // With an API key the command can make a token for a hidden participant, so that it does not disturb the others.
  const token = tokenFor(server, 'ls', { canPublishData: false, hidden: true })
  const { watch, json } = options
  const watcher = !watch ? undefined : json ? new JsonWatcher() : watcherFor()
  const room = await joinRoom(server.url, token, options.connect, (joining) => watcher?.listen(joining))
  try {
    const ended = untilDisconnected(room, signal)
    if (watcher !== undefined) await watching(watcher, room, AbortSignal.any([over, ended]), ended)
    else if (json) for (const line of participants(room)) say(JSON.stringify(line))
    else roomTable(room).forEach(say)
    return LsExit.Ok
  } finally {
    await room.disconnect()
  }
}

async function watching(watcher: Watcher, room: Room, over: AbortSignal, signal: AbortSignal): Promise<void> {
  watcher.start(room)
  await new Promise<void>((resolve) => {
    if (over.aborted) resolve()
    else over.addEventListener('abort', () => resolve(), { once: true })
  })
  watcher.stop()
  if (signal.aborted && !(signal.reason instanceof Stopped)) throw signal.reason
}

/** Shows what changes in a room. */
interface Watcher {
  /** Adds the listeners. Called before the room connects, so that no event is missed. */
  listen(room: Room): void
  start(room: Room): void
  stop(): void
}

function watcherFor(): Watcher {
  return process.stdout.isTTY ? new TableWatcher() : new LineWatcher()
}

/** For a terminal: a table of the room that is redrawn when the room changes. */
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

  /** Stops drawing. Leaving the room removes all participants, which would empty the table. */
  stop(): void {
    this.#room = undefined
  }

  #draw(): void {
    if (this.#room !== undefined) this.#block.draw(roomTable(this.#room))
  }
}

/** Writes one event a line. Participants and tracks that are in the room already are written as events, too. */
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
    // The room emits events for the participants and tracks that are in it already, so there is nothing to add.
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

/** The room as a table: one row for each track, and one for each participant without tracks. */
export function roomTable(room: Room): string[] {
  const all = [...room.remoteParticipants.values()]
  if (all.length === 0) return ['No participants.']
  return layOutWithin(['participant', 'track', 'encoding', 'schema', 'encrypted'], all.flatMap(rowsOf))
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

/** Lists the rooms of the server through its HTTP API. The API needs a key; a participant's token is not enough. */
async function tellRooms(
  { url }: ServerSettings,
  key: ApiKey,
  { json, watch }: LsOptions,
  signal: AbortSignal,
): Promise<void> {
  if (watch) throw new SettingsError('--watch needs a room: give --room or LIVEKIT_ROOM.')
  const rooms = await listRooms(url, key, signal)
  if (json) {
    for (const { name, sid, numParticipants } of rooms) say(JSON.stringify({ name, sid, numParticipants }))
    return
  }
  if (rooms.length === 0) {
    note('There are no rooms.')
    return
  }
  const rows = rooms.map(({ name, numParticipants }) => [printable(name), String(numParticipants)])
  layOutWithin(['room', 'participants'], rows).forEach(say)
}

/** Interval at which the command asks whether the room exists, ms. */
const LOOK = 500

/**
 * Whether the server has the room. The command asks first because joining would create the room. With `watch` it waits
 * for the room until `over` aborts.
 */
async function isThere(
  { url }: ServerSettings,
  key: ApiKey,
  room: string,
  { watch }: LsOptions,
  over: AbortSignal,
  signal: AbortSignal,
): Promise<boolean> {
  while ((await listRooms(url, key, signal, [room])).length === 0) {
    if (!watch || over.aborted) return false
    await delay(LOOK, undefined, { signal: over }).catch(() => signal.throwIfAborted())
  }
  return true
}

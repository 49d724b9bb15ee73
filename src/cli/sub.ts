/** `datatrack sub`: writes the frames of others to standard output or a file. */
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import type { Writable } from 'node:stream'
import type { ConnectOptions } from '../connection/connect-options'
import type { RemoteDataTrack } from '../data-track/remote'
import type { DataTrackStream } from '../data-track/stream'
import type { EncryptionOptions } from '../e2ee/session-encryption'
import type { Room } from '../room/room'
import { formatFrame } from './frame-format'
import type { FrameFormat } from './frame-format'
import { printable } from '../base/printable'
import { finish, note, Stopped, writeAll } from './output'
import { dropsOf, dropsText, Progress, Throughput } from './progress'
import { untilDisconnected } from './room-notes'
import { joinRoom } from '../check/rooms'
import { tokenFor } from './server'
import type { ServerSettings } from './settings'

/** Options of {@link sub}. */
export interface SubOptions {
  readonly server: ServerSettings
  readonly connect: ConnectOptions
  readonly encryption: EncryptionOptions | undefined
  readonly allowUnencrypted: boolean
  /** Only tracks of that name; `undefined`: of any. */
  readonly name: string | undefined
  /** Only tracks of that participant; `undefined`: of all. */
  readonly from: string | undefined
  readonly format: FrameFormat
  /** A file; `undefined`: standard output. */
  readonly output: string | undefined
  /** Frames in all at most. */
  readonly count: number | undefined
  /** How long it listens, s. */
  readonly seconds: number | undefined
  /** Whether it ends with the first track. */
  readonly once: boolean
  readonly quiet: boolean
}

/** Exit codes of `datatrack sub`; 1 is an error, 2 a wrong command line. */
export const SubExit = {
  Ok: 0,
  /** It ended without a frame, or with fewer than `--count`. */
  TooFew: 3,
} as const

/** Writes frames until something ends it, and resolves with the exit code. */
export async function sub(options: SubOptions, signal: AbortSignal): Promise<number> {
  const { server } = options
  const out = await openOutput(options.output, signal)
  // It publishes nothing, but without this grant it could not answer publishers that wait for a subscriber.
  const token = await tokenFor(server, 'sub', { canPublishData: true })
  const room = await joinRoom(server.url, token, { ...options.connect, encryption: options.encryption })
  try {
    return await new Subscriber(room, options, out).run(untilDisconnected(room, signal))
  } finally {
    await room.disconnect()
  }
}

/** Opens a file before the room is joined: one that cannot be written is told at once. */
async function openOutput(path: string | undefined, signal: AbortSignal): Promise<Writable> {
  if (path === undefined) return process.stdout
  const file = createWriteStream(path)
  await once(file, 'open', { signal }).catch((error: unknown) => {
    signal.throwIfAborted()
    throw error
  })
  return file
}

/** It has what it was to get. */
class Enough extends Error {}

class Subscriber {
  readonly #room: Room
  readonly #options: SubOptions
  readonly #throughput = new Throughput()
  /** What is being read, and what tracks that have ended dropped. */
  readonly #open = new Map<RemoteDataTrack, DataTrackStream>()
  #droppedBefore: Record<string, number> = {}
  readonly #enough = new AbortController()
  readonly #out: Writable
  /** Output is written frame by frame, whichever track they are of. */
  #writing: Promise<void> = Promise.resolve()

  constructor(room: Room, options: SubOptions, out: Writable) {
    this.#room = room
    this.#options = options
    this.#out = out
  }

  async run(ended: AbortSignal): Promise<number> {
    const { seconds, count, quiet, output } = this.#options
    const signal = AbortSignal.any([ended, this.#enough.signal])
    const timer = seconds === undefined ? undefined : setTimeout(() => this.#end(), seconds * 1000)
    // A disk that is full ends it at once, and not with the next frame.
    this.#out.once('error', (error) => this.#enough.abort(error))
    const live = output !== undefined || !process.stdout.isTTY
    const progress = new Progress(() => this.#throughput.line(this.#dropped()), { quiet, live })
    try {
      await this.#readTracks(signal)
    } catch (error) {
      if (!signal.aborted) throw error
    } finally {
      clearTimeout(timer)
      await finish(this.#out)
      progress.stop(`Received ${this.#throughput.summary(this.#dropped())}.`)
    }
    const { reason } = signal as { reason: unknown }
    if (reason instanceof Stopped) return SubExit.Ok
    if (signal.aborted && !(reason instanceof Enough)) throw reason
    return this.#throughput.frames >= (count ?? 1) ? SubExit.Ok : SubExit.TooFew
  }

  async #readTracks(signal: AbortSignal): Promise<void> {
    const { name, from, once } = this.#options
    const reading: Promise<void>[] = []
    for await (const track of this.#room.dataTracks({ name, identity: from, signal })) {
      const end = this.#read(track, signal).catch((error: unknown) => {
        // One that cannot be read is no reason not to read the others.
        if (!signal.aborted)
          note(`${label(track)}: ${error instanceof Error ? error.message : String(error)}`)
      })
      if (once) {
        await end
        return
      }
      reading.push(end)
      void end.then(() => reading.splice(reading.indexOf(end), 1))
    }
    await Promise.all(reading)
  }

  async #read(track: RemoteDataTrack, signal: AbortSignal): Promise<void> {
    const { allowUnencrypted, quiet } = this.#options
    const stream = track.subscribe({ signal, allowUnencrypted })
    this.#open.set(track, stream)
    if (!quiet) note(`Subscribing to ${label(track)}.`)
    try {
      for await (const frame of stream) await this.#write(track, frame, signal)
    } finally {
      this.#open.delete(track)
      this.#droppedBefore = dropsOf(this.#droppedBefore, track.stats().dropped, stream.stats().dropped)
    }
    if (!quiet) note(`${label(track)} has ended.`)
  }

  async #write(
    track: RemoteDataTrack,
    frame: Parameters<typeof formatFrame>[2],
    signal: AbortSignal,
  ): Promise<void> {
    const { format, output, count = Infinity } = this.#options
    const before = this.#writing
    const done = (async () => {
      await before
      if (this.#throughput.frames >= count || signal.aborted) return
      this.#throughput.add(frame.payload.byteLength)
      const terminal = output === undefined && process.stdout.isTTY
      await writeAll(this.#out, formatFrame(format, track, frame, terminal), signal)
      if (this.#throughput.frames >= count) this.#end()
    })()
    this.#writing = done.catch(() => undefined)
    await done
  }

  #end(): void {
    this.#enough.abort(new Enough())
  }

  #dropped(): string {
    return dropsText(this.#droppedBefore, ...[...this.#open].flat().map((part) => part.stats().dropped))
  }
}

function label(track: RemoteDataTrack): string {
  return `${printable(track.name)} of ${printable(track.publisherIdentity)}`
}

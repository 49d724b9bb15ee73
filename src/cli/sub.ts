/** `datatrack sub`: writes the frames of other participants to standard output or a file. */
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
  /** Whether each track begins with the last frame that its publisher keeps. */
  readonly latest: boolean
  readonly allowUnencrypted: boolean
  /** Only tracks with this name are read. `undefined`: all tracks. */
  readonly name: string | undefined
  /** Only tracks of the participant with this identity are read. `undefined`: of all participants. */
  readonly from: string | undefined
  readonly format: FrameFormat
  /** Whether the track's name precedes each line. */
  readonly named: boolean
  /** The file to write to. `undefined`: standard output. */
  readonly output: string | undefined
  /** The command ends after so many frames. `undefined`: no limit. */
  readonly count: number | undefined
  /** The command ends after so many seconds. `undefined`: no limit. */
  readonly seconds: number | undefined
  /** Whether the command ends when the first track ends. */
  readonly once: boolean
  readonly quiet: boolean
}

/** Exit codes of `datatrack sub`. 1 is an error, 2 a wrong command line. */
export const SubExit = {
  Ok: 0,
  /** The command ended without a frame, or with fewer than `--count`. */
  TooFew: 3,
} as const

/** Writes frames until the command ends, and resolves with the exit code. */
export async function sub(options: SubOptions, signal: AbortSignal): Promise<number> {
  const { server } = options
  const out = await openOutput(options.output, signal)
  // The command publishes no track. It needs the grant to answer publishers that wait for a subscriber, and to ask for
  // their last frames, because these are data packets.
  const token = tokenFor(server, 'sub', { canPublishData: true })
  const room = await joinRoom(server.url, token, { ...options.connect, encryption: options.encryption })
  try {
    return await new Subscriber(room, options, out).run(untilDisconnected(room, signal))
  } finally {
    await room.disconnect()
  }
}

/** Opens the output. A file is opened before the room is joined, so that an error is reported at once. */
async function openOutput(path: string | undefined, signal: AbortSignal): Promise<Writable> {
  if (path === undefined) return process.stdout
  const file = createWriteStream(path)
  await once(file, 'open', { signal }).catch((error: unknown) => {
    signal.throwIfAborted()
    throw error
  })
  return file
}

/** The command ended because it reached `--count` or `--seconds`. */
class Enough extends Error {}

class Subscriber {
  readonly #room: Room
  readonly #options: SubOptions
  readonly #throughput = new Throughput()
  /** The tracks that are being read. `#droppedBefore` has the frames that ended tracks dropped, by reason. */
  readonly #open = new Map<RemoteDataTrack, DataTrackStream>()
  #droppedBefore: Record<string, number> = {}
  readonly #enough = new AbortController()
  readonly #out: Writable
  /** The write before. Each frame waits for it, because frames of different tracks must not mix in the output. */
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
    // An error of the file (a full disk) ends the command at once. Otherwise it would end only with the next frame.
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
        // A track that cannot be read (because it is encrypted, for example) does not stop the others.
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
    const { allowUnencrypted, latest, quiet } = this.#options
    // A process that gets no processor time for a moment must lose nothing: the limits of the buffer's size are enough.
    const stream = track.subscribe({ signal, allowUnencrypted, latest, maxBufferAge: Infinity })
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
    const { format, named, output, count = Infinity } = this.#options
    const before = this.#writing
    const done = (async () => {
      await before
      if (this.#throughput.frames >= count || signal.aborted) return
      this.#throughput.add(frame.payload.byteLength)
      const terminal = output === undefined && process.stdout.isTTY
      const text = formatFrame(format, track, frame, terminal)
      const prefix = named ? `${printable(track.name)} ` : ''
      await writeAll(this.#out, prefixed(prefix, text), signal)
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

function prefixed(prefix: string, text: Uint8Array | string): Uint8Array | string {
  if (prefix === '') return text
  return typeof text === 'string' ? prefix + text : Buffer.concat([Buffer.from(prefix), text])
}

function label(track: RemoteDataTrack): string {
  return `${printable(track.name)} of ${printable(track.publisherIdentity)}`
}

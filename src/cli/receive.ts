/** `datatrack receive`: writes the texts of a topic to standard output, and its files to a folder. */
import { mkdir, rm } from 'node:fs/promises'
import type { ConnectOptions } from '../connection/connect-options'
import type { ByteStreamReader, TextStreamReader } from '../data-stream/readers'
import type { EncryptionOptions } from '../e2ee/session-encryption'
import { Deferred } from '../base/abort'
import { printable } from '../base/printable'
import { joinRoom } from '../check/rooms'
import { note, say } from './output'
import { createFile } from './received-file'
import { untilDisconnected, untilEnough } from './room-notes'
import { tokenFor } from './server'
import type { ServerSettings } from './settings'

/** Options of {@link receive}. */
export interface ReceiveOptions {
  readonly server: ServerSettings
  readonly connect: ConnectOptions
  readonly encryption: EncryptionOptions | undefined
  readonly topic: string
  /** Only streams of the participant with this identity are taken. `undefined`: of all participants. */
  readonly from: string | undefined
  /** The folder for files. `undefined`: files are not taken. */
  readonly folder: string | undefined
  /** Bytes of a file at most. A longer one is removed. */
  readonly maxSize: number
  /** The command ends after so many texts and files. `undefined`: no limit. */
  readonly count: number | undefined
  /** The command ends after so many seconds. `undefined`: no limit. */
  readonly seconds: number | undefined
  readonly json: boolean
  readonly quiet: boolean
}

/** Exit codes of `datatrack receive`. 1 is an error, 2 a wrong command line. */
export const ReceiveExit = {
  Ok: 0,
  /** The command ended with nothing received, or with less than `--count`. */
  TooFew: 3,
} as const

/** Receives until the command ends, and resolves with the exit code. */
export async function receive(options: ReceiveOptions, signal: AbortSignal): Promise<number> {
  const { server, topic, from, folder, seconds, quiet, count } = options
  if (folder !== undefined) await mkdir(folder, { recursive: true })
  const receiver = new Receiver(options)
  const token = tokenFor(server, 'receive', { canPublishData: true })
  const room = await joinRoom(
    server.url,
    token,
    { ...options.connect, encryption: options.encryption },
    (joining) => {
      const wanted = (identity: string): boolean => from === undefined || from === identity
      joining.registerTextStreamHandler(topic, (reader, { identity }) =>
        wanted(identity) ? receiver.text(reader, identity) : reader.cancel(),
      )
      joining.registerByteStreamHandler(topic, (reader, { identity }) =>
        wanted(identity) ? receiver.file(reader, identity) : reader.cancel(),
      )
    },
  )
  const timer = seconds === undefined ? undefined : setTimeout(() => receiver.end(), seconds * 1000)
  try {
    if (!quiet) note(`Receiving as ${printable(room.localParticipant.identity)}.`)
    if (!(await untilEnough(receiver.ended, untilDisconnected(room, signal)))) return ReceiveExit.Ok
    return receiver.received >= (count ?? 1) ? ReceiveExit.Ok : ReceiveExit.TooFew
  } finally {
    clearTimeout(timer)
    await room.disconnect()
  }
}

class Receiver {
  readonly #options: ReceiveOptions
  readonly #ended = new Deferred<undefined>()
  #received = 0

  constructor(options: ReceiveOptions) {
    this.#options = options
  }

  get ended(): Promise<undefined> {
    return this.#ended.promise
  }

  /** Texts and files. */
  get received(): number {
    return this.#received
  }

  end(): void {
    this.#ended.resolve(undefined)
  }

  async text(reader: TextStreamReader, identity: string): Promise<void> {
    try {
      const text = await reader.readAll()
      if (this.#full) return
      const { id, topic, timestamp, attributes } = reader.info
      if (this.#options.json)
        say(JSON.stringify({ type: 'text', identity, id, topic, timestamp, attributes, text }))
      else say(process.stdout.isTTY ? printable(text) : text)
      this.#count()
    } catch (error) {
      this.#failed('A text', identity, error)
    }
  }

  async file(reader: ByteStreamReader, identity: string): Promise<void> {
    const { folder, maxSize, json } = this.#options
    const { id, topic, timestamp, attributes, name, mimeType, size = 0 } = reader.info
    const what = `The file ${printable(name)}`
    if (folder === undefined || size > maxSize) {
      reader.cancel()
      const why =
        folder === undefined ? 'give --output-dir to receive files' : `it has more than ${maxSize} bytes`
      note(`${what} of ${printable(identity)} was not received: ${why}.`)
      return
    }
    try {
      const { path, file } = await createFile(folder, name)
      let bytes = 0
      try {
        for await (const piece of reader) {
          bytes += piece.byteLength
          if (bytes > maxSize) throw new Error(`it has more than ${maxSize} bytes`)
          await file.writeFile(piece)
        }
      } catch (error) {
        await rm(path, { force: true })
        throw error
      } finally {
        await file.close()
      }
      if (json) {
        const described = { id, topic, timestamp, attributes, name, mimeType, bytes, path }
        say(JSON.stringify({ type: 'file', identity, ...described }))
      } else say(printable(path))
      this.#count()
    } catch (error) {
      this.#failed(what, identity, error)
    }
  }

  get #full(): boolean {
    return this.#received >= (this.#options.count ?? Infinity)
  }

  #count(): void {
    this.#received += 1
    if (this.#full) this.end()
  }

  #failed(what: string, identity: string, error: unknown): void {
    const why = error instanceof Error ? error.message : String(error)
    note(`${what} of ${printable(identity)} was not received: ${why}.`)
  }
}

/** The sources of `datatrack pub`: a stream of bytes, which is cut into lines or chunks. Each of them is a frame. */
import { spawn } from 'node:child_process'
import { constants, createReadStream, fstatSync } from 'node:fs'
import { access, stat } from 'node:fs/promises'
import { addAbortSignal, Readable } from 'node:stream'
import { printable } from '../base/printable'

/** Where the bytes come from. */
export type SourceKind =
  | { readonly kind: 'stdin' }
  /** The text is one frame. */
  | { readonly kind: 'message'; readonly text: string }
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'command'; readonly command: string; readonly args: readonly string[] }

/** An open source: bytes that are cut into frames. */
export interface ByteSource {
  readonly bytes: Readable
  /** Called after the last byte. Resolves with the reason if the source failed, otherwise with `undefined`. */
  failure(): Promise<string | undefined>
  /** Closes the source, because no more bytes are needed. */
  close(): void
}

/**
 * Checks whether the source can be read. The command does that before it publishes the track, so that participants do
 * not see a track that ends at once. The file is not opened for the check, because opening a named pipe would wait for
 * its writer.
 *
 * @throws the system's error
 */
export async function checkSource(source: SourceKind): Promise<void> {
  if (source.kind === 'command' || source.kind === 'message') return
  const stats = source.kind === 'file' ? await stat(source.path) : fstatSync(0)
  if (stats.isDirectory()) {
    const what = source.kind === 'file' ? printable(source.path) : 'standard input'
    throw new Error(`EISDIR: ${what} is a directory`)
  }
  if (source.kind === 'file') await access(source.path, constants.R_OK)
}

/** Opens a source. The source ends when the signal aborts. */
export function openSource(source: SourceKind, signal: AbortSignal): ByteSource {
  if (source.kind === 'command') return openCommand(source.command, source.args, signal)
  const bytes = addAbortSignal(signal, streamOf(source))
  return { bytes, failure: () => Promise.resolve(undefined), close: () => bytes.destroy() }
}

function streamOf(source: Exclude<SourceKind, { readonly kind: 'command' }>): Readable {
  if (source.kind === 'message') return Readable.from([Buffer.from(source.text)], { objectMode: false })
  return source.kind === 'file' ? createReadStream(source.path) : process.stdin
}

function openCommand(command: string, args: readonly string[], signal: AbortSignal): ByteSource {
  const child = spawn(command, args, { stdio: ['inherit', 'pipe', 'inherit'] })
  let closing = false
  const ended = new Promise<string | undefined>((resolve) => {
    child.once('error', ({ code }: NodeJS.ErrnoException) => {
      // The output of a command that did not start never ends. This error ends it, and tells its reader why.
      const why = `the command ${printable(command)} cannot be started (${code ?? 'unknown error'})`
      child.stdout.destroy(new Error(why))
      resolve(why)
    })
    child.once('close', (code, killedBy) => {
      if (closing || code === 0) resolve(undefined)
      else resolve(`the command ended with ${code === null ? String(killedBy) : `exit code ${code}`}`)
    })
  })
  const close = (): void => {
    closing = true
    child.kill()
    child.stdout.destroy()
  }
  signal.addEventListener('abort', close, { once: true })
  return { bytes: addAbortSignal(signal, child.stdout), failure: () => ended, close }
}

/** The whole of a stream as one frame. */
export async function* whole(input: AsyncIterable<Buffer>): AsyncGenerator<Uint8Array, void, undefined> {
  const parts: Buffer[] = []
  for await (const part of input) parts.push(part)
  yield Buffer.concat(parts)
}

/**
 * Cuts a stream into lines, without their line breaks. A line of more than `maxLength` bytes is not kept in memory. It
 * is left out, and `tooLong` is called. A yielded line is valid until the caller asks for the next one.
 */
export async function* lines(
  input: AsyncIterable<Buffer>,
  maxLength: number,
  tooLong: () => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  let parts: Buffer[] = []
  let length = 0
  const keep = (part: Buffer): void => {
    length += part.byteLength
    // One more byte is kept for a carriage return, which is not part of the line.
    if (length <= maxLength + 1) parts.push(part)
    else parts = []
  }
  const take = (): Uint8Array | undefined => {
    const line = parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts)
    const end = line.at(-1) === CARRIAGE_RETURN ? length - 1 : length
    parts = []
    length = 0
    if (end <= maxLength) return line.subarray(0, end)
    tooLong()
    return undefined
  }
  for await (const chunk of input) {
    let from = 0
    for (let at = chunk.indexOf(LINE_FEED); at >= 0; at = chunk.indexOf(LINE_FEED, from)) {
      keep(chunk.subarray(from, at))
      from = at + 1
      const line = take()
      if (line !== undefined) yield line
    }
    if (from < chunk.byteLength) keep(chunk.subarray(from))
  }
  // The last line may have no line break.
  const line = length > 0 ? take() : undefined
  if (line !== undefined) yield line
}

const LINE_FEED = 10
const CARRIAGE_RETURN = 13

/**
 * Cuts a stream into chunks of `size` bytes. The last one may be shorter. All chunks share a buffer: a yielded chunk is
 * valid until the caller asks for the next one.
 */
export async function* chunks(
  input: AsyncIterable<Buffer>,
  size: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  const buffer = Buffer.allocUnsafe(size)
  let filled = 0
  for await (const part of input) {
    for (let from = 0; from < part.byteLength;) {
      const copied = part.copy(buffer, filled, from)
      from += copied
      filled += copied
      if (filled < size) continue
      yield buffer
      filled = 0
    }
  }
  if (filled > 0) yield buffer.subarray(0, filled)
}

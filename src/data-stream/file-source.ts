/** Files to send. They are read piece by piece, never as a whole. */
import { Blob } from 'node:buffer'
import { constants, openSync } from 'node:fs'
import type { Stats } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { Socket } from 'node:net'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'
import { onAbort } from '../base/abort'
import * as check from '../base/arguments'
import { DataStreamError } from '../base/errors'
import { CHUNK_SIZE } from './header'

/** A file: its path, a `file:` URL, or a `Blob` or `File`. */
export type FileSource = string | URL | Blob

/** Bytes to read at once. */
const READ_SIZE = 16 * CHUNK_SIZE
/** The largest memory page that Linux uses for the kernel's files, in bytes. */
const LARGEST_PAGE = 64 * 1024

/** A file that is open for sending. */
export interface OpenFile {
  /** Bytes of the file; `undefined` if only the end tells, as with a pipe. */
  readonly size: number | undefined
  /** The name and MIME type that the file itself has. */
  readonly name: string | undefined
  readonly mimeType: string | undefined
  /**
   * The file's pieces, `size` bytes in all. Throws `DataStreamError` if the file has become shorter (`incomplete`) or
   * longer (`lengthExceeded`), and the signal's `reason`.
   */
  pieces(signal: AbortSignal | undefined): AsyncGenerator<Uint8Array, undefined>
  close(): Promise<void>
}

/**
 * @throws `TypeError` that names the argument; `DataStreamError` (`unreadable`) for anything but a file or a pipe; the
 * system's error for a file that cannot be read
 */
export async function openFile(name: string, source: FileSource): Promise<OpenFile> {
  if (source instanceof Blob) return openBlob(source)
  const path = source instanceof URL ? fileURLToPath(source) : source
  if (typeof path !== 'string') throw check.invalidType(name, 'a path, a file: URL, a Blob or a File', source)
  return await openPath(path)
}

function openBlob(blob: Blob): OpenFile {
  const { name } = blob as { readonly name?: unknown }
  return {
    size: blob.size,
    name: typeof name === 'string' && name !== '' ? name : undefined,
    mimeType: blob.type === '' ? undefined : blob.type,
    async *pieces() {
      try {
        for await (const piece of blob.stream()) yield piece as Uint8Array
      } catch (cause) {
        throw new DataStreamError('incomplete', { detail: 'the blob’s file has changed', cause })
      }
      return undefined
    },
    close: () => Promise.resolve(),
  }
}

async function openPath(path: string): Promise<OpenFile> {
  // Checked before opening, because opening some devices has an effect.
  const described = await stat(path)
  assertReadable(described)
  const own = { name: basename(path), mimeType: undefined }
  if (described.isFIFO()) return { ...own, size: undefined, ...openPipe(path) }
  const file = await open(path, 'r')
  try {
    const stats = await file.stat()
    assertReadable(stats)
    const size = unsure(stats) ? undefined : stats.size
    return { ...own, size, pieces: () => piecesOf(file, stats, size), close: () => file.close() }
  } catch (error) {
    await file.close()
    throw error
  }
}

function assertReadable(stats: Stats): void {
  if (stats.isFile() || stats.isFIFO()) return
  if (stats.isDirectory())
    throw Object.assign(new Error('EISDIR: a directory is no file'), { code: 'EISDIR' })
  throw new DataStreamError('unreadable', { detail: stats.isSocket() ? 'a socket' : 'a device' })
}

/**
 * Whether the size is unreliable. The kernel's files (`/proc`, `/sys`) use no space on a disk, and have a size of 0
 * bytes or of one memory page, whatever their content.
 */
function unsure({ size, blocks }: Stats): boolean {
  return size === 0 || (blocks === 0 && size <= LARGEST_PAGE)
}

/** The content of a file. `size`: how long it must be, if known. */
async function* piecesOf(
  file: FileHandle,
  before: Stats,
  size: number | undefined,
): AsyncGenerator<Uint8Array, undefined> {
  let read = 0
  for (;;) {
    // A new buffer for each piece, because the previous one may still be waiting to be sent. It has room for one byte
    // too many, to notice a longer file.
    const buffer = Buffer.allocUnsafeSlow(Math.min(READ_SIZE, (size ?? Infinity) - read + 1))
    const { bytesRead } = await file.read(buffer, 0, buffer.length, read)
    if (bytesRead === 0) break
    read += bytesRead
    if (size !== undefined && read > size) throw changed('longer')
    yield buffer.subarray(0, bytesRead)
  }
  if (size !== undefined && read < size) throw changed('shorter')
  const after = size === undefined ? await file.stat() : before
  if (after.size !== before.size) throw changed(after.size > before.size ? 'longer' : 'shorter')
  return undefined
}

/** The error for a file that changed while it was read: the content is neither the old nor the new one. */
function changed(how: 'longer' | 'shorter'): DataStreamError {
  const reason = how === 'longer' ? 'lengthExceeded' : 'incomplete'
  return new DataStreamError(reason, { detail: `the file has become ${how} meanwhile` })
}

/** A named pipe. It ends when its last writer has closed it. */
function openPipe(path: string): Pick<OpenFile, 'pieces' | 'close'> {
  // Non-blocking: Node.js has only a few threads for files, and waiting for a writer would block one of them.
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  const pipe = new Socket({ fd, readable: true, writable: false })
  // The reader gets the error from the pipe's iterator.
  pipe.on('error', () => undefined)
  return {
    async *pieces(signal) {
      const stop = onAbort(signal, () => pipe.destroy(signal?.reason as Error))
      try {
        signal?.throwIfAborted()
        for await (const piece of pipe) yield piece as Uint8Array
      } catch (error) {
        throw signal?.aborted === true ? signal.reason : error
      } finally {
        stop()
      }
      return undefined
    },
    close() {
      pipe.destroy()
      return Promise.resolve()
    },
  }
}

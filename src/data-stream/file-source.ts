/** Files that are sent: read piece by piece, never whole. */
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

/** Bytes that are read at once. */
const READ_SIZE = 16 * CHUNK_SIZE
/** Bytes of the largest page of memory that Linux has for its files. */
const LARGEST_PAGE = 64 * 1024

/** A file that is about to be sent. */
export interface OpenFile {
  /** `undefined`: it is known at the end, as with a pipe. */
  readonly size: number | undefined
  /** Of itself. */
  readonly name: string | undefined
  readonly mimeType: string | undefined
  /**
   * Its pieces, `size` bytes in all. Throws `DataStreamError` where it is shorter (`incomplete`) or longer
   * (`lengthExceeded`) by now, and the signal's `reason`.
   */
  pieces(signal: AbortSignal | undefined): AsyncGenerator<Uint8Array, undefined>
  close(): Promise<void>
}

/**
 * @throws `TypeError` that names the argument; `DataStreamError` (`unreadable`) for what is neither a file nor a pipe; the
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
  // Before it is opened: opening some devices does something.
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

/** Files of the kernel (`/proc`, `/sys`) take up no space, and are as long as 0 bytes or a page of memory, whatever is in them. */
function unsure({ size, blocks }: Stats): boolean {
  return size === 0 || (blocks === 0 && size <= LARGEST_PAGE)
}

/** All that is in a file. `size`: what must be in it, if that is known. */
async function* piecesOf(
  file: FileHandle,
  before: Stats,
  size: number | undefined,
): AsyncGenerator<Uint8Array, undefined> {
  let read = 0
  for (;;) {
    // Another buffer each time: what was handed out may still be on its way. It takes a byte that is too many, too.
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

/** What was read is neither what the file was nor what it is. */
function changed(how: 'longer' | 'shorter'): DataStreamError {
  const reason = how === 'longer' ? 'lengthExceeded' : 'incomplete'
  return new DataStreamError(reason, { detail: `the file has become ${how} meanwhile` })
}

/** A named pipe: it ends when its last writer has closed it. */
function openPipe(path: string): Pick<OpenFile, 'pieces' | 'close'> {
  // Not to wait for a writer in here: Node.js has a few threads for files, and each would wait in one.
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  const pipe = new Socket({ fd, readable: true, writable: false })
  // Whoever reads is told.
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

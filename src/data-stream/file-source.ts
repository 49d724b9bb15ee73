/** Files that are sent: read piece by piece, never whole. */
import { Blob } from 'node:buffer'
import { open } from 'node:fs/promises'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as check from '../base/arguments'
import { DataStreamError } from '../base/errors'
import { CHUNK_SIZE } from './header'

/** A file: its path, a `file:` URL, or a `Blob` or `File`. */
export type FileSource = string | URL | Blob

/** Bytes that are read at once. */
const READ_SIZE = 16 * CHUNK_SIZE

/** A file that is about to be sent. */
export interface OpenFile {
  readonly size: number
  /** Of itself. */
  readonly name: string | undefined
  readonly mimeType: string | undefined
  /** Its pieces, `size` bytes in all. Throws `DataStreamError` (`incomplete`) where it is shorter now. */
  pieces(): AsyncGenerator<Uint8Array, undefined>
  close(): Promise<void>
}

/** @throws `TypeError` that names the argument; the system's error for a file that cannot be read */
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
      for await (const piece of blob.stream()) yield piece as Uint8Array
      return undefined
    },
    close: () => Promise.resolve(),
  }
}

async function openPath(path: string): Promise<OpenFile> {
  const file = await open(path, 'r')
  try {
    const stats = await file.stat()
    if (stats.isDirectory())
      throw Object.assign(new Error('EISDIR: a directory is no file'), { code: 'EISDIR' })
    const { size } = stats
    return {
      size,
      name: basename(path),
      mimeType: undefined,
      async *pieces() {
        for (let left = size; left > 0;) {
          // Another buffer each time: what was handed out may still be on its way.
          const buffer = Buffer.allocUnsafeSlow(Math.min(READ_SIZE, left))
          const { bytesRead } = await file.read(buffer, 0, buffer.length, size - left)
          if (bytesRead === 0)
            throw new DataStreamError('incomplete', { detail: 'the file has become shorter' })
          left -= bytesRead
          yield buffer.subarray(0, bytesRead)
        }
        return undefined
      },
      close: () => file.close(),
    }
  } catch (error) {
    await file.close()
    throw error
  }
}

/** Files in which `datatrack receive` puts byte streams. Remote participants choose the names. */
import { open } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { join } from 'node:path'

/** Characters of a file's name at most. File systems take 255 bytes. */
const MAX_NAME = 100
/** Files with the same name, in one folder, at most. */
const MAX_COPIES = 1000

/**
 * A name that stays in its folder, and that hides nothing: letters, digits, `.`, `-`, `_` and spaces, without a dot at
 * the beginning.
 */
export function safeName(name: string): string {
  const last = name.split(/[\\/]/).at(-1) ?? ''
  const safe = last
    .normalize('NFC')
    .replace(/[^\p{L}\p{N}._ -]/gu, '_')
    .replace(/^[. ]+|[. ]+$/g, '')
  return Array.from(safe).slice(0, MAX_NAME).join('') || 'unnamed'
}

/** Creates a file in the folder. A name that is in use gets a number; no file is ever replaced. */
export async function createFile(
  folder: string,
  name: string,
): Promise<{ readonly path: string; readonly file: FileHandle }> {
  const safe = safeName(name)
  const dot = safe.lastIndexOf('.')
  const [stem, ending] = dot > 0 ? [safe.slice(0, dot), safe.slice(dot)] : [safe, '']
  for (let copy = 0; copy < MAX_COPIES; copy++) {
    const path = join(folder, copy === 0 ? safe : `${stem}-${copy}${ending}`)
    try {
      return { path, file: await open(path, 'wx') }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
  }
  throw new Error(`there are ${MAX_COPIES} files of that name`)
}

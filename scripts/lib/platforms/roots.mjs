// Folders that are the root of the programs that run in them.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'

/**
 * Mounts what programs need into a folder, and makes it the root of a program. The mounts end with the program, because
 * they are in a namespace of their own.
 */
const ENTER = `
  root="$1" app="$2"
  shift 2
  mount --bind "$app" "$root/app"
  mount --rbind /dev "$root/dev"
  mount --rbind /sys "$root/sys"
  mount -t proc proc "$root/proc"
  exec unshare --root="$root" --wd=/app "$@"`

/** Makes the folders that {@link inside} mounts to. */
export function prepareRoot(root) {
  for (const each of ['app', 'dev', 'proc', 'sys', 'tmp']) mkdirSync(join(root, each), { recursive: true })
}

/**
 * A function that turns arguments and a folder into a command. It runs a program of the root, in the folder, which is
 * `/app` there.
 */
export const inside =
  (root, ...program) =>
  (args, folder) => ['unshare', ['--mount', 'sh', '-e', '-c', ENTER, 'sh', root, folder, ...program, ...args]]

/** Writes to standard output and error, in step with the reader. */
import { once } from 'node:events'
import type { Writable } from 'node:stream'
import { printableLines } from '../base/printable'

/** Writes a line for people. */
export function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

/** Writes a line beside the output proper: progress, what goes wrong. It may have words of others in it. */
export function note(line: string): void {
  process.stderr.write(`${printableLines(line)}\n`)
}

/** Writes, and waits while the reader is behind: what is held in memory stays within the stream's own limit. */
export async function writeAll(
  out: Writable,
  data: Uint8Array | string,
  signal?: AbortSignal,
): Promise<void> {
  if (out.write(data)) return
  await once(out, 'drain', signal && { signal })
}

/** Ends a file and waits until it is written. Standard output stays open. */
export async function finish(out: Writable): Promise<void> {
  if (out === process.stdout) return
  await new Promise<void>((resolve, reject) => {
    out.once('error', reject)
    out.end(resolve)
  })
}

/** Text for people without what looks like an access token: servers repeat those that they refuse. */
export function withoutTokens(text: string): string {
  return text.replace(/eyJ[\w-]{5,}(\.[\w-]*){0,2}/g, '…')
}

/** The first Ctrl-C (or SIGTERM) aborts the signal, a second one ends the process. */
export function stopSignal(): AbortSignal {
  const stop = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort(new Stopped()))
  return stop.signal
}

/** The user has had enough. */
export class Stopped extends Error {
  constructor() {
    super('stopped')
  }
}

/** A reader that has seen enough (`datatrack sub | head`) is no failure; output that cannot be written is. */
export function endWithReader(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(0)
      // A full disk, for example. What is said of it may fail as well.
      if (stream === process.stdout) {
        note(`datatrack: standard output cannot be written (${error.code ?? 'unknown error'})`)
      }
      process.exit(1)
    })
  }
}

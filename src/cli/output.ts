/** Writes to standard output and standard error, no faster than their reader reads. */
import { once } from 'node:events'
import type { Writable } from 'node:stream'
import { printableLines } from '../base/printable'

/** Writes a line to standard output. */
export function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

/**
 * Writes a line to standard error, for progress and errors. Control characters are escaped, because the line may
 * contain text of a server or of other participants.
 */
export function note(line: string): void {
  process.stderr.write(`${printableLines(line)}\n`)
}

/** Writes, and waits while the stream's buffer is full. Memory therefore stays within the limit of the stream. */
export async function writeAll(
  out: Writable,
  data: Uint8Array | string,
  signal?: AbortSignal,
): Promise<void> {
  if (out.write(data)) return
  await once(out, 'drain', signal && { signal })
}

/** Ends a file and waits until all of it is written. Standard output stays open. */
export async function finish(out: Writable): Promise<void> {
  if (out === process.stdout) return
  await new Promise<void>((resolve, reject) => {
    out.once('error', reject)
    out.end(resolve)
  })
}

/** The text without access tokens. Servers repeat a token that they refuse in their answer. */
export function withoutTokens(text: string): string {
  return text.replace(/eyJ[\w-]{5,}(\.[\w-]*){0,2}/g, '…')
}

/** The first Ctrl-C (or SIGTERM) aborts the signal. A second one ends the process. */
export function stopSignal(): AbortSignal {
  const stop = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort(new Stopped()))
  return stop.signal
}

/** The user stopped the command with Ctrl-C or SIGTERM. */
export class Stopped extends Error {
  constructor() {
    super('stopped')
  }
}

/**
 * Ends the process when standard output or error cannot be written. If the reader has closed it
 * (`datatrack sub | head`), that is a success. All other errors are failures.
 */
export function endWithReader(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(0)
      // A full disk, for example. An error of standard error is not reported: writing the report would fail, too.
      if (stream === process.stdout) {
        note(`datatrack: standard output cannot be written (${error.code ?? 'unknown error'})`)
      }
      process.exit(1)
    })
  }
}

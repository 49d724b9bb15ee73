/**
 * Guards the places where data from servers and peers enters. An exception there has no caller that could catch it, and
 * would end the process.
 */
import { log } from './logging'

/**
 * Runs the code that handles a message, a timer or the doorbell. An exception is logged, and `failed` then ends the
 * object that it came from. Errors of an application's listeners do not get here: the code that calls a listener
 * reports them.
 */
export function guarded(
  target: string,
  what: string,
  body: () => void,
  failed: (error: unknown) => void,
): void {
  try {
    body()
  } catch (error) {
    fault(target, what, error)
    try {
      failed(error)
    } catch (another) {
      fault(target, `the end of ${what}`, another)
    }
  }
}

function fault(target: string, what: string, error: unknown): void {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
  log('error', target, `${what} could not be handled: ${text}`)
}

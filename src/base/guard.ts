/** Where what others send enters: an exception there has no caller who could catch it, and would end the process. */
import { log } from './logging'

/**
 * Runs what a message, a timer or the doorbell causes. What it throws is logged, and `failed` ends what it came from. Errors
 * of a user's listeners are none of these: whoever calls a listener reports them.
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

/** `datatrack doctor`: tries each step on the way to a server, and says in plain words which one fails. */
import { runChecks } from '../check/run-checks'
import { Findings } from './doctor-findings'
import { tokenPair } from './server'
import type { ServerSettings } from './settings'

/** Options of {@link doctor}. */
export interface DoctorOptions {
  /** The server to check. `undefined`: only the native addon on this machine is checked. */
  readonly server: ServerSettings | undefined
  /** Time limit of each check, s. */
  readonly timeout: number
  /** Whether to print one JSON object a line. */
  readonly json: boolean
}

/** Exit codes of the doctor. 2 is a wrong command line. */
export const DoctorExit = {
  Ok: 0,
  /** A step that data tracks need fails. */
  Failed: 1,
  /** No check failed, but at least one gave a warning. */
  Warning: 3,
} as const

/** Runs the checks, each within the time limit, and resolves with the exit code. */
export async function doctor({ server, timeout, json }: DoctorOptions): Promise<number> {
  const { key, tokens } = server ?? {}
  const pair =
    key === undefined || server === undefined
      ? undefined
      : tokenPair(server, 'doctor', { subscriberPublishes: true })
  const publisher = pair?.publisher ?? tokens?.publisher
  const subscriber = pair?.subscriber ?? tokens?.subscriber
  const findings = new Findings(json, [publisher, subscriber, key?.apiSecret])
  const second = 'an API key, or a second token with --subscriber-token,'
  const target =
    server === undefined || publisher === undefined
      ? undefined
      : { url: server.url, publisher, subscriber, second, made: key !== undefined, timeoutMs: timeout * 1000 }
  const seen = await runChecks(target, {
    begins: () => undefined,
    found: (finding) => void findings.add(finding),
  })
  return { ok: DoctorExit.Ok, warning: DoctorExit.Warning, failed: DoctorExit.Failed }[findings.finish(seen)]
}

/** `datatrack doctor`: tries everything on the way to a server and says in plain words what fails. */
import { runChecks } from '../check/run-checks'
import { Findings } from './doctor-findings'
import { tokenPair } from './server'
import type { ServerSettings } from './settings'

/** Options of {@link doctor}. */
export interface DoctorOptions {
  /** `undefined`: only what this machine has is looked at. */
  readonly server: ServerSettings | undefined
  /** s that each check may take. */
  readonly timeout: number
  /** A JSON object a line. */
  readonly json: boolean
}

/** Exit codes of the doctor; 2 is a wrong command line. */
export const DoctorExit = {
  Ok: 0,
  /** Something that is needed fails. */
  Failed: 1,
  /** It works, with limits. */
  Warning: 3,
} as const

/** Runs the checks, each of them bounded in time, and resolves with the exit code. */
export async function doctor({ server, timeout, json }: DoctorOptions): Promise<number> {
  const { key, tokens } = server ?? {}
  const pair = key === undefined || server === undefined ? undefined : await tokenPair(server, 'doctor', true)
  const publisher = pair?.publisher ?? tokens?.publisher
  const subscriber = pair?.subscriber ?? tokens?.subscriber
  const findings = new Findings(json, [publisher, subscriber, key?.apiSecret])
  const target =
    server === undefined || publisher === undefined
      ? undefined
      : { url: server.url, publisher, subscriber, made: key !== undefined, timeoutMs: timeout * 1000 }
  const seen = await runChecks(target, {
    begins: () => undefined,
    found: (finding) => void findings.add(finding),
  })
  return { ok: DoctorExit.Ok, warning: DoctorExit.Warning, failed: DoctorExit.Failed }[findings.finish(seen)]
}

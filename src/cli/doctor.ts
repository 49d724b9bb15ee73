/** `datatrack doctor`: tries everything on the way to a server and says in plain words what fails. */
import { decodeClaims } from '../connection/claims'
import type { Finding } from './doctor-findings'
import { Findings } from './doctor-findings'
import { checkData, checkPath, checkPublishing, checkSignalling, weighPaths } from './doctor-room'
import { checkAddress, checkBinary, checkHttp, checkToken } from './doctor-server'
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
  let seen = false
  if (findings.add(checkBinary()).status === 'ok' && server !== undefined && publisher !== undefined) {
    seen = await checkServer(
      findings,
      server.url,
      { publisher, subscriber, made: key !== undefined },
      timeout * 1000,
    )
  }
  return { ok: DoctorExit.Ok, warning: DoctorExit.Warning, failed: DoctorExit.Failed }[findings.finish(seen)]
}

interface Tokens {
  readonly publisher: string
  readonly subscriber: string | undefined
  readonly made: boolean
}

/** Whether frames were seen to go from one participant to another. */
async function checkServer(
  findings: Findings,
  url: string,
  { publisher, subscriber, made }: Tokens,
  ms: number,
): Promise<boolean> {
  const rest = (names: readonly string[], why: string): void => {
    for (const check of names) findings.add({ check, status: 'skipped', what: why })
  }
  if (failed(findings.add(await checkAddress(url)))) {
    rest(['http', 'token', 'signalling', 'UDP', 'TCP', 'data'], 'the host has no address')
    return false
  }
  const { finding, skew } = await checkHttp(url, ms)
  if (failed(findings.add(finding))) {
    rest(['token', 'signalling', 'UDP', 'TCP', 'data'], 'the server does not answer')
    return false
  }
  if (failed(findings.add(await checkToken(url, publisher, made, skew, ms)))) {
    rest(['signalling', 'UDP', 'TCP', 'data'], 'the token is refused')
    return false
  }
  if (failed(findings.add(await checkSignalling(url, publisher, ms)))) {
    rest(['UDP', 'TCP', 'data'], 'signalling does not work')
    return false
  }
  const udp = await checkPath(url, publisher, 'udp', ms)
  const paths = weighPaths(udp, await checkPath(url, publisher, 'tcp', ms))
  for (const path of paths) findings.add(path)
  if (paths.every(failed)) {
    rest(['data'], 'there is no path for it')
    return false
  }
  if (decodeClaims(publisher)?.canPublishData === false) {
    rest(['data'], 'the token does not allow to publish data')
    return false
  }
  if (subscriber === undefined) {
    findings.add(await checkPublishing(url, publisher, ms))
    return false
  }
  const andBack = decodeClaims(subscriber)?.canPublishData !== false
  return !failed(findings.add(await checkData(url, { publisher, subscriber }, andBack, ms)))
}

function failed({ status }: Finding): boolean {
  return status === 'failed'
}

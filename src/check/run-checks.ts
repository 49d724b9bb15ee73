/** Runs all checks of a connection, one after the other. If a check fails, the checks that need it are skipped. */
import { decodeClaims } from '../connection/claims'
import type { IceServer } from '../connection/ice-servers'
import type { Finding } from './finding'
import { checkData, checkPath, checkPublishing, checkRelay, checkSignalling, weighPaths } from './room-checks'
import { checkAddress, checkBinary, checkHttp, checkToken } from './server-checks'

/** The checks, in their order. */
const checkNames = [
  'binary',
  'address',
  'http',
  'token',
  'signalling',
  'UDP',
  'TCP',
  'TURN/UDP',
  'TURN/TLS',
  'data',
] as const

/** The name of a check. */
export type CheckName = (typeof checkNames)[number]

/** The server to check, and the tokens to check it with. */
export interface CheckTarget {
  readonly url: string
  readonly publisher: string
  /** Token of a second participant. Without it, the check `data` cannot see whether frames arrive. */
  readonly subscriber: string | undefined
  /** How the caller gives that second token: the name of an option. The result of the check `data` says it. */
  readonly second: string
  /** Whether this program made the tokens with the user's API key. */
  readonly made: boolean
  /** Time limit of each check, ms. */
  readonly timeoutMs: number
}

/** Is told how the checks proceed. */
export interface CheckListener {
  /** A check begins. The listener may throw an error to end the run. */
  begins(name: CheckName): void
  found(finding: Finding): void
}

/**
 * Runs the checks. If `target` is `undefined`, only the native addon on this machine is checked. Returns whether frames
 * arrived at another participant.
 */
export async function runChecks(target: CheckTarget | undefined, listener: CheckListener): Promise<boolean> {
  listener.begins('binary')
  const binary = checkBinary()
  listener.found(binary)
  return target !== undefined && !failed(binary) && (await checkServer(target, listener))
}

async function checkServer(
  { url, publisher, subscriber, second, made, timeoutMs }: CheckTarget,
  listener: CheckListener,
): Promise<boolean> {
  let done: CheckName = 'binary'
  const run = async (name: CheckName, check: () => Promise<Finding>): Promise<boolean> => {
    listener.begins(name)
    const finding = await check()
    listener.found(finding)
    done = name
    return !failed(finding)
  }
  /** Reports all remaining checks as skipped. */
  const skip = (what: string): false => {
    for (const check of checkNames.slice(checkNames.indexOf(done) + 1)) {
      listener.found({ check, status: 'skipped', what })
    }
    return false
  }
  if (!(await run('address', () => checkAddress(url)))) return skip('the host has no address')
  let skew = 0
  const answers = await run('http', async () => {
    const result = await checkHttp(url, timeoutMs)
    skew = result.skew
    return result.finding
  })
  if (!answers) return skip('the server does not answer')
  const accepted = await run('token', () => checkToken(url, publisher, made, skew, timeoutMs))
  if (!accepted) return skip('the token is refused')
  let relays: readonly IceServer[] = []
  const letIn = await run('signalling', async () => {
    const result = await checkSignalling(url, publisher, timeoutMs)
    relays = result.relays
    return result.finding
  })
  if (!letIn) return skip('signalling does not work')
  const tried: Finding[] = []
  for (const transport of ['udp', 'tcp'] as const) {
    listener.begins(transport === 'udp' ? 'UDP' : 'TCP')
    tried.push(await checkPath(url, publisher, transport, timeoutMs))
  }
  for (const transport of ['udp', 'tls'] as const) {
    listener.begins(transport === 'udp' ? 'TURN/UDP' : 'TURN/TLS')
    tried.push(await checkRelay(url, publisher, transport, relays, timeoutMs))
  }
  const paths = weighPaths(tried)
  for (const path of paths) listener.found(path)
  done = 'TURN/TLS'
  if (!paths.some(({ status }) => status === 'ok')) return skip('there is no path for it')
  if (decodeClaims(publisher)?.canPublishData === false)
    return skip('the token does not allow to publish data')
  if (subscriber === undefined) {
    await run('data', () => checkPublishing(url, publisher, second, timeoutMs))
    return false
  }
  const andBack = decodeClaims(subscriber)?.canPublishData !== false
  return await run('data', () => checkData(url, { publisher, subscriber }, andBack, timeoutMs))
}

function failed({ status }: Finding): boolean {
  return status === 'failed'
}

/** What an access token says, without knowing the secret: only the server can tell whether it is genuine. */
import { isObject } from '../base/arguments'

/** The claims that matter for data tracks. */
export interface TokenClaims {
  readonly identity: string
  /** Unix seconds; `undefined` where the token does not say. */
  readonly notBefore: number | undefined
  readonly expires: number | undefined
  readonly roomJoin: boolean
  readonly room: string
  readonly canPublishData: boolean
  readonly canSubscribe: boolean
}

/** Reads a token; `undefined` when it is none. */
export function decodeClaims(token: string): TokenClaims | undefined {
  const parts = token.split('.')
  let claims: unknown
  try {
    claims = JSON.parse(Buffer.from(parts[1] ?? '', 'base64url').toString('utf8'))
  } catch {
    return undefined
  }
  if (parts.length !== 3 || !isObject(claims)) return undefined
  const video = isObject(claims['video']) ? claims['video'] : {}
  const canPublish = video['canPublish'] !== false
  return {
    identity: text(claims['sub']),
    notBefore: time(claims['nbf']),
    expires: time(claims['exp']),
    roomJoin: video['roomJoin'] === true,
    room: text(video['room']),
    // As in livekit-server: an absent grant for data follows the one for media, and an absent grant is allowed.
    canPublishData: typeof video['canPublishData'] === 'boolean' ? video['canPublishData'] : canPublish,
    canSubscribe: video['canSubscribe'] !== false,
  }
}

/** Something that a token lacks, and what helps. */
export interface ClaimProblem {
  readonly fatal: boolean
  readonly what: string
  readonly help: string
}

/** Seconds by which livekit-server lets clocks differ. */
const LEEWAY = 60

/** What is wrong with a token at a time (Unix ms, by the server's clock). */
export function claimProblems(claims: TokenClaims | undefined, now: number): readonly ClaimProblem[] {
  if (claims === undefined) {
    return [
      fatal(
        'it is no access token',
        "Give what LiveKit's tools or livekit-server-sdk made, the whole of it.",
      ),
    ]
  }
  const { identity, notBefore, expires, roomJoin, room, canPublishData, canSubscribe } = claims
  const seconds = now / 1000
  const problems: ClaimProblem[] = []
  if (expires !== undefined && expires + LEEWAY < seconds) {
    problems.push(fatal(`it expired ${span(seconds - expires)} ago`, 'Make a new token.'))
  }
  if (notBefore !== undefined && notBefore - LEEWAY > seconds) {
    const help = 'Set the clock of the machine that makes tokens, or that of the server.'
    problems.push(fatal(`it will be good in ${span(notBefore - seconds)} only`, help))
  }
  if (!roomJoin) problems.push(fatal('it lacks the grant roomJoin', 'Make a token with roomJoin and a room.'))
  if (roomJoin && room === '')
    problems.push(fatal('it names no room', 'Make a token with roomJoin and a room.'))
  if (identity === '') problems.push(fatal('it names no participant', 'Make a token with an identity.'))
  if (!canPublishData) {
    problems.push(
      warning('it does not allow to publish data', 'To publish, make a token with canPublishData.'),
    )
  }
  if (!canSubscribe) {
    problems.push(warning('it does not allow to subscribe', 'To subscribe, make a token with canSubscribe.'))
  }
  return problems
}

/** "45 s", "10 min", "3 h", "12 days". */
export function span(seconds: number): string {
  if (seconds < 90) return `${Math.round(seconds)} s`
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`
  return `${Math.round(seconds / 86_400)} days`
}

function fatal(what: string, help: string): ClaimProblem {
  return { fatal: true, what, help }
}

function warning(what: string, help: string): ClaimProblem {
  return { fatal: false, what, help }
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function time(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined
}

/** The server's room service. It is an HTTP API that lists rooms without joining them. */
import { withDeadline } from '../base/abort'
import { isObject } from '../base/arguments'
import { httpRequest } from '../connection/http-request'
import { ProxyError } from '../connection/proxy'
import { codeOf, httpUrl } from '../check/http'
import { printable } from '../base/printable'
import { accessToken } from './access-token'
import { withoutTokens } from './output'
import type { ApiKey } from './settings'

/** A room on the server. */
export interface RoomSummary {
  readonly name: string
  readonly sid: string
  readonly numParticipants: number
}

/** Time limit of a request, ms. */
const TIMEOUT = 10_000
/** Characters of an answer at most, which is enough for some 50,000 rooms. */
const MAX_ANSWER = 32 << 20
/** Lifetime of the token of a request, s. */
const TOKEN_LIFE = 60
const NO_ANSWER = 'the rooms cannot be listed: the server answers with something else than rooms'

/** All rooms of the server. If `names` is not empty, only the rooms with these names. */
export async function listRooms(
  url: string,
  key: ApiKey,
  signal: AbortSignal,
  names: readonly string[] = [],
): Promise<readonly RoomSummary[]> {
  const token = accessToken(key, { grant: { roomList: true }, lifetime: TOKEN_LIFE })
  const { status, text } = await httpRequest(httpUrl(url, '/twirp/livekit.RoomService/ListRooms'), {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ names }),
    signal: withDeadline(TIMEOUT, signal),
    maxLength: MAX_ANSWER,
  }).catch((error: unknown) => {
    signal.throwIfAborted()
    throw new Error(`the rooms cannot be listed: ${reasonOf(error)}`)
  })
  if (status !== 200) {
    const said = printable(withoutTokens(text).trim().slice(0, 200))
    throw new Error(`the rooms cannot be listed: HTTP status ${status}, ${said}`)
  }
  return roomsIn(text)
}

/** Reads the answer. Its fields have the names of the protocol's file, or those names in camel case. */
function roomsIn(text: string): RoomSummary[] {
  const { rooms = [] } = objectIn(text)
  if (!Array.isArray(rooms)) throw new Error(NO_ANSWER)
  return rooms.filter(isObject).map((room) => {
    const { name, sid, num_participants: count, numParticipants = count } = room
    return {
      name: typeof name === 'string' ? name : '',
      sid: typeof sid === 'string' ? sid : '',
      numParticipants: typeof numParticipants === 'number' ? numParticipants : 0,
    }
  })
}

function objectIn(text: string): Readonly<Record<string, unknown>> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new Error(NO_ANSWER)
  }
  if (!isObject(value)) throw new Error(NO_ANSWER)
  return value
}

function reasonOf(error: unknown): string {
  if (error instanceof ProxyError) return error.message
  if (error instanceof DOMException && error.name === 'TimeoutError') {
    return `nothing answers within ${TIMEOUT / 1000} s`
  }
  return `the server cannot be reached: ${codeOf(error)}`
}

/** The server's room service. It is an HTTP API that lists rooms without joining them. */
import { withDeadline } from '../base/abort'
import { loadProtocol, loadServerSdk } from '../base/lazy'
import { httpRequest } from '../connection/http-request'
import { ProxyError } from '../connection/proxy'
import { codeOf, httpUrl } from '../check/http'
import { printable } from '../base/printable'
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

/** All rooms of the server. If `names` is not empty, only the rooms with these names. */
export async function listRooms(
  url: string,
  key: ApiKey,
  signal: AbortSignal,
  names: readonly string[] = [],
): Promise<readonly RoomSummary[]> {
  const { ListRoomsRequest, ListRoomsResponse } = loadProtocol()
  const { AccessToken } = loadServerSdk()
  const access = new AccessToken(key.apiKey, key.apiSecret, { ttl: '1m' })
  access.addGrant({ roomList: true })
  const token = await access.toJwt()
  const { status, text } = await httpRequest(httpUrl(url, '/twirp/livekit.RoomService/ListRooms'), {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: new ListRoomsRequest({ names: [...names] }).toJsonString(),
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
  return ListRoomsResponse.fromJsonString(text, { ignoreUnknownFields: true }).rooms
}

function reasonOf(error: unknown): string {
  if (error instanceof ProxyError) return error.message
  if (error instanceof DOMException && error.name === 'TimeoutError') {
    return `nothing answers within ${TIMEOUT / 1000} s`
  }
  return `the server cannot be reached: ${codeOf(error)}`
}

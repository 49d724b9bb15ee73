/** What the server is told of the reason when a session is resumed. */
import { JoinRequest, ReconnectReason, WrappedJoinRequest } from '@livekit/protocol'
import { describe, expect, it } from 'vitest'
import { RoomEvent } from '../../index'
import { reconnectReason } from '../../src/connection/reconnect-reason'
import { event, Scene } from '../helpers/scene'
import { SignalProxy } from '../helpers/signal-proxy'
import { withServer } from '../helpers/with-server'

const server = withServer()

/** The reason in a request for signalling; `undefined` if it resumes nothing. */
function reasonIn(asked: string): number | undefined {
  const { searchParams } = new URL(asked, 'ws://server')
  const request = searchParams.get('join_request')
  if (request === null) {
    const reason = searchParams.get('reconnect_reason')
    return reason === null ? undefined : Number(reason)
  }
  const wrapped = WrappedJoinRequest.fromBinary(Buffer.from(request, 'base64url'))
  const join = JoinRequest.fromBinary(wrapped.joinRequest)
  return join.reconnect ? join.reconnectReason : undefined
}

describe.each(['single', 'dual'] as const)('with peer connections: %s', (peerConnections) => {
  it('the server is told whether signalling or the path was lost', async () => {
    const proxy = await SignalProxy.start(server.url)
    try {
      await Scene.with(server, async (scene) => {
        const alice = await scene.join('alice', { url: proxy.url, connect: { peerConnections } })
        for (const lose of [() => proxy.cut(), () => server.pause()]) {
          const reconnecting = event(alice, RoomEvent.Reconnecting)
          const reconnected = event(alice, RoomEvent.Reconnected)
          lose()
          await reconnecting
          server.resume()
          await reconnected
        }
        const reasons = proxy.asked.map(reasonIn).filter((reason) => reason !== undefined)
        const { RR_SIGNAL_DISCONNECTED, RR_SWITCH_CANDIDATE } = ReconnectReason
        expect([reasonIn(proxy.asked[0] ?? ''), reasons[0], reasons.at(-1)]).toEqual<(number | undefined)[]>([
          undefined,
          RR_SIGNAL_DISCONNECTED,
          RR_SWITCH_CANDIDATE,
        ])
      })
    } finally {
      server.resume()
      await proxy.close()
    }
  })
})

it('after a failed attempt, the server is told which connection failed', () => {
  const { RR_UNKNOWN, RR_SIGNAL_DISCONNECTED, RR_PUBLISHER_FAILED, RR_SUBSCRIBER_FAILED } = ReconnectReason
  const told = (['nothing', 'signal', 'publisher', 'subscriber'] as const).map((loss) =>
    reconnectReason(loss, true),
  )
  expect(told).toEqual([RR_UNKNOWN, RR_SIGNAL_DISCONNECTED, RR_PUBLISHER_FAILED, RR_SUBSCRIBER_FAILED])
})

import { expect, it, vi } from 'vitest'
import { DataTrackSubscribeError, RoomEvent } from '../../index'
import { rejection } from '../helpers/rooms'
import { event, flowing, publish, Scene } from '../helpers/scene'
import { withServer } from '../helpers/with-server'

// The real schedule takes up to a minute, which a unit test adds up. Here the room makes three attempts only.
vi.mock('../../src/connection/backoff', async (importOriginal) => ({
  ...(await importOriginal<object>()),
  RECONNECT_ATTEMPTS: 3,
}))

const server = withServer()

it('a room whose server never returns disconnects once, ends tracks and streams, and can connect again', async () => {
  await Scene.with(server, async (scene) => {
    const [alice, bob] = [await scene.join('alice'), await scene.join('bob')]
    const { local, remote } = await publish(alice, bob)
    const stream = remote.subscribe()
    await flowing(local, stream)
    const reasons: string[] = []
    for (const room of [alice, bob]) room.on(RoomEvent.Disconnected, (reason) => reasons.push(reason))
    const gone = Promise.all([event(alice, RoomEvent.Disconnected), event(bob, RoomEvent.Disconnected)])
    const pushing = gone.then(() => rejection(local.push(new Uint8Array(1))))
    await server.stop()
    await gone
    expect(reasons).toEqual(['signalClose', 'signalClose'])
    expect([alice.state, bob.state]).toEqual(['disconnected', 'disconnected'])
    expect(local.signal.reason.reason).toBe('disconnected')
    expect((await pushing).reason).toBe('disconnected')
    const error = await rejection(
      (async () => {
        for await (const frame of stream) expect(frame.payload.byteLength).toBe(1)
      })(),
    )
    expect(error).toBeInstanceOf(DataTrackSubscribeError)
    expect(error.reason).toBe('disconnected')
    await server.restart()
    await alice.connect(server.url, await scene.token('alice'))
    expect(alice.state).toBe('connected')
    expect(reasons).toHaveLength(2)
  })
})

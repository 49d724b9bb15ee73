import { describe, expect, it } from 'vitest'
import { DataTrackClosedError, Room, RoomEvent } from '../../index'
import type { SimulationScenario } from '../../index'
import { rejection } from '../helpers/rooms'
import { event, flowing, pattern, publish, Scene, seen, lossesOf } from '../helpers/scene'
import { TcpProxy } from '../helpers/tcp-proxy'
import { withServer } from '../helpers/with-server'

const server = withServer()

/** Records the connection events of the room from now on. */
function connectionEvents(room: Room): string[] {
  const heard: string[] = []
  for (const name of ['Reconnecting', 'Reconnected', 'Disconnected'] as const) {
    room.on(RoomEvent[name], () => heard.push(name))
  }
  return heard
}

/** Runs `cause` and waits until the room is connected again. */
async function back(room: Room, cause: () => unknown): Promise<void> {
  const reconnected = event(room, RoomEvent.Reconnected)
  await cause()
  await reconnected
}

describe('room.stats()', () => {
  it.each(['all', 'tcp'] as const)(
    'measures the connection, and counts its packets and bytes (%s)',
    (iceTransports) =>
      Scene.with(server, async (scene) => {
        const connect = { iceTransports }
        const [alice, bob] = [await scene.join('alice', { connect }), await scene.join('bob', { connect })]
        const { local, remote } = await publish(alice, bob)
        const stream = remote.subscribe()
        await flowing(local, stream)
        const frame = { payload: pattern(40_000), userTimestamp: 1n }
        const frames = 1 + (await lossesOf({ servers: [server], local, to: bob, remote, stream }, frame))
        await local.flush()
        const sent = alice.stats()
        const { pushed, packetsSent } = local.stats()
        expect(sent.sent).toEqual(local.stats())
        expect(sent.connection).toMatchObject({ overTcp: iceTransports === 'tcp', packetsReceived: 0 })
        expect(sent.connection!.packetsSent).toBe(packetsSent)
        expect(packetsSent).toBe(pushed + 2 * frames)
        expect(sent.connection!.bytesSent).toBeGreaterThan(40_000)
        await expect.poll(() => alice.stats().connection!.rtt).toBeGreaterThan(0)
        expect(sent.connection!.bufferLimit).toBeGreaterThan(0)
        const { congestionWindow, rtt, leastRtt, queueDelay } = sent.connection!.sctp
        expect(congestionWindow).toBeGreaterThan(1200)
        expect(leastRtt).toBeGreaterThan(0)
        expect(rtt).toBeGreaterThanOrEqual(leastRtt!)
        expect(queueDelay).toBeGreaterThanOrEqual(0)
        await expect.poll(() => alice.stats().connection!.sctp.bytesInFlight).toBe(0)
        expect(sent).toMatchObject({ resumes: 0, rebuilds: 0, reconnectedAt: undefined })
        expect(Date.now() - sent.connectedAt!.getTime()).toBeLessThan(60_000)
        const received = bob.stats()
        expect(received.received).toEqual(bob.packetStats())
        expect(received.connection!.packetsReceived).toBe(received.received.received)
        expect(received.connection!.bytesReceived).toBeGreaterThan(40_000)
        await alice.disconnect()
        expect(alice.stats()).toMatchObject({
          connectedAt: undefined,
          connection: undefined,
          sent: { pushed: 0 },
          received: { received: 0 },
        })
      }),
  )

  it('has the round-trip time of signalling after a ping', () =>
    Scene.with(server, async (scene) => {
      const alice = await scene.join('alice')
      await expect.poll(() => alice.stats().connection!.signalRtt).toBeGreaterThanOrEqual(0)
    }))

  it('keeps counting across reconnects of both kinds', () =>
    Scene.with(server, async (scene) => {
      const [alice, bob] = [await scene.join('alice'), await scene.join('bob')]
      const { local, remote } = await publish(alice, bob)
      const stream = remote.subscribe()
      await flowing(local, stream)
      const before = alice.stats()
      await back(alice, () => alice.simulateScenario('signal-reconnect'))
      expect(alice.stats()).toMatchObject({ resumes: 1, rebuilds: 0, connectedAt: before.connectedAt })
      await back(alice, () => alice.simulateScenario('full-reconnect'))
      const after = alice.stats()
      expect(after).toMatchObject({ resumes: 1, rebuilds: 1, connectedAt: before.connectedAt })
      expect(after.reconnectedAt!.getTime()).toBeGreaterThanOrEqual(before.connectedAt!.getTime())
      expect(after.connection!.bytesSent).toBeGreaterThan(before.connection!.bytesSent)
      expect(after.connection!.packetsSent).toBeGreaterThanOrEqual(before.connection!.packetsSent)
      await local.unpublish()
      expect(alice.stats().sent).toEqual(local.stats())
    }))
})

describe('room.simulateScenario()', () => {
  /** The scenarios from which a room comes back, and how it comes back with livekit-server 1.13.5. */
  const scenarios: readonly [SimulationScenario, 'resumes' | 'rebuilds' | 'either'][] = [
    ['signal-reconnect', 'resumes'],
    ['resume-reconnect', 'resumes'],
    ['full-reconnect', 'rebuilds'],
    ['disconnect-signal-on-resume', 'either'],
    ['disconnect-signal-on-resume-no-messages', 'either'],
    ['node-failure', 'rebuilds'],
    ['migration', 'rebuilds'],
    ['force-tcp', 'rebuilds'],
  ]
  /** In these scenarios, the other participants see the participant leave and join again. */
  const leaves: readonly SimulationScenario[] = ['node-failure', 'migration']
  it.each(scenarios)('%s: the connection comes back, and frames flow again', (scenario, how) =>
    Scene.with(server, async (scene) => {
      const [alice, bob] = [await scene.join('alice'), await scene.join('bob')]
      const { local, remote } = await publish(alice, bob)
      let stream = remote.subscribe()
      await flowing(local, stream)
      const heard = connectionEvents(alice)
      await back(alice, () => alice.simulateScenario(scenario))
      if (leaves.includes(scenario)) {
        for await (const frame of stream) expect(frame.payload).toHaveLength(1)
        stream = (await seen(bob, 'track')).subscribe()
      }
      await flowing(local, stream)
      expect(heard).toEqual(['Reconnecting', 'Reconnected'])
      const { resumes, rebuilds } = alice.stats()
      expect(resumes + rebuilds).toBe(1)
      if (how !== 'either') expect(alice.stats()[how]).toBe(1)
      if (scenario === 'force-tcp') expect(alice.stats().connection!.overTcp).toBe(true)
    }),
  )

  it('server-leave: the server removes the participant', () =>
    Scene.with(server, async (scene) => {
      const alice = await scene.join('alice')
      const disconnected = event(alice, RoomEvent.Disconnected)
      await alice.simulateScenario('server-leave')
      expect(await disconnected).toEqual(['serverShutdown'])
    }))

  it('rejects an unknown name, and a room that is not connected', async () => {
    const room = new Room()
    expect(await rejection(room.simulateScenario('no-such-scenario' as never))).toBeInstanceOf(RangeError)
    expect(await rejection(room.simulateScenario(5 as never))).toBeInstanceOf(TypeError)
    const error = await rejection(room.simulateScenario('full-reconnect'))
    expect(error).toBeInstanceOf(DataTrackClosedError)
  })
})

describe('room.reconnectNow()', () => {
  it('resumes at once, and does nothing in a room that is not connected', () =>
    Scene.with(server, async (scene) => {
      expect(new Room().reconnectNow()).toBe(false)
      const [alice, bob] = [await scene.join('alice'), await scene.join('bob')]
      const { local, remote } = await publish(alice, bob)
      const stream = remote.subscribe()
      await flowing(local, stream)
      const heard = connectionEvents(alice)
      await back(alice, () => expect(alice.reconnectNow()).toBe(true))
      await flowing(local, stream)
      expect(heard).toEqual(['Reconnecting', 'Reconnected'])
      expect(alice.stats()).toMatchObject({ resumes: 1, rebuilds: 0 })
      await alice.disconnect()
      expect(alice.reconnectNow()).toBe(false)
    }))

  it('cuts short the wait for the next attempt, and aborts an attempt that hangs', () =>
    Scene.with(server, async (scene) => {
      const proxy = await TcpProxy.start(server.port)
      try {
        const alice = await scene.join('alice', { url: proxy.url })
        const lost = event(alice, RoomEvent.Reconnecting)
        // Connections are accepted but not answered, so each attempt would hang for 15 s.
        proxy.silence(true)
        proxy.cut()
        await lost
        await proxy.connected()
        proxy.silence(false)
        await back(alice, () => alice.reconnectNow())
        expect(alice.stats()).toMatchObject({ resumes: 1, rebuilds: 0 })
        // Attempts fail at once, and the wait between two attempts grows.
        const lostAgain = event(alice, RoomEvent.Reconnecting)
        proxy.refuse(true)
        proxy.cut()
        await lostAgain
        for (let attempt = 0; attempt < 4; attempt++) await proxy.connected()
        proxy.refuse(false)
        await back(alice, () => alice.reconnectNow())
        expect(alice.isConnected).toBe(true)
      } finally {
        await proxy.close()
      }
    }))
})

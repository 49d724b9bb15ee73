import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { RoomEvent } from '../../index'
import type { DataTrackFrame, LocalDataTrack, RemoteDataTrack, Room } from '../../index'
import { PROBE, Scene, event, flowing, lostByServer, publish, sum } from '../helpers/scene'
import { TcpProxy } from '../helpers/tcp-proxy'
import { withServer } from '../helpers/with-server'

/** Bytes of the frames of a test that counts them, and how many of them livekit-server puts into one datagram. */
const FRAME_BYTES = 100
const FRAMES_PER_DATAGRAM = 11

const server = withServer()
let proxy: TcpProxy
beforeEach(async () => {
  proxy = await TcpProxy.start(server.port)
})
afterEach(() => proxy.close())

/** Alice's track, the same track as bob has it, and a loop that reads it. The loop must not end before the test. */
interface Traffic {
  readonly alice: Room
  readonly bob: Room
  readonly local: LocalDataTrack
  readonly remote: RemoteDataTrack
  /** The events of both rooms, in order. */
  readonly events: string[]
  /** Pushes new frames, and resolves when the loop has received one of them. */
  readonly flows: () => Promise<void>
}

interface TrafficOptions {
  /** The participants whose signalling goes through the proxy. */
  readonly proxied: readonly ('alice' | 'bob')[]
  readonly peerConnections?: 'single' | 'dual'
  readonly iceTransports?: 'udp' | 'tcp'
}

function withTraffic(
  { proxied, peerConnections, iceTransports }: TrafficOptions,
  use: (traffic: Traffic) => Promise<void>,
) {
  return Scene.with(server, async (scene) => {
    const join = (identity: 'alice' | 'bob') =>
      scene.join(identity, {
        ...(proxied.includes(identity) && { url: proxy.url }),
        connect: {
          connectTimeout: 5000,
          ...(peerConnections && { peerConnections }),
          ...(iceTransports && { iceTransports }),
        },
      })
    const [alice, bob] = [await join('alice'), await join('bob')]
    // A busy machine may let frames wait for longer than usual. That is no loss.
    const { local, remote } = await publish(alice, bob, { maxQueueAge: Infinity })
    const events: string[] = []
    for (const room of [alice, bob]) {
      const { identity } = room.localParticipant
      for (const name of ['Reconnecting', 'Reconnected', 'Disconnected', 'DataTrackUnpublished'] as const) {
        room.on(RoomEvent[name], () => events.push(`${identity} ${name}`))
      }
    }
    const stream = remote.subscribe()
    await flowing(local, stream)
    const newest = new Newest()
    const reading = (async () => {
      for await (const frame of stream) newest.saw(frame)
    })()
    // If the loop ends, `flows` has to fail instead of waiting for ever.
    void reading.then(
      () => newest.fail(new Error('the loop has ended')),
      (error: unknown) => newest.fail(error as Error),
    )
    let sent = 0n
    await use({
      alice,
      bob,
      local,
      remote,
      events,
      flows: async () => {
        const first = sent
        const arrived = newest.from(first)
        const done = new AbortController()
        void arrived.then(
          () => done.abort(),
          () => done.abort(),
        )
        while (!done.signal.aborted) {
          await local.push({ payload: new Uint8Array(100), userTimestamp: sent++ })
          await delay(10)
        }
        await arrived
      },
    })
    stream.close()
    await reading
  })
}

/** The newest frame that the loop has received, and the promises that wait for newer ones. */
class Newest {
  #newest = -1n
  #error: Error | undefined
  #waiting: {
    readonly from: bigint
    readonly resolve: () => void
    readonly reject: (error: Error) => void
  }[] = []

  saw({ userTimestamp }: DataTrackFrame): void {
    // Timestamps of probes are larger than all numbers of this test.
    if (userTimestamp === undefined || userTimestamp >= PROBE) return
    if (userTimestamp > this.#newest) this.#newest = userTimestamp
    for (const { from, resolve } of this.#waiting) if (this.#newest >= from) resolve()
    this.#waiting = this.#waiting.filter(({ from }) => this.#newest < from)
  }

  fail(error: Error): void {
    this.#error = error
    for (const { reject } of this.#waiting) reject(error)
  }

  from(from: bigint): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#error !== undefined) reject(this.#error)
      else this.#waiting.push({ from, resolve, reject })
    })
  }
}

/** Resolves after the next reconnect of a room. Call it before the cause of the reconnect. */
async function reconnect(room: Room): Promise<void> {
  const [reconnecting, reconnected] = [
    event(room, RoomEvent.Reconnecting),
    event(room, RoomEvent.Reconnected),
  ]
  await reconnecting
  expect(room.state).toBe('reconnecting')
  await reconnected
  expect(room.state).toBe('connected')
}

describe.each(['single', 'dual'] as const)('with peer connections: %s', (peerConnections) => {
  it.each(['alice', 'bob'] as const)(
    'the session is resumed when signalling of %s is cut: same tracks, SIDs and loops',
    (who) =>
      withTraffic(
        { proxied: [who], peerConnections },
        async ({ alice, bob, local, remote, events, flows }) => {
          const { sid } = local.info
          const back = reconnect(who === 'alice' ? alice : bob)
          proxy.cut()
          await back
          await flows()
          expect([local.info.sid, remote.info.sid]).toEqual([sid, sid])
          expect(events).toEqual([`${who} Reconnecting`, `${who} Reconnected`])
          expect(bob.remoteParticipants.get('alice')?.dataTracks.get('track')).toBe(remote)
        },
      ),
  )

  it(
    'the room is joined again after the server was killed and restarted: same track objects and loops',
    () =>
      withTraffic({ proxied: [], peerConnections }, async ({ alice, bob, local, remote, events, flows }) => {
        const back = Promise.all([reconnect(alice), reconnect(bob)])
        await server.restart()
        await back
        await flows()
        expect(remote.info.sid).toBe(local.info.sid)
        expect(bob.remoteParticipants.get('alice')?.dataTracks.get('track')).toBe(remote)
        expect([...events].sort()).toEqual([
          'alice Reconnected',
          'alice Reconnecting',
          'bob Reconnected',
          'bob Reconnecting',
        ])
      }),
    60_000,
  )
})

describe.each(['udp', 'tcp'] as const)('a loss of signalling alone, over %s', (iceTransports) => {
  it.each(['alice', 'bob'] as const)(
    'of %s leaves the path as it is: same session, and all frames arrive',
    (who) =>
      withTraffic({ proxied: [who], iceTransports }, async ({ alice, bob, local, remote }) => {
        const room = who === 'alice' ? alice : bob
        const { sid } = room.localParticipant
        const pushed = { payload: new Uint8Array(FRAME_BYTES) }
        const stream = remote.subscribe({ bufferSize: 65_536, maxBufferAge: Infinity })
        await flowing(local, stream)
        const lost = () => lostByServer({ servers: [server], local, to: bob }, FRAMES_PER_DATAGRAM)
        const before = lost()
        const numbers: bigint[] = []
        const reading = (async () => {
          for await (const { userTimestamp } of stream)
            if (userTimestamp! < PROBE) numbers.push(userTimestamp!)
        })()
        let sent = 0n
        for (let round = 0; round < 5; round++) {
          const back = reconnect(room).then(() => true)
          proxy.cut()
          // The publisher itself takes no frames while it reconnects.
          if (who === 'alice') await back
          do {
            for (let burst = 0; burst < 10; burst++) await local.push({ ...pushed, userTimestamp: sent++ })
          } while (!(await Promise.race([back, delay(5, false)])))
        }
        await expect.poll(() => numbers.length + lost() - before).toBeGreaterThanOrEqual(Number(sent))
        stream.close()
        await reading
        expect(numbers).toEqual([...new Set(numbers)].sort((left, right) => Number(left - right)))
        expect(sum(local.stats().dropped)).toBe(0)
        expect(room.localParticipant.sid).toBe(sid)
      }),
  )
})

describe('over TCP, where this server version fails at an ICE restart', () => {
  it.each(['alice', 'bob'] as const)(
    'a new session begins when the path of %s may be lost: same loops',
    (who) =>
      withTraffic({ proxied: [], iceTransports: 'tcp' }, async ({ alice, bob, events, flows }) => {
        const room = who === 'alice' ? alice : bob
        const { sid } = room.localParticipant
        const back = reconnect(room)
        room.reconnectNow()
        await back
        await flows()
        expect(events).toEqual([`${who} Reconnecting`, `${who} Reconnected`])
        expect(room.localParticipant.sid).not.toBe(sid)
      }),
  )
})

describe('a session that the server does not resume', () => {
  it.each(['alice', 'bob'] as const)(
    'of %s is replaced by a new one three times while frames flow: same objects and loops',
    (who) =>
      withTraffic(
        { proxied: [who], peerConnections: 'dual' },
        async ({ alice, bob, local, remote, events, flows }) => {
          proxy.forgetSessions(true)
          const room = who === 'alice' ? alice : bob
          for (let round = 0; round < 3; round++) {
            const [sid, participantSid] = [local.info.sid, room.localParticipant.sid]
            const back = reconnect(room)
            const flowing = flows()
            proxy.cut()
            await back
            await flowing
            await flows()
            expect(room.localParticipant.sid).not.toBe(participantSid)
            if (who === 'alice') expect(local.info.sid).not.toBe(sid)
            expect(remote.info.sid).toBe(local.info.sid)
          }
          expect(events.filter((name) => !name.includes('Reconnect'))).toEqual([])
          expect(bob.remoteParticipants.get('alice')?.dataTracks.get('track')).toBe(remote)
        },
      ),
  )
})

describe('a connection that is lost', () => {
  it(
    'five times in a row while frames flow is resumed each time',
    () =>
      withTraffic({ proxied: ['alice', 'bob'] }, async ({ alice, bob, local, remote, flows }) => {
        const { sid } = local.info
        for (let round = 0; round < 5; round++) {
          const back = Promise.all([reconnect(alice), reconnect(bob)])
          const flowing = flows()
          proxy.cut()
          await back
          await flowing
          await flows()
        }
        expect([local.info.sid, remote.info.sid]).toEqual([sid, sid])
      }),
    60_000,
  )

  it(
    'three times together with its server while frames flow is rebuilt each time',
    () =>
      withTraffic({ proxied: [] }, async ({ alice, bob, local, remote, events, flows }) => {
        for (let round = 0; round < 3; round++) {
          const back = Promise.all([reconnect(alice), reconnect(bob)])
          await server.restart()
          await back
          await flows()
          expect(remote.info.sid).toBe(local.info.sid)
        }
        expect(events.filter((name) => !name.includes('Reconnect'))).toEqual([])
      }),
    90_000,
  )

  it('because the server was paused for five seconds comes back', () =>
    withTraffic({ proxied: [] }, async ({ alice, bob, local, remote, events, flows }) => {
      const { sid } = local.info
      server.pause()
      try {
        // The test waits for real because the time itself is tested.
        await delay(5000)
      } finally {
        server.resume()
      }
      await flows()
      // A server that does not answer for that long counts as lost. Frames may flow before a room is back.
      await expect.poll(() => [alice.state, bob.state]).toEqual(['connected', 'connected'])
      expect([local.info.sid, remote.info.sid]).toEqual([sid, sid])
      expect(events.filter((name) => !name.includes('Reconnect'))).toEqual([])
    }))

  it('keeps a publication, an unpublication and a subscription that were requested meanwhile', () =>
    withTraffic({ proxied: ['alice', 'bob'] }, async ({ alice, bob, local, remote, flows }) => {
      const second = await publish(alice, bob, { name: 'second' })
      const back = Promise.all([reconnect(alice), reconnect(bob)])
      const away = Promise.all([event(alice, RoomEvent.Reconnecting), event(bob, RoomEvent.Reconnecting)])
      proxy.refuse(true)
      proxy.cut()
      await away
      const publishing = alice.localParticipant.publishDataTrack({ name: 'third' })
      const gone = event(bob, RoomEvent.DataTrackUnpublished)
      await second.local.unpublish()
      const stream = remote.subscribe()
      proxy.refuse(false)
      await back
      expect((await gone)[1]).toBe(second.remote)
      const third = await publishing
      for await (const track of bob.dataTracks({ name: 'third' })) {
        const thirds = track.subscribe()
        await flowing(third, thirds)
        break
      }
      await flows()
      await flowing(local, stream)
    }))

  it('can be abandoned while it is rebuilt', () =>
    withTraffic({ proxied: ['alice'] }, async ({ alice, local, events }) => {
      const away = event(alice, RoomEvent.Reconnecting)
      proxy.refuse(true)
      proxy.cut()
      await away
      await alice.disconnect()
      expect(alice.state).toBe('disconnected')
      expect(local.signal.reason.reason).toBe('disconnected')
      expect(events.filter((name) => name.startsWith('alice'))).toEqual([
        'alice Reconnecting',
        'alice Disconnected',
      ])
    }))
})

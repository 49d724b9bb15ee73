import { describe, expect, it } from 'vitest'
import { DataTrackClosedError, Room, RoomEvent } from '../../index'
import type { SimulationScenario } from '../../index'
import { ConnectionTotals } from '../../src/connection/stats'
import { newConnection } from '../helpers/native-session'
import { publish, rejection, subscribe, take, turn, until, withPair } from '../helpers/rooms'

const nothing = {
  connectedAt: undefined,
  reconnectedAt: undefined,
  resumes: 0,
  rebuilds: 0,
  connection: undefined,
  sent: {
    pushed: 0,
    sent: 0,
    dropped: {},
    queued: 0,
    queuedBytes: 0,
    packetsSent: 0,
    bytesSent: 0,
    refused: 0,
  },
  received: { received: 0, bytesReceived: 0, accepted: 0, dropped: {}, held: 0 },
}

/** The same object with the numbers 1, 2, 3 … in place of its numbers, so that no two of them are equal. */
function numbered<T extends object>(object: T, next = { number: 1 }): T {
  const entries = Object.entries(object).map(([key, value]: [string, unknown]) => [
    key,
    typeof value === 'number' ? next.number++ : isRecord(value) ? numbered(value, next) : value,
  ])
  return Object.fromEntries(entries) as T
}

/** The same object with three times each counter. What tells how things are now is as it was. */
function thrice<T extends object>(object: T): T {
  const entries = Object.entries(object).map(([key, value]: [string, unknown]) => [
    key,
    typeof value !== 'number'
      ? isRecord(value)
        ? thrice(value)
        : value
      : ['buffered', 'bufferLimit'].includes(key)
        ? value
        : 3 * value,
  ])
  return Object.fromEntries(entries) as T
}

const isRecord = (value: unknown): value is object => typeof value === 'object' && value !== null

describe('room.stats()', () => {
  it('sums up all tracks, also those that have ended, and its counters fulfil their equation', async () => {
    await withPair(async (pair) => {
      const { alice, bob } = pair
      const first = await publish(pair, { name: 'a' })
      const second = await publish(pair, { name: 'b', whenFull: 'refuse', maxQueueBytes: 1 })
      const stream = await subscribe(first.remote)
      for (let frame = 0; frame < 5; frame++) first.local.tryPush(new Uint8Array(100))
      second.local.tryPush(new Uint8Array(20_000))
      await Promise.all([first.local.flush(), second.local.flush()])
      await take(stream, 5)
      await first.local.unpublish()
      const { sent, connectedAt, connection } = alice.stats()
      expect(sent.pushed).toBe(6)
      expect(sent.packetsSent).toBe(7)
      expect(sent.bytesSent).toBe(first.local.stats().bytesSent + second.local.stats().bytesSent)
      const lost = Object.values(sent.dropped).reduce((sum, count) => sum + count, 0)
      expect(sent.pushed).toBe(sent.sent + lost + sent.queued)
      expect(connectedAt).toBeInstanceOf(Date)
      expect(connection).toBeUndefined()
      expect(bob.stats().received).toEqual(bob.packetStats())
      expect(bob.stats().received.received).toBe(5)
      await alice.disconnect()
      expect(alice.stats()).toEqual(nothing)
    })
    expect(new Room().stats()).toEqual(nothing)
  })

  it('counts reconnects by kind', async () => {
    await withPair(async ({ sfu, alice }) => {
      const { connectedAt } = alice.stats()
      await sfu.reconnect('alice', 'resume')
      await sfu.reconnect('alice', 'full')
      await sfu.reconnect('alice', 'full')
      expect(alice.stats()).toMatchObject({ resumes: 1, rebuilds: 2, connectedAt })
      expect(alice.stats().reconnectedAt).toBeInstanceOf(Date)
      await alice.disconnect()
      sfu.join('alice', { room: alice })
      expect(alice.stats()).toMatchObject({ resumes: 0, rebuilds: 0, reconnectedAt: undefined })
    })
  })

  it('counts over all peer connections that the room has had', () => {
    const totals = new ConnectionTotals()
    const stats = numbered(newConnection().connection.stats())
    const { rttMs, path, sctp, publisher: _, subscriber: __, dataTrack: ___, ...counted } = stats
    expect(path).toBe('')
    totals.add(stats)
    totals.add(stats)
    const { leastRttMs, queueDelayMs, rttMs: smoothed, chunksLost, retransmissions, ...gauges } = sctp
    const times = { rtt: smoothed, leastRtt: leastRttMs, queueDelay: queueDelayMs }
    const counts = { chunksLost: 3 * chunksLost, retransmissions: 3 * retransmissions }
    const known = {
      rtt: rttMs,
      signalRtt: 0,
      path: undefined,
      sctp: { ...gauges, ...times, ...counts },
    }
    expect(totals.with(stats, 0)).toEqual({ ...thrice(counted), ...known })
    expect(totals.with({ ...stats, path: 'relay/tls' }, 0).path).toBe('relay/tls')
    expect(totals.with({ ...stats, rttMs: -1 }, undefined)).toMatchObject({
      rtt: undefined,
      signalRtt: undefined,
    })
  })
})

describe('room.reconnectNow() and room.simulateScenario()', () => {
  it('interrupt the connection of a loopback; it comes back and frames flow again', async () => {
    const scenarios: readonly [SimulationScenario, 'resumes' | 'rebuilds'][] = [
      ['signal-reconnect', 'resumes'],
      ['resume-reconnect', 'resumes'],
      ['full-reconnect', 'rebuilds'],
      ['node-failure', 'rebuilds'],
    ]
    for (const [scenario, kind] of scenarios) {
      await withPair(async (pair) => {
        const { local, remote } = await publish(pair)
        const stream = await subscribe(remote)
        const heard: string[] = []
        pair.alice.on(RoomEvent.ConnectionStateChanged, (state) => heard.push(state))
        await pair.alice.simulateScenario(scenario)
        await until(() => pair.alice.stats()[kind] === 1)
        await turn()
        await turn()
        local.tryPush(Uint8Array.of(7))
        expect((await take(stream, 1))[0].payload).toEqual(Uint8Array.of(7))
        expect(heard).toEqual(['reconnecting', 'connected'])
      })
    }
  })

  it('interrupt it once, also if they are called again in the meantime', async () => {
    await withPair(async ({ alice }) => {
      expect([alice.reconnectNow(), alice.reconnectNow()]).toEqual([true, true])
      await alice.simulateScenario('full-reconnect')
      await until(() => alice.isConnected)
      expect(alice.stats()).toMatchObject({ resumes: 1, rebuilds: 0 })
    })
  })

  it('need a connected room', async () => {
    const room = new Room()
    expect(room.reconnectNow()).toBe(false)
    const error = await rejection(room.simulateScenario('signal-reconnect'))
    expect(error).toBeInstanceOf(DataTrackClosedError)
    expect((await rejection(room.simulateScenario('nonsense' as never))).message).toContain('"scenario"')
  })
})

import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { RoomServiceClient, DataPacket_Kind } from 'livekit-server-sdk'
import { ExternalE2EEKeyProvider, RoomEvent } from '../../index'
import type { Room } from '../../index'
import { rejection } from '../helpers/rooms'
import { Scene, active, event, pattern, same } from '../helpers/scene'
import { TcpProxy } from '../helpers/tcp-proxy'
import { withServer } from '../helpers/with-server'

const server = withServer()
let proxy: TcpProxy
beforeEach(async () => {
  proxy = await TcpProxy.start(server.port)
})
afterEach(() => proxy.close())

/** The numbers in the data packets that a room receives. */
class Numbers {
  readonly all: number[] = []
  #wait: { readonly until: () => boolean; readonly resolve: () => void } | undefined

  constructor(room: Room) {
    room.on(RoomEvent.DataReceived, (payload) => {
      this.all.push(Buffer.from(payload).readUInt32BE())
      if (this.#wait?.until() === true) this.#wait.resolve()
    })
  }

  count(count: number): Promise<void> {
    return this.#until(() => this.all.length >= count)
  }

  /** Resolves when that number arrives. Packets of one session arrive in order, so all before it have arrived, too. */
  last(number: number): Promise<void> {
    return this.#until(() => this.all.at(-1) === number)
  }

  #until(until: () => boolean): Promise<void> {
    if (until()) return Promise.resolve()
    return new Promise((resolve) => {
      this.#wait = { until, resolve }
    })
  }
}

function numbered(index: number, size = 4): Uint8Array {
  const bytes = Buffer.alloc(size)
  bytes.writeUInt32BE(index)
  return bytes
}

const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index)

describe.each(['single', 'dual'] as const)('data packets, peer connections: %s', (peerConnections) => {
  it.each([true, false])('arrive with sender and topic, reliable: %s', (reliable) =>
    Scene.with(server, async (scene) => {
      const connect = { peerConnections }
      const [alice, bob] = [await scene.join('alice', { connect }), await scene.join('bob', { connect })]
      // Until then, the server drops lossy packets to bob. With two peer connections, bob can be in the room before.
      await active(alice, 'bob')
      for (const size of reliable ? [0, 1, 15_000, 64_000] : [0, 1, 1000]) {
        const arrived = event(bob, RoomEvent.DataReceived)
        await alice.localParticipant.publishData(pattern(size), { reliable, topic: `size ${size}` })
        const [payload, participant, kind, topic] = await arrived
        expect(same(payload, pattern(size))).toBe(true)
        expect([participant?.identity, kind, topic]).toEqual([
          'alice',
          reliable ? 'reliable' : 'lossy',
          `size ${size}`,
        ])
      }
    }),
  )

  it(
    '10,000 reliable packets arrive once and in order across 20 resumes of either end',
    () =>
      Scene.with(server, async (scene) => {
        const options = { url: proxy.url, connect: { peerConnections, connectTimeout: 5000 } }
        const [alice, bob] = [await scene.join('alice', options), await scene.join('bob', options)]
        const numbers = new Numbers(bob)
        const [aliceSid, bobSid] = [alice.localParticipant.sid, bob.localParticipant.sid]
        const total = 10_000
        let next = 0
        const sent: Promise<void>[] = []
        const send = (count: number): void => {
          for (const end = next + count; next < end; next++) {
            sent.push(alice.localParticipant.publishData(numbered(next, 200), { reliable: true }))
          }
        }
        for (let round = 0; round < 20; round++) {
          const back = [alice, bob].map((room) => event(room, RoomEvent.Reconnected))
          send(total / 40)
          proxy.cut()
          send(total / 40)
          await Promise.all(back)
        }
        const whole = numbers.count(total)
        const ended = Promise.race([whole, event(bob, RoomEvent.Reconnected)]).then(() => true)
        // More packets: if the server can send none to bob, its log says so.
        while (!(await Promise.race([ended, delay(100, false)]))) send(1)
        await Promise.all(sent)
        // The SID is the same, so the room was resumed each time and not rebuilt.
        expect(alice.localParticipant.sid).toBe(aliceSid)
        if (bob.localParticipant.sid === bobSid) {
          await numbers.count(next)
          expect(numbers.all).toEqual(range(next))
          expect(bob.dataPacketStats()).toMatchObject({ delivered: next, held: 0 })
        } else {
          // The fault of the server that `hasClosedChannels` describes: bob got a new session.
          expect([peerConnections, server.hasClosedChannels(scene.name, 'bob')]).toEqual(['dual', true])
          send(1)
          await numbers.last(next - 1)
          expect(numbers.all).toEqual([...new Set(numbers.all)].sort((left, right) => left - right))
        }
      }),
    90_000,
  )
})

describe('data packets', () => {
  it('go only to the named participants', () =>
    Scene.with(server, async (scene) => {
      const [alice, bob, carol] = [
        await scene.join('alice'),
        await scene.join('bob'),
        await scene.join('carol'),
      ]
      const [bobs, carols] = [new Numbers(bob), new Numbers(carol)]
      await alice.localParticipant.publishData(numbered(1), {
        reliable: true,
        destinationIdentities: ['carol'],
      })
      await alice.localParticipant.publishData(numbered(2), { reliable: true })
      await Promise.all([bobs.count(1), carols.count(2)])
      expect([bobs.all, carols.all]).toEqual([[2], [1, 2]])
    }))

  it('of the server’s API arrive without a sender', () =>
    Scene.with(server, async (scene) => {
      const bob = await scene.join('bob')
      const { apiKey, apiSecret } = server.key
      const api = new RoomServiceClient(`http://127.0.0.1:${server.port}`, apiKey, apiSecret)
      const arrived = event(bob, RoomEvent.DataReceived)
      await api.sendData(scene.name, Uint8Array.of(1, 2, 3), DataPacket_Kind.RELIABLE, {
        topic: 'from above',
      })
      const [payload, participant, kind, topic] = await arrived
      expect([[...payload], participant, kind, topic]).toEqual([
        [1, 2, 3],
        undefined,
        'reliable',
        'from above',
      ])
    }))

  it('that are encrypted arrive unchanged; with another key they are dropped and reported', () =>
    Scene.with(server, async (scene) => {
      const join = async (identity: string, passphrase: string) => {
        const keyProvider = new ExternalE2EEKeyProvider()
        await keyProvider.setKey(passphrase)
        return await scene.join(identity, { room: { encryption: { keyProvider } } })
      }
      const [alice, bob, eve] = [await join('alice', 'a'), await join('bob', 'a'), await join('eve', 'b')]
      const arrived = event(bob, RoomEvent.DataReceived)
      const told = event(eve, RoomEvent.EncryptionError)
      const eves = new Numbers(eve)
      await alice.localParticipant.publishData(pattern(60_000), { reliable: true })
      expect(same((await arrived)[0], pattern(60_000))).toBe(true)
      const [error, participant] = await told
      expect([error.reason, participant?.identity]).toEqual(['decryptionFailed', 'alice'])
      expect(eves.all).toEqual([])
    }))

  it('that may be lost are rejected when the server does not resume the session', () =>
    Scene.with(server, async (scene) => {
      const options = { url: proxy.url, connect: { peerConnections: 'dual' as const, connectTimeout: 5000 } }
      const [alice, bob] = [await scene.join('alice', options), await scene.join('bob')]
      const numbers = new Numbers(bob)
      proxy.forgetSessions(true)
      const back = event(alice, RoomEvent.Reconnected)
      const sent = range(500).map((index) =>
        alice.localParticipant.publishData(numbered(index, 10_000), { reliable: true }),
      )
      const results = Promise.allSettled(sent)
      proxy.cut()
      await back
      const after = alice.localParticipant.publishData(numbered(500), { reliable: true })
      const settled = await results
      await after
      const kept = range(500).filter((index) => settled[index]!.status === 'fulfilled')
      for (const result of settled) {
        if (result.status === 'rejected') expect(result.reason.reason).toBe('connectionLost')
      }
      // Waits for the last number instead of a count: how many of the rejected packets arrive is not fixed.
      await numbers.last(500)
      const arrived = new Set(numbers.all)
      expect(arrived.size).toBe(numbers.all.length)
      // The server has acknowledged the last of them, and may have ended the session before it forwarded them.
      const missing = kept.filter((index) => !arrived.has(index))
      expect(missing).toEqual(kept.slice(kept.length - missing.length))
      expect(arrived.size).toBeGreaterThan(1)
    }))

  it('are refused without a connected room, and if they are too large', () =>
    Scene.with(server, async (scene) => {
      const alice = await scene.join('alice')
      const publish = (size: number) =>
        rejection(alice.localParticipant.publishData(new Uint8Array(size), { reliable: true }))
      expect(await publish(65_535)).toMatchObject({ reason: 'packetTooLarge', maxSize: 65_535 })
      await alice.disconnect()
      expect(await publish(1)).toMatchObject({ reason: 'disconnected' })
    }))
})

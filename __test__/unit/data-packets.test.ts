import { once } from 'node:events'
import { describe, expect, it } from 'vitest'
import { DataPacket, UserPacket } from '@livekit/protocol'
import { ExternalE2EEKeyProvider, Loopback, RoomEvent } from '../../index'
import type { Room } from '../../index'
import { PacketQueue, Turn } from '../../src/data-packet/packet-queue'
import { PacketReceiver } from '../../src/data-packet/receiver'
import { rejection, until, withPair } from '../helpers/rooms'

interface Got {
  readonly payload: Uint8Array
  readonly from: string | undefined
  readonly kind: string
  readonly topic: string | undefined
  readonly encryption: string
}

/** What arrives in a room from now on. */
function collect(room: Room): Got[] {
  const got: Got[] = []
  room.on(RoomEvent.DataReceived, (payload, participant, kind, topic, encryption) =>
    got.push({ payload, from: participant?.identity, kind, topic, encryption }),
  )
  return got
}

const numbered = (index: number): Uint8Array => Uint8Array.of(index >> 8, index & 0xff)
const numbers = (got: readonly Got[]): number[] => got.map(({ payload }) => (payload[0]! << 8) | payload[1]!)
const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index)

describe('publishData', () => {
  it.each([true, false])('sends to the other participants with topic and sender, reliable: %s', (reliable) =>
    withPair(async ({ alice, bob }) => {
      const got = collect(bob)
      await alice.localParticipant.publishData(Uint8Array.of(1, 2), { reliable, topic: 'greeting' })
      await until(() => got.length === 1)
      expect(got).toEqual([
        {
          payload: Uint8Array.of(1, 2),
          from: 'alice',
          kind: reliable ? 'reliable' : 'lossy',
          topic: 'greeting',
          encryption: 'none',
        },
      ])
    }),
  )

  it('sends only to the given participants, and never back to the sender', () =>
    withPair(async ({ sfu, alice, bob }) => {
      const carol = sfu.join('carol')
      const [mine, bobs, carols] = [collect(alice), collect(bob), collect(carol)]
      await alice.localParticipant.publishData(numbered(1), {
        reliable: true,
        destinationIdentities: ['carol'],
      })
      await alice.localParticipant.publishData(numbered(2), { reliable: true })
      await until(() => carols.length === 2 && bobs.length === 1)
      expect([numbers(mine), numbers(bobs), numbers(carols)]).toEqual([[], [2], [1, 2]])
    }))

  it('sends an empty packet; a packet that is too large is rejected with its size and the limit', () =>
    withPair(async ({ alice, bob }) => {
      const got = collect(bob)
      await alice.localParticipant.publishData(new Uint8Array(0), { reliable: true })
      await until(() => got.length === 1)
      const error = await rejection(
        alice.localParticipant.publishData(new Uint8Array(70_000), { reliable: true }),
      )
      expect([error.name, error.reason, error.maxSize]).toEqual([
        'PublishDataError',
        'packetTooLarge',
        65_535,
      ])
      expect(error.size).toBeGreaterThan(70_000)
    }))

  it('names the wrong argument', () =>
    withPair(async ({ alice }) => {
      const publish = (data: any, options?: any) =>
        rejection(alice.localParticipant.publishData(data, options))
      expect((await publish('text')).message).toContain('"data"')
      expect((await publish(numbered(1), { topic: 1 })).message).toContain('"options.topic"')
      expect((await publish(numbered(1), { destinationIdentities: 'bob' })).message).toContain(
        '"options.destinationIdentities"',
      )
    }))

  it('rejects without a connection, and when the room ends in the meantime', async () => {
    const sfu = new Loopback({ delay: 60_000 })
    const alice = sfu.join('alice')
    const pending = rejection(alice.localParticipant.publishData(numbered(1), { reliable: true }))
    sfu.close()
    expect((await pending).reason).toBe('disconnected')
    const after = await rejection(alice.localParticipant.publishData(numbered(1), { reliable: true }))
    expect(after.reason).toBe('disconnected')
  })

  it('takes a waiting packet back when its signal aborts', () =>
    withPair(
      async ({ sfu, alice, bob }) => {
        const got = collect(bob)
        const stop = new AbortController()
        const bulk = range(300).map((index) =>
          alice.localParticipant.publishData(new Uint8Array(1000).fill(index), { reliable: true }),
        )
        const last = alice.localParticipant.publishData(numbered(7), { reliable: true, signal: stop.signal })
        stop.abort(new Error('enough'))
        expect((await rejection(last)).message).toBe('enough')
        sfu.setNetwork({ bandwidth: 0 })
        await Promise.all(bulk)
        expect(got.length).toBe(300)
      },
      { bandwidth: 1_000_000 },
    ))

  it('without the permission rejects reliable packets, while the SFU drops lossy ones', () =>
    withPair(
      async ({ alice, bob }) => {
        const [alices, bobs] = [collect(alice), collect(bob)]
        const refused = rejection(alice.localParticipant.publishData(numbered(1), { reliable: true }))
        expect(await refused).toMatchObject({ name: 'PublishDataError', reason: 'notAllowed' })
        await alice.localParticipant.publishData(numbered(1))
        await bob.localParticipant.publishData(numbered(2), { reliable: true })
        await until(() => alices.length === 1)
        expect(numbers(bobs)).toEqual([])
      },
      {},
      { alice: { permissions: { canPublishData: false } } },
    ))
})

describe('reliable packets', () => {
  it('arrive once and in order while both ends resume', () =>
    withPair(
      async ({ sfu, alice, bob }) => {
        const got = collect(bob)
        const sent = range(2000).map((index) =>
          alice.localParticipant.publishData(numbered(index), { reliable: true }),
        )
        for (let round = 0; round < 10; round++) {
          await sfu.reconnect(round % 2 === 0 ? 'alice' : 'bob', 'resume')
        }
        await Promise.all(sent)
        await until(() => got.length >= 2000)
        expect(numbers(got)).toEqual(range(2000))
      },
      { delay: 2, jitter: 2 },
    ))

  it('that may or may not have arrived are rejected when the connection is rebuilt; the others arrive in order', () =>
    withPair(
      async ({ sfu, alice, bob }) => {
        const got = collect(bob)
        const sent = range(1000).map((index) =>
          alice.localParticipant.publishData(new Uint8Array([...numbered(index), ...Buffer.alloc(1000)]), {
            reliable: true,
          }),
        )
        const results = Promise.allSettled(sent)
        await sfu.reconnect('alice', 'full')
        const settled = await results
        const lost = range(1000).filter((index) => settled[index]!.status === 'rejected')
        expect(lost.length).toBeGreaterThan(0)
        for (const index of lost) {
          expect((settled[index] as PromiseRejectedResult).reason.reason).toBe('connectionLost')
        }
        const arrived = numbers(got)
        expect(arrived).toEqual([...arrived].sort((left, right) => left - right))
        expect([...arrived, ...lost].sort((left, right) => left - right)).toEqual(range(1000))
      },
      { delay: 5, bandwidth: 5_000_000 },
    ))
})

describe('encrypted packets', () => {
  const encrypted = async (passphrase: string) => {
    const keyProvider = new ExternalE2EEKeyProvider()
    await keyProvider.setKey(passphrase)
    return { encryption: { keyProvider } }
  }

  it('arrive unchanged, also if they were sent before the key was derived', async () => {
    const sfu = new Loopback()
    const [alice, bob] = [sfu.join('alice', await encrypted('a')), sfu.join('bob', await encrypted('a'))]
    const got = collect(bob)
    await Promise.all(
      range(10).map((index) => alice.localParticipant.publishData(numbered(index), { reliable: true })),
    )
    await until(() => got.length === 10)
    expect(numbers(got)).toEqual(range(10))
    expect(got.every(({ encryption }) => encryption === 'gcm')).toBe(true)
    sfu.close()
  })

  it('are dropped and reported if the recipient has another key, no key, or no encryption', async () => {
    const sfu = new Loopback()
    const alice = sfu.join('alice', await encrypted('a'))
    const bob = sfu.join('bob', await encrypted('b'))
    const carol = sfu.join('carol')
    const got = [collect(alice), collect(bob), collect(carol)]
    const told = once(bob, 'encryptionError')
    const noKeys = once(carol, 'encryptionError')
    await alice.localParticipant.publishData(numbered(1), { reliable: true })
    expect((await told)[0]).toMatchObject({ reason: 'decryptionFailed', participantIdentity: 'alice' })
    expect((await noKeys)[0]).toMatchObject({ reason: 'missingKey', participantIdentity: 'alice' })
    const plain = once(alice, 'encryptionError')
    await carol.localParticipant.publishData(numbered(2), { reliable: true })
    expect((await plain)[0]).toMatchObject({ reason: 'unencrypted', participantIdentity: 'carol' })
    expect(got).toEqual([[], [], []])
    expect(bob.dataPacketStats().dropped).toMatchObject({ decryptionFailed: 1, unencrypted: 1 })
    sfu.close()
  })

  it('are not sent without a key, nor with a custom provider', async () => {
    const sfu = new Loopback()
    const keyless = sfu.join('keyless', { encryption: { keyProvider: new ExternalE2EEKeyProvider() } })
    expect(
      (await rejection(keyless.localParticipant.publishData(numbered(1), { reliable: true }))).reason,
    ).toBe('missingKey')
    const provider = { encrypt: () => ({}) as any, decrypt: () => new Uint8Array(0) }
    const custom = sfu.join('custom', { encryption: { provider } })
    expect((await rejection(custom.localParticipant.publishData(numbered(1)))).reason).toBe('unsupported')
    sfu.close()
  })
})

describe('the queue of packets', () => {
  it('sends single messages before bulk data, and lets bulk writers take turns', () => {
    const queue = new PacketQueue<string>()
    const [one, two] = [new Turn<string>(), new Turn<string>()]
    for (const item of ['a1', 'a2', 'a3']) queue.push(item, one)
    queue.push('b1', two)
    queue.push('message')
    expect(queue.shift()).toBe('message')
    expect([queue.shift(), queue.shift()]).toEqual(['a1', 'b1'])
    queue.push('later')
    expect(queue.clear()).toEqual(['later', 'a2', 'a3'])
    expect(queue.length).toBe(0)
  })
})

describe('the receiver', () => {
  const packet = (sequence: number, sid = 'PA_1') =>
    new DataPacket({
      sequence,
      participantSid: sid,
      participantIdentity: sid,
      value: { case: 'user', value: new UserPacket({ payload: numbered(sequence) }) },
    }).toBinary()

  it('drops packets that it has received before, for each sender separately, and data that is no packet', () => {
    const got: string[] = []
    const receiver = new PacketReceiver(
      { user: ({ senderSid, value }) => got.push(`${senderSid} ${value.payload[1]}`) },
      () => undefined,
    )
    for (const sequence of [1, 2, 2, 1, 3]) receiver.receive('reliable', packet(sequence))
    receiver.receive('reliable', packet(1, 'PA_2'))
    receiver.receive('lossy', packet(1))
    receiver.receive('reliable', Uint8Array.of(255, 255, 255))
    expect(got).toEqual(['PA_1 1', 'PA_1 2', 'PA_1 3', 'PA_2 1', 'PA_1 1'])
    expect(receiver.stats()).toEqual({
      received: 8,
      delivered: 5,
      dropped: { duplicate: 2, malformed: 1 },
      held: 0,
    })
    expect(receiver.receiveStates()).toEqual([
      { publisherSid: 'PA_1', lastSeq: 3 },
      { publisherSid: 'PA_2', lastSeq: 1 },
    ])
  })
})

describe('the seed of a loopback', () => {
  /** Numbers of the lossy messages that arrive, each way; what goes over the reliable channel meanwhile differs. */
  const arrived = async (seed: number, every: number): Promise<number[][]> => {
    const sfu = new Loopback({ seed, loss: 0.5 })
    const rooms = [sfu.join('alice'), sfu.join('bob')]
    const got = rooms.map(collect)
    const run = async (): Promise<number[][]> => {
      for (const { localParticipant } of rooms) {
        for (const index of range(100)) {
          await localParticipant.publishData(numbered(index), { reliable: false })
          if (index % every === 0) await localParticipant.publishData(numbered(999), { reliable: true })
        }
        await localParticipant.publishData(numbered(1000), { reliable: true })
      }
      await until(() => got.every((received) => numbers(received).includes(1000)))
      return got.map((received) => numbers(received.splice(0)).filter((number) => number < 999))
    }
    const before = await run()
    sfu.setNetwork({})
    expect(await run()).toEqual(before)
    sfu.close()
    return before
  }

  it('decides which lossy messages are lost, for each participant; setNetwork() restarts the sequence', async () => {
    const [first, again, other] = [await arrived(7, 3), await arrived(7, 5), await arrived(8, 3)]
    expect(again).toEqual(first)
    expect(other).not.toEqual(first)
    expect(first[0]).not.toEqual(first[1])
    for (const one of first) expect(one.length).toBeGreaterThan(20)
    for (const one of first) expect(one.length).toBeLessThan(80)
  })
})

/** What was accepted before an end still arrives; through the loopback, whose network may be slow. */
import { describe, expect, it } from 'vitest'
import { Loopback, RoomEvent } from '../../index'
import type { DataTrackStream, LocalDataTrack, Room } from '../../index'
import { PublicationRequests } from '../../src/connection/publication-requests'
import { publish, rejection, subscribe, thrown, turn, withPair } from '../helpers/rooms'
import type { Pair } from '../helpers/rooms'

const FRAMES = 20

function push(track: LocalDataTrack): void {
  for (let frame = 0; frame < FRAMES; frame++) track.tryPush(new Uint8Array(1000))
}

/** Frames until the stream's end. */
async function rest(stream: DataTrackStream): Promise<number> {
  let frames = 0
  while ((await stream.read()) !== undefined) frames++
  return frames
}

async function flowing(pair: Pair): Promise<{ local: LocalDataTrack; stream: DataTrackStream }> {
  const { local, remote } = await publish(pair, {})
  return { local, stream: await subscribe(remote) }
}

describe.each([{}, { delay: 30, jitter: 10 }])('over a network of %o', (network) => {
  it('frames that were flushed before their track was unpublished arrive', () =>
    withPair(async (pair) => {
      const { local, stream } = await flowing(pair)
      push(local)
      await local.flush()
      await local.unpublish()
      expect(await rest(stream)).toBe(FRAMES)
    }, network))

  it('frames arrive at the end of withDataTrack()', () =>
    withPair(async ({ alice, bob }) => {
      let stream: DataTrackStream | undefined
      await alice.localParticipant.withDataTrack({ name: 'track' }, async (track) => {
        const remote = await bob.remoteParticipants.get('alice')!.dataTracks.getDeferred('track')
        stream = await subscribe(remote)
        push(track)
      })
      expect(await rest(stream!)).toBe(FRAMES)
    }, network))

  it('frames that were not flushed before disconnect() arrive', () =>
    withPair(async (pair) => {
      const { local, stream } = await flowing(pair)
      push(local)
      await pair.alice.disconnect()
      expect(await rest(stream)).toBe(FRAMES)
      expect(local.stats()).toMatchObject({ pushed: FRAMES, sent: FRAMES, queued: 0 })
    }, network))

  it('messages that were not awaited before disconnect() arrive', () =>
    withPair(async ({ alice, bob }) => {
      const topics: (string | undefined)[] = []
      bob.on('dataReceived', (_payload, _participant, _channel, topic) => topics.push(topic))
      const data = (reliable: boolean, topic: string): Promise<void> =>
        alice.localParticipant.publishData(new Uint8Array(1), { reliable, topic })
      const sent = Promise.all([data(false, 'lossy'), data(true, 'reliable')])
      await alice.disconnect()
      await sent
      expect(topics.sort()).toEqual(['lossy', 'reliable'])
    }, network))
})

describe('while a room is disconnecting', () => {
  /** Bytes a second: what is pushed takes longer than a room waits for it, which is `LINGER_TIMEOUT`. */
  const slow = { bandwidth: 1000 }

  it('it accepts and reports nothing more, gives up what cannot arrive, and ends once for all callers', () =>
    withPair(async (pair) => {
      const { alice } = pair
      const { local } = await flowing(pair)
      const told: string[] = []
      alice.on('disconnected', (reason) => told.push(reason))
      for (let second = 0; second < 200; second++) local.tryPush(new Uint8Array(1000))
      const ending = alice.disconnect()
      expect(alice.disconnect()).toBe(ending)
      expect([alice.state, told]).toEqual(['disconnected', ['clientInitiated']])
      expect(thrown(() => local.tryPush(new Uint8Array(1)))).toMatchObject({ reason: 'disconnected' })
      expect(await rejection(alice.localParticipant.publishDataTrack({ name: 'other' }))).toMatchObject({
        reason: 'disconnected',
      })
      await ending
      expect(told).toEqual(['clientInitiated'])
      const { pushed, sent, dropped, queued } = local.stats()
      expect(pushed).toBe(200)
      expect(sent).toBeLessThan(pushed)
      expect(sent + Object.values(dropped).reduce((sum, count) => sum + count, 0) + queued).toBe(pushed)
    }, slow))

  it('the server may remove the participant first', () =>
    withPair(async (pair) => {
      const { sfu, alice } = pair
      const { local } = await flowing(pair)
      const told: string[] = []
      alice.on('disconnected', (reason) => told.push(reason))
      for (let second = 0; second < 200; second++) local.tryPush(new Uint8Array(1000))
      const ending = alice.disconnect()
      sfu.kick('alice')
      await ending
      expect([alice.state, told]).toEqual(['disconnected', ['clientInitiated']])
    }, slow))

  it('the same room can connect to another server', () =>
    withPair(
      async (pair) => {
        const { local, stream } = await flowing(pair)
        await using next = new Loopback()
        const dave = next.join('dave')
        push(local)
        const ending = pair.alice.disconnect()
        const again = next.join('alice', { room: pair.alice })
        const { remote } = await publish({ sfu: next, alice: again, bob: dave })
        expect(await rest(stream)).toBe(FRAMES)
        await ending
        expect([again.state, remote.isPublished(), dave.remoteParticipants.has('alice')]).toEqual([
          'connected',
          true,
          true,
        ])
      },
      { delay: 50 },
    ))

  it('its streams end normally, and it emits no more events', () =>
    withPair(
      async (pair) => {
        const { local, stream } = await flowing(pair)
        const told: string[] = []
        for (const name of Object.values(RoomEvent)) pair.bob.on(name, () => told.push(name))
        push(local)
        const ending = pair.bob.disconnect()
        expect([pair.bob.state, [...pair.bob.remoteParticipants.keys()]]).toEqual(['disconnected', []])
        expect(told.at(-1)).toBe('disconnected')
        const count = told.length
        expect(await stream.read()).toBeUndefined()
        await pair.alice.localParticipant.publishData(new Uint8Array(1), { reliable: true })
        await ending
        expect(told).toHaveLength(count)
      },
      { delay: 20 },
    ))

  it('the same room can connect again at once', () =>
    withPair(async (pair) => {
      const { sfu, alice, bob } = pair
      const { local, stream } = await flowing(pair)
      push(local)
      await alice.disconnect()
      expect(await rest(stream)).toBe(FRAMES)
      const again: Room = sfu.join('alice', { room: alice })
      const { remote } = await publish({ sfu, alice: again, bob })
      expect(remote.isPublished()).toBe(true)
    }))
})

describe('requests about publications', () => {
  const unpublish = { case: 'unpublishDataTrackRequest', value: { pubHandle: 1 } } as const
  const publishAgain = {
    case: 'publishDataTrackRequest',
    value: { pubHandle: 2, name: 'track', encryption: 0 },
  } as const

  it('keep their order behind a request that waits for the last packets', async () => {
    const sent: unknown[] = []
    let arrived = (): void => undefined
    const drained = new Promise<void>((resolve) => (arrived = resolve))
    const requests = new PublicationRequests(
      () => drained,
      (request) => sent.push(request),
    )
    requests.push(publishAgain)
    expect(sent).toEqual([publishAgain])
    requests.push(unpublish)
    requests.push(publishAgain)
    await turn()
    expect(sent).toEqual([publishAgain])
    arrived()
    await turn()
    expect(sent).toEqual([publishAgain, unpublish, publishAgain])
  })

  it('are sent at once if no packets are waiting', () => {
    const sent: unknown[] = []
    const requests = new PublicationRequests(
      () => undefined,
      (request) => sent.push(request),
    )
    requests.push(unpublish)
    expect(sent).toEqual([unpublish])
  })
})

/** Publications and subscriptions that fail, or whose answer is lost. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { DataTrackPublishError, DataTrackSubscribeError, RoomEvent } from '../../index'
import { rejection } from '../helpers/rooms'
import { event, flowing, publish, Scene, seen } from '../helpers/scene'
import { SignalProxy } from '../helpers/signal-proxy'
import { withServer } from '../helpers/with-server'

const server = withServer()
let proxy: SignalProxy
beforeEach(async () => {
  proxy = await SignalProxy.start(server.url)
})
afterEach(() => proxy.close())

const inScene = (use: (scene: Scene) => Promise<void>) => () => Scene.with(server, use)

describe('the name of a publication', () => {
  it(
    'must not be empty, too long or taken; after a refusal the next publication works',
    inScene(async (scene) => {
      const [alice, bob] = [await scene.join('alice'), await scene.join('bob')]
      const { local, remote } = await publish(alice, bob, { name: 'taken' })
      for (const [name, reason] of [
        ['', 'invalidName'],
        ['x'.repeat(257), 'invalidName'],
        // 129 characters, but 258 bytes.
        ['ü'.repeat(129), 'invalidName'],
        ['taken', 'duplicateName'],
      ] as const) {
        const error = await rejection(alice.localParticipant.publishDataTrack({ name }))
        expect(error).toBeInstanceOf(DataTrackPublishError)
        expect(error.reason).toBe(reason)
      }
      const longest = await alice.localParticipant.publishDataTrack({ name: 'ü'.repeat(128) })
      await flowing(longest, (await seen(bob, 'ü'.repeat(128))).subscribe())
      await flowing(local, remote.subscribe())
    }),
  )

  it(
    'may be used by another participant’s track, or by a track that has ended',
    inScene(async (scene) => {
      const [alice, bob] = [await scene.join('alice'), await scene.join('bob')]
      await bob.localParticipant.publishDataTrack({ name: 'track' })
      for (let round = 0; round < 3; round++) {
        const { local, remote } = await publish(alice, bob)
        await flowing(local, remote.subscribe())
        const gone = event(bob, RoomEvent.DataTrackUnpublished)
        await local.unpublish()
        await gone
      }
    }),
  )
})

describe('a publish response that is lost', () => {
  it(
    'makes the publication time out after ten seconds; the name is then free, also at the SFU',
    inScene(async (scene) => {
      const alice = await scene.join('alice', { url: proxy.url })
      const bob = await scene.join('bob')
      const lost = proxy.keepBack('publishDataTrackResponse')
      const publishing = rejection(alice.localParticipant.publishDataTrack({ name: 'track' }))
      await lost
      const stillborn = await seen(bob, 'track')
      const gone = event(bob, RoomEvent.DataTrackUnpublished)
      const error = await publishing
      expect(error).toBeInstanceOf(DataTrackPublishError)
      expect(error.reason).toBe('timeout')
      expect((await gone)[1]).toBe(stillborn)
      const { local, remote } = await publish(alice, bob)
      await flowing(local, remote.subscribe())
    }),
  )

  it.each(['resume', 'reconnect'] as const)(
    'is requested again after the connection was lost (%s), although the SFU has the handle already',
    (action) =>
      Scene.with(server, async (scene) => {
        const alice = await scene.join('alice', { url: proxy.url })
        const bob = await scene.join('bob')
        const lost = proxy.keepBack('publishDataTrackResponse')
        const publishing = alice.localParticipant.publishDataTrack({ name: 'track' })
        await lost
        const back = event(alice, RoomEvent.Reconnected)
        if (action === 'resume') proxy.cut()
        else proxy.sendAway(action)
        await back
        const local = await publishing
        expect(local.isPublished()).toBe(true)
        // Bob may still know the track of the lost answer. It goes on under the SID that alice was told, as the same object.
        const known = () => bob.remoteParticipants.get('alice')?.dataTracks.get('track')
        await expect.poll(() => known()?.info.sid).toBe(local.info.sid)
        await flowing(local, known()!.subscribe())
      }),
  )
})

describe('a subscription', () => {
  it(
    'fails with unpublished, or its stream ends, if the track is unpublished in the meantime',
    inScene(async (scene) => {
      const [alice, bob] = [await scene.join('alice'), await scene.join('bob')]
      for (let round = 0; round < 20; round++) {
        const { local, remote } = await publish(alice, bob)
        const unpublishing = local.unpublish()
        const end = await remote
          .subscribe()
          .read()
          .catch((error: unknown) => error)
        if (end !== undefined) {
          expect(end).toBeInstanceOf(DataTrackSubscribeError)
          expect(end).toMatchObject({ reason: 'unpublished' })
        }
        await unpublishing
        // Bob now knows that the track has ended, so a new subscription fails at once.
        expect(bob.remoteParticipants.get('alice')?.dataTracks.has('track')).toBe(false)
        const late = await rejection(remote.subscribe().read())
        expect(late).toBeInstanceOf(DataTrackSubscribeError)
        expect(late.reason).toBe('unpublished')
      }
    }),
  )

  it(
    'fails or ends in the same way if the publisher leaves in the meantime',
    inScene(async (scene) => {
      const bob = await scene.join('bob')
      for (let round = 0; round < 5; round++) {
        const alice = await scene.join('alice')
        const { remote } = await publish(alice, bob)
        const leaving = alice.disconnect()
        const end = await remote
          .subscribe()
          .read()
          .catch((error: unknown) => error)
        if (end !== undefined) expect(end).toMatchObject({ reason: 'unpublished' })
        await leaving
      }
      expect(bob.state).toBe('connected')
    }),
  )

  it(
    'without a subscriber handle fails with timeout after ten seconds, and subscribing again works',
    inScene(async (scene) => {
      const alice = await scene.join('alice')
      const bob = await scene.join('bob', { url: proxy.url })
      const { local, remote } = await publish(alice, bob)
      const pass = proxy.keepAllBack('dataTrackSubscriberHandles')
      const error = await rejection(remote.subscribe().read())
      expect(error).toBeInstanceOf(DataTrackSubscribeError)
      expect(error.reason).toBe('timeout')
      pass()
      await flowing(local, remote.subscribe())
    }),
  )

  it(
    'whose handle is lost with the signalling connection gets another one',
    inScene(async (scene) => {
      const alice = await scene.join('alice')
      const bob = await scene.join('bob', { url: proxy.url })
      const { local, remote } = await publish(alice, bob)
      const lost = proxy.keepBack('dataTrackSubscriberHandles')
      const stream = remote.subscribe()
      await lost
      const back = event(bob, RoomEvent.Reconnected)
      proxy.cut()
      await back
      // The server forwards the track, says nothing after the resume, and nothing to a request for what it forwards.
      await flowing(local, stream)
    }),
  )
})

describe('subscriptions that are closed at once', () => {
  it(
    'leave the server able to answer others',
    inScene(async (scene) => {
      const [alice, bob] = [
        await scene.join('alice'),
        await scene.join('bob', { grant: { canUpdateOwnMetadata: true } }),
      ]
      const names = Array.from({ length: 30 }, (_none, index) => `track-${index}`)
      const tracks = await Promise.all(names.map((name) => publish(alice, bob, { name })))
      for (let round = 0; round < 10; round++) {
        for (const { remote } of tracks) remote.subscribe().close()
        // The server answers requests in order.
        await bob.localParticipant.setAttributes({ round: `${round}` })
      }
      await Promise.all(tracks.map(({ local, remote }) => flowing(local, remote.subscribe())))
    }),
  )
})

describe('the name of a publication that was aborted or unpublished', () => {
  it(
    'can be published again at once',
    inScene(async (scene) => {
      const { localParticipant } = await scene.join('alice')
      for (let round = 0; round < 20; round++) {
        const given = new AbortController()
        const first = localParticipant.publishDataTrack({ name: 'track', signal: given.signal })
        given.abort(new Error('not now'))
        const second = localParticipant.publishDataTrack({ name: 'track' })
        expect(await rejection(first)).toMatchObject({ message: 'not now' })
        const local = await second
        local.tryPush(new Uint8Array(100))
        void local.unpublish()
        await (await localParticipant.publishDataTrack({ name: 'track' })).unpublish()
      }
    }),
  )
})

/** Actions that a token does not allow, and actions that an administrator ends. */
import { describe, expect, it } from 'vitest'
import {
  DataTrackConnectionError,
  DataTrackPublishError,
  DataTrackSubscribeError,
  DataTrackUnpublishedError,
  RoomEvent,
} from '../../index'
import type { DataTrackStream, LocalDataTrack } from '../../index'
import { receiveText } from '../helpers/data-streams'
import { rejection, thrown } from '../helpers/rooms'
import { call } from '../helpers/rpc-rooms'
import { event, flowing, publish, Scene, seen } from '../helpers/scene'
import { withServer } from '../helpers/with-server'

const server = withServer()

const inScene = (use: (scene: Scene) => Promise<void>) => () => Scene.with(server, use)

/** Resolves when a track is unpublished, by the SFU or by its publisher. */
const over = (track: LocalDataTrack): Promise<void> =>
  new Promise((resolve) => track.signal.addEventListener('abort', () => resolve(), { once: true }))

/** Reads the stream to its end. */
async function drained(stream: DataTrackStream): Promise<void> {
  while ((await stream.read()) !== undefined);
}

describe('a token', () => {
  it(
    'without canPublishData: publishing fails with notAllowed, and subscribing works',
    inScene(async (scene) => {
      const alice = await scene.join('alice')
      const bob = await scene.join('bob', { grant: { canPublishData: false } })
      const error = await rejection(bob.localParticipant.publishDataTrack({ name: 'track' }))
      expect(error).toBeInstanceOf(DataTrackPublishError)
      expect(error.reason).toBe('notAllowed')
      const { local, remote } = await publish(alice, bob)
      await flowing(local, remote.subscribe())
    }),
  )

  it(
    'without canPublishData: reliable data fails at once with notAllowed, and receiving works',
    inScene(async (scene) => {
      const alice = await scene.join('alice')
      alice.registerRpcMethod('echo', ({ payload }) => payload)
      const bob = await scene.join('bob', { grant: { canPublishData: false } })
      const { localParticipant } = bob
      const sending = [
        localParticipant.publishData(new Uint8Array(1), { reliable: true }),
        localParticipant.sendText('hello'),
        localParticipant.sendText('hello', { attachments: ['package.json'] }),
        localParticipant.sendBytes(new Uint8Array(1_000_000)),
        localParticipant.sendFile('package.json'),
        localParticipant.streamText(),
        localParticipant.streamBytes(),
      ]
      for (const sent of sending)
        expect(await rejection(sent)).toMatchObject({ name: 'PublishDataError', reason: 'notAllowed' })
      const called = rejection(call(bob, 'alice', 'echo'))
      expect(await called).toMatchObject({ code: 1505, cause: { reason: 'notAllowed' } })
      await localParticipant.publishData(new Uint8Array(1), { reliable: false })
      const arriving = receiveText(bob, 'chat')
      await alice.localParticipant.sendText('hello', { topic: 'chat' })
      expect((await arriving).text).toBe('hello')
    }),
  )

  it(
    'without canSubscribe: streams fail at once with notAllowed, although the SFU does not answer',
    inScene(async (scene) => {
      const alice = await scene.join('alice')
      const bob = await scene.join('bob', { grant: { canSubscribe: false } })
      const { local, remote } = await publish(alice, bob)
      const error = await rejection(remote.subscribe().read())
      expect(error).toBeInstanceOf(DataTrackSubscribeError)
      expect(error.reason).toBe('notAllowed')
      // Bob may still publish.
      expect((await bob.localParticipant.publishDataTrack({ name: 'bobs' })).isPublished()).toBe(true)
      expect(local.isPublished()).toBe(true)
    }),
  )

  it(
    'for another room leads to that room, and one without a room is refused',
    inScene(async (scene) => {
      const alice = await scene.join('alice')
      await alice.localParticipant.publishDataTrack({ name: 'track' })
      const bob = await scene.join('bob', { grant: { room: `${scene.name}-other` } })
      expect([...bob.remoteParticipants.keys()]).toEqual([])
      const error = await rejection(scene.join('carol', { grant: { room: '' } }))
      expect(error).toBeInstanceOf(DataTrackConnectionError)
      expect(error.reason).toBe('internal')
      expect(error.message).toContain('no room name')
    }),
  )

  it(
    'that has expired is refused with notAllowed, while the connected room stays connected',
    inScene(async (scene) => {
      const alice = await scene.join('alice')
      const error = await rejection(scene.join('alice', { ttl: -60 }))
      expect(error).toBeInstanceOf(DataTrackConnectionError)
      expect(error.reason).toBe('notAllowed')
      expect(alice.state).toBe('connected')
    }),
  )
})

describe('an administrator', () => {
  it(
    'who revokes canPublishData makes data streams fail; new ones work once it is granted again',
    inScene(async (scene) => {
      const [alice, bob] = [await scene.join('alice'), await scene.join('bob')]
      const { localParticipant } = alice
      const allow = async (canPublishData: boolean): Promise<void> => {
        const changed = event(alice, RoomEvent.ParticipantPermissionsChanged)
        const permission = { canPublish: true, canPublishData, canSubscribe: true }
        await server.admin.updateParticipant(scene.name, 'alice', { permission })
        await changed
      }
      const [text, bytes] = [await localParticipant.streamText(), await localParticipant.streamBytes()]
      await text.write('before')
      await allow(false)
      const notAllowed = { name: 'PublishDataError', reason: 'notAllowed' }
      expect(await rejection(text.write('after'))).toMatchObject(notAllowed)
      expect(await rejection(text.close())).toMatchObject(notAllowed)
      expect(await rejection(localParticipant.sendText('x'))).toMatchObject(notAllowed)
      await allow(true)
      // A stream that began before cannot go on, because the server may have dropped a part of it in between.
      expect(await rejection(bytes.write(new Uint8Array(1)))).toMatchObject(notAllowed)
      const arriving = receiveText(bob, 'chat')
      await localParticipant.sendText('allowed', { topic: 'chat' })
      expect((await arriving).text).toBe('allowed')
      const sending = rejection(localParticipant.sendBytes(new Uint8Array(200_000_000), { compress: false }))
      await allow(false)
      expect(await sending).toMatchObject(notAllowed)
    }),
  )

  it(
    'who revokes canPublishData unpublishes the tracks; publishing works once it is granted again',
    inScene(async (scene) => {
      const [alice, bob] = [await scene.join('alice'), await scene.join('bob')]
      const { local, remote } = await publish(alice, bob)
      const stream = remote.subscribe()
      await flowing(local, stream)
      const unpublished = event(alice, RoomEvent.LocalDataTrackUnpublished)
      const ended = over(local)
      const { sid } = local.info
      await server.admin.updateParticipant(scene.name, 'alice', {
        permission: { canPublish: true, canPublishData: false, canSubscribe: true },
      })
      await ended
      expect(local.signal.reason).toBeInstanceOf(DataTrackUnpublishedError)
      expect(local.signal.reason.reason).toBe('sfu')
      expect(await unpublished).toEqual([sid, local.signal.reason])
      expect(thrown(() => local.tryPush(new Uint8Array(1))).reason).toBe('trackUnpublished')
      // For subscribers, the stream ends normally.
      await drained(stream)
      const again = () => alice.localParticipant.publishDataTrack({ name: 'track' })
      expect((await rejection(again())).reason).toBe('notAllowed')
      await server.admin.updateParticipant(scene.name, 'alice', {
        permission: { canPublish: true, canPublishData: true, canSubscribe: true },
      })
      const anew = await again()
      await flowing(anew, (await seen(bob, 'track')).subscribe())
    }),
  )

  it(
    'who revokes canSubscribe keeps running subscriptions, but new ones are refused until it is granted again',
    inScene(async (scene) => {
      const [alice, bob] = [await scene.join('alice'), await scene.join('bob')]
      const { local, remote } = await publish(alice, bob)
      const stream = remote.subscribe()
      await flowing(local, stream)
      const other = await publish(alice, bob, { name: 'other' })
      const may = async (canSubscribe: boolean): Promise<void> => {
        const changed = event(bob, RoomEvent.ParticipantPermissionsChanged)
        const permission = { canPublish: true, canPublishData: true, canSubscribe }
        await server.admin.updateParticipant(scene.name, 'bob', { permission })
        await changed
      }
      await may(false)
      expect(await rejection(other.remote.subscribe().read())).toMatchObject({ reason: 'notAllowed' })
      // livekit-server 1.13.5 goes on forwarding a track that is subscribed to. 1.13.11 stops it.
      if (bob.serverInfo?.version === '1.13.5') await flowing(local, stream, remote.subscribe())
      else expect(await rejection(drained(stream))).toMatchObject({ reason: 'notAllowed' })
      await may(true)
      await flowing(other.local, other.remote.subscribe())
    }),
  )

  it(
    'who removes a participant disconnects it once, with that reason',
    inScene(async (scene) => {
      const [alice, bob] = [await scene.join('alice'), await scene.join('bob')]
      const { local, remote } = await publish(alice, bob)
      const stream = remote.subscribe()
      await flowing(local, stream)
      const reasons: string[] = []
      alice.on(RoomEvent.Disconnected, (reason) => reasons.push(reason))
      const [gone, left] = [
        event(alice, RoomEvent.Disconnected),
        event(bob, RoomEvent.ParticipantDisconnected),
      ]
      await server.admin.removeParticipant(scene.name, 'alice')
      await Promise.all([gone, left])
      expect(reasons).toEqual(['participantRemoved'])
      expect(alice.state).toBe('disconnected')
      expect(local.signal.reason.reason).toBe('disconnected')
      await drained(stream)
      expect(bob.state).toBe('connected')
    }),
  )

  it(
    'who deletes a room disconnects all participants, and they can connect again',
    inScene(async (scene) => {
      const [alice, bob] = [await scene.join('alice'), await scene.join('bob')]
      const { local, remote } = await publish(alice, bob)
      const stream = remote.subscribe()
      await flowing(local, stream)
      const gone = Promise.all([event(alice, RoomEvent.Disconnected), event(bob, RoomEvent.Disconnected)])
      await server.admin.deleteRoom(scene.name)
      expect(await gone).toEqual([['roomDeleted'], ['roomDeleted']])
      // Either end may come first: that of the track, or that of bob's connection.
      const end = await drained(stream).catch((error: unknown) => error)
      if (end !== undefined) expect(end).toMatchObject({ reason: 'disconnected' })
      await alice.connect(server.url, await scene.token('alice'))
      expect((await alice.localParticipant.publishDataTrack({ name: 'track' })).isPublished()).toBe(true)
    }),
  )
})

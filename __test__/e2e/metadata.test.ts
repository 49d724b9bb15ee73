import { describe, expect, it } from 'vitest'
import { RoomEvent, SignalRequestError } from '../../index'
import type { LocalParticipant, RemoteParticipant, Room } from '../../index'
import { rejection } from '../helpers/rooms'
import { entries, membersOfObjects } from '../helpers/map-keys'
import { event, Scene } from '../helpers/scene'
import { TcpProxy } from '../helpers/tcp-proxy'
import { withServer } from '../helpers/with-server'

const server = withServer()

const inScene = (use: (scene: Scene) => Promise<void>) => () => Scene.with(server, use)
const grant = { canUpdateOwnMetadata: true }

/** Resolves with the first so many changes of alice that the room announces. */
function changes(room: Room, count: number): Promise<unknown[]> {
  const heard: unknown[] = []
  return new Promise((resolve) => {
    const hear = (kind: string, what: unknown, identity: string): void => {
      if (identity === 'alice') heard.push([kind, what])
      if (heard.length === count) resolve(heard)
    }
    room.on(RoomEvent.ParticipantNameChanged, (name, { identity }) => hear('name', name, identity))
    room.on(RoomEvent.ParticipantMetadataChanged, (before, { identity }) =>
      hear('metadata', before, identity),
    )
    room.on(RoomEvent.ParticipantAttributesChanged, (changed, { identity }) =>
      hear('attributes', changed, identity),
    )
  })
}

/** The values as a list that a failed assertion can print. Assertions cannot print private fields of a participant. */
const of = ({ name, metadata, attributes }: LocalParticipant | RemoteParticipant) => [
  name,
  metadata,
  attributes,
]

describe('metadata, name and attributes', () => {
  it(
    'can have attributes with any key, also names of members of Object.prototype, and without them after removal',
    inScene(async (scene) => {
      const alice = await scene.join('alice', { grant })
      const bob = await scene.join('bob')
      const bobsAlice = bob.remoteParticipants.get('alice')!
      const set = Object.fromEntries(membersOfObjects.map((name) => [name, `value of ${name}`]))
      const gone = Object.fromEntries(membersOfObjects.map((name) => [name, '']))
      for (const given of [set, gone]) {
        const heard = [alice, bob].map((room) => event(room, RoomEvent.ParticipantAttributesChanged))
        await alice.localParticipant.setAttributes(given)
        for (const [changed] of await Promise.all(heard)) expect(entries(changed)).toEqual(entries(given))
        const now = given === set ? entries(set) : []
        expect(entries(alice.localParticipant.attributes)).toEqual(now)
        expect(entries(bobsAlice.attributes)).toEqual(now)
      }
    }),
  )

  it(
    'are set by one participant and seen by both',
    inScene(async (scene) => {
      const alice = await scene.join('alice', { grant })
      const bob = await scene.join('bob')
      const { localParticipant } = alice
      const [mine, theirs] = [changes(alice, 5), changes(bob, 5)]
      await localParticipant.setMetadata('m1')
      expect(localParticipant.metadata).toBe('m1')
      await localParticipant.setMetadata('m2')
      await localParticipant.setName('Alice')
      await localParticipant.setAttributes({ a: '1', b: '2' })
      await localParticipant.setAttributes({ a: '', c: '3' })
      const expected = [
        ['metadata', ''],
        ['metadata', 'm1'],
        ['name', 'Alice'],
        ['attributes', { a: '1', b: '2' }],
        ['attributes', { a: '', c: '3' }],
      ]
      expect(await mine).toEqual(expected)
      expect(await theirs).toEqual(expected)
      for (const participant of [localParticipant, bob.getParticipantByIdentity('alice')]) {
        expect(participant).toMatchObject({
          name: 'Alice',
          metadata: 'm2',
          attributes: { b: '2', c: '3' },
          kind: 'standard',
        })
      }
    }),
  )

  it(
    'are refused as notAllowed without the grant, and as limitExceeded if they are too large',
    inScene(async (scene) => {
      const bob = await scene.join('bob')
      expect(bob.localParticipant.permissions).toMatchObject({
        canPublishData: true,
        canUpdateMetadata: false,
      })
      for (const attempt of [
        bob.localParticipant.setMetadata('m'),
        bob.localParticipant.setName('n'),
        bob.localParticipant.setAttributes({ a: '1' }),
      ]) {
        const error = await rejection(attempt)
        expect(error).toBeInstanceOf(SignalRequestError)
        expect(error.reason).toBe('notAllowed')
      }
      const alice = await scene.join('alice', { grant })
      for (const attempt of [
        alice.localParticipant.setMetadata('m'.repeat(512 * 1024 + 1)),
        alice.localParticipant.setName('n'.repeat(257)),
        alice.localParticipant.setAttributes({ a: 'x'.repeat(64 * 1024) }),
      ]) {
        expect((await rejection(attempt)).reason).toBe('limitExceeded')
      }
    }),
  )

  it.each(['single', 'dual'] as const)(
    'are requested again if a reconnect lost the request, and survive a rebuilt connection (%s)',
    (peerConnections) =>
      Scene.with(server, async (scene) => {
        const proxy = await TcpProxy.start(server.port)
        try {
          const alice = await scene.join('alice', { grant, url: proxy.url, connect: { peerConnections } })
          const bob = await scene.join('bob')
          const heard = changes(bob, 2)
          await alice.localParticipant.setAttributes({ before: '1' })
          const lost = event(alice, RoomEvent.Reconnecting)
          proxy.refuse(true)
          proxy.cut()
          await lost
          const setting = alice.localParticipant.setMetadata('meanwhile')
          proxy.refuse(false)
          await setting
          const set = ['', 'meanwhile', { before: '1' }]
          expect(of(alice.localParticipant)).toEqual(set)
          expect(await heard).toEqual([
            ['attributes', { before: '1' }],
            ['metadata', ''],
          ])
          // The server may or may not have sent a renewed token that contains the new values.
          const back = event(alice, RoomEvent.Reconnected)
          await alice.simulateScenario('full-reconnect')
          await back
          await expect.poll(() => of(alice.localParticipant)).toEqual(set)
          await alice.localParticipant.setName('Alice')
          const theirs = bob.getParticipantByIdentity('alice')!
          await expect.poll(() => of(theirs)).toEqual(['Alice', 'meanwhile', { before: '1' }])
        } finally {
          await proxy.close()
        }
      }),
  )
})

describe('an administrator', () => {
  it(
    'changes a participant’s permissions and the room’s metadata, and all participants see it',
    inScene(async (scene) => {
      const alice = await scene.join('alice')
      const bob = await scene.join('bob')
      expect(alice.name).toBe(scene.name)
      expect(alice.sid).toMatch(/^RM_/)
      const track = await alice.localParticipant.publishDataTrack({ name: 'track' })
      const before = alice.localParticipant.permissions!
      const mine = event(alice, RoomEvent.ParticipantPermissionsChanged)
      const theirs = event(bob, RoomEvent.ParticipantPermissionsChanged)
      await server.admin.updateParticipant(scene.name, 'alice', {
        permission: { canSubscribe: true, canPublish: true, canPublishData: false, canUpdateMetadata: true },
      })
      for (const [previous, { identity, permissions }] of [await mine, await theirs]) {
        expect([previous, identity]).toEqual([before, 'alice'])
        expect(permissions).toEqual({ ...before, canPublishData: false, canUpdateMetadata: true })
      }
      // The server ends the track without telling its publisher.
      expect(track.isPublished()).toBe(false)
      expect(track.signal.reason.reason).toBe('sfu')
      const refused = await rejection(alice.localParticipant.publishDataTrack({ name: 'again' }))
      expect(refused.reason).toBe('notAllowed')
      await alice.localParticipant.setName('Alice')
      const told = [event(alice, RoomEvent.RoomMetadataChanged), event(bob, RoomEvent.RoomMetadataChanged)]
      await server.admin.updateRoomMetadata(scene.name, 'now')
      for (const telling of told) expect(await telling).toEqual(['now'])
      expect([alice.metadata, bob.metadata]).toEqual(['now', 'now'])
      const carol = await scene.join('carol')
      expect(carol.metadata).toBe('now')
      expect(carol.localParticipant.joinedAt!.getTime()).toBeGreaterThan(Date.now() - 60_000)
    }),
  )

  it(
    'removes participants and deletes rooms, and the participants get the reason',
    inScene(async (scene) => {
      const alice = await scene.join('alice')
      const bob = await scene.join('bob')
      const [removed, deleted] = [event(alice, RoomEvent.Disconnected), event(bob, RoomEvent.Disconnected)]
      await server.admin.removeParticipant(scene.name, 'alice')
      expect(await removed).toEqual(['participantRemoved'])
      await server.admin.deleteRoom(scene.name)
      expect(await deleted).toEqual(['roomDeleted'])
    }),
  )
})

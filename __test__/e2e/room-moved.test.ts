/** A server moves a participant to another room. The proxy sends the messages in the name of the server. */
import {
  ParticipantInfo,
  ParticipantInfo_State,
  Room as RoomMessage,
  RoomMovedResponse,
} from '@livekit/protocol'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { RoomEvent } from '../../index'
import { event, flowing, Scene, seen } from '../helpers/scene'
import { SignalProxy } from '../helpers/signal-proxy'
import { withServer } from '../helpers/with-server'

const server = withServer()
let proxy: SignalProxy
beforeAll(async () => {
  proxy = await SignalProxy.start(server.url)
})
afterAll(() => proxy.close())

const identitiesIn = async ({ name }: Scene): Promise<string[]> =>
  (await server.admin.listParticipants(name)).map(({ identity }) => identity).sort()

describe('a participant that is moved', () => {
  it('has the other room’s name, participants and a new SID, and reconnects to that room', () =>
    Scene.with(server, (before) =>
      Scene.with(server, async (after) => {
        const alice = await before.join('alice', { url: proxy.url })
        for (const scene of [before, after]) {
          const bob = await scene.join('bob')
          await bob.localParticipant.publishDataTrack({ name: `of ${scene.name}` })
        }
        const dave = await after.join('dave')
        const local = await dave.localParticipant.publishDataTrack({ name: 'track' })
        const old = await seen(alice, `of ${before.name}`)

        const told: unknown[] = []
        alice.on(RoomEvent.DataTrackUnpublished, (_sid, track) => told.push(['unpublished', track]))
        alice.on(RoomEvent.ParticipantDisconnected, ({ sid }) => told.push(['left', sid]))
        alice.on(RoomEvent.Moved, (name) => told.push(['moved', name, alice.name]))
        alice.on(RoomEvent.ParticipantConnected, ({ sid }) => told.push(['came', sid]))
        const bobBefore = alice.remoteParticipants.get('bob')?.sid
        const others = await server.admin.listParticipants(after.name)
        const moved = event(alice, RoomEvent.Moved)
        proxy.say({
          case: 'roomMoved',
          value: new RoomMovedResponse({
            room: new RoomMessage({ name: after.name, sid: 'RM_after', metadata: 'there' }),
            token: await after.token('alice'),
            participant: new ParticipantInfo({
              identity: 'alice',
              sid: 'PA_moved',
              state: ParticipantInfo_State.ACTIVE,
              name: 'Alice, moved',
            }),
            // The server SDK has its own copy of the protocol, so its messages are converted through bytes.
            otherParticipants: others.map((info) => ParticipantInfo.fromBinary(info.toBinary())),
          }),
        })
        expect(await moved).toEqual([after.name])
        expect(told).toEqual([
          ['unpublished', old],
          ['left', bobBefore],
          ['moved', after.name, after.name],
          ...others.map(({ sid }) => ['came', sid]),
        ])
        expect([alice.name, alice.sid, alice.metadata]).toEqual([after.name, 'RM_after', 'there'])
        expect([alice.localParticipant.sid, alice.localParticipant.name]).toEqual([
          'PA_moved',
          'Alice, moved',
        ])
        expect([...alice.remoteParticipants.keys()].sort()).toEqual(['bob', 'dave'])
        expect(old.isPublished()).toBe(false)

        const back = event(alice, RoomEvent.Reconnected)
        proxy.sendAway('reconnect')
        await back
        expect(await identitiesIn(after)).toEqual(['alice', 'bob', 'dave'])
        const stream = (await seen(alice, 'track')).subscribe()
        await flowing(local, stream)
        stream.close()
      }),
    ))

  it('reconnects there with the token that the server gave, though its own source names the room before', () =>
    Scene.with(server, (before) =>
      Scene.with(server, async (after) => {
        const asked: unknown[] = []
        const alice = await before.join('alice', {
          url: proxy.url,
          source: async ({ roomName }) => {
            asked.push(roomName)
            return await before.token('alice')
          },
        })
        const moved = event(alice, RoomEvent.Moved)
        proxy.say({
          case: 'roomMoved',
          value: new RoomMovedResponse({
            room: new RoomMessage({ name: after.name, sid: 'RM_after' }),
            // The margin of the local clock counts it as expired; the server does not.
            token: await after.token('alice', { ttl: 8 }),
            participant: new ParticipantInfo({ identity: 'alice', sid: 'PA_moved' }),
          }),
        })
        await moved
        const back = event(alice, RoomEvent.Reconnected)
        proxy.sendAway('reconnect')
        await back
        expect(asked).toEqual([undefined, after.name])
        expect(await identitiesIn(after)).toEqual(['alice'])
      }),
    ))
})

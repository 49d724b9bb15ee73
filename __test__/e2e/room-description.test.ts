/** What a real server says about a room, itself, the participants, and the reasons for which they leave. */
import {
  DisconnectReason,
  ParticipantInfo,
  ParticipantInfo_State,
  ParticipantUpdate,
} from '@livekit/protocol'
import { TrackSource } from 'livekit-server-sdk'
import { expect, it } from 'vitest'
import { RoomEvent } from '../../index'
import type { Room } from '../../index'
import { bytesField } from '../helpers/hostile-server'
import { event, Scene, seen } from '../helpers/scene'
import { SignalProxy } from '../helpers/signal-proxy'
import { withServer } from '../helpers/with-server'

const server = withServer()

const inScene = (use: (scene: Scene) => Promise<void>) => () => Scene.with(server, use)

it(
  'the server describes itself, and names the room’s creation time',
  inScene(async (scene) => {
    const before = Date.now()
    const alice = await scene.join('alice')
    expect(alice.serverInfo).toMatchObject({ edition: 'standard' })
    expect(alice.serverInfo!.protocol).toBeGreaterThanOrEqual(16)
    expect(alice.serverInfo!.version).toMatch(/^\d+\.\d+\.\d+$/)
    expect(alice.serverInfo!.nodeId).toMatch(/^ND_/)
    expect(Math.abs(alice.creationTime!.getTime() - before)).toBeLessThan(60_000)
    expect(alice.isRecording).toBe(false)
  }),
)

it(
  'a recorder that joins and leaves changes isRecording and the room’s number of participants',
  inScene(async (scene) => {
    const alice = await scene.join('alice')
    const began = event(alice, RoomEvent.RecordingStatusChanged)
    const recorder = await scene.join('recorder', { grant: { recorder: true } })
    expect([await began, alice.isRecording]).toEqual([[true], true])
    expect(recorder.localParticipant.permissions?.recorder).toBe(true)
    expect(recorder.numParticipants).toBeGreaterThanOrEqual(1)
    const ended = event(alice, RoomEvent.RecordingStatusChanged)
    await recorder.disconnect()
    expect([await ended, alice.isRecording]).toEqual([[false], false])
  }),
)

it(
  'a participant has its permitted sources, and is an agent by its kind',
  inScene(async (scene) => {
    await scene.join('bob', {
      grant: { canPublishSources: [TrackSource.CAMERA, TrackSource.SCREEN_SHARE] },
      kind: 'agent',
    })
    const alice = await scene.join('alice')
    const bob = alice.remoteParticipants.get('bob')!
    expect([bob.kind, bob.isAgent, alice.localParticipant.isAgent]).toEqual(['agent', true, false])
    expect(bob.permissions!.canPublishSources).toEqual(['camera', 'screen_share'])
    const changed = event(alice, RoomEvent.ParticipantPermissionsChanged)
    await server.admin.updateParticipant(scene.name, 'bob', undefined, {
      ...{ canPublish: true, canPublishData: true, canSubscribe: true, canSubscribeMetrics: true },
      canPublishSources: [TrackSource.MICROPHONE],
    })
    expect((await changed)[0]!.canPublishSources).toEqual(['camera', 'screen_share'])
    expect(bob.permissions).toMatchObject({ canPublishSources: ['microphone'], canSubscribeMetrics: true })
  }),
)

/** Lets bob leave with `leave`, and returns the reason that alice is told. */
async function leaving(scene: Scene, leave: (bob: Room) => unknown): Promise<unknown> {
  const bob = await scene.join('bob')
  const alice = await scene.join('alice')
  const left = event(alice, RoomEvent.ParticipantDisconnected)
  await leave(bob)
  const [participant, reason] = await left
  expect(participant.disconnectReason).toBe(reason)
  return reason
}

it(
  'a participant that leaves by itself has that disconnect reason',
  inScene(async (scene) => {
    expect(await leaving(scene, (bob) => bob.disconnect())).toBe('clientInitiated')
  }),
)

it(
  'a participant that is removed has that disconnect reason',
  inScene(async (scene) => {
    const remove = () => server.admin.removeParticipant(scene.name, 'bob')
    expect(await leaving(scene, remove)).toBe('participantRemoved')
  }),
)

it(
  'an agent that fails has the disconnect reason that it gave',
  inScene(async (scene) => {
    const proxy = await SignalProxy.start(server.url)
    try {
      await scene.join('agent', { url: proxy.url })
      const alice = await scene.join('alice')
      const left = event(alice, RoomEvent.ParticipantDisconnected)
      proxy.ask({ case: 'leave', value: { reason: DisconnectReason.AGENT_ERROR } })
      expect((await left)[1]).toBe('agentError')
    } finally {
      await proxy.close()
    }
  }),
)

it(
  'a participant that is missing from a complete list has left, and a new one in it has joined',
  inScene(async (scene) => {
    const proxy = await SignalProxy.start(server.url)
    try {
      const bob = await scene.join('bob')
      await bob.localParticipant.publishDataTrack({ name: 'track' })
      const alice = await scene.join('alice', { url: proxy.url })
      await seen(alice, 'track')
      const left = event(alice, RoomEvent.ParticipantDisconnected)
      const ended = event(alice, RoomEvent.DataTrackUnpublished)
      const participants = ['alice', 'carol'].map(
        (identity) => new ParticipantInfo({ identity, sid: 'PA_1', state: ParticipantInfo_State.ACTIVE }),
      )
      const update = new ParticipantUpdate({ participants }).toBinary()
      // The field `full_snapshot`, which the tests' copy of the protocol does not have.
      proxy.sayBytes(bytesField(5, Buffer.concat([update, Uint8Array.of(2 << 3, 1)])))
      expect((await left)[0].identity).toBe('bob')
      await ended
      expect([...alice.remoteParticipants.keys()]).toEqual(['carol'])
    } finally {
      await proxy.close()
    }
  }),
)

it(
  'signalling that is lost and comes back emits events in order',
  inScene(async (scene) => {
    const proxy = await SignalProxy.start(server.url)
    try {
      const told: string[] = []
      const names = [
        'SignalConnected',
        'Connected',
        'SignalReconnecting',
        'Reconnecting',
        'Reconnected',
      ] as const
      const alice = await scene.join('alice', {
        url: proxy.url,
        before: (room) => {
          for (const name of names) room.on(RoomEvent[name], () => told.push(name))
        },
      })
      expect(told.splice(0)).toEqual(['SignalConnected', 'Connected'])
      const back = event(alice, RoomEvent.Reconnected)
      proxy.cut()
      await back
      expect(told.splice(0)).toEqual(['SignalReconnecting', 'Reconnecting', 'SignalConnected', 'Reconnected'])
      const rebuilt = event(alice, RoomEvent.Reconnected)
      proxy.sendAway('reconnect')
      await rebuilt
      expect(told).toEqual(['Reconnecting', 'SignalConnected', 'Reconnected'])
    } finally {
      await proxy.close()
    }
  }),
)

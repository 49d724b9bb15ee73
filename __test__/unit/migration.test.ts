/** Each row of docs/migration.md, by its name. */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { ReadableStream } from 'node:stream/web'
import { DataPacket, ParticipantInfo_State, ParticipantUpdate, RpcResponse } from '@livekit/protocol'
import { describe, expect, it } from 'vitest'
import {
  DataTrackE2eeError,
  DataTrackError,
  DataTrackPushFrameError,
  DataTrackStream,
  DataTrackStreamError,
  DataTrackSubscribeError,
  DataTrackUnpublishedError,
  ExternalE2EEKeyProvider,
  json,
  LocalDataTrackManager,
  Room,
  RoomEvent,
  setLogger,
  setLogLevel,
} from '../../index'
import * as index from '../../index'
import { checkConnectOptions } from '../../src/connection/connect-options'
import type { PerformRpcParams, RpcInvocationData } from '../../index'
import { signalParts } from '../../src/signal/parts'
import { fakeRoom } from '../helpers/fake-connection'
import { bytesField } from '../helpers/hostile-server'
import { livekitClient } from '../helpers/livekit-client'
import { publisher, subscriber } from '../helpers/managers'
import { prelude, runProgram } from '../helpers/programs'
import { publish, rejection, subscribe, take, thrown, turn, until, withPair } from '../helpers/rooms'
import type { Pair } from '../helpers/rooms'

const bytes = (...values: number[]) => Uint8Array.from(values)

/** A packet of frame and sequence number. */
function packet(marker: 'start' | 'inter' | 'final' | 'single', frame: number, sequence: number): Uint8Array {
  const bits = { start: 0b10, inter: 0b00, final: 0b01, single: 0b11 }[marker]
  return bytes(bits << 3, 0, 0, 1, 0, sequence, 0, frame, 0, 0, 0, 0, frame)
}

/** The first bytes of the frames that come of packets. */
async function framesOf(...packets: Uint8Array[]): Promise<number[]> {
  const { frames, manager } = await subscriber()
  const [...received] = await frames(packets)
  manager.close()
  return received.map(({ payload }) => payload[0]!)
}

/** A pair with the same passphrase. */
async function withKeys(use: (pair: Pair) => Promise<void>): Promise<void> {
  const keyProvider = new ExternalE2EEKeyProvider()
  const encryption = { keyProvider }
  await withPair(
    async (pair) => {
      await keyProvider.setKey('passphrase')
      await use(pair)
    },
    {},
    { alice: { encryption }, bob: { encryption } },
  )
}

const publishing = {
  'push-throws-at-once': () =>
    withPair(async (pair) => {
      const { local } = await publish(pair)
      expect((local as any).tryPush({ payload: bytes(1) })).toBeUndefined()
      await local.unpublish()
      expect(thrown(() => local.tryPush({ payload: bytes(1) }))).toBeInstanceOf(DataTrackPushFrameError)
    }),
  'push-copies': () =>
    withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      const stream = await subscribe(remote)
      const scratch = bytes(0)
      for (scratch[0] = 1; scratch[0] <= 3; scratch[0]++) local.tryPush({ payload: scratch })
      expect((await take(stream, 3)).map(({ payload }) => payload[0])).toEqual([1, 2, 3])
    }),
  'push-can-wait': async () => {
    const { manager, track, packets } = await publisher({}, { maxQueueBytes: 100 })
    track.tryPush(new Uint8Array(80))
    expect(track.bufferedAmount).toBe(92)
    const waiting = track.push({ payload: new Uint8Array(50) })
    expect(track.bufferedAmount).toBe(92)
    expect(packets()).toHaveLength(1)
    await waiting
    expect(packets().map(({ length }) => length)).toEqual([62])
    manager.close()
  },
  'push-bytes': () =>
    withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      const stream = await subscribe(remote)
      local.tryPush(bytes(7))
      expect((await take(stream, 1))[0].payload).toEqual(bytes(7))
      const typed = await pair.alice.localParticipant.publishDataTrack({
        name: 'typed',
        codec: json<object>(),
      })
      typed.tryPush({ x: 1 })
    }),
  'push-checks': () =>
    withPair(async (pair) => {
      const { local } = await publish(pair)
      expect(thrown(() => local.tryPush({ payload: 'text' }))).toBeInstanceOf(TypeError)
      expect(thrown(() => local.tryPush({ payload: bytes(1), userTimestamp: -1n })).message).toContain(
        'userTimestamp',
      )
      expect(thrown(() => local.tryPush({ payload: bytes(1), userTimestamp: -1n }))).toBeInstanceOf(
        RangeError,
      )
      expect(local.stats().pushed).toBe(0)
    }),
  'push-reasons': () =>
    withPair(async (pair) => {
      const { local } = await publish(pair, { whenFull: 'refuse', maxQueueBytes: 100 })
      const frame = { payload: new Uint8Array(3_000_000) }
      expect(thrown(() => local.tryPush(frame))).toMatchObject({ reason: 'frameTooLarge' })
      expect(thrown(() => local.tryPush(frame)).frame).toBe(frame)
      const reconnected = pair.sfu.reconnect('alice', 'resume')
      expect(thrown(() => local.tryPush(bytes(1))).reason).toBe('reconnecting')
      await reconnected
      await local.unpublish()
      expect(thrown(() => local.tryPush(bytes(1))).reason).toBe('trackUnpublished')
      await pair.alice.disconnect()
      const other = await pair.bob.localParticipant.publishDataTrack({ name: 'other' })
      await pair.bob.disconnect()
      expect(['disconnected', 'trackUnpublished']).toContain(thrown(() => other.tryPush(bytes(1))).reason)
    }),
  'queue-bounds': async () => {
    const dropping = await publisher({}, { maxQueueBytes: 100 })
    for (let frame = 0; frame < 5; frame++) dropping.track.tryPush(new Uint8Array(38))
    expect(dropping.track.stats()).toMatchObject({ pushed: 5, queued: 2, dropped: { queueFull: 3 } })
    dropping.manager.close()
    const refusing = await publisher({}, { maxQueueBytes: 100, whenFull: 'refuse' })
    for (let frame = 0; frame < 2; frame++) refusing.track.tryPush(new Uint8Array(38))
    expect(thrown(() => refusing.track.tryPush(new Uint8Array(38))).reason).toBe('queueFull')
    refusing.manager.close()
  },
  'frame-too-large': async () => {
    const { manager, track, packets } = await publisher()
    const most = 128 * (16_000 - 24)
    expect(track.maxFrameLength).toBe(most)
    expect(thrown(() => track.tryPush({ payload: new Uint8Array(most + 1), userTimestamp: 1n })).reason).toBe(
      'frameTooLarge',
    )
    expect(packets()).toEqual([])
    track.tryPush({ payload: new Uint8Array(most), userTimestamp: 1n })
    expect(packets()).toHaveLength(128)
    manager.close()
  },
  'empty-frame': () =>
    withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      const stream = await subscribe(remote)
      local.tryPush(bytes())
      expect((await take(stream, 1))[0].payload).toEqual(bytes())
    }),
  'timestamp-zero': () =>
    withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      const stream = await subscribe(remote)
      local.tryPush({ payload: bytes(1), userTimestamp: 0n })
      local.tryPush({ payload: bytes(1) })
      expect((await take(stream, 2)).map((frame) => frame.userTimestamp)).toEqual([0n, undefined])
    }),
  'unpublish-resolves-at-once': async () => {
    // A manager whose SFU does not answer.
    const { manager, track } = await publisher()
    const unpublished = track.unpublish()
    expect(track.isPublished()).toBe(false)
    await unpublished
    await track.unpublish()
    manager.close()
  },
  'info-stays': () =>
    withPair(async (pair) => {
      const { local } = await publish(pair)
      local.tryPush(bytes(1))
      await local.unpublish()
      expect(local.info.name).toBe('track')
      expect(local.stats().pushed).toBe(1)
    }),
  'track-signal': () =>
    withPair(async (pair) => {
      const { local } = await publish(pair)
      const { signal } = local
      pair.sfu.unpublish(local.info.sid)
      await until(() => signal.aborted)
      expect(signal.reason).toBeInstanceOf(DataTrackUnpublishedError)
      expect(signal.reason).toMatchObject({ reason: 'sfu' })
    }),
  'publish-demand': () =>
    withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      const told: unknown[] = []
      pair.alice.on(RoomEvent.LocalDataTrackDemandChanged, (has) => told.push(has))
      await until(() => local.hasSubscribers === false)
      const stream = remote.subscribe()
      await Promise.all([local.waitForSubscriber(), stream.ready])
      local.tryPush(bytes(1))
      expect((await stream.read())!.payload).toEqual(bytes(1))
      expect([told.at(-1), local.hasSubscribers]).toEqual([true, true])
    }),
  'publish-options': () =>
    withPair(async (pair) => {
      const { remote } = await publish(pair, {
        frameEncoding: 'protobuf',
        schema: { name: 'robot.Pose', encoding: 'protobuf' },
        maxQueueBytes: 1024,
        maxQueueAge: 10,
        maxPacketsPerFrame: 1,
        whenFull: 'refuse',
      })
      expect(remote.info).toMatchObject({
        frameEncoding: 'protobuf',
        schema: { name: 'robot.Pose', encoding: 'protobuf' },
      })
    }),
  'publish-abort': async () => {
    const manager = new LocalDataTrackManager()
    const abort = new AbortController()
    const reason = new Error('enough')
    const pending = rejection(manager.publishDataTrack({ name: 'track', signal: abort.signal }))
    abort.abort(reason)
    expect(await pending).toBe(reason)
    manager.close()
  },
  'publish-survives-reconnect': () =>
    withPair(async ({ sfu, alice }) => {
      const pending = alice.localParticipant.publishDataTrack({ name: 'track' })
      // The request is lost with the connection.
      await sfu.reconnect('alice', 'full')
      expect((await pending).isPublished()).toBe(true)
    }),
  'republish-rejected': () =>
    withPair(async (pair) => {
      const { local } = await publish(pair)
      pair.sfu.rejectNextPublish('notAllowed')
      await pair.sfu.reconnect('alice', 'full')
      await until(() => !local.isPublished())
      expect(local.signal.reason).toMatchObject({ reason: 'republishRejected' })
    }),
}

const subscribing = {
  'stream-is-pulled': () =>
    withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      const stream = remote.subscribe()
      expect(stream).toBeInstanceOf(DataTrackStream)
      expect(stream).toBeInstanceOf(ReadableStream)
      await turn()
      for (let frame = 0; frame < 20; frame++) local.tryPush(bytes(frame))
      await until(() => stream.stats().received === 20)
      expect(stream.stats()).toMatchObject({ buffered: 20, delivered: 0 })
      const reader = stream.getReader()
      expect((await reader.read()).value?.payload).toEqual(bytes(0))
    }),
  'stream-more': () =>
    withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      const stream = await subscribe(remote)
      for (let frame = 1; frame <= 3; frame++) local.tryPush(bytes(frame))
      expect((await stream.read()).payload).toEqual(bytes(1))
      for await (const frame of stream.values({ preventCancel: true })) {
        expect(frame.payload).toEqual(bytes(2))
        break
      }
      for await (const frame of stream.toNodeReadable()) {
        expect(frame.payload).toEqual(bytes(3))
        break
      }
      stream.close()
      await stream[Symbol.asyncDispose]()
      expect(stream.stats().received).toBe(3)
    }),
  'default-buffer': () =>
    withPair(async (pair) => {
      const { local, remote } = await publish(pair, { maxQueueAge: Infinity })
      // The age is left out: it depends on how busy this machine is.
      const stream = await subscribe(remote, { maxBufferAge: Infinity })
      for (let frame = 0; frame < 1030; frame++) local.tryPush(bytes(1))
      await until(() => stream.stats().received === 1030)
      expect(stream.stats()).toMatchObject({ buffered: 1024, dropped: { tooSlow: 6 } })
    }),
  'buffer-drops-oldest': () =>
    withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      const stream = await subscribe(remote, { bufferSize: 3 })
      for (let frame = 1; frame <= 9; frame++) local.tryPush(bytes(frame))
      await until(() => stream.stats().received === 9)
      expect((await take(stream, 3)).map(({ payload }) => payload[0])).toEqual([7, 8, 9])
    }),
  'buffers-are-counted': () =>
    withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      const stream = await subscribe(remote, { bufferSize: 1 })
      for (let frame = 1; frame <= 5; frame++) local.tryPush(bytes(frame))
      await until(() => stream.stats().received === 5)
      expect(stream.stats()).toMatchObject({ received: 5, buffered: 1, dropped: { tooSlow: 4 } })
    }),
  'partial-frames': async () => {
    const packets = [
      packet('start', 1, 0),
      packet('start', 2, 2),
      packet('final', 1, 1),
      packet('final', 2, 3),
    ]
    expect(await framesOf(...packets)).toEqual([1, 2])
  },
  'reordered-packets': async () => {
    expect(await framesOf(packet('final', 1, 2), packet('inter', 1, 1), packet('start', 1, 0))).toEqual([1])
  },
  'frame-once': async () => {
    expect(await framesOf(packet('single', 1, 0), packet('single', 1, 0))).toEqual([1])
  },
  'subscribe-latest': () =>
    withPair(async (pair) => {
      const { local, remote } = await publish(pair, { latch: true })
      local.tryPush(bytes(1))
      const stream = remote.subscribe({ latest: true })
      expect(await stream.read()).toMatchObject({ payload: bytes(1), latched: true })
      expect(await remote.latest()).toMatchObject({ payload: bytes(1), latched: true })
      local.tryPush(bytes(2))
      expect(await stream.read()).toMatchObject({ payload: bytes(2), latched: false })
    }),
  'frame-fields': () =>
    withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      const stream = await subscribe(remote)
      local.tryPush(bytes(1))
      local.tryPush(bytes(2))
      const [one, two] = await take(stream, 2)
      expect([one.number, two.number]).toEqual([0, 1])
      expect(two.timestamp - one.timestamp).toBeGreaterThanOrEqual(0)
      expect(one.age).toBeGreaterThanOrEqual(0)
    }),
  'payloads-share-memory': () =>
    withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      const shared = await subscribe(remote)
      const owned = await subscribe(remote, { ownedPayloads: true })
      local.tryPush(bytes(1))
      expect((await take(shared, 1))[0].payload.buffer.byteLength).toBe(65_536)
      expect((await take(owned, 1))[0].payload.buffer.byteLength).toBe(1)
    }),
  'subscribe-abort': () =>
    withPair(async (pair) => {
      const { remote } = await publish(pair)
      const abort = new AbortController()
      const reason = new Error('enough')
      const pending = rejection(remote.subscribe({ signal: abort.signal }).read())
      abort.abort(reason)
      expect(await pending).toBe(reason)
    }),
  'subscribe-after-end': () =>
    withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      await local.unpublish()
      await until(() => !remote.isPublished())
      const error = await rejection(remote.subscribe().read())
      expect(error).toBeInstanceOf(DataTrackSubscribeError)
      expect(error.reason).toBe('unpublished')
    }),
  locked: () =>
    withPair(async (pair) => {
      const { remote } = await publish(pair)
      const stream = await subscribe(remote)
      stream.getReader()
      expect(thrown(() => stream.getReader())).toBeInstanceOf(DataTrackStreamError)
      expect(thrown(() => stream.values()).reason).toBe('locked')
    }),
  'pipeline-options': () =>
    withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      remote.setPipelineOptions({
        maxPartialFrames: 4,
        partialFrameTimeout: 50,
        maxPacketsPerFrame: 2,
        maxFrameBytes: 1000,
      })
      const stream = await subscribe(remote)
      local.tryPush(new Uint8Array(1001))
      local.tryPush(bytes(1))
      expect((await take(stream, 1))[0].payload).toEqual(bytes(1))
      expect(pair.bob.packetStats().dropped.inconsistent).toBe(1)
    }),
}

const rooms = {
  'connect-errors': async () => {
    // No program listens at the lowest port.
    await expect(new Room().connect('ws://127.0.0.1:1', 'token')).rejects.toMatchObject({
      name: 'DataTrackConnectionError',
      reason: 'serverUnreachable',
    })
    await expect(new Room().connect('ftp://127.0.0.1', 'token')).rejects.toThrow(TypeError)
    await expect(index.connect('ws://127.0.0.1:1', '')).rejects.toThrow(RangeError)
  },
  'no-media': () => {
    const media = Object.keys(RoomEvent).filter((name) => /^Track|^LocalTrack|Media|Device/.test(name))
    expect(media.sort()).toEqual([
      'LocalTrackPublished',
      'LocalTrackRepublished',
      'LocalTrackSubscribed',
      'LocalTrackUnpublished',
      'TrackMuted',
      'TrackPublished',
      'TrackSubscribed',
      'TrackSubscriptionFailed',
      // It is told of data tracks.
      'TrackSubscriptionPermissionChanged',
      'TrackUnmuted',
      'TrackUnpublished',
      'TrackUnsubscribed',
    ])
    expect(checkConnectOptions({}).autoSubscribe).toBe(false)
    const { localParticipant } = new Room()
    expect(
      ['publishTrack', 'createTracks', 'setCameraEnabled'].map((name) => name in localParticipant),
    ).toEqual([true, false, false])
  },
  'publish-data': () =>
    withPair(async ({ alice, bob }) => {
      const arrived = once(bob, RoomEvent.DataReceived)
      await alice.localParticipant.publishData(Uint8Array.of(1), { reliable: true })
      expect((await arrived)[2]).toBe('reliable')
      const flood = Array.from({ length: 200 }, () =>
        alice.localParticipant.publishData(new Uint8Array(1000)),
      )
      const refused = (await Promise.allSettled(flood)).filter(({ status }) => status === 'rejected')
      expect((refused[0] as PromiseRejectedResult).reason.reason).toBe('bufferFull')
    }),
  'metadata-empty': () =>
    withPair(async ({ alice: { localParticipant } }) => {
      expect(await rejection(localParticipant.setMetadata(''))).toBeInstanceOf(RangeError)
      expect(await rejection(localParticipant.setName(''))).toBeInstanceOf(RangeError)
    }),
  'metadata-overlap': () =>
    withPair(async ({ alice: { localParticipant } }) => {
      await Promise.all([localParticipant.setName('a'), localParticipant.setMetadata('b')])
      expect(localParticipant).toMatchObject({ name: 'a', metadata: 'b' })
    }),
  'permission-revoked': () =>
    withPair(async (pair) => {
      const { local } = await publish(pair)
      pair.sfu.updateParticipant('alice', { permission: { canPublishData: false } })
      await until(() => !local.isPublished())
      expect(local.signal.reason.reason).toBe('sfu')
    }),
  'map-before-event': () =>
    withPair(async ({ alice, bob }) => {
      const found: boolean[] = []
      bob.on(RoomEvent.DataTrackPublished, (track) => {
        found.push(bob.remoteParticipants.get('alice')!.dataTracks.get(track.name) === track)
      })
      await alice.localParticipant.publishDataTrack({ name: 'track' })
      await until(() => found.length > 0)
      expect(found).toEqual([true])
    }),
  'unpublished-event': () =>
    withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      const told: unknown[][] = []
      pair.bob.on(RoomEvent.DataTrackUnpublished, (...args) => told.push(args))
      await local.unpublish()
      await until(() => told.length > 0)
      expect(told).toEqual([[local.info.sid, remote]])
      expect(told[0]![1]).toBe(remote)
    }),
  'local-unpublished-event': () =>
    withPair(async (pair) => {
      const told: unknown[][] = []
      pair.alice.on(RoomEvent.LocalDataTrackUnpublished, (sid, { reason }) => told.push([sid, reason]))
      const { local } = await publish(pair)
      pair.sfu.unpublish(local.info.sid)
      await until(() => told.length > 0)
      const own = await pair.alice.localParticipant.publishDataTrack({ name: 'own' })
      await own.unpublish()
      expect(told).toEqual([
        [local.info.sid, 'sfu'],
        [own.info.sid, 'local'],
      ])
    }),
  'tracks-as-loop': () =>
    withPair(async (pair) => {
      const { remote } = await publish(pair)
      const seen: string[] = []
      const loop = (async () => {
        for await (const track of pair.bob.dataTracks()) {
          seen.push(track.name)
          if (seen.length === 1) expect(track).toBe(remote)
          if (seen.length === 2) break
        }
      })()
      await pair.alice.localParticipant.publishDataTrack({ name: 'later' })
      await loop
      expect(seen).toEqual(['track', 'later'])
    }),
  'deferred-abort': () =>
    withPair(async ({ bob }) => {
      const abort = new AbortController()
      const { dataTracks } = bob.remoteParticipants.get('alice')!
      const pending = rejection(dataTracks.getDeferred('never', abort.signal))
      const reason = new Error('enough')
      abort.abort(reason)
      expect(await pending).toBe(reason)
    }),
  'track-permissions': () =>
    withPair(async (pair) => {
      const { localParticipant } = pair.alice
      const names = { participantIdentity: 'bob', allowedTrackNames: ['mine'] }
      localParticipant.setTrackSubscriptionPermissions(false, [names])
      const [mine, other] = [await publish(pair, { name: 'mine' }), await publish(pair, { name: 'other' })]
      await mine.remote.subscribe().ready
      expect(await rejection(other.remote.subscribe().read())).toMatchObject({ reason: 'notAllowed' })
      const sids = { participantIdentity: 'bob', allowedTrackSids: [other.local.info.sid] }
      localParticipant.setTrackSubscriptionPermissions(false, [sids])
      await until(() => other.remote.permissionStatus === 'allowed')
    }),
  'wait-until-active': () =>
    withPair(async ({ sfu, bob }) => {
      const alice = bob.remoteParticipants.get('alice')!
      await alice.waitUntilActive()
      sfu.kick('alice')
      await until(() => alice.state === 'disconnected')
      expect(await rejection(alice.waitUntilActive())).toMatchObject({ reason: 'participantDisconnected' })
    }),
  'local-is-active': () =>
    withPair(async ({ alice: { localParticipant } }) => {
      expect(localParticipant.isActive).toBe(true)
      await Promise.resolve()
    }),
  'disconnect-reason': () =>
    withPair(async ({ sfu, alice, bob }) => {
      const reasons: string[] = []
      for (const room of [alice, bob]) room.on(RoomEvent.Disconnected, (reason) => reasons.push(reason))
      await alice.disconnect()
      sfu.close()
      expect(reasons).toEqual(['clientInitiated', 'serverShutdown'])
    }),
  'token-source': async () => {
    expect(Object.keys(index.TokenSource)).toEqual(['literal', 'custom', 'endpoint'])
    const cause = new Error('no token')
    const error = await rejection(new Room().connect('ws://127.0.0.1:1', () => Promise.reject(cause)))
    expect([error.reason, error.cause]).toEqual(['tokenUnavailable', cause])
  },
  'reconnect-policy': () => {
    expect(() => new Room({ reconnectPolicy: {} as never })).toThrow(/options\.reconnectPolicy/)
    const policy = new index.DefaultReconnectPolicy([0])
    expect(policy.nextRetryDelayInMs({ retryCount: 1, elapsedMs: 0 })).toBeNull()
  },
  'max-retries': async () => {
    const asked: number[] = []
    const reconnectPolicy = {
      nextRetryDelayInMs: ({ retryCount }: { retryCount: number }) => {
        asked.push(retryCount)
        return 0
      },
    }
    const room = new Room({ reconnectPolicy })
    expect((await rejection(room.connect('ws://127.0.0.1:1', 'token'))).reason).toBe('serverUnreachable')
    expect(asked).toEqual([])
    await rejection(room.connect('ws://127.0.0.1:1', 'token', { maxRetries: 2 }))
    expect(asked).toEqual([1, 2])
  },
  'full-snapshot': async () => {
    const { room } = fakeRoom()
    const [participant, bob] = ['me', 'bob'].map((identity) => ({ identity, sid: 'PA', state: 2 }))
    const join = { room: {}, participant, otherParticipants: [bob] }
    room.engine.receive({ message: { case: 'join', value: join } })
    const update = new ParticipantUpdate({
      participants: [{ identity: 'me', sid: 'PA', state: ParticipantInfo_State.ACTIVE }],
    })
    const bytes = bytesField(5, Buffer.concat([update.toBinary(), Uint8Array.of(2 << 3, 1)]))
    for (const part of signalParts(bytes)) room.engine.receive(part!)
    expect(room.remoteParticipants.size).toBe(0)
    await room.disconnect()
  },
  'prepare-connection': async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const connected = once(server, 'connection')
    await new Room().prepareConnection(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`)
    const [socket] = (await connected) as [Socket]
    socket.destroy()
    server.close()
  },
  'connection-check': async () => {
    const check = new index.ConnectionCheck('ws://127.0.0.1:1', 'a.b.c')
    const results = await check.run()
    expect(results.map(({ status }) => status)).toContain('skipped')
    expect(results.find(({ status }) => status === 'failed')?.help).not.toBe('')
  },
  'connection-states': () =>
    withPair(async ({ sfu, alice }) => {
      const told: string[] = []
      alice.on(RoomEvent.ConnectionStateChanged, (state) => told.push(state))
      alice.on(RoomEvent.SignalReconnecting, () => told.push('signalling'))
      alice.on(RoomEvent.Reconnecting, () => told.push('event'))
      await sfu.reconnect('alice', 'resume')
      expect(told).toEqual(['reconnecting', 'signalling', 'event', 'connected'])
    }),
  'participant-left-reason': () =>
    withPair(async ({ sfu, bob }) => {
      const [participant, reasons] = [bob.remoteParticipants.get('alice')!, [] as unknown[]]
      bob.on(RoomEvent.ParticipantDisconnected, (_participant, reason) => reasons.push(reason))
      sfu.kick('alice')
      await until(() => reasons.length === 1)
      expect([reasons[0], participant.disconnectReason]).toEqual(['participantRemoved', 'participantRemoved'])
    }),
  'server-info': () =>
    withPair(({ alice }) => {
      expect(alice.serverInfo).toEqual({
        ...{ edition: 'standard', version: '', protocol: 0, region: '', nodeId: '' },
        ...{ debugInfo: '', agentProtocol: 0 },
      })
      expect(new Room().serverInfo).toBeUndefined()
      return Promise.resolve()
    }),
  'keeps-process-alive': async () => {
    // The timer does not count, so it fires only because the room is connected.
    const source = `
      const { alice, bob } = await traffic()
      bob.unref()
      setTimeout(() => { console.log('alive'); alice.unref() }, 100).unref()`
    expect(await runProgram(source, prelude())).toMatchObject({ code: 0, stdout: 'alive\n' })
  },
}

/** Two rooms that know of each other, and what the handler `m` of bob's was given. */
function withCalls(
  handler: (data: RpcInvocationData) => Promise<string> | string,
  use: (
    perform: (options?: Partial<PerformRpcParams>) => Promise<string>,
    pair: Pair,
    given: RpcInvocationData[],
  ) => Promise<void>,
): Promise<void> {
  return withPair(async (pair) => {
    const given: RpcInvocationData[] = []
    pair.bob.registerRpcMethod('m', (data) => {
      given.push(data)
      return handler(data)
    })
    await until(() => pair.alice.remoteParticipants.has('bob'))
    const { localParticipant } = pair.alice
    await use(
      (options) =>
        localParticipant.performRpc({ destinationIdentity: 'bob', method: 'm', payload: '', ...options }),
      pair,
      given,
    )
  })
}

/** A handler that ends with its signal. */
const hang = ({ signal }: RpcInvocationData): Promise<string> =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))

const rpc = {
  'rpc-timeout': () =>
    withCalls(
      (data) => (data.payload === 'first' ? '' : hang(data)),
      async (perform, _, given) => {
        // The first call loads what calls need. On a slow machine that may take longer than the timeout.
        await perform({ payload: 'first' })
        const error = await rejection(perform({ responseTimeout: 20 }))
        // The call may come to its handler after that.
        await until(() => given.length === 2)
        expect([error.code, error.timeout, given[1]!.responseTimeout]).toEqual([1502, 20, 20])
      },
    ),
  'rpc-long-timeout': () =>
    withCalls(
      () => 'x',
      async (perform) => {
        for (const responseTimeout of [2 ** 31, 2 ** 40, Infinity]) {
          expect(await perform({ responseTimeout })).toBe('x')
        }
      },
    ),
  'rpc-latency': () =>
    withCalls(hang, async (perform, { sfu }) => {
      sfu.setNetwork({ delay: 1000 })
      const error = await rejection(perform({ maxRoundTripLatency: 20 }))
      expect([error.code, error.timeout]).toEqual([1501, 20])
    }),
  'rpc-recipient-not-found': () =>
    withCalls(hang, async (perform) => {
      const options = { destinationIdentity: 'nobody', maxRoundTripLatency: 20 }
      expect((await rejection(perform(options))).code).toBe(1401)
    }),
  'rpc-abort': () =>
    withCalls(hang, async (perform, { alice }, given) => {
      const stop = new AbortController()
      const call = rejection(perform({ signal: stop.signal }))
      await until(() => given.length === 1)
      stop.abort(new Error('enough'))
      expect((await call).message).toBe('enough')
      await alice.disconnect()
      await until(() => given[0]!.signal.aborted)
    }),
  'rpc-sender': () =>
    withCalls(hang, async (perform, { sfu, alice }, given) => {
      let settled = false
      const call = rejection(perform()).finally(() => (settled = true))
      await until(() => given.length === 1)
      const packet = new DataPacket({
        participantIdentity: 'eve',
        value: {
          case: 'rpcResponse',
          value: new RpcResponse({
            requestId: given[0]!.requestId,
            value: { case: 'payload', value: 'wrong' },
          }),
        },
      })
      setLogLevel('silent')
      alice.engine.receiveMessage('reliable', packet.toBinary())
      setLogLevel('warn')
      await turn()
      expect(settled).toBe(false)
      sfu.kick('bob')
      expect((await call).code).toBe(1503)
    }),
  'rpc-error-text': () =>
    withCalls(
      () => {
        throw new Error('secret')
      },
      async (perform) => {
        setLogLevel('silent')
        const error = await rejection(perform())
        setLogLevel('warn')
        expect([error.code, error.message, error.data]).toEqual([
          1500,
          'Application error in method handler',
          undefined,
        ])
      },
    ),
  'rpc-handler': () =>
    withCalls(
      ({ payload }) => payload,
      async (perform) => {
        expect(await perform({ payload: 'x' })).toBe('x')
      },
    ),
  'rpc-duplicate': () =>
    withCalls(hang, async (_, { bob }) => {
      await turn()
      const error = thrown(() => bob.registerRpcMethod('m', hang))
      expect(error).toBeInstanceOf(RangeError)
      expect(error.code).toBe('ERR_OUT_OF_RANGE')
    }),
  'rpc-typed': () =>
    withCalls(hang, async (_, { alice, bob }) => {
      bob.rpc.handle<number[], number>('sum', (values) => values.reduce((sum, value) => sum + value, 0))
      expect(await alice.rpc.call('bob', 'sum', [1, 2, 3])).toBe(6)
    }),
}

const errors = {
  'reasons-are-strings': () =>
    withPair(async ({ sfu, alice }) => {
      sfu.rejectNextPublish('limitReached')
      const error = await rejection(alice.localParticipant.publishDataTrack({ name: 'track' }))
      expect(error.reason).toBe('limitReached')
    }),
  'codes-are-strings': () => {
    for (const { code } of index.errorTable()) expect(code).toMatch(/^ERR_DATATRACK_[A-Z0-9_]+$/)
  },
  'unknown-rejection': () =>
    withPair(async ({ sfu, alice }) => {
      sfu.rejectNextPublish('unclassified', 'the moon is full')
      const error = await rejection(alice.localParticipant.publishDataTrack({ name: 'track' }))
      expect(error.reason).toBe('internal')
      expect(error.message).toContain('the moon is full')
    }),
  'across-copies': () => {
    // What another copy makes bears the same mark; process-life.test.ts has two real copies.
    const foreign = Object.assign(new Error(), {
      [Symbol.for('node-datatrack.error')]: 'DataTrackPushFrameError',
    })
    expect(foreign).toBeInstanceOf(DataTrackPushFrameError)
    expect(foreign).toBeInstanceOf(DataTrackError)
    expect(foreign).not.toBeInstanceOf(DataTrackSubscribeError)
  },
  logging: () => {
    expect('setLogExtension' in index).toBe(false)
    setLogLevel('error')
    setLogLevel('warn')
    const quiet = () => undefined
    setLogger({ trace: quiet, debug: quiet, info: quiet, warn: quiet, error: quiet })
    setLogger(undefined)
  },
}

const encryption = {
  'e2ee-no-worker': () => {
    const keyProvider = new ExternalE2EEKeyProvider()
    const options = { encryption: { keyProvider, worker: {} } }
    expect(new Room(options).state).toBe('disconnected')
  },
  'e2ee-always-on': () =>
    withKeys(async (pair) => {
      expect('setE2EEEnabled' in pair.alice).toBe(false)
      const { local, remote } = await publish(pair)
      expect([local.info.usesE2ee, remote.info.usesE2ee]).toEqual([true, true])
      const stream = await subscribe(remote)
      local.tryPush(bytes(5))
      expect((await take(stream, 1))[0].payload).toEqual(bytes(5))
    }),
  'e2ee-raw-keys': async () => {
    const raw = new Uint8Array(32).fill(7)
    expect(await rejection(new ExternalE2EEKeyProvider().setKey(raw))).toBeInstanceOf(TypeError)
    await new ExternalE2EEKeyProvider({ keyDerivation: 'HKDF' }).setKey(raw.buffer)
    await new ExternalE2EEKeyProvider().setKey('a passphrase')
  },
  'e2ee-set-key-is-ready': async () => {
    const keyProvider = new ExternalE2EEKeyProvider()
    const { manager, track, packets } = await publisher({ encryption: { keyProvider } })
    await keyProvider.setKey('passphrase')
    track.tryPush(bytes(1))
    expect(packets()).toHaveLength(1)
    manager.close()
  },
  'e2ee-keys-each': async () => {
    const provider = () => new ExternalE2EEKeyProvider({ sharedKey: false })
    const [alices, bobs] = [provider(), provider()]
    await withPair(
      async (pair) => {
        await alices.setKey('the key of alice', { participantIdentity: 'alice', keyIndex: 3 })
        await bobs.setKey('the key of alice', { participantIdentity: 'alice', keyIndex: 3 })
        const { local, remote } = await publish(pair)
        const stream = await subscribe(remote)
        local.tryPush(bytes(5))
        expect((await take(stream, 1))[0].payload).toEqual(bytes(5))
      },
      {},
      { alice: { encryption: { keyProvider: alices } }, bob: { encryption: { keyProvider: bobs } } },
    )
  },
  'e2ee-own-provider': async () => {
    const flip = (payload: Uint8Array) => payload.map((byte) => byte ^ 0xff)
    const provider = {
      encrypt: (payload: Uint8Array) => ({ payload: flip(payload), iv: new Uint8Array(12), keyIndex: 0 }),
      decrypt: ({ payload }: { payload: Uint8Array }) => flip(payload),
    }
    const joining = { encryption: { provider } }
    await withPair(
      async (pair) => {
        const { local, remote } = await publish(pair)
        const stream = await subscribe(remote)
        local.tryPush(bytes(5))
        expect((await take(stream, 1))[0].payload).toEqual(bytes(5))
      },
      {},
      { alice: joining, bob: joining },
    )
  },
  'e2ee-downgrade': async () => {
    const manager = new LocalDataTrackManager({ encryption: { keyProvider: new ExternalE2EEKeyProvider() } })
    manager.on('sfuPublishRequest', ({ value: { pubHandle, name } }) => {
      manager.handlePublishResponse({ sid: 'DTR_1', pubHandle, name, usesE2ee: false })
    })
    expect(await rejection(manager.publishDataTrack({ name: 'track' }))).toMatchObject({
      reason: 'encryptionMismatch',
    })
    manager.close()
  },
  'e2ee-plain-tracks': () =>
    withPair(
      async (pair) => {
        const { local, remote } = await publish(pair)
        expect((await rejection(remote.subscribe().read())).reason).toBe('unencrypted')
        const stream = await subscribe(remote, { allowUnencrypted: true })
        local.tryPush(bytes(5))
        expect((await take(stream, 1))[0].payload).toEqual(bytes(5))
      },
      {},
      { bob: { encryption: { keyProvider: new ExternalE2EEKeyProvider() } } },
    ),
  'e2ee-no-key': async () => {
    const { manager, track } = await publisher({ encryption: { keyProvider: new ExternalE2EEKeyProvider() } })
    expect(thrown(() => track.tryPush(bytes(1)))).toMatchObject({ reason: 'noKey' })
    manager.close()
  },
  'e2ee-sealed-without-keys': () =>
    withPair(
      async (pair) => {
        const { remote } = await publish(pair)
        expect((await rejection(remote.subscribe().read())).reason).toBe('noDecryption')
      },
      {},
      { alice: { encryption: { keyProvider: new ExternalE2EEKeyProvider() } } },
    ),
  'e2ee-error-event': async () => {
    const [alices, bobs] = [new ExternalE2EEKeyProvider(), new ExternalE2EEKeyProvider()]
    await withPair(
      async (pair) => {
        await Promise.all([alices.setKey('one passphrase'), bobs.setKey('another passphrase')])
        const told: unknown[][] = []
        pair.bob.on(RoomEvent.EncryptionError, (...args) => told.push(args))
        const { local, remote } = await publish(pair)
        await subscribe(remote)
        local.tryPush(bytes(1))
        await until(() => told.length > 0)
        const [error, participant] = told[0]!
        expect(error).toBeInstanceOf(DataTrackE2eeError)
        expect(error).toMatchObject({
          reason: 'decryptionFailed',
          participantIdentity: 'alice',
          keyIndex: 0,
          count: 1,
        })
        expect(participant).toBe(pair.bob.remoteParticipants.get('alice'))
      },
      {},
      { alice: { encryption: { keyProvider: alices } }, bob: { encryption: { keyProvider: bobs } } },
    )
  },
}

const page = readFileSync('docs/migration.md', 'utf8')
const sections: Record<string, Record<string, () => void | Promise<void>>> = {
  Publishing: publishing,
  Subscribing: subscribing,
  'Rooms and events': rooms,
  'Remote procedure calls': rpc,
  'Errors and logs': errors,
  'End-to-end encryption': encryption,
}

/** The names of the rows under a heading. */
function rowsOf(heading: string): string[] {
  const part = page.split(/^## /m).find((text) => text.startsWith(`${heading}\n`)) ?? ''
  return [...part.matchAll(/^\| `([^`]+)` \|/gm)].map(([, name]) => name!)
}

it('the tested headings are those of the page', () => {
  expect([...page.matchAll(/^## (.*)$/gm)].map(([, heading]) => heading)).toEqual(Object.keys(sections))
})

describe.each(Object.entries(sections))('%s', (heading, tests) => {
  it('has a test for each row, and a row for each test', () => {
    expect(rowsOf(heading)).toEqual(Object.keys(tests))
    const cells = page.split('\n').filter((line) => line.startsWith('| `'))
    for (const line of cells) expect(line.split(' | '), line).toHaveLength(4)
  })

  it.each(Object.entries(tests))('%s', async (_name, test) => test())
})

it('the page describes the values in livekit-client’s source', async () => {
  const theirs = await livekitClient()
  const { extensions } = theirs.DataTrackFrameInternal.from({ payload: bytes(1), userTimestamp: 0n })
  expect(extensions.userTimestamp).toBeUndefined()
  const source = (file: string) => readFileSync(`node_modules/livekit-client/src/${file}`, 'utf8')
  expect(source('room/data-track/outgoing/OutgoingDataTrackManager.ts')).toContain('async tryProcessAndSend(')
  expect(source('room/data-track/incoming/IncomingDataTrackManager.ts')).toContain(
    'READABLE_STREAM_DEFAULT_BUFFER_SIZE = 16',
  )
  expect(source('room/data-track/outgoing/errors.ts')).toMatch(/TrackUnpublished = 0/)
  expect(source('room/Room.ts')).toContain("SignalReconnecting = 'signalReconnecting'")
  const caller = source('room/rpc/client/RpcClientManager.ts')
  expect(caller).toContain('Math.max(responseTimeoutMs, minEffectiveTimeoutMs)')
  expect(caller).toMatch(/handleIncomingRpcResponseSuccess\(requestId: string, payload: string\)/)
  expect(source('room/rpc/server/RpcServerManager.ts')).toContain('`Uncaught error: ${')
  expect(source('utils/deferrable-map.ts')).toContain('class DeferrableMapAbortError')
})

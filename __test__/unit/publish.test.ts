import { getEventListeners } from 'node:events'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { describe, expect, it } from 'vitest'
import {
  DataTrackPublishError,
  DataTrackPushFrameError,
  DataTrackUnpublishedError,
  Loopback,
  Room,
  RoomEvent,
} from '../../index'
import { publish, rejection, subscribe, take, thrown, turn, until, withPair } from '../helpers/rooms'

const payload = new Uint8Array([1, 2, 3])

describe('publishing', () => {
  it('returns a track with the info that the SFU sent', async () => {
    await withPair(async (pair) => {
      const { local, remote } = await publish(pair, {
        name: 'imu',
        frameEncoding: 'protobuf',
        schema: { name: 'acme.Imu', encoding: 'protobuf' },
      })
      expect(local.info).toMatchObject({
        name: 'imu',
        pubHandle: 1,
        usesE2ee: false,
        frameEncoding: 'protobuf',
        schema: { name: 'acme.Imu', encoding: 'protobuf' },
      })
      expect(local.info.sid).toMatch(/^DTR_[A-Za-z0-9]{12}$/)
      expect(remote.info).toEqual(local.info)
      expect(remote.publisherIdentity).toBe('alice')
      expect(local.isPublished() && remote.isPublished()).toBe(true)
    })
  })

  it('fails with the reason for each refusal of the SFU', async () => {
    await withPair(async ({ sfu, alice }) => {
      const reasons = {
        notAllowed: 'notAllowed',
        duplicateName: 'duplicateName',
        invalidName: 'invalidName',
        limitReached: 'limitReached',
        unclassified: 'internal',
      } as const
      for (const [rejected, reason] of Object.entries(reasons)) {
        sfu.rejectNextPublish(rejected as keyof typeof reasons, 'because')
        const error = await rejection(alice.localParticipant.publishDataTrack({ name: rejected }))
        expect(error).toBeInstanceOf(DataTrackPublishError)
        expect(error.code).toBe('ERR_DATATRACK_PUBLISH')
        expect(error.reason, rejected).toBe(reason)
      }
    })
  })

  it('refuses names and schemas that LiveKit does not allow', async () => {
    await withPair(async ({ alice, sfu }) => {
      const attempt = async (options: any) =>
        (await rejection(alice.localParticipant.publishDataTrack(options))).reason
      expect(await attempt({ name: '' })).toBe('invalidName')
      expect(await attempt({ name: 'é'.repeat(129) })).toBe('invalidName')
      expect(await attempt({ name: 'a', frameEncoding: 'protobuf' })).toBe('invalidSchema')
      await alice.localParticipant.publishDataTrack({ name: 'taken' })
      expect(await attempt({ name: 'taken' })).toBe('duplicateName')
      const mallory = sfu.join('mallory', { permissions: { canPublishData: false } })
      expect((await rejection(mallory.localParticipant.publishDataTrack({ name: 'a' }))).reason).toBe(
        'notAllowed',
      )
    })
  })

  it('rejects invalid options', async () => {
    await withPair(async ({ alice }) => {
      const wrong: [any, string][] = [
        [undefined, 'options'],
        [{}, 'options.name'],
        [{ name: 'a', maxQueueBytes: 0 }, 'options.maxQueueBytes'],
        [{ name: 'a', maxQueueAge: '1' }, 'options.maxQueueAge'],
        [{ name: 'a', whenFull: 'wait' }, 'options.whenFull'],
        [{ name: 'a', maxPacketsPerFrame: 32_768 }, 'options.maxPacketsPerFrame'],
        [{ name: 'a', codec: { encode() {} } }, 'options.codec.decode'],
        [{ name: 'a', signal: true }, 'options.signal'],
      ]
      for (const [options, name] of wrong) {
        const error = await rejection(alice.localParticipant.publishDataTrack(options))
        expect(error.message).toContain(`"${name}"`)
        expect(error instanceof TypeError || error instanceof RangeError).toBe(true)
      }
    })
  })

  it('is given up when its signal aborts: it rejects with the signal’s reason, and leaves nothing behind', async () => {
    await withPair(async ({ alice, bob }) => {
      const controller = new AbortController()
      const reason = new Error('changed my mind')
      const seen: string[] = []
      bob.on(RoomEvent.DataTrackPublished, (track) => seen.push(`+${track.name}`))
      bob.on(RoomEvent.DataTrackUnpublished, (_sid, track) => seen.push(`-${track.name}`))
      const publishing = alice.localParticipant.publishDataTrack({ name: 'a', signal: controller.signal })
      expect(getEventListeners(controller.signal, 'abort')).toHaveLength(1)
      controller.abort(reason)
      expect(await rejection(publishing)).toBe(reason)
      expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0)
      // The SFU's late answer is met with an unpublish request.
      await until(() => seen.length === 2)
      expect(seen).toEqual(['+a', '-a'])
      const late = alice.localParticipant.publishDataTrack({ name: 'b', signal: controller.signal })
      expect(await rejection(late)).toBe(reason)
    })
  })

  it('rejects if the room is not connected', async () => {
    const { localParticipant } = new Room()
    expect((await rejection(localParticipant.publishDataTrack({ name: 'a' }))).reason).toBe('disconnected')
    const sfu = new Loopback()
    const alice = sfu.join('alice')
    const publishing = rejection(alice.localParticipant.publishDataTrack({ name: 'a' }))
    sfu.close()
    expect((await publishing).reason).toBe('disconnected')
  })
})

describe('the end of a publication', () => {
  it('by unpublish(): pushes are refused, the signal aborts, and subscribers get an event', async () => {
    await withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      const gone: string[] = []
      pair.alice.on(RoomEvent.LocalDataTrackUnpublished, (sid) => gone.push(sid))
      pair.bob.on(RoomEvent.DataTrackUnpublished, (sid) => gone.push(sid))
      const { signal } = local
      await local.unpublish()
      await local.unpublish()
      expect(local.isPublished()).toBe(false)
      expect(signal.aborted).toBe(true)
      expect(signal.reason).toBeInstanceOf(DataTrackUnpublishedError)
      expect(signal.reason.reason).toBe('local')
      const frame = { payload }
      const error = thrown(() => local.tryPush(frame))
      expect(error).toBeInstanceOf(DataTrackPushFrameError)
      expect(error.reason).toBe('trackUnpublished')
      expect(error.frame).toBe(frame)
      expect((await rejection(local.push(frame))).reason).toBe('trackUnpublished')
      await local.flush()
      expect(local.bufferedAmount).toBe(0)
      await until(() => gone.length === 2)
      expect(gone).toEqual([local.info.sid, local.info.sid])
      expect(remote.isPublished()).toBe(false)
      expect(pair.bob.remoteParticipants.get('alice')!.dataTracks.size).toBe(0)
    })
  })

  it('by the SFU', async () => {
    await withPair(async (pair) => {
      const { local } = await publish(pair)
      expect(pair.sfu.unpublish(local.info.sid)).toBe(true)
      expect(pair.sfu.unpublish(local.info.sid)).toBe(false)
      await until(() => local.signal.aborted)
      expect(local.signal.reason.reason).toBe('sfu')
      // The name is free again.
      const again = await pair.alice.localParticipant.publishDataTrack({ name: 'track' })
      expect(again.info.pubHandle).toBe(2)
    })
  })

  it('by the end of its room', async () => {
    await withPair(async (pair) => {
      const { local } = await publish(pair)
      await pair.alice.disconnect()
      expect(local.signal.reason.reason).toBe('disconnected')
      expect(['disconnected', 'trackUnpublished']).toContain(thrown(() => local.tryPush({ payload })).reason)
    })
  })

  it('by the end of its scope, however the scope is left', async () => {
    await withPair(async ({ alice, sfu }) => {
      const { localParticipant } = alice
      let track: any
      const result = await localParticipant.withDataTrack({ name: 'a' }, (scoped, signal) => {
        track = scoped
        expect(signal.aborted).toBe(false)
        scoped.tryPush({ payload })
        return 'result'
      })
      expect(result).toBe('result')
      expect(track.isPublished()).toBe(false)
      expect(track.stats()).toMatchObject({ pushed: 1, sent: 1 })

      const mine = new Error('mine')
      const failing = localParticipant.withDataTrack({ name: 'a' }, (scoped) => {
        track = scoped
        throw mine
      })
      expect(await rejection(failing)).toBe(mine)
      expect(track.isPublished()).toBe(false)

      const reason: any = await localParticipant.withDataTrack({ name: 'a' }, async (scoped, signal) => {
        sfu.unpublish(scoped.info.sid)
        await until(() => signal.aborted)
        return signal.reason
      })
      expect(reason.reason).toBe('sfu')

      const controller = new AbortController()
      await localParticipant.withDataTrack(
        { name: 'a', signal: controller.signal },
        async (_scoped, signal) => {
          expect(getEventListeners(controller.signal, 'abort')).toHaveLength(1)
          controller.abort('stop')
          expect(signal.reason).toBe('stop')
        },
      )
      expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0)
    })
  })
})

describe('pushing', () => {
  it('refuses frames that no receiver could assemble', async () => {
    await withPair(async (pair) => {
      const { local } = await publish(pair)
      expect(local.maxFrameLength).toBeGreaterThan(2_000_000)
      const error = thrown(() => local.tryPush(new Uint8Array(3_000_000)))
      expect(error.reason).toBe('frameTooLarge')
      expect(local.stats()).toMatchObject({ pushed: 0, refused: 1 })
    })
  })

  it('waits while the connection is rebuilt, and a signal ends the wait', async () => {
    await withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      const stream = await subscribe(remote)
      const reconnecting = pair.sfu.reconnect('alice', 'resume')
      expect(thrown(() => local.tryPush({ payload })).reason).toBe('reconnecting')
      const controller = new AbortController()
      const given = rejection(local.push({ payload }, { signal: controller.signal }))
      const pushing = local.push({ payload: new Uint8Array([9]) })
      await Promise.resolve()
      expect(getEventListeners(controller.signal, 'abort')).toHaveLength(1)
      controller.abort('stop')
      expect(await given).toBe('stop')
      await reconnecting
      await pushing
      expect((await take(stream, 1))[0].payload).toEqual(new Uint8Array([9]))
      expect(local.stats().pushed).toBe(1)
    })
  })

  it('works through web streams and Node streams', async () => {
    await withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      const stream = await subscribe(remote)
      const chunks = [new Uint8Array([1]), { payload: new Uint8Array([2]), userTimestamp: 7n }]
      await pipeline(Readable.from(chunks), local.toNodeWritable())
      await pipeline(Readable.from(chunks), local.writable() as unknown as NodeJS.WritableStream)
      await ReadableStream.from(chunks).pipeTo(local.writable({ unpublish: true }) as any)
      const frames = await take(stream, 6)
      expect(frames.map((frame) => frame.payload[0])).toEqual([1, 2, 1, 2, 1, 2])
      expect(frames.map((frame) => frame.userTimestamp)).toEqual([
        undefined,
        7n,
        undefined,
        7n,
        undefined,
        7n,
      ])
      expect(local.isPublished()).toBe(false)
      const failing = pipeline(Readable.from(chunks), local.toNodeWritable())
      expect((await rejection(failing)).reason).toBe('trackUnpublished')
      await turn()
    })
  })
})

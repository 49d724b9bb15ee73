import { getEventListeners, once } from 'node:events'
import { describe, expect, it } from 'vitest'
import {
  DataTrackClosedError,
  LocalDataTrackManager,
  MAX_PACKET_LENGTH,
  RemoteDataTrackManager,
  SignalDispatcher,
  debug,
} from '../../index'
import type { DataTrackInfo, DataTrackPublishOptions, LocalDataTrack } from '../../index'
import { rejection, take, thrown, turn, until } from '../helpers/rooms'

const SID = 'DTR_abcdefghijkl'
const HANDLE = 7

/** A publisher and a subscriber with nothing between them but this test. */
class Wire {
  readonly local = new LocalDataTrackManager()
  readonly remote = new RemoteDataTrackManager()
  readonly requests: string[] = []

  constructor() {
    this.local.on('sfuPublishRequest', ({ value }) => this.requests.push(`publish ${value.name}`))
    this.local.on('sfuUnpublishRequest', ({ value }) => this.requests.push(`unpublish ${value.pubHandle}`))
    this.remote.on('sfuUpdateSubscription', ({ value }) => {
      for (const { trackSid, subscribe } of value.updates)
        this.requests.push(`subscribe ${trackSid} ${subscribe}`)
    })
  }

  async publish(options: Partial<DataTrackPublishOptions> = {}): Promise<LocalDataTrack<any>> {
    const request = once(this.local, 'sfuPublishRequest')
    const publishing = this.local.publishDataTrack({ name: 'track', ...options })
    const [{ value }] = await request
    const info: DataTrackInfo = { sid: SID, pubHandle: value.pubHandle, name: value.name, usesE2ee: false }
    this.local.handlePublishResponse(info)
    this.remote.handlePublicationUpdate('alice', [info])
    return await publishing
  }

  /** Packets from one side to the other, with the handle that the subscriber knows. */
  carry(): number {
    let count = 0
    for (const packet of this.local.packets()) {
      expect(packet.byteLength).toBeLessThanOrEqual(MAX_PACKET_LENGTH)
      new DataView(packet.buffer).setUint16(2, HANDLE)
      this.remote.handlePacket(packet)
      count++
    }
    return count
  }

  close(): void {
    this.local.close()
    this.remote.close()
  }
}

async function withWire(use: (wire: Wire) => Promise<void>): Promise<void> {
  const wire = new Wire()
  try {
    await use(wire)
  } finally {
    wire.close()
  }
}

describe('managers', () => {
  it('carry frames if the program passes the packets by hand', async () => {
    await withWire(async (wire) => {
      const track = await wire.publish()
      const [remote] = wire.remote.tracks
      expect(remote!.info).toEqual(track.info)
      const stream = remote!.subscribe()
      wire.remote.handleSubscriberHandles(new Map([[HANDLE, SID]]))
      const available = once(wire.local, 'packetsAvailable')
      track.tryPush({ payload: new Uint8Array(50_000).fill(1), userTimestamp: 3n })
      track.tryPush(new Uint8Array([2]))
      await available
      expect(wire.carry()).toBe(5)
      const [large, small] = await take(stream, 2)
      expect([large.payload.byteLength, large.userTimestamp, small.payload[0]]).toEqual([50_000, 3n, 2])
      expect(wire.remote.packetStats()).toMatchObject({ received: 5, accepted: 5, held: 0 })
      stream.close()
      await track.unpublish()
      expect(wire.requests).toEqual([
        'publish track',
        `subscribe ${SID} true`,
        `subscribe ${SID} false`,
        'unpublish 1',
      ])
    })
  })

  it('announce packets once per turn, however many frames were pushed', async () => {
    await withWire(async (wire) => {
      const track = await wire.publish()
      let announced = 0
      wire.local.on('packetsAvailable', () => announced++)
      for (let index = 0; index < 10; index++) track.tryPush(new Uint8Array(1))
      await turn()
      expect(announced).toBe(1)
      expect(wire.carry()).toBe(10)
      track.tryPush(new Uint8Array(1))
      await turn()
      expect(announced).toBe(2)
    })
  })

  it('accept any bytes as a packet, and count invalid ones', async () => {
    await withWire(async (wire) => {
      for (const packet of [new Uint8Array(0), new Uint8Array(11), new Uint8Array(40).fill(0xff)]) {
        wire.remote.handlePacket(packet)
      }
      const { received, dropped } = wire.remote.packetStats()
      expect({ received, malformed: dropped.malformed }).toEqual({ received: 3, malformed: 3 })
      expect(thrown(() => wire.remote.handlePacket('text' as any))).toBeInstanceOf(TypeError)
      expect(thrown(() => wire.local.pollTransmit(new Uint8Array(10))).message).toContain('>= 16000')
    })
  })

  it('run their own timers: a timeout is reported without a call of the application', async () => {
    await withWire(async (wire) => {
      expect(wire.local.nextTimeout()).toBe(-1)
      const publishing = wire.local.publishDataTrack({ name: 'a' })
      expect(wire.local.nextTimeout()).toBeGreaterThan(9000)
      wire.local.handlePublishRejected(1, 'limitReached', '')
      expect((await rejection(publishing)).reason).toBe('limitReached')
    })
  })

  it('work through a dispatcher, with messages of any copy of the protocol package', async () => {
    await withWire(async (wire) => {
      const dispatcher = new SignalDispatcher({ local: wire.local, remote: wire.remote, identity: 'bob' })
      const publishing = wire.local.publishDataTrack({ name: 'a' })
      const info = { pubHandle: 1, sid: SID, name: 'a', encryption: 0 }
      expect(dispatcher.dispatch({ message: { case: 'publishDataTrackResponse', value: { info } } })).toBe(
        true,
      )
      const track = await publishing
      const participant = { identity: 'alice', sid: 'PA_1', state: 2, dataTracks: [info] }
      expect(
        dispatcher.dispatch({ message: { case: 'update', value: { participants: [participant] } } }),
      ).toBe(false)
      expect(wire.remote.tracks.map(({ name }) => name)).toEqual(['a'])
      expect(wire.local.publishResponsesForSyncState()).toEqual([{ info }])
      const refused = rejection(wire.local.publishDataTrack({ name: 'b' }))
      const request = { case: 'publishDataTrack', value: { pubHandle: 2 } }
      expect(wire.local.handleRequestResponse({ reason: 2, message: 'no', request })).toBe(true)
      expect((await refused).reason).toBe('notAllowed')
      dispatcher.dispatch({ message: { case: 'unpublishDataTrackResponse', value: { info } } })
      expect(track.signal.reason.reason).toBe('sfu')
    })
  })

  it('reject with typed errors after close(), which may be called twice', async () => {
    const { local, remote } = new Wire()
    const publishing = local.publishDataTrack({ name: 'a' })
    for (const manager of [local, remote]) {
      manager.close()
      manager.close()
      expect(manager.nextTimeout()).toBe(-1)
      expect(thrown(() => manager.handleResumed())).toBeInstanceOf(DataTrackClosedError)
    }
    expect((await rejection(publishing)).reason).toBe('disconnected')
    expect(await rejection(local.publishDataTrack({ name: 'a' }))).toBeInstanceOf(DataTrackClosedError)
    expect(thrown(() => remote.handlePacket(new Uint8Array(1))).reason).toBe('closed')
    expect(debug.handles()).toEqual([])
  })
})

describe('a queue of frames that is not sent', () => {
  const frame = (index: number) => new Uint8Array(900).fill(index)

  it('drops its oldest frames or refuses new ones, as the option says', async () => {
    await withWire(async (wire) => {
      const dropping = await wire.publish({ maxQueueBytes: 2000, maxQueueAge: Infinity })
      for (let index = 0; index < 5; index++) dropping.tryPush(frame(index))
      expect(dropping.stats()).toMatchObject({ pushed: 5, queued: 2, dropped: { queueFull: 3 } })
      expect(dropping.bufferedAmount).toBe(dropping.stats().queuedBytes)
      await dropping.unpublish()

      const refusing = await wire.publish({ maxQueueBytes: 2000, maxQueueAge: Infinity, whenFull: 'refuse' })
      refusing.tryPush(frame(0))
      refusing.tryPush(frame(1))
      const third = frame(2)
      const error = thrown(() => refusing.tryPush(third))
      expect([error.reason, error.frame]).toEqual(['queueFull', third])
      expect(refusing.stats()).toMatchObject({ pushed: 2, queued: 2, refused: 1 })
    })
  })

  it('lets push() wait for room in order, with either option', async () => {
    for (const whenFull of ['dropOldest', 'refuse'] as const) {
      await withWire(async (wire) => {
        const track = await wire.publish({ maxQueueBytes: 2000, maxQueueAge: Infinity, whenFull })
        const done: number[] = []
        const pushes = Array.from({ length: 10 }, (_, index) =>
          track.push(frame(index)).then(() => done.push(index)),
        )
        const flushed = track.flush()
        let sent = 0
        while (done.length < 10) {
          await turn()
          expect(track.stats().queued).toBeLessThanOrEqual(2)
          for (const packet of wire.local.packets()) {
            expect(packet[12]).toBe(sent)
            sent++
          }
        }
        await Promise.all(pushes)
        expect(done).toEqual([...Array(10).keys()])
        await turn()
        sent += [...wire.local.packets()].length
        await flushed
        expect([sent, track.stats().sent, track.bufferedAmount]).toEqual([10, 10, 0])
      })
    }
  })

  it('rejects waiting pushes when their signal aborts and when the track ends', async () => {
    await withWire(async (wire) => {
      const track = await wire.publish({ maxQueueBytes: 1000, maxQueueAge: Infinity })
      track.tryPush(frame(0))
      const controller = new AbortController()
      const { signal } = controller
      const given = [track.push(frame(1), { signal }), track.flush({ signal })].map((promise) =>
        rejection(promise),
      )
      expect(getEventListeners(signal, 'abort')).toHaveLength(1)
      const waiting = rejection(track.push(frame(2)))
      const flushing = track.flush()
      controller.abort('stop')
      expect(await Promise.all(given)).toEqual(['stop', 'stop'])
      expect(getEventListeners(signal, 'abort')).toHaveLength(0)
      await track.unpublish()
      expect((await waiting).reason).toBe('trackUnpublished')
      await flushing
      expect(track.stats()).toMatchObject({ pushed: 1, queued: 0, dropped: { unpublished: 1 } })
    })
  })

  it('keeps its frames while the connection is lost, and refuses new ones', async () => {
    await withWire(async (wire) => {
      const track = await wire.publish()
      wire.local.handleConnectionLost()
      expect(thrown(() => track.tryPush(frame(0))).reason).toBe('reconnecting')
      const pushing = track.push(frame(1))
      wire.local.handleResumed()
      await pushing
      expect([...wire.local.packets()]).toHaveLength(1)
      wire.local.handleRebuilt()
      expect(wire.requests).toEqual(['publish track', 'publish track'])
      wire.local.handlePublishResponse({ ...track.info, sid: 'DTR_another' })
      await until(() => track.info.sid === 'DTR_another')
      track.tryPush(frame(2))
    })
  })
})

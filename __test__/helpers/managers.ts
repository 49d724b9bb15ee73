/** Our managers as the two ends of a connection that the test plays. */
import { LocalDataTrackManager, RemoteDataTrackManager } from '../../index'
import type {
  DataTrackFrame,
  DataTrackManagerOptions,
  DataTrackPublishOptions,
  DataTrackStream,
  DataTrackSubscribeOptions,
  LocalDataTrack,
  PushableFrame,
  RemoteDataTrack,
} from '../../index'

export interface Publisher {
  readonly manager: LocalDataTrackManager
  readonly track: LocalDataTrack
  /** The packets that are to be sent now. */
  readonly packets: () => Uint8Array[]
}

/** A published track of the handle 1. */
export async function publisher(
  options: DataTrackManagerOptions = {},
  publishing: Partial<DataTrackPublishOptions<PushableFrame>> = {},
): Promise<Publisher> {
  const manager = new LocalDataTrackManager(options)
  await manager.ready
  manager.on('sfuPublishRequest', ({ value }) => {
    const { pubHandle, name } = value
    manager.handlePublishResponse({
      sid: 'DTR_1',
      pubHandle,
      name,
      usesE2ee: options.encryption !== undefined,
    })
  })
  const track = await manager.publishDataTrack({
    name: 'track',
    maxQueueBytes: 64 * 1024 * 1024,
    maxQueueAge: Infinity,
    ...publishing,
  })
  return { manager, track, packets: () => [...manager.packets()] }
}

export interface Subscriber {
  readonly manager: RemoteDataTrackManager
  readonly track: RemoteDataTrack
  readonly stream: DataTrackStream
  /** Hands in packets and returns the frames that came out. */
  readonly frames: (packets: Iterable<Uint8Array>) => Promise<DataTrackFrame[]>
}

/** A stream of alice's track, whose packets come with the handle 1. */
export async function subscriber(
  options: DataTrackManagerOptions = {},
  subscribing: DataTrackSubscribeOptions = {},
): Promise<Subscriber> {
  const manager = new RemoteDataTrackManager(options)
  await manager.ready
  const usesE2ee = options.encryption !== undefined
  manager.handlePublicationUpdate('alice', [{ sid: 'DTR_1', pubHandle: 1, name: 'track', usesE2ee }])
  const [track] = manager.tracks as [RemoteDataTrack]
  const stream = track.subscribe({ maxBufferBytes: 64 * 1024 * 1024, maxBufferAge: Infinity, ...subscribing })
  manager.handleSubscriberHandles(new Map([[1, 'DTR_1']]))
  return {
    manager,
    track,
    stream,
    frames: async (packets) => {
      const frames: DataTrackFrame[] = []
      const drain = async () => {
        while (stream.stats().buffered > 0) frames.push((await stream.read())!)
      }
      for (const packet of packets) {
        manager.handlePacket(packet)
        await drain()
      }
      return frames
    },
  }
}

/** Our managers of data tracks, one on each end. The test carries the packets between them. */
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
  /** Takes the packets that the manager has to send. */
  readonly packets: () => Uint8Array[]
}

/** Publishes a track, which gets the handle 1. */
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
  /** Hands packets to the manager, and returns the frames that the stream yields. */
  readonly frames: (packets: Iterable<Uint8Array>) => Promise<DataTrackFrame[]>
}

/** Subscribes to a track of alice. Its packets have the handle 1. */
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

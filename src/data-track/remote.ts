/** Tracks that remote participants publish. */
import * as check from '../base/arguments'
import { checkCodec } from '../base/codec'
import type { DataTrackCodec } from '../base/codec'
import { DataTrackDecodeError, DataTrackSubscribeError } from '../base/errors'
import { mapNativeError } from '../native/native-error'
import { DecodedDataTrackFrame, LatchedDataTrackFrame } from './frame'
import type { DataTrackFrame } from './frame'
import type { ForwardedStreams } from './demand'
import type { DataTrackInfo } from './info'
import type { LatchedFrame } from './latch'
import { frameStats } from './stats'
import type { DataTrackFrameStats } from './stats'
import { DataTrackStream } from './stream'
import { StreamCore } from './stream-core'
import type { StreamCoreOptions, StreamSession } from './stream-core'
import { checkPipelineOptions, checkSubscribeOptions } from './subscribe-options'
import type {
  CheckedSubscribeOptions,
  DataTrackSubscribeOptions,
  DecodingSubscribeOptions,
  RemoteDataTrackPipelineOptions,
} from './subscribe-options'

/** @internal What a remote track needs from its session. */
export interface RemoteSession extends StreamSession {
  /** Whether a custom provider decrypts frames in JavaScript. */
  readonly opensFrames: boolean
  control<T>(call: () => T): T
  /** The last frame that the publisher keeps; `undefined` if it does not say. */
  fetchLatest(
    identity: string,
    handle: number,
    signal: AbortSignal | undefined,
  ): Promise<LatchedFrame | undefined>
}

/** What the publisher and the SFU last said about a track. The session updates it. */
export interface RemoteTrackState {
  readonly track: number
  readonly publisherIdentity: string
  info: DataTrackInfo
  published: boolean
  /** Whether the publisher lets this participant subscribe, as far as the SFU has said. */
  permitted: boolean
  /** Its streams to which the SFU forwards. */
  readonly forwarded: ForwardedStreams
}

/** Options of {@link RemoteDataTrack.latest}. */
export interface LatestOptions {
  /** Stops waiting. The promise then rejects with the signal's `reason`. */
  readonly signal?: AbortSignal | undefined
}

/** Options of {@link RemoteDataTrack.latest} with a codec. */
export interface DecodingLatestOptions<T> extends LatestOptions {
  /** Decodes the frame: `frame.value` is the decoded payload. */
  readonly codec: DataTrackCodec<T>
}

/** Whether the local participant may subscribe to a track. The names are livekit-client's. */
export type TrackPermissionStatus = 'allowed' | 'not_allowed'

/**
 * A data track of a remote participant. The object stays the same if the publisher's connection is rebuilt and the
 * track has a new SID.
 */
export class RemoteDataTrack {
  readonly isLocal = false
  readonly #session: RemoteSession
  readonly #state: RemoteTrackState
  #finalStats: DataTrackFrameStats | undefined

  /** @internal */
  constructor(session: RemoteSession, state: RemoteTrackState) {
    this.#session = session
    this.#state = state
  }

  /** The SFU's description of the track. */
  get info(): DataTrackInfo {
    return this.#state.info
  }

  /** The name that the publisher chose. */
  get name(): string {
    return this.#state.info.name
  }

  /** The identity of the publisher. */
  get publisherIdentity(): string {
    return this.#state.publisherIdentity
  }

  /**
   * Whether the publisher lets the local participant subscribe. It is `allowed` until the server says otherwise. The
   * server reports it only after the local participant has requested a subscription.
   */
  get permissionStatus(): TrackPermissionStatus {
    return this.#state.permitted ? 'allowed' : 'not_allowed'
  }

  /** Whether the track is published. */
  isPublished(): boolean {
    return this.#state.published
  }

  /**
   * Subscribes to the track and returns a stream of the frames from now on.
   *
   * It does not wait for the SFU and throws only for wrong arguments. Later errors are thrown by reading the stream.
   * Each call returns a stream with its own buffer. All streams of a track share one subscription at the SFU, which
   * ends with the last of them.
   *
   * With `latest: true`, the stream begins with the last frame that the publisher of a latched track has pushed, marked
   * by `frame.latched`. The stream fetches it as {@link latest} does, when the SFU forwards the track. Live frames wait
   * for it; those that are not newer are dropped (`superseded`). After an interruption of the connection, the stream
   * fetches it again, and delivers it if the stream lacks it. If there is no such frame, only live frames come.
   *
   * @throws `TypeError` or `RangeError` that names the option
   */
  subscribe(options?: DataTrackSubscribeOptions): DataTrackStream
  subscribe<T>(options: DecodingSubscribeOptions<T>): DataTrackStream<DecodedDataTrackFrame<T>>
  subscribe(
    given?: DataTrackSubscribeOptions | DecodingSubscribeOptions<never>,
  ): DataTrackStream | DataTrackStream<DecodedDataTrackFrame<unknown>> {
    const options = checkSubscribeOptions(given)
    const core =
      options.signal?.aborted === true ? this.#failed(options, options.signal.reason) : this.#open(options)
    return new DataTrackStream<DataTrackFrame>(core)
  }

  /**
   * Fetches the last frame that the publisher has pushed, if the track is published with `latch: true`. It does not
   * need a subscription. Frames that the publisher pushes meanwhile may be newer.
   *
   *     const state = (await track.latest({ codec: json() }))?.value
   *
   * The promise resolves to `undefined` if there is no such frame: the track is not latched, has ended, or no frame was
   * pushed. It also resolves to `undefined` if the local participant may not subscribe to the track, if it may not
   * publish data, or if the publisher's SDK does not know this request.
   *
   * @throws `RpcError` if the publisher does not answer in time or leaves; `DataTrackDecodeError` if the codec fails;
   * the signal's `reason`; `TypeError` that names the option
   */
  latest(options?: LatestOptions): Promise<DataTrackFrame | undefined>
  latest<T>(options: DecodingLatestOptions<T>): Promise<DecodedDataTrackFrame<T> | undefined>
  async latest(
    given?: LatestOptions | DecodingLatestOptions<never>,
  ): Promise<DataTrackFrame | DecodedDataTrackFrame<unknown> | undefined> {
    const options: Partial<DecodingLatestOptions<never>> = check.options('options', given)
    const codec = checkCodec('options.codec', options.codec)
    const signal = check.signal('options.signal', options.signal)
    signal?.throwIfAborted()
    if (!this.#state.published) return undefined
    const kept = await this.#session.fetchLatest(this.publisherIdentity, this.info.pubHandle, signal)
    if (kept === undefined) return undefined
    const frame = new LatchedDataTrackFrame(kept.payload, kept.userTimestamp, kept.number, kept.timestamp, 0)
    if (codec === null) return frame
    try {
      return new DecodedDataTrackFrame(frame, codec.decode(frame.payload))
    } catch (cause) {
      throw new DataTrackDecodeError('decodeFailed', frame, { cause })
    }
  }

  /** Configures how frames are reassembled, for all streams of this track including the open ones. */
  setPipelineOptions(options: RemoteDataTrackPipelineOptions): void {
    const native = checkPipelineOptions(options)
    if (!this.#state.published) return
    this.#session.control(() => this.#session.native.setPipelineOptions(this.#state.track, native))
  }

  /** The track's counters. After the track has ended they keep their final values. */
  stats(): DataTrackFrameStats {
    return this.#finalStats ?? frameStats(this.#session.native.trackStats(this.#state.track))
  }

  /** @internal The session stores the final counters here, because the native side forgets them with the track. */
  keepStats(stats: DataTrackFrameStats): void {
    this.#finalStats = stats
  }

  #open(options: CheckedSubscribeOptions): StreamCore {
    if (!this.#state.published) return this.#failed(options, new DataTrackSubscribeError('unpublished'))
    let stream: number
    try {
      stream = this.#session.native.subscribe(this.#state.track, options.native)
    } catch (error) {
      return this.#failed(options, mapNativeError(error))
    }
    const core = new StreamCore(this.#session, stream, this.#coreOptions(options))
    // The core must exist before the events that the call caused are handed out.
    this.#session.environment.pump()
    return core
  }

  #failed(options: CheckedSubscribeOptions, error: unknown): StreamCore {
    const core = new StreamCore(this.#session, -1, this.#coreOptions(options))
    core.fail(error)
    return core
  }

  #coreOptions(options: CheckedSubscribeOptions): StreamCoreOptions {
    return {
      exact: options.native.bufferSize !== null,
      ownedPayloads: options.ownedPayloads,
      codec: options.codec,
      skipUndecodable: options.skipUndecodable,
      sealed: this.#session.opensFrames,
      signal: options.signal,
      publisherIdentity: this.publisherIdentity,
      trackName: this.name,
      forwarded: this.#state.forwarded,
      fetchLatest: (signal) => this.#session.fetchLatest(this.publisherIdentity, this.info.pubHandle, signal),
    }
  }
}

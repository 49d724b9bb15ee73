/** An audio track of a remote participant, to which the room is subscribed. */
import type { NativeAudioStream } from '../native/native'
import type { FrameProcessorCredentials, ProcessorContext } from './frame-processor'
import type { InboundRtpStats } from './rtc-stats'

/** Opens a native stream of the track. */
export type OpenAudioStream = (
  sampleRate: number,
  channels: number,
  frameSamples: number,
) => NativeAudioStream | undefined

/** What reads the track. It ends with the track. */
export interface TrackReader {
  end(): void
  /** The room has another token. */
  credentialsChanged(credentials: FrameProcessorCredentials): void
  rtcStats(): InboundRtpStats
}

/**
 * An audio track of a remote participant, as long as the room is subscribed to it. A new subscription makes a new
 * object.
 *
 *     for await (const frame of new AudioStream(track)) use(frame.data)
 */
export class RemoteAudioTrack {
  /** The SID that the server gave the track. */
  readonly sid: string
  readonly #open: OpenAudioStream
  /** @internal What processors of its frames learn of it. */
  readonly context: () => ProcessorContext
  readonly #readers = new Set<TrackReader>()
  #ended = false

  /** @internal */
  constructor(sid: string, open: OpenAudioStream, context: () => ProcessorContext) {
    this.sid = sid
    this.context = context
    this.#open = open
  }

  /** Always `audio`. */
  get kind(): 'audio' {
    return 'audio'
  }

  /** Whether the subscription has ended. */
  get isEnded(): boolean {
    return this.#ended
  }

  /** @internal `undefined`: the track has ended. */
  open(reader: TrackReader, ...options: Parameters<OpenAudioStream>): NativeAudioStream | undefined {
    if (this.#ended) return undefined
    const native = this.#open(...options)
    if (native !== undefined) this.#readers.add(reader)
    return native
  }

  /** @internal */
  closed(reader: TrackReader): void {
    this.#readers.delete(reader)
  }

  /** @internal */
  credentialsChanged(credentials: FrameProcessorCredentials): void {
    for (const reader of this.#readers) reader.credentialsChanged(credentials)
  }

  /** @internal One for each open stream. */
  rtcStats(): InboundRtpStats[] {
    return [...this.#readers].map((reader) => reader.rtcStats())
  }

  /** @internal The subscription has ended. The streams end behind what they have. */
  end(): void {
    this.#ended = true
    for (const reader of [...this.#readers]) reader.end()
  }
}

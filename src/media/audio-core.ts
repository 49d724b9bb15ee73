/** What an `AudioStream` reads from: the frames of one native stream, in order, for readers whose calls may overlap. */
import { Deferred } from '../base/abort'
import { environment } from '../native/environment'
import type { EventSink } from '../native/environment'
import type { NativeAudioStats, NativeAudioStream, NativeEvent } from '../native/native'
import { AudioFrame } from './audio-frame'
import type { FrameFilter, FrameProcessorCredentials } from './frame-processor'
import { inboundRtp } from './rtc-stats'
import type { InboundRtpStats } from './rtc-stats'
import type { RemoteAudioTrack } from './remote-audio-track'

/** The form of a stream's frames. */
export interface AudioForm {
  readonly sampleRate: number
  readonly channels: number
  readonly samplesPerChannel: number
}

const nothing: NativeAudioStats = {
  packetsReceived: 0,
  packetsRepaired: 0,
  packetsDecoded: 0,
  packetsLate: 0,
  packetsDuplicate: 0,
  packetsInvalid: 0,
  packetsSurplus: 0,
  packetsDiscarded: 0,
  packetsUndecryptable: 0,
  packetsHeld: 0,
  packetsLost: 0,
  samplesDecoded: 0,
  samplesConcealed: 0,
  samplesSilent: 0,
  framesProduced: 0,
  framesDelivered: 0,
  framesDropped: 0,
  framesQueued: 0,
}

/** See the top of this file. */
export class AudioCore implements EventSink {
  readonly #track: RemoteAudioTrack
  readonly #form: AudioForm
  readonly #filter: FrameFilter | undefined
  readonly #native: NativeAudioStream | undefined
  /** Frames that were taken and not handed out. */
  readonly #frames: AudioFrame[] = []
  readonly #waiting: Deferred<AudioFrame | undefined>[] = []
  #ended = false

  constructor(track: RemoteAudioTrack, form: AudioForm, filter?: FrameFilter) {
    this.#track = track
    this.#form = form
    this.#filter = filter
    this.#native = track.open(this, form.sampleRate, form.channels, form.samplesPerChannel)
    if (this.#native === undefined) this.#ended = true
    else environment().addSession(this.#native.id, this, false)
    if (filter === undefined) return
    filter.begin(track.context())
    if (this.#ended) filter.end()
  }

  /** The next frame; `undefined` when the stream has ended. */
  next(): Promise<AudioFrame | undefined> {
    if (this.#waiting.length === 0) {
      const frame = this.#take()
      if (frame !== undefined || this.#ended) return Promise.resolve(frame)
    }
    const waiting = new Deferred<AudioFrame | undefined>()
    this.#waiting.push(waiting)
    return waiting.promise
  }

  /** The track has ended. What has arrived can still be read. */
  end(): void {
    while (this.#fill());
    this.#finish()
  }

  /** The room has another token. */
  credentialsChanged(credentials: FrameProcessorCredentials): void {
    this.#filter?.credentials(credentials)
  }

  rtcStats(): InboundRtpStats {
    return inboundRtp(this.#track.sid, this.#native?.id ?? 0, this.#form.sampleRate, this.stats())
  }

  /** The reader has had enough. */
  close(): void {
    this.#frames.length = 0
    this.#finish()
  }

  stats(): NativeAudioStats {
    return this.#native?.stats() ?? nothing
  }

  /** @internal */
  handleEvent(event: NativeEvent): void {
    if (event.type !== 'audioFrames') return
    while (this.#waiting.length > 0) {
      const frame = this.#take()
      if (frame === undefined) return
      this.#waiting.shift()?.resolve(frame)
    }
  }

  #take(): AudioFrame | undefined {
    if (this.#frames.length === 0) this.#fill()
    return this.#frames.shift()
  }

  /** Takes what has arrived. If that is nothing, returns `false`, and the event `audioFrames` will come. */
  #fill(): boolean {
    const bytes = this.#ended ? null : (this.#native?.read() ?? null)
    if (bytes === null) return false
    const { sampleRate, channels, samplesPerChannel } = this.#form
    const size = 2 * channels * samplesPerChannel
    for (let at = bytes.byteOffset; at < bytes.byteOffset + bytes.length; at += size) {
      const data = new Int16Array(bytes.buffer.slice(at, at + size))
      const frame = new AudioFrame(data, sampleRate, channels, samplesPerChannel)
      this.#frames.push(this.#filter === undefined ? frame : this.#filter.process(frame))
    }
    return true
  }

  #finish(): void {
    if (this.#ended) return
    this.#ended = true
    this.#track.closed(this)
    if (this.#native !== undefined) {
      environment().removeSession(this.#native.id)
      this.#native.close()
    }
    this.#filter?.end()
    for (const waiting of this.#waiting.splice(0)) waiting.resolve(this.#frames.shift())
  }
}

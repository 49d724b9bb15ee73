/** Filters that audio streams apply to their frames, as noise cancellation. The names are those of `@livekit/rtc-node`. */
import * as check from '../base/arguments'
import { log } from '../base/logging'
import type { AudioFrame } from './audio-frame'

/** What a {@link FrameProcessor} learns of the stream that it filters. */
export interface FrameProcessorStreamInfo {
  /** The room's name. */
  readonly roomName: string
  /** The identity of the participant that publishes the track. */
  readonly participantIdentity: string
  /** The SID of the track. */
  readonly publicationSid: string
}

/** With what the room is connected, for processors that ask a service of the same project. */
export interface FrameProcessorCredentials {
  /** The current token. */
  readonly token: string
  /** The server's URL. */
  readonly url: string
}

/** What marks a {@link FrameProcessor}, also one of another package or of another copy of this one. */
export const FrameProcessorSymbol: unique symbol = Symbol.for('lk.frame-processor') as never

/**
 * A filter for the frames of an audio stream. A program makes a class of it, and gives an object of that class to an
 * `AudioStream` as `noiseCancellation`.
 *
 *     class Quieter extends FrameProcessor<AudioFrame> { … }
 *     new AudioStream(track, { noiseCancellation: new Quieter() })
 */
export abstract class FrameProcessor<Frame = AudioFrame> {
  readonly symbol: typeof FrameProcessorSymbol = FrameProcessorSymbol

  /** Whether frames go through {@link process}. */
  abstract isEnabled(): boolean

  abstract setEnabled(enabled: boolean): void

  /** Called when a stream begins. */
  onStreamInfoUpdated(_info: FrameProcessorStreamInfo): void {}

  /** Called when that stream has ended. */
  onStreamInfoCleared(): void {}

  /** Called when a stream begins, and when the room gets another token. */
  onCredentialsUpdated(_credentials: FrameProcessorCredentials): void {}

  /** Called when that stream has ended. */
  onCredentialsCleared(): void {}

  /** Returns the filtered frame. If it throws, the frame passes as it was. */
  abstract process(frame: Frame): Frame

  /** Called when the stream has ended, unless its option `autoCloseNoiseCancellation` is `false`. */
  abstract close(): void
}

/** Whether that is a {@link FrameProcessor}, of this package or of another one with the same mark. */
export function isFrameProcessor(value: unknown): value is FrameProcessor {
  return check.isObject(value) && value['symbol'] === FrameProcessorSymbol
}

/** @internal What a stream's track tells a processor. */
export interface ProcessorContext {
  readonly streamInfo: FrameProcessorStreamInfo
  /** `undefined`: the room is not connected to a server. */
  readonly credentials: FrameProcessorCredentials | undefined
}

/** Processors of other packages may lack the methods that came later. */
type AnyProcessor = Pick<FrameProcessor, 'isEnabled' | 'process' | 'close'> & Partial<FrameProcessor>

/** @internal A processor on a stream. Its exceptions do not break the stream. */
export class FrameFilter {
  readonly #processor: AnyProcessor
  readonly #closes: boolean
  #failed = false
  #ended = false

  constructor(processor: AnyProcessor, closes: boolean) {
    this.#processor = processor
    this.#closes = closes
  }

  begin({ streamInfo, credentials }: ProcessorContext): void {
    this.#tell(() => this.#processor.onStreamInfoUpdated?.(streamInfo))
    if (credentials !== undefined) this.credentials(credentials)
  }

  credentials(credentials: FrameProcessorCredentials): void {
    this.#tell(() => this.#processor.onCredentialsUpdated?.(credentials))
  }

  process(frame: AudioFrame): AudioFrame {
    let filtered = frame
    this.#tell(() => {
      if (this.#processor.isEnabled()) filtered = this.#processor.process(frame)
    })
    return filtered
  }

  end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#tell(() => this.#processor.onStreamInfoCleared?.())
    this.#tell(() => this.#processor.onCredentialsCleared?.())
    if (this.#closes) this.#tell(() => this.#processor.close())
  }

  /** Logs the first exception of a stream: there may be a hundred a second. */
  #tell(call: () => void): void {
    try {
      call()
    } catch (error) {
      if (this.#failed) return
      this.#failed = true
      log('warn', 'datatrack::audio', `the processor of an audio stream failed: ${String(error)}`)
    }
  }
}

/** What processes the frames of a stream before the program gets them, in the shape of `@livekit/rtc-node`. */
import type { AudioFrame } from '../media/audio-frame'
import type { VideoFrame } from './unsupported'

/** Where a stream's sound comes from. */
export interface FrameProcessorStreamInfo {
  roomName: string
  participantIdentity: string
  publicationSid: string
}

/** What a processor needs to reach LiveKit. */
export interface FrameProcessorCredentials {
  token: string
  url: string
}

/** Marks processors, also those of other copies of the class: rtc-node's has the same symbol. */
const MARK = Symbol.for('lk.frame-processor')

/** Whether a value is a frame processor: of this class, or of rtc-node's. */
export function isFrameProcessor<Processor extends FrameProcessor<AudioFrame> | FrameProcessor<VideoFrame>>(
  value: unknown,
): value is Processor {
  return typeof value === 'object' && value !== null && 'symbol' in value && value.symbol === MARK
}

/** The base class of frame processors. A processor that throws lets the frame pass as it was. */
export abstract class FrameProcessor<Frame extends VideoFrame | AudioFrame> {
  readonly symbol: symbol = MARK

  /** Whether frames are processed. */
  abstract isEnabled(): boolean
  abstract setEnabled(enabled: boolean): void
  /** Returns the processed frame. */
  abstract process(frame: Frame): Frame
  /** Called when a stream that owns the processor ends. */
  abstract close(): void

  /** Called when the processor begins to work for a stream. */
  onStreamInfoUpdated(_info: FrameProcessorStreamInfo): void {
    // A subclass may want to know.
  }

  /** Called when the subscription has ended. */
  onStreamInfoCleared(): void {
    // A subclass may want to know.
  }

  /** Called when the processor begins to work for a stream, and when the room has a new token. */
  onCredentialsUpdated(_credentials: FrameProcessorCredentials): void {
    // A subclass may want to know.
  }

  /** Called when the subscription has ended. */
  onCredentialsCleared(): void {
    // A subclass may want to know.
  }
}

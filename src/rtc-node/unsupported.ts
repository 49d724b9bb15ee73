/** Names of `@livekit/rtc-node` that this package has no counterpart for. They can be imported, and fail on use. */
/* eslint-disable @typescript-eslint/no-extraneous-class -- these classes exist for their names */
import { ReadableStream } from 'node:stream/web'
import { RtcNodeError } from '../base/errors'
import type { VideoBufferType, VideoRotation } from './enums'
import { Track } from './tracks'

/** A picture. The bytes can be read; converting them to another layout is not supported. */
export class VideoFrame {
  data: Uint8Array
  width: number
  height: number
  type: VideoBufferType

  constructor(data: Uint8Array, width: number, height: number, type: VideoBufferType) {
    this.data = data
    this.width = width
    this.height = height
    this.type = type
  }

  /**
   * A copy in the same layout.
   *
   * @throws `RtcNodeError` (`video`) for another layout
   */
  convert(dstType: VideoBufferType, flipY = false): VideoFrame {
    if (dstType !== this.type || flipY) throw new RtcNodeError('video', { detail: 'VideoFrame.convert' })
    return new VideoFrame(this.data.slice(), this.width, this.height, this.type)
  }
}

/** A picture of a {@link VideoStream}. */
export interface VideoFrameEvent {
  frame: VideoFrame
  timestampUs: bigint
  rotation: VideoRotation
}

/** Not supported. */
export class VideoSource {
  /** @throws `RtcNodeError` (`video`) */
  constructor(_width: number, _height: number) {
    throw new RtcNodeError('video', { detail: 'VideoSource' })
  }
}

/** Not supported. */
export class VideoStream extends ReadableStream<VideoFrameEvent> {
  /** @throws `RtcNodeError` (`video`) */
  constructor(_track: Track) {
    super()
    throw new RtcNodeError('video', { detail: 'VideoStream' })
  }
}

/** Not supported. */
export abstract class LocalVideoTrack extends Track {
  /** @throws `RtcNodeError` (`video`) */
  static createVideoTrack(_name: string, _source: VideoSource): LocalVideoTrack {
    throw new RtcNodeError('video', { detail: 'LocalVideoTrack.createVideoTrack' })
  }
}

/** Does not occur: a room lists audio tracks only. */
export abstract class RemoteVideoTrack extends Track {}

/** Not supported: it loads native plugins for libwebrtc. */
export class AudioFilter {
  /** @throws `RtcNodeError` (`audioFilter`) */
  constructor(_moduleId: string, _path: string, _dependencies?: string[]) {
    throw new RtcNodeError('audioFilter', { detail: 'AudioFilter' })
  }
}

/** Not supported: the options of {@link Room.connect} have the key. */
export class KeyProvider {
  /** @throws `RtcNodeError` (`encryption`) */
  constructor() {
    throw new RtcNodeError('encryption', { detail: 'KeyProvider' })
  }
}

/** Not supported: audio is encrypted for as long as the room is. */
export class FrameCryptor {
  /** @throws `RtcNodeError` (`encryption`) */
  constructor() {
    throw new RtcNodeError('encryption', { detail: 'FrameCryptor' })
  }
}

/** The encryption of a room. It is on for as long as the room is connected. */
export class E2EEManager {
  /** Always `true`: a room without encryption has no manager. */
  get enabled(): boolean {
    return true
  }

  /** @throws `RtcNodeError` (`encryption`) if it is to be switched off */
  setEnabled(enabled: boolean): void {
    if (!enabled) throw new RtcNodeError('encryption', { detail: 'E2EEManager.setEnabled(false)' })
  }

  /** Always empty. */
  frameCryptors(): FrameCryptor[] {
    return []
  }
}

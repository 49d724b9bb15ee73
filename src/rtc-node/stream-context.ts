/** What the frame processors of a track's streams are told of the room. */
import type { FrameProcessor } from './frame-processor'
import type { AudioFrame } from '../media/audio-frame'

/** Where a stream's sound comes from. */
export interface StreamInfo {
  readonly roomName: string
  readonly participantIdentity: string
  readonly publicationSid: string
}

/** What a processor needs to reach LiveKit. */
export interface StreamCredentials {
  readonly token: string
  readonly url: string
}

/** See the top of this file. */
export class StreamContext {
  readonly #processors = new Set<FrameProcessor<AudioFrame>>()
  readonly #info: () => StreamInfo
  readonly #credentials: () => StreamCredentials
  #ended = false

  constructor(info: () => StreamInfo, credentials: () => StreamCredentials) {
    this.#info = info
    this.#credentials = credentials
  }

  /** A stream has begun. */
  add(processor: FrameProcessor<AudioFrame>): void {
    this.#processors.add(processor)
    if (this.#ended) return
    processor.onStreamInfoUpdated(this.#info())
    processor.onCredentialsUpdated(this.#credentials())
  }

  /** A stream has ended. */
  remove(processor: FrameProcessor<AudioFrame>): void {
    this.#processors.delete(processor)
  }

  /** The room has a new token. */
  tokenRefreshed(): void {
    for (const processor of this.#processors) processor.onCredentialsUpdated(this.#credentials())
  }

  /** The subscription has ended. */
  end(): void {
    if (this.#ended) return
    this.#ended = true
    for (const processor of this.#processors) {
      processor.onStreamInfoCleared()
      processor.onCredentialsCleared()
    }
  }
}

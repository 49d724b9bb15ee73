/** The stream of a remote audio track. */
import { ReadableStream } from 'node:stream/web'
import type { ReadableStreamDefaultController } from 'node:stream/web'
import * as check from '../base/arguments'
import { AudioCore } from './audio-core'
import type { AudioForm } from './audio-core'
import type { AudioFrame } from './audio-frame'
import type { AudioStreamStats } from './audio-stats'
import { FrameFilter, isFrameProcessor } from './frame-processor'
import type { FrameProcessor } from './frame-processor'
import { RemoteAudioTrack } from './remote-audio-track'

/** Options of an {@link AudioStream}. */
export interface AudioStreamOptions {
  /**
   * Samples a second and channel, 8000 to 48000. The codec itself decodes at 8000, 12000, 16000, 24000 and 48000; other
   * rates are converted from 48000. Default: 48000.
   */
  readonly sampleRate?: number | undefined
  /** 1 or 2. A track of another number of channels is mixed. Default: 1. */
  readonly numChannels?: number | undefined
  /** The length of a frame in ms, 1 to 1000; rounded down to whole samples. Default: 10. */
  readonly frameSizeMs?: number | undefined
  /** Filters the frames, before the program gets them. Default: no filter. */
  readonly noiseCancellation?: FrameProcessor | undefined
  /** Whether the filter is closed when the stream has ended. Default: `true`. */
  readonly autoCloseNoiseCancellation?: boolean | undefined
}

/**
 * The sound of a remote track as frames of 16-bit samples: a web `ReadableStream` that buffers nothing itself.
 *
 *     for await (const frame of new AudioStream(track, { sampleRate: 16_000 })) recognizer.write(frame.data)
 *
 * Frames come at the pace of the sender, from the time at which the stream is made until the track is unsubscribed or
 * unpublished, or the room disconnected. While nothing arrives, because the track is muted, its sender is silent, or
 * the path is lost, they are silence. While the room waits for its next attempt to rebuild the connection, none come.
 * Lost packets are repaired or concealed. At most a second of frames waits for the reader; then the oldest ones are
 * dropped.
 *
 * The stream ends normally with the track. Leaving the loop in any way closes it. A stream that is neither read nor
 * closed goes on to decode until the track ends.
 */
export class AudioStream extends ReadableStream<AudioFrame> {
  readonly #core: AudioCore

  /** @throws `TypeError` or `RangeError` that names the argument */
  constructor(track: RemoteAudioTrack, options?: AudioStreamOptions) {
    const core = new AudioCore(checkTrack(track), formOf(options), filterOf(options))
    super(new Source(core), { highWaterMark: 0 })
    this.#core = core
  }

  /** Ends the stream. Frames that were not read are dropped. Does nothing if it has ended. */
  close(): void {
    this.#core.close()
  }

  /** The stream's counters. After the stream has ended they keep their final values. */
  stats(): AudioStreamStats {
    return this.#core.stats()
  }

  /** The same as {@link close}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    this.close()
    return Promise.resolve()
  }
}

function checkTrack(track: unknown): RemoteAudioTrack {
  if (track instanceof RemoteAudioTrack) return track
  throw check.invalidType('track', 'a RemoteAudioTrack', track)
}

function formOf(given: AudioStreamOptions | undefined): AudioForm {
  const options = check.options('options', given)
  const sampleRate = check.integer('options.sampleRate', options.sampleRate, 48_000, 8000, 48_000)
  const channels = check.integer('options.numChannels', options.numChannels, 1, 1, 2)
  const frameSize = check.integer('options.frameSizeMs', options.frameSizeMs, 10, 1, 1000)
  return { sampleRate, channels, samplesPerChannel: Math.floor((sampleRate * frameSize) / 1000) }
}

function filterOf(given: AudioStreamOptions | undefined): FrameFilter | undefined {
  const { noiseCancellation: processor, autoCloseNoiseCancellation } = check.options('options', given)
  const closes = check.boolean('options.autoCloseNoiseCancellation', autoCloseNoiseCancellation, true)
  if (processor === undefined) return undefined
  if (!isFrameProcessor(processor))
    throw check.invalidType('options.noiseCancellation', 'a FrameProcessor', processor)
  check.methods('options.noiseCancellation', processor, ['isEnabled', 'process', 'close'])
  return new FrameFilter(processor, closes)
}

/** Feeds readers of the web stream. It takes a frame when a reader asks for one. */
class Source {
  readonly #core: AudioCore
  #over = false

  constructor(core: AudioCore) {
    this.#core = core
  }

  async pull(controller: ReadableStreamDefaultController<AudioFrame>): Promise<void> {
    const frame = await this.#core.next()
    if (this.#over) return
    if (frame !== undefined) {
      controller.enqueue(frame)
      return
    }
    this.#over = true
    controller.close()
  }

  cancel(): void {
    this.#over = true
    this.#core.close()
  }
}

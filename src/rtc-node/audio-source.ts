/** Where a published audio track gets its sound from, in the shape of `@livekit/rtc-node`. */
import { AudioSource as OwnAudioSource } from '../media/audio-source'
import type { CapturedFrame } from '../media/audio-frame'

/** See this package's own `AudioSource`. */
export class AudioSource extends OwnAudioSource {
  /**
   * As this package's own `captureFrame`. Samples behind those that `samplesPerChannel` and `channels` count are
   * ignored, as in rtc-node.
   */
  override captureFrame(frame: CapturedFrame): Promise<void> {
    const { data, sampleRate, channels, samplesPerChannel } = frame
    const length = samplesPerChannel * channels
    if (data.length <= length) return super.captureFrame(frame)
    return super.captureFrame({ data: data.subarray(0, length), sampleRate, channels, samplesPerChannel })
  }
}

/** Options of `publishTrack`. */
import * as check from '../base/arguments'

/** Bits a second. Rust: `BITRATES` in `crates/opus/src/encoder.rs`. */
const [MIN_BITRATE, MAX_BITRATE] = [6000, 510_000]
/** Bits a second of a track of one channel, and of two. */
const [MONO_BITRATE, STEREO_BITRATE] = [32_000, 64_000]

/** Where the sound of a published track comes from; the names are those of livekit-client's `Track.Source`. */
export type AudioTrackSource = 'microphone' | 'screen_share_audio' | 'unknown'

/** Options of {@link LocalParticipant.publishTrack}. */
export interface TrackPublishOptions {
  /** Where the sound comes from, as other participants see it. A token may allow some only. Default: `microphone`. */
  readonly source?: AudioTrackSource | undefined
  /** Bits a second, 6000 to 510,000. Default: 32,000 for one channel, 64,000 for two. */
  readonly bitrate?: number | undefined
  /** Whether silence is not transmitted. Default: `true` for one channel, `false` for two. */
  readonly dtx?: boolean | undefined
  /**
   * Whether each packet repeats the one before it (RED, RFC 2198), so that single lost packets are not heard. It doubles
   * what is sent. Tracks that are end-to-end encrypted do not have it: receivers cannot read it. Default: `true` for one
   * channel, `false` for two.
   */
  readonly red?: boolean | undefined
  /** Whether two channels are sent as two. Default: `true` if the track's source has two channels. */
  readonly stereo?: boolean | undefined
  /** The stream that the track belongs to: receivers play the tracks of a stream in step. Default: one of its own. */
  readonly stream?: string | undefined
  /** Cancels the publication; a track that is published then stays published. */
  readonly signal?: AbortSignal | undefined
}

/** @internal Options that were checked. */
export interface CheckedTrackPublishOptions {
  readonly source: AudioTrackSource
  readonly bitrate: number
  readonly dtx: boolean
  readonly red: boolean
  readonly stereo: boolean
  readonly stream: string
  readonly signal: AbortSignal | undefined
}

/** @internal @throws `TypeError` or `RangeError` that names the option */
export function checkTrackPublishOptions(
  channels: number,
  given: TrackPublishOptions | undefined,
): CheckedTrackPublishOptions {
  const options = check.options('options', given)
  const stereo = check.boolean('options.stereo', options.stereo, channels === 2)
  if (stereo && channels !== 2)
    throw check.outOfRange('options.stereo', 'false for a source of one channel', stereo)
  const usual = stereo ? STEREO_BITRATE : MONO_BITRATE
  return {
    source: check.oneOf('options.source', options.source, 'microphone', [
      'microphone',
      'screen_share_audio',
      'unknown',
    ]),
    bitrate: check.integer('options.bitrate', options.bitrate, usual, MIN_BITRATE, MAX_BITRATE),
    dtx: check.boolean('options.dtx', options.dtx, !stereo),
    red: check.boolean('options.red', options.red, !stereo),
    stereo,
    stream: options.stream === undefined ? '' : check.string('options.stream', options.stream),
    signal: check.signal('options.signal', options.signal),
  }
}

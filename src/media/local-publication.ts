/** A published audio track of the local participant. */
import * as check from '../base/arguments'
import { Deferred } from '../base/abort'
import { TrackPublishError } from '../base/errors'
import type { LocalAudioTrack } from './local-audio-track'
import type { AudioSenderStats } from './audio-stats'

/** What the server says of a published track. */
export interface LocalPublicationInfo {
  readonly sid: string
  readonly name: string
  readonly mimeType: string
}

/** @internal What a publication asks of its room. */
export interface LocalPublicationOwner {
  /** The application has muted the track, or ended that. */
  muteChanged(publication: LocalTrackPublication): void
  unpublish(publication: LocalTrackPublication): void
  stats(): AudioSenderStats
}

/**
 * A published audio track of the local participant. It is the same object for as long as the track is published, also
 * if the connection is rebuilt and the track has a new SID.
 */
export class LocalTrackPublication {
  /** The track. */
  readonly track: LocalAudioTrack
  /** Where the sound comes from, as other participants see it: `microphone`, `screen_share_audio` or `unknown`. */
  readonly source: string
  /** Whether the track is end-to-end encrypted. */
  readonly isEncrypted: boolean
  readonly #owner: LocalPublicationOwner
  #info: LocalPublicationInfo
  #published = true
  #subscribed = false
  readonly #waiting = new Set<Deferred<void>>()

  /** @internal */
  constructor(
    track: LocalAudioTrack,
    source: string,
    isEncrypted: boolean,
    info: LocalPublicationInfo,
    owner: LocalPublicationOwner,
  ) {
    this.track = track
    this.source = source
    this.isEncrypted = isEncrypted
    this.#info = info
    this.#owner = owner
  }

  /** The SID that the server gave the track. A rebuilt connection gives it another one. */
  get trackSid(): string {
    return this.#info.sid
  }

  get trackName(): string {
    return this.#info.name
  }

  /** Always `audio`. */
  get kind(): 'audio' {
    return 'audio'
  }

  /** The codec: `audio/opus` or `audio/red`. It is empty until the server has the first packet of the track. */
  get mimeType(): string {
    return this.#info.mimeType
  }

  /** Whether the track is muted. */
  get isMuted(): boolean {
    return this.track.isMuted
  }

  /** Whether the track is published still. */
  get isPublished(): boolean {
    return this.#published
  }

  /** Whether a participant has subscribed to the track since it was published. */
  get wasSubscribed(): boolean {
    return this.#subscribed
  }

  /** Mutes the track; see {@link LocalAudioTrack.mute}. */
  mute(): void {
    this.track.mute()
  }

  /** Unmutes the track. */
  unmute(): void {
    this.track.unmute()
  }

  /**
   * Resolves when a participant has subscribed to the track for the first time; at once if one has.
   *
   * @throws `TrackPublishError` (`unpublished`) if the track is unpublished before, or the room disconnected; the
   * signal's `reason`; `TypeError` that names the option
   */
  async waitForSubscription(options: { readonly signal?: AbortSignal | undefined } = {}): Promise<void> {
    const signal = check.signal('options.signal', check.options('options', options).signal)
    signal?.throwIfAborted()
    if (this.#subscribed) return
    if (!this.#published) throw new TrackPublishError('unpublished')
    const waiting = new Deferred<void>()
    waiting.abortWith(signal, () => this.#waiting.delete(waiting))
    this.#waiting.add(waiting)
    await waiting.promise
  }

  /** The track's counters. After the track was unpublished they keep their final values. */
  stats(): AudioSenderStats {
    return this.#owner.stats()
  }

  /** @internal */
  unpublish(): void {
    this.#owner.unpublish(this)
  }

  /** @internal */
  muteChanged(): void {
    this.#owner.muteChanged(this)
  }

  /** @internal The track has another SID, in the session of a rebuilt connection. */
  republished(info: LocalPublicationInfo): void {
    this.#info = info
  }

  /** @internal The server says more of the track. */
  described(info: LocalPublicationInfo): void {
    this.#info = info
  }

  /** @internal A participant has subscribed. */
  subscribed(): void {
    this.#subscribed = true
    for (const waiting of this.#waiting) waiting.resolve()
    this.#waiting.clear()
  }

  /** @internal The track is published no longer. */
  ended(): void {
    this.#published = false
    for (const waiting of this.#waiting) waiting.reject(new TrackPublishError('unpublished'))
    this.#waiting.clear()
  }
}

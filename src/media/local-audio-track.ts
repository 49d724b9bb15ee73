/** An audio track of the local participant. */
import * as check from '../base/arguments'
import { AudioSource } from './audio-source'

/** @internal What a track needs of its publication. */
export interface TrackPublisher {
  readonly trackSid: string
  /** The application has muted the track, or ended that. */
  muteChanged(): void
  unpublish(): void
}

/** An audio track of the local participant: a name, and where its sound comes from. It can be published once at a time. */
export class LocalAudioTrack {
  /** The name that other participants see. */
  readonly name: string
  /** Where the sound comes from. */
  readonly source: AudioSource
  #publication: TrackPublisher | undefined
  #muted = false

  /** @throws `TypeError` that names the argument */
  static createAudioTrack(name: string, source: AudioSource): LocalAudioTrack {
    if (!(source instanceof AudioSource)) throw check.invalidType('source', 'an AudioSource', source)
    return new LocalAudioTrack(check.string('name', name), source)
  }

  private constructor(name: string, source: AudioSource) {
    this.name = name
    this.source = source
  }

  /** Always `audio`. */
  get kind(): 'audio' {
    return 'audio'
  }

  /** The SID that the server gave the track; `undefined` while it is not published. */
  get sid(): string | undefined {
    return this.#publication?.trackSid
  }

  /** Whether the track is muted. */
  get isMuted(): boolean {
    return this.#muted
  }

  /** @internal The track's publication. */
  get publication(): TrackPublisher | undefined {
    return this.#publication
  }

  /**
   * Mutes the track: its source goes on, and nothing of it is sent. Other participants learn of it. A track that is not
   * published yet is then published muted.
   */
  mute(): void {
    this.#setMuted(true)
  }

  /** Ends {@link mute}. */
  unmute(): void {
    this.#setMuted(false)
  }

  /**
   * Unpublishes the track.
   *
   * @param closeSource whether its source is closed, too. Default: `true`
   * @throws `TypeError` that names the argument
   */
  async close(closeSource = true): Promise<void> {
    check.requiredBoolean('closeSource', closeSource)
    this.#publication?.unpublish()
    if (closeSource) await this.source.close()
  }

  /** The same as {@link close}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** @internal The track is published, or no longer. */
  setPublication(publication: TrackPublisher | undefined): void {
    this.#publication = publication
  }

  /** @internal The server has muted the track. */
  mutedByServer(muted: boolean): boolean {
    const changed = muted !== this.#muted
    this.#muted = muted
    return changed
  }

  #setMuted(muted: boolean): void {
    if (muted === this.#muted) return
    this.#muted = muted
    this.#publication?.muteChanged()
  }
}

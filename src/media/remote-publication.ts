/** An audio track that a remote participant has published, whether the room is subscribed to it or not. */
import * as check from '../base/arguments'
import type { RemoteAudioTrack } from './remote-audio-track'

/** How a track is end-to-end encrypted: not at all, with AES-GCM as LiveKit's SDKs do it, or in another way. */
export type TrackEncryption = 'none' | 'gcm' | 'custom'

/** What the server says of a published track. */
export interface PublicationInfo {
  readonly sid: string
  readonly name: string
  /** Where the sound comes from; the texts are those of livekit-client's `Track.Source`. */
  readonly source: string
  readonly mimeType: string
  readonly muted: boolean
  readonly encryption: TrackEncryption
}

/** @internal What a publication asks of its room. */
export interface PublicationOwner {
  /** The application wants the track, or does so no longer. */
  desired(publication: RemoteTrackPublication): void
}

/** An audio track that a remote participant has published. The names are livekit-client's. */
export class RemoteTrackPublication {
  readonly #owner: PublicationOwner
  #info: PublicationInfo
  #track: RemoteAudioTrack | undefined
  #desired = false

  /** @internal */
  constructor(info: PublicationInfo, owner: PublicationOwner) {
    this.#info = info
    this.#owner = owner
  }

  /** The SID that the server gave the track. A publisher that reconnects with a new session publishes anew. */
  get trackSid(): string {
    return this.#info.sid
  }

  get trackName(): string {
    return this.#info.name
  }

  /** Always `audio`: the room does not list video tracks. */
  get kind(): 'audio' {
    return 'audio'
  }

  /** Where the sound comes from: `microphone`, `screen_share_audio`, `unknown`, or what the publisher says. */
  get source(): string {
    return this.#info.source
  }

  /** The codec, as `audio/opus` or `audio/red`. The server sends Opus in both cases. */
  get mimeType(): string {
    return this.#info.mimeType
  }

  /** Whether the publisher has muted the track. A muted track sounds as silence. */
  get isMuted(): boolean {
    return this.#info.muted
  }

  /** Whether the track is end-to-end encrypted. Only a room with the built-in encryption hears such a track. */
  get isEncrypted(): boolean {
    return this.#info.encryption !== 'none'
  }

  /** @internal */
  get encryption(): TrackEncryption {
    return this.#info.encryption
  }

  /** Whether the application wants to hear the track: by `autoSubscribe`, or by {@link setSubscribed}. */
  get isDesired(): boolean {
    return this.#desired
  }

  /** Whether the server sends the track. */
  get isSubscribed(): boolean {
    return this.#track !== undefined
  }

  /** The track, while the room is subscribed to it. */
  get track(): RemoteAudioTrack | undefined {
    return this.#track
  }

  /**
   * Subscribes to the track, or ends the subscription. `TrackSubscribed`, `TrackUnsubscribed` or
   * `TrackSubscriptionFailed` follows. If the local participant may not subscribe, the server says nothing until it
   * may. Nothing follows for a track that is published no longer.
   *
   * @throws `TypeError` if `subscribed` is no boolean
   */
  setSubscribed(subscribed: boolean): void {
    if (check.requiredBoolean('subscribed', subscribed) === this.#desired) return
    this.#desired = subscribed
    this.#owner.desired(this)
  }

  /** @internal Returns the description before. */
  update(info: PublicationInfo): PublicationInfo {
    const before = this.#info
    this.#info = info
    return before
  }

  /** @internal */
  setTrack(track: RemoteAudioTrack | undefined): void {
    this.#track = track
  }

  /** @internal The room subscribes by itself. */
  want(): void {
    this.#desired = true
  }

  /** @internal The wish cannot be fulfilled, or has ended with the track. */
  forget(): void {
    this.#desired = false
  }
}

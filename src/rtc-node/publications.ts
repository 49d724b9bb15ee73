/** Publications in the shapes of `@livekit/rtc-node`. */
import { TrackPublishError } from '../base/errors'
import type { LocalTrackPublication as OwnLocal } from '../media/local-publication'
import type { RemoteTrackPublication as OwnRemote } from '../media/remote-publication'
import { encryptionNumber, sourceNumber } from './convert'
import { EncryptionType, TrackKind } from './enums'
import type { TrackSource } from './enums'
import { LocalAudioTrack, RemoteAudioTrack } from './tracks'
import type { Track } from './tracks'

/** A published track. */
export abstract class TrackPublication {
  readonly #own: OwnLocal | OwnRemote

  /** @internal */
  constructor(own: OwnLocal | OwnRemote) {
    this.#own = own
  }

  /** The track; of a remote participant: while the room is subscribed to it. */
  abstract get track(): Track | undefined
  /** How the track is end-to-end encrypted. */
  abstract get encryptionType(): EncryptionType | undefined

  /** The SID that the server gave the track. */
  get sid(): string | undefined {
    return this.#own.trackSid
  }

  get name(): string | undefined {
    return this.#own.trackName
  }

  /** Always audio: a room does not list video tracks. */
  get kind(): TrackKind | undefined {
    return TrackKind.KIND_AUDIO
  }

  get source(): TrackSource | undefined {
    return sourceNumber(this.#own.source)
  }

  /** Always `false`: it concerns video. */
  get simulcasted(): boolean | undefined {
    return false
  }

  /** Always 0. */
  get width(): number | undefined {
    return 0
  }

  /** Always 0. */
  get height(): number | undefined {
    return 0
  }

  get mimeType(): string | undefined {
    return this.#own.mimeType
  }

  get muted(): boolean | undefined {
    return this.#own.isMuted
  }
}

/** A published track of the local participant. It stays the same if the connection is rebuilt. */
export class LocalTrackPublication extends TrackPublication {
  readonly #local: OwnLocal
  readonly #encrypted: boolean
  #track: LocalAudioTrack | undefined

  /** @internal */
  constructor(own: OwnLocal, encrypted: boolean) {
    super(own)
    this.#local = own
    this.#encrypted = encrypted
    this.#track = LocalAudioTrack.of(own.track)
  }

  /** The track; `undefined` after it was unpublished. */
  get track(): LocalAudioTrack | undefined {
    return this.#track
  }

  get encryptionType(): EncryptionType | undefined {
    return this.#encrypted ? EncryptionType.GCM : EncryptionType.NONE
  }

  /**
   * Resolves when a participant has subscribed to the track for the first time. As in rtc-node, it waits for ever if the
   * track is unpublished before, or the room is disconnected.
   */
  async waitForSubscription(): Promise<void> {
    try {
      await this.#local.waitForSubscription()
    } catch (error) {
      if (!(error instanceof TrackPublishError)) throw error
      // Programs for rtc-node, as @livekit/agents, do not expect a rejection, and Node.js ends a process for that.
      await new Promise(() => undefined)
    }
  }

  /** @internal */
  ended(): void {
    this.#track = undefined
  }
}

/** A published track of a remote participant. */
export class RemoteTrackPublication extends TrackPublication {
  readonly #remote: OwnRemote
  #track: { readonly own: OwnRemote['track']; readonly shown: RemoteAudioTrack } | undefined

  /** @internal */
  constructor(own: OwnRemote) {
    super(own)
    this.#remote = own
  }

  /** Whether the server sends the track. */
  get subscribed(): boolean {
    return this.#remote.isSubscribed
  }

  get track(): RemoteAudioTrack | undefined {
    const own = this.#remote.track
    return own && this.trackOf(own)
  }

  get encryptionType(): EncryptionType | undefined {
    return encryptionNumber(this.#remote.encryption)
  }

  /** Subscribes to the track, or ends the subscription. `trackSubscribed` or `trackUnsubscribed` follows. */
  setSubscribed(subscribed: boolean): void {
    this.#remote.setSubscribed(subscribed)
  }

  /** @internal The same object for the same subscription. */
  trackOf(own: NonNullable<OwnRemote['track']>): RemoteAudioTrack {
    if (this.#track?.own !== own) {
      const info = () => ({ name: this.#remote.trackName, muted: this.#remote.isMuted })
      this.#track = { own, shown: new RemoteAudioTrack(own, info) }
    }
    return this.#track.shown
  }
}

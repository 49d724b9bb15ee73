/** Tracks in the shapes of `@livekit/rtc-node`. */
import { LocalAudioTrack as OwnLocalTrack } from '../media/local-audio-track'
import type { RemoteAudioTrack as OwnRemoteTrack } from '../media/remote-audio-track'
import type { AudioSource } from './audio-source'
import { StreamState, TrackKind } from './enums'

/** A track. */
export abstract class Track {
  /** The SID that the server gave the track; `undefined` while it is not published. */
  abstract get sid(): string | undefined
  /** The name that its publisher gave it. */
  abstract get name(): string | undefined
  /** Whether its publisher has muted it. */
  abstract get muted(): boolean | undefined

  /** Always audio. */
  get kind(): TrackKind | undefined {
    return TrackKind.KIND_AUDIO
  }

  /** Always active. */
  get stream_state(): StreamState | undefined {
    return StreamState.STATE_ACTIVE
  }

  /** Does nothing for the tracks of remote participants: they end with their subscription. */
  close(): Promise<void> {
    return Promise.resolve()
  }
}

/** The tracks of this file that this package's own tracks have. */
const locals = new WeakMap<OwnLocalTrack, LocalAudioTrack>()

/** An audio track of the local participant. */
export class LocalAudioTrack extends Track {
  readonly #own: OwnLocalTrack

  private constructor(own: OwnLocalTrack) {
    super()
    this.#own = own
    locals.set(own, this)
  }

  /** @throws `TypeError` that names the argument */
  static createAudioTrack(name: string, source: AudioSource): LocalAudioTrack {
    return new LocalAudioTrack(OwnLocalTrack.createAudioTrack(name, source))
  }

  /** @internal */
  static of(own: OwnLocalTrack): LocalAudioTrack {
    return locals.get(own) ?? new LocalAudioTrack(own)
  }

  /** @internal */
  get own(): OwnLocalTrack {
    return this.#own
  }

  get sid(): string | undefined {
    return this.#own.sid
  }

  get name(): string | undefined {
    return this.#own.name
  }

  get muted(): boolean | undefined {
    return this.#own.isMuted
  }

  /**
   * Closes the source, unless `closeSource` is `false`. A published track stays published, and is silent; see
   * {@link LocalParticipant.unpublishTrack}.
   */
  override async close(closeSource = true): Promise<void> {
    if (closeSource) await this.#own.source.close()
  }
}

/** What a remote track has from its publication. */
export interface RemoteTrackInfo {
  readonly name: string
  readonly muted: boolean
}

/** An audio track of a remote participant, for as long as the room is subscribed to it. */
export class RemoteAudioTrack extends Track {
  readonly #own: OwnRemoteTrack
  readonly #info: () => RemoteTrackInfo

  /** @internal */
  constructor(own: OwnRemoteTrack, info: () => RemoteTrackInfo) {
    super()
    this.#own = own
    this.#info = info
  }

  /** @internal */
  get own(): OwnRemoteTrack {
    return this.#own
  }

  get sid(): string | undefined {
    return this.#own.sid
  }

  get name(): string | undefined {
    return this.#info().name
  }

  get muted(): boolean | undefined {
    return this.#info().muted
  }
}

/** A track of the local participant. */
export type LocalTrack = LocalAudioTrack
/** A track of a remote participant. */
export type RemoteTrack = RemoteAudioTrack
/** An audio track. */
export type AudioTrack = LocalAudioTrack | RemoteAudioTrack

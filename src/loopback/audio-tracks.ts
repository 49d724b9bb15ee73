/**
 * The audio tracks of the loopback's participants: who publishes them, and who hears them. It answers as livekit-server
 * does. The hub carries the packets.
 */
import type { NativeLoopbackHub } from '../native/native'
import { AUDIO_TRACK, RequestResponseReason } from '../signal/messages'
import type {
  AddTrackMessage,
  PublishedTrackMessage,
  SignalResponseLike,
  TrackInfoMessage,
} from '../signal/messages'
import type { ParticipantDescription, Refusal } from './profiles'
import { sid } from './sids'
import type { PublisherPermissions } from './subscription-permissions'

/** The packet side of audio tracks. */
export type AudioRoutes = Pick<NativeLoopbackHub, 'setAudioRoute' | 'removeAudioRoute'>

/** A participant, as far as its audio needs it. */
export interface AudioMember {
  readonly session: number
  readonly description: ParticipantDescription
  /** Who may subscribe to its tracks. */
  readonly permissions: PublisherPermissions
  readonly audio: MemberAudio
  readonly deliver: (response: SignalResponseLike) => void
  /** Tells it which tracks are sent to it now. */
  readonly tracksSent: (sids: ReadonlySet<string>) => void
}

/** The audio of one participant. */
export class MemberAudio {
  /** Its published tracks, by `cid`. */
  readonly published = new Map<string, PublishedAudio>()
  /** The SIDs of the tracks that it wants to hear. */
  readonly wanted = new Set<string>()
  /** Those that are sent to it. */
  readonly sent = new Set<string>()

  get infos(): TrackInfoMessage[] {
    return Array.from(this.published.values(), ({ info }) => ({ ...info }))
  }
}

interface PublishedAudio {
  readonly cid: string
  readonly publisher: AudioMember
  readonly info: TrackInfoMessage & { muted: boolean }
  readonly red: boolean
  subscribers: ReadonlySet<AudioMember>
}

export class AudioTracks {
  readonly #routes: AudioRoutes
  readonly #members: () => Iterable<AudioMember>

  constructor(routes: AudioRoutes, members: () => Iterable<AudioMember>) {
    this.#routes = routes
    this.#members = members
  }

  /** Why a request to publish is refused; `undefined` if it is not. */
  refusal({ description }: AudioMember, { type, source }: AddTrackMessage): Refusal | undefined {
    if (!mayPublish(description, source))
      return {
        reason: RequestResponseReason.NotAllowed,
        message: 'this participant may not publish the track',
      }
    if (type !== AUDIO_TRACK)
      return { reason: RequestResponseReason.UnsupportedType, message: 'the loopback carries no video' }
    return undefined
  }

  publish(publisher: AudioMember, request: AddTrackMessage): void {
    const { cid, name, type, source, muted, disableRed, encryption, stereo, stream } = request
    const info = {
      sid: sid('TR_'),
      ...{ type, name, muted, source, encryption, stereo, stream },
      mimeType: disableRed ? 'audio/opus' : 'audio/red',
    }
    publisher.audio.published.set(cid, { cid, publisher, info, red: !disableRed, subscribers: new Set() })
    this.#routes.setAudioRoute(publisher.session, cid, info.sid, !disableRed, [])
    publisher.deliver({ message: { case: 'trackPublished', value: { cid, track: { ...info } } } })
  }

  /** A participant sends these tracks now. Those that it sends no longer end. Returns whether there were some. */
  setSending({ audio }: AudioMember, cids: readonly string[]): boolean {
    const ended = [...audio.published.values()].filter(({ cid }) => !cids.includes(cid))
    for (const track of ended) this.#remove(track)
    return ended.length > 0
  }

  /** Ends a track, by decision of the SFU. Returns its publisher; `undefined` if there is no such track. */
  unpublish(trackSid: string): AudioMember | undefined {
    const track = this.#find(trackSid)
    if (track === undefined) return undefined
    this.#end(track)
    return track.publisher
  }

  /**
   * Mutes a track or unmutes it, by decision of the SFU. Returns its publisher; `undefined` if there is no such track.
   */
  mute(trackSid: string, muted: boolean): AudioMember | undefined {
    const track = this.#find(trackSid)
    if (track === undefined) return undefined
    track.info.muted = muted
    track.publisher.deliver({ message: { case: 'mute', value: { sid: trackSid, muted } } })
    return track.publisher
  }

  /** A participant says whether its track is muted. Returns whether that is new. */
  muted({ audio }: AudioMember, trackSid: string, muted: boolean): boolean {
    const track = [...audio.published.values()].find(({ info }) => info.sid === trackSid)
    if (track === undefined || track.info.muted === muted) return false
    track.info.muted = muted
    return true
  }

  /** A participant wants to hear these tracks, or wants it no longer. */
  subscribe({ audio: { wanted } }: AudioMember, trackSids: readonly string[], subscribe: boolean): void {
    for (const trackSid of trackSids) {
      const track = this.#find(trackSid)
      if (track === undefined) continue
      if (subscribe) wanted.add(trackSid)
      else wanted.delete(trackSid)
      this.#settle(track)
    }
  }

  /** What a participant may do has changed. */
  permissionsChanged(member: AudioMember): void {
    const { wanted, published } = member.audio
    for (const trackSid of wanted) {
      const track = this.#find(trackSid)
      if (track !== undefined) this.#settle(track)
    }
    const ended = [...published.values()].filter(
      ({ info }) => !mayPublish(member.description, info.source ?? 0),
    )
    for (const track of ended) this.#end(track)
  }

  /** A participant has said who may subscribe to its tracks. */
  subscriptionPermissionsChanged({ audio }: AudioMember): void {
    for (const track of audio.published.values()) this.#settle(track)
  }

  /** Tells a participant what is so: its session was resumed, and messages were lost before. */
  resume({ audio: { sent }, tracksSent }: AudioMember): void {
    tracksSent(new Set(sent))
  }

  /** A participant of a resumed session names the tracks that it publishes. It may not know of the end of some. */
  sync({ audio, deliver }: AudioMember, tracks: readonly PublishedTrackMessage[]): void {
    for (const { cid, track } of tracks) {
      if (audio.published.has(cid)) continue
      const value = { trackSid: (track as { sid?: string }).sid }
      deliver({ message: { case: 'trackUnpublished', value } })
    }
  }

  /** A participant has left, or its session has ended. It is told nothing. */
  leave(member: AudioMember): void {
    const { audio } = member
    for (const track of [...audio.published.values()]) this.#remove(track)
    const heard = [...audio.sent].flatMap((trackSid) => this.#find(trackSid) ?? [])
    audio.wanted.clear()
    audio.sent.clear()
    for (const track of heard) {
      track.subscribers = new Set([...track.subscribers].filter((other) => other !== member))
      this.#route(track)
    }
  }

  /** Ends a track, and tells its publisher. */
  #end(track: PublishedAudio): void {
    this.#remove(track)
    track.publisher.deliver({ message: { case: 'trackUnpublished', value: { trackSid: track.info.sid } } })
  }

  #remove({ cid, publisher, info: { sid: trackSid }, subscribers }: PublishedAudio): void {
    publisher.audio.published.delete(cid)
    this.#routes.removeAudioRoute(publisher.session, cid)
    for (const { audio } of this.#members()) audio.wanted.delete(trackSid)
    for (const member of subscribers) this.#tell(member, trackSid, false)
  }

  /** Sends a track to those that want it and may hear it. */
  #settle(track: PublishedAudio): void {
    const { publisher, info, subscribers: before } = track
    const hears = (member: AudioMember): boolean => {
      const { audio, description } = member
      if (member === publisher || !audio.wanted.has(info.sid) || !description.canSubscribe) return false
      return publisher.permissions.permits(description.identity, info.sid)
    }
    const now = new Set([...this.#members()].filter(hears))
    const added = [...now].filter((member) => !before.has(member))
    const removed = [...before].filter((member) => !now.has(member))
    if (added.length === 0 && removed.length === 0) return
    track.subscribers = now
    this.#route(track)
    for (const member of removed) this.#tell(member, info.sid, false)
    for (const member of added) this.#tell(member, info.sid, true)
    if (before.size > 0) return
    publisher.deliver({ message: { case: 'trackSubscribed', value: { trackSid: info.sid } } })
  }

  #route({ cid, publisher, info, red, subscribers }: PublishedAudio): void {
    const sessions = Array.from(subscribers, ({ session }) => session)
    this.#routes.setAudioRoute(publisher.session, cid, info.sid, red, sessions)
  }

  #tell({ audio: { sent }, tracksSent }: AudioMember, trackSid: string, isSent: boolean): void {
    if (isSent) sent.add(trackSid)
    else sent.delete(trackSid)
    tracksSent(new Set(sent))
  }

  #find(trackSid: string): PublishedAudio | undefined {
    for (const { audio } of this.#members())
      for (const track of audio.published.values()) if (track.info.sid === trackSid) return track
    return undefined
  }
}

function mayPublish({ canPublish, canPublishSources }: ParticipantDescription, source: number): boolean {
  return canPublish && (canPublishSources.length === 0 || canPublishSources.includes(source))
}

/** The audio tracks of a room's remote participants: what is published, wanted, and sent by the server. */
import { isObject } from '../base/arguments'
import type { PacketEncryption } from '../e2ee/session-encryption'
import type { FrameProcessorCredentials } from '../media/frame-processor'
import type { InboundRtpStats } from '../media/rtc-stats'
import { RemoteAudioTrack } from '../media/remote-audio-track'
import type { OpenAudioStream } from '../media/remote-audio-track'
import { RemoteTrackPublication } from '../media/remote-publication'
import type { PublicationInfo, TrackEncryption } from '../media/remote-publication'
import { MAX_AUDIO_SECTIONS } from '../native/native'
import type { RoomSignalRequest, TrackInfoMessage } from '../signal/messages'
import { RoomEvent } from './events'
import type { TellRoomEvent, TrackSubscriptionFailure } from './events'
import { sourceOf } from './participant-info'
import type { RemoteParticipant } from './remote-participant'

/** What the tracks need of their room. */
export interface RemoteAudioOwner {
  readonly tell: TellRoomEvent
  /** What encrypts the room, end to end. */
  readonly encryption: PacketEncryption
  /** Whether the room subscribes to all tracks by itself. */
  autoSubscribe(): boolean
  roomName(): string
  /** With what the room is connected; `undefined` if it is not connected to a server. */
  credentials(): FrameProcessorCredentials | undefined
  /** `sender`: the identity of the publisher of an encrypted track; `null` if the track is not encrypted. */
  readonly open: (sid: string, sender: string | null) => OpenAudioStream
  /** Sets how the frames end that the server itself sends in encrypted tracks. */
  setServerTrailer(trailer: Uint8Array): void
  send(request: RoomSignalRequest): void
  /** After a resume: so many tracks are wanted and not sent. */
  recoverSections(missing: number): void
}

interface Entry {
  readonly publication: RemoteTrackPublication
  readonly participant: RemoteParticipant
}

/** See the top of this file. It lives as long as the room, across connections. */
export class RemoteAudio {
  readonly #owner: RemoteAudioOwner
  readonly #entries = new Map<string, Entry>()
  /** Tracks that the application wants to hear. There is a section for each of them, or there will be. */
  readonly #wanted = new Set<string>()
  /** Tracks that the server sends in the current session. */
  #sent: ReadonlySet<string> = new Set()

  constructor(owner: RemoteAudioOwner) {
    this.#owner = owner
  }

  /** The room has joined: `sifTrailer` is how the frames end that the server itself sends in encrypted tracks. */
  joined(sifTrailer: unknown): void {
    const isTrailer = sifTrailer instanceof Uint8Array && sifTrailer.length <= MAX_TRAILER
    this.#owner.setServerTrailer(isTrailer ? sifTrailer : new Uint8Array())
  }

  /** The server has described a participant; `tracks` are all of its audio tracks. */
  described(participant: RemoteParticipant, tracks: unknown): void {
    const { trackPublications } = participant
    const described = Array.isArray(tracks) ? tracks.filter(isTrack) : []
    if (described.length === 0 && trackPublications.size === 0) return
    const infos = new Map(described.map((track) => [track.sid, infoOf(track)]))
    for (const sid of [...trackPublications.keys()]) if (!infos.has(sid)) this.#unpublished(sid)
    const wanted: string[] = []
    for (const [sid, info] of infos) {
      const entry = this.#entries.get(sid)
      if (entry === undefined) wanted.push(...this.#published(participant, info))
      else if (entry.participant === participant) this.#updated(entry, info)
    }
    this.#request(wanted, true)
  }

  /** A participant has left, or has a new session: its tracks are gone. */
  gone(participant: RemoteParticipant): void {
    for (const sid of [...participant.trackPublications.keys()]) this.#unpublished(sid)
  }

  /** The server says which tracks it sends now. */
  sending(sids: ReadonlySet<string>): void {
    const before = this.#sent
    this.#sent = sids
    for (const sid of before) if (!sids.has(sid)) this.#stopped(sid)
    for (const sid of sids) this.#started(sid)
  }

  /** Handles a message of the server, if it is about a subscription that failed. */
  handle(kind: string | undefined, value: unknown): boolean {
    if (kind !== 'subscriptionResponse') return false
    const { trackSid, err } = isObject(value) ? value : {}
    const entry = this.#entries.get(String(trackSid))
    if (entry !== undefined) this.#failed(entry, failures[Number(err)] ?? 'unknown')
    return true
  }

  /** The room has another token. */
  tokenRefreshed(): void {
    const credentials = this.#owner.credentials()
    if (credentials === undefined) return
    for (const { publication } of this.#entries.values()) publication.track?.credentialsChanged(credentials)
  }

  rtcStats(): InboundRtpStats[] {
    return [...this.#entries.values()].flatMap(({ publication }) => publication.track?.rtcStats() ?? [])
  }

  /** The connection was resumed: a request, or what the server has answered to it, may have been lost. */
  resumed(): void {
    this.restore()
    const entries = [...this.#entries.values()]
    const wanted = entries.filter(({ publication }) => publication.isDesired)
    if (wanted.length === 0 && this.#sent.size === 0) return
    const missing = wanted.filter(({ publication }) => !this.#sent.has(publication.trackSid))
    this.#owner.recoverSections(missing.length)
  }

  /** The server is told again what is wanted, and what is not. */
  restore(): void {
    const wanted: string[] = []
    const unwanted: Entry[] = []
    for (const [sid, entry] of this.#entries) {
      const { publication } = entry
      if (publication.isDesired) wanted.push(sid)
      else if (publication.isSubscribed) unwanted.push(entry)
    }
    this.#request(wanted, true)
    // A new session does not send what was given up while there was none.
    for (const entry of unwanted) if (!this.#sent.has(entry.publication.trackSid)) this.#unsubscribed(entry)
    const sent = unwanted.filter(({ publication }) => publication.isSubscribed)
    this.#request(
      sent.map(({ publication }) => publication.trackSid),
      false,
    )
  }

  /** The server session has ended. Tracks that are wanted go on in the next one; others end with their participants. */
  sessionEnded(): void {
    this.#sent = new Set()
  }

  #published(participant: RemoteParticipant, info: PublicationInfo): string[] {
    const publication = new RemoteTrackPublication(info, { desired: (changed) => this.#desired(changed) })
    const entry = { publication, participant }
    this.#entries.set(info.sid, entry)
    participant.trackPublications.set(info.sid, publication)
    this.#owner.tell(RoomEvent.TrackPublished, publication, participant)
    // The server's list of what it sends may come before its description of the participant.
    if (this.#sent.has(info.sid)) this.#started(info.sid)
    if (!this.#owner.autoSubscribe() || this.#refusal(publication) !== undefined) return []
    publication.want()
    return this.#want(entry) ? [info.sid] : []
  }

  #updated(entry: Entry, info: PublicationInfo): void {
    const { publication, participant } = entry
    const { muted } = publication.update(info)
    if (muted !== info.muted)
      this.#owner.tell(info.muted ? RoomEvent.TrackMuted : RoomEvent.TrackUnmuted, publication, participant)
    const refusal = this.#refusal(publication)
    if (refusal === undefined || !(publication.isDesired || publication.isSubscribed)) return
    this.#unsubscribed(entry)
    this.#failed(entry, refusal)
    this.#request([publication.trackSid], false)
  }

  #unpublished(sid: string): void {
    const entry = this.#entries.get(sid)
    if (entry === undefined) return
    this.#entries.delete(sid)
    const { publication, participant } = entry
    participant.trackPublications.delete(sid)
    this.#forget(publication)
    this.#unsubscribed(entry)
    this.#owner.tell(RoomEvent.TrackUnpublished, publication, participant)
  }

  #desired(publication: RemoteTrackPublication): void {
    const { trackSid, isDesired } = publication
    const entry = this.#entries.get(trackSid)
    if (entry?.publication !== publication) {
      publication.forget()
      return
    }
    if (!isDesired) {
      this.#forget(publication)
      this.#request([trackSid], false)
      return
    }
    const refusal = this.#refusal(publication)
    if (refusal !== undefined) this.#failed(entry, refusal)
    else if (this.#want(entry)) this.#request([trackSid], true)
  }

  /** The application wants the track. Returns `false`, and tells it, if there can be no section for another one. */
  #want(entry: Entry): boolean {
    const { trackSid } = entry.publication
    if (this.#wanted.size >= MAX_AUDIO_SECTIONS && !this.#wanted.has(trackSid)) {
      this.#failed(entry, 'limitReached')
      return false
    }
    this.#wanted.add(trackSid)
    return true
  }

  /** The application wants the track no longer. */
  #forget(publication: RemoteTrackPublication): void {
    this.#wanted.delete(publication.trackSid)
    publication.forget()
  }

  /**
   * Why a track cannot be heard: without its key it would be noise, and a room that is encrypted takes nothing that is
   * not. A custom provider encrypts frames of data tracks only.
   */
  #refusal({ encryption }: RemoteTrackPublication): TrackSubscriptionFailure | undefined {
    if (encryption === 'none') return this.#owner.encryption === 'none' ? undefined : 'unencrypted'
    return encryption === 'gcm' && this.#owner.encryption === 'native' ? undefined : 'noDecryption'
  }

  #failed(entry: Entry, reason: TrackSubscriptionFailure): void {
    const { publication, participant } = entry
    this.#forget(publication)
    // A track of the session before goes on until the new session refuses it.
    if (!this.#sent.has(publication.trackSid)) this.#unsubscribed(entry)
    this.#owner.tell(RoomEvent.TrackSubscriptionFailed, publication.trackSid, participant, reason)
  }

  #started(sid: string): void {
    const entry = this.#entries.get(sid)
    if (entry === undefined || entry.publication.isSubscribed) return
    const { publication, participant } = entry
    if (this.#refusal(publication) !== undefined) return
    // What the server says of the track does not decide: a room that is encrypted takes nothing that does not open.
    const sender = this.#owner.encryption === 'native' ? participant.identity : null
    const { identity } = participant
    const track = new RemoteAudioTrack(sid, this.#owner.open(sid, sender), () => ({
      streamInfo: { roomName: this.#owner.roomName(), participantIdentity: identity, publicationSid: sid },
      credentials: this.#owner.credentials(),
    }))
    publication.setTrack(track)
    this.#owner.tell(RoomEvent.TrackSubscribed, track, publication, participant)
  }

  #stopped(sid: string): void {
    const entry = this.#entries.get(sid)
    if (entry !== undefined) this.#unsubscribed(entry)
  }

  #unsubscribed({ publication, participant }: Entry): void {
    const { track } = publication
    if (track === undefined) return
    publication.setTrack(undefined)
    track.end()
    this.#owner.tell(RoomEvent.TrackUnsubscribed, track, publication, participant)
  }

  #request(trackSids: readonly string[], subscribe: boolean): void {
    if (trackSids.length === 0) return
    this.#owner.send({ case: 'subscription', value: { trackSids, subscribe, participantTracks: [] } })
  }
}

/** Bytes of the end of the server's own frames. livekit-server uses some dozens. */
export const MAX_TRAILER = 1024

/** `livekit.Encryption.Type`. */
const encryptions: readonly TrackEncryption[] = ['none', 'gcm', 'custom']

/** `livekit.SubscriptionError`. */
const failures: readonly TrackSubscriptionFailure[] = ['unknown', 'codecUnsupported', 'trackNotFound']

/** Whether a message describes a track, as far as needed here. */
function isTrack(message: unknown): message is TrackInfoMessage {
  return isObject(message) && typeof message['sid'] === 'string' && message['sid'] !== ''
}

function infoOf({ sid, name, source, mimeType, muted, encryption }: TrackInfoMessage): PublicationInfo {
  return {
    sid,
    name: textIn(name),
    source: sourceOf(source ?? 0),
    mimeType: textIn(mimeType),
    muted: muted === true,
    encryption: encryptions[encryption ?? 0] ?? 'custom',
  }
}

function textIn(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

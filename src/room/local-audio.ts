/** The audio tracks that the local participant publishes. */
import { randomUUID } from 'node:crypto'
import * as check from '../base/arguments'
import { isObject } from '../base/arguments'
import { Deferred } from '../base/abort'
import { Countdown } from '../base/countdown'
import { TrackPublishError } from '../base/errors'
import type { TrackPublishErrorReason } from '../base/errors'
import type { PacketEncryption } from '../e2ee/session-encryption'
import { LocalAudioTrack } from '../media/local-audio-track'
import type { AudioSenderStats } from '../media/audio-stats'
import { LocalTrackPublication } from '../media/local-publication'
import type { LocalPublicationInfo } from '../media/local-publication'
import { outboundRtp } from '../media/rtc-stats'
import type { OutboundRtpStats } from '../media/rtc-stats'
import { checkTrackPublishOptions } from '../media/track-publish-options'
import type { CheckedTrackPublishOptions, TrackPublishOptions } from '../media/track-publish-options'
import { MAX_AUDIO_SECTIONS } from '../native/native'
import type { NativeSession } from '../native/native'
import { encryptionToMessage } from '../signal/convert'
import { AUDIO_TRACK, AudioTrackFeature, RequestResponseReason } from '../signal/messages'
import type { AddTrackMessage, PublishedTrackMessage, RoomSignalRequest } from '../signal/messages'
import { RoomEvent } from './events'
import type { TellRoomEvent } from './events'
import type { LocalParticipant, TrackPublications } from './local-participant'
import { sourceNumber } from './participant-info'
import { REQUEST_TIMEOUT } from './pending-requests'

/**
 * Tracks that are published with the request to join. That request is a URL, and proxies bound its length, often to 8
 * kB. A track takes some 1.2 kB of it. The others are published a round trip later.
 */
const MAX_JOINING = 3

/** What the tracks need of their room. */
export interface LocalAudioOwner {
  readonly tell: TellRoomEvent
  /** What encrypts the room, end to end. */
  readonly encryption: PacketEncryption
  /** Whether a connection is being made. */
  isConnecting(): boolean
  local(): LocalParticipant
  /** Sends a request to the server; does nothing without a connection. */
  send(request: RoomSignalRequest): void
  /** Sets which tracks are sent. */
  setSending(cids: readonly string[]): void
}

interface Entry {
  /** The name by which the server knows the request and the section of the track. */
  cid: string
  readonly track: LocalAudioTrack
  readonly options: CheckedTrackPublishOptions
  /** The request that waits for its answer. */
  pending: { readonly done: Deferred<LocalTrackPublication>; readonly limit: Countdown } | undefined
  publication: LocalTrackPublication | undefined
  /** What the server said of the track. */
  message: object | undefined
  stats: AudioSenderStats
}

const nothing: AudioSenderStats = {
  units: 0,
  packetsSent: 0,
  packetsDropped: 0,
  packetsQueued: 0,
  unitsWithheld: 0,
  unitsMuted: 0,
  unitsFailed: 0,
  bytesSent: 0,
}

/** See the top of this file. It lives as long as the room, across connections. */
export class LocalAudio implements TrackPublications {
  readonly #owner: LocalAudioOwner
  readonly #entries = new Map<string, Entry>()
  /** The native session of the current connection, or of that which is being made. */
  #native: NativeSession | undefined
  /** Whether requests reach the server. */
  #isConnected = false

  constructor(owner: LocalAudioOwner) {
    this.#owner = owner
  }

  /** A connection is to be made. Returns the tracks that can be published with the request to join. */
  joining(native: NativeSession): readonly AddTrackMessage[] {
    if (this.#native !== native) {
      this.#native = native
      for (const entry of this.#entries.values()) this.#start(entry)
    }
    return [...this.#entries.values()].slice(0, MAX_JOINING).map((entry) => this.#message(entry))
  }

  /** The connection is there. `joined`: the tracks that the request to join has named, by their `cid`s. */
  connected(native: NativeSession, joined: readonly string[]): void {
    this.joining(native)
    this.#isConnected = true
    for (const entry of [...this.#entries.values()]) {
      if (!this.#isAllowed(entry.options)) this.#end(entry, 'notAllowed')
      else if (!joined.includes(entry.cid)) this.#request(entry)
      entry.pending?.limit.run()
    }
    if (this.#entries.size > 0) this.#sync()
  }

  /** The connection is lost. What waits for the server goes on to wait. */
  lost(): void {
    this.#isConnected = false
    for (const { pending } of this.#entries.values()) pending?.limit.stop()
  }

  /** See {@link LocalParticipant.publishTrack}. */
  async publish(
    track: LocalAudioTrack,
    given: TrackPublishOptions | undefined,
  ): Promise<LocalTrackPublication> {
    if (!(track instanceof LocalAudioTrack)) throw check.invalidType('track', 'a LocalAudioTrack', track)
    const options = checkTrackPublishOptions(track.source.numChannels, given)
    options.signal?.throwIfAborted()
    this.#refuse(track, options)
    const cid = randomUUID()
    const entry: Entry = {
      cid,
      track,
      options,
      pending: undefined,
      publication: undefined,
      message: undefined,
      stats: nothing,
    }
    this.#start(entry)
    this.#entries.set(cid, entry)
    const done = new Deferred<LocalTrackPublication>()
    done.abortWith(options.signal, () => this.#remove(entry))
    const limit = new Countdown(REQUEST_TIMEOUT, () => this.#fail(entry, 'timeout'))
    entry.pending = { done, limit }
    if (this.#isConnected) {
      limit.run()
      this.#request(entry)
      this.#sync()
    }
    return await done.promise
  }

  /** See {@link LocalParticipant.unpublishTrack}. */
  unpublish(what: LocalAudioTrack | string): LocalTrackPublication | undefined {
    if (typeof what !== 'string' && !(what instanceof LocalAudioTrack))
      throw check.invalidType('track', 'a LocalAudioTrack or its SID', what)
    const entry = typeof what === 'string' ? this.#bySid(what) : this.#find(({ track }) => track === what)
    if (entry === undefined) return undefined
    this.#end(entry, 'unpublished')
    return entry.publication
  }

  /** Handles a message of the server, if it is about these tracks. */
  handle(kind: string | undefined, value: unknown): boolean {
    if (!isObject(value)) return false
    switch (kind) {
      case 'trackPublished':
        this.#published(value['cid'], value['track'])
        return true
      case 'trackUnpublished': {
        const entry = this.#bySid(value['trackSid'])
        if (entry !== undefined) this.#unpublished(entry)
        return true
      }
      case 'trackSubscribed':
        this.#subscribed(this.#bySid(value['trackSid']))
        return true
      case 'mute': {
        const entry = this.#bySid(value['sid'])
        if (entry !== undefined) this.#mutedByServer(entry, value['muted'] === true)
        return true
      }
      case 'requestResponse':
        return this.#answered(value)
      case 'update':
        this.#described(value['participants'])
        return false
      case undefined:
      default:
        return false
    }
  }

  rtcStats(): OutboundRtpStats[] {
    return [...this.#entries.values()].flatMap(({ publication }) =>
      publication === undefined
        ? []
        : [outboundRtp(publication.trackSid, !publication.isMuted, publication.stats())],
    )
  }

  /** For the sync state of a resumed session. */
  published(): PublishedTrackMessage[] {
    const published: PublishedTrackMessage[] = []
    for (const { cid, message, publication } of this.#entries.values())
      if (publication !== undefined && message !== undefined) published.push({ cid, track: message })
    return published
  }

  /** The connection was resumed: a request, or what the server has answered to it, may have been lost. */
  resumed(): void {
    this.#isConnected = true
    for (const entry of [...this.#entries.values()]) {
      if (entry.publication === undefined) {
        // The server does not answer a request for a name that it has seen.
        this.#native?.unpublishAudio(entry.cid)
        this.#entries.delete(entry.cid)
        entry.cid = randomUUID()
        this.#entries.set(entry.cid, entry)
        this.#start(entry)
        this.#request(entry)
        entry.pending?.limit.run()
      } else this.#sendMuted(entry, true)
    }
    if (this.#entries.size > 0) this.#sync()
  }

  /** The room is disconnected, or no connection could be made. */
  clear(): void {
    this.#isConnected = false
    for (const entry of [...this.#entries.values()]) this.#end(entry, 'disconnected')
    this.#native = undefined
  }

  /** @throws `TrackPublishError` */
  #refuse(track: LocalAudioTrack, options: CheckedTrackPublishOptions): void {
    if (this.#native === undefined && !this.#owner.isConnecting()) throw new TrackPublishError('disconnected')
    // A custom provider encrypts frames of data tracks. The track would be sent without encryption.
    if (this.#owner.encryption === 'custom') throw new TrackPublishError('encrypted')
    if (track.source.isClosed) throw new TrackPublishError('sourceClosed')
    if (this.#find((entry) => entry.track === track) !== undefined || track.publication !== undefined)
      throw new TrackPublishError('alreadyPublished')
    if (this.#entries.size >= MAX_AUDIO_SECTIONS) throw new TrackPublishError('limitReached')
    // Before the connection is there, the permissions are those of the one before.
    if (this.#isConnected && !this.#isAllowed(options)) throw new TrackPublishError('notAllowed')
  }

  #isAllowed({ source }: CheckedTrackPublishOptions): boolean {
    const permissions = this.#owner.local().permissions
    if (permissions === undefined) return true
    const { canPublish, canPublishSources } = permissions
    return canPublish && (canPublishSources.length === 0 || canPublishSources.includes(source))
  }

  get #isEncrypted(): boolean {
    return this.#owner.encryption === 'native'
  }

  #start({ cid, track, options: { stream, bitrate, dtx, red, stereo } }: Entry): void {
    this.#native?.publishAudio({
      cid,
      stream: stream === '' ? cid : stream,
      source: track.source.id,
      bitrate,
      dtx,
      mono: !stereo,
      red,
      encrypted: this.#isEncrypted,
      muted: track.isMuted,
    })
  }

  #request(entry: Entry): void {
    this.#owner.send({ case: 'addTrack', value: this.#message(entry) })
  }

  #message({ cid, track, options: { source, dtx, red, stereo, stream } }: Entry): AddTrackMessage {
    return {
      cid,
      name: track.name,
      type: AUDIO_TRACK,
      source: sourceNumber(source),
      muted: track.isMuted,
      disableDtx: !dtx,
      disableRed: !red || this.#isEncrypted,
      encryption: encryptionToMessage(this.#isEncrypted),
      stereo,
      stream,
      audioFeatures: [
        ...(stereo ? [AudioTrackFeature.Stereo] : []),
        ...(dtx ? [] : [AudioTrackFeature.NoDtx]),
      ],
    }
  }

  /** Sends the tracks that there are. */
  #sync(): void {
    this.#owner.setSending([...this.#entries.keys()])
  }

  #published(cid: unknown, track: unknown): void {
    const entry = typeof cid === 'string' ? this.#entries.get(cid) : undefined
    const info = infoOf(track)
    if (entry === undefined || info === undefined) return
    entry.message = track as object
    const { publication } = entry
    const participant = this.#owner.local()
    if (publication !== undefined) {
      const previousSid = publication.trackSid
      if (previousSid === info.sid) return
      publication.republished(info)
      participant.trackPublications.delete(previousSid)
      participant.trackPublications.set(info.sid, publication)
      this.#sendMuted(entry)
      this.#owner.tell(RoomEvent.LocalTrackRepublished, publication, previousSid, participant)
      return
    }
    const made = new LocalTrackPublication(entry.track, entry.options.source, this.#isEncrypted, info, {
      muteChanged: () => this.#muted(entry),
      unpublish: () => this.#unpublished(entry),
      stats: () => this.#native?.audioSenderStats(entry.cid) ?? entry.stats,
    })
    entry.publication = made
    entry.track.setPublication(made)
    participant.trackPublications.set(info.sid, made)
    const pending = this.#settled(entry)
    // It may have been muted, or unmuted, while the request was under way.
    this.#sendMuted(entry)
    this.#native?.muteAudio(entry.cid, entry.track.isMuted)
    this.#owner.tell(RoomEvent.LocalTrackPublished, made, participant)
    pending?.resolve(made)
  }

  /** The server knows a track's codec when its first packet has come. It then tells everyone, the publisher, too. */
  #described(participants: unknown): void {
    if (this.#entries.size === 0 || !Array.isArray(participants)) return
    const { identity } = this.#owner.local()
    const own = participants.find(
      (each: unknown) => isObject(each) && each['identity'] === identity,
    ) as unknown
    const tracks = isObject(own) ? own['tracks'] : undefined
    if (!Array.isArray(tracks)) return
    for (const track of tracks as unknown[]) {
      const info = infoOf(track)
      if (info !== undefined) this.#bySid(info.sid)?.publication?.described(info)
    }
  }

  #answered(value: Readonly<Record<string, unknown>>): boolean {
    const { reason, message, request } = value
    if (!isObject(request) || request['case'] !== 'addTrack') return false
    const refused = isObject(request['value']) ? request['value']['cid'] : undefined
    const entry = this.#entries.get(String(refused))
    if (entry === undefined || reason === RequestResponseReason.Ok || reason === RequestResponseReason.Queued)
      return true
    this.#end(entry, reasonOf(reason), typeof message === 'string' ? message : '')
    return true
  }

  /** A track is published no longer. If it is not yet, its promise rejects for that reason. */
  #end(entry: Entry, reason: TrackPublishErrorReason, detail = ''): void {
    if (entry.publication === undefined) this.#fail(entry, reason, detail)
    else this.#unpublished(entry)
  }

  #fail(entry: Entry, reason: TrackPublishErrorReason, detail = ''): void {
    const pending = this.#settled(entry)
    this.#remove(entry)
    pending?.reject(new TrackPublishError(reason, { detail }))
  }

  #unpublished(entry: Entry): void {
    const { publication } = entry
    if (publication === undefined || !this.#remove(entry)) return
    const participant = this.#owner.local()
    participant.trackPublications.delete(publication.trackSid)
    publication.ended()
    this.#owner.tell(RoomEvent.LocalTrackUnpublished, publication, participant)
  }

  /** Nothing more of the track is sent. */
  #remove(entry: Entry): boolean {
    if (!this.#entries.delete(entry.cid)) return false
    this.#settled(entry)
    entry.track.setPublication(undefined)
    entry.stats = this.#native?.unpublishAudio(entry.cid) ?? entry.stats
    this.#sync()
    return true
  }

  #settled(entry: Entry): Deferred<LocalTrackPublication> | undefined {
    const { pending } = entry
    entry.pending = undefined
    pending?.limit.stop()
    return pending?.done
  }

  #subscribed(entry: Entry | undefined): void {
    const publication = entry?.publication
    if (publication === undefined || publication.wasSubscribed) return
    publication.subscribed()
    this.#owner.tell(RoomEvent.LocalTrackSubscribed, publication, this.#owner.local())
  }

  /** The track is muted or unmuted, by the program or by the server. */
  #muted(entry: Entry): void {
    const { cid, track, publication } = entry
    if (publication === undefined) return
    this.#native?.muteAudio(cid, track.isMuted)
    this.#sendMuted(entry)
    const event = track.isMuted ? RoomEvent.TrackMuted : RoomEvent.TrackUnmuted
    this.#owner.tell(event, publication, this.#owner.local())
  }

  #mutedByServer(entry: Entry, muted: boolean): void {
    if (entry.message !== undefined) Object.assign(entry.message, { muted })
    if (entry.track.mutedByServer(muted)) this.#muted(entry)
  }

  /** Tells the server whether the track is muted, unless it knows. `again`: what it was told may have been lost. */
  #sendMuted({ track: { isMuted }, publication, message }: Entry, again = false): void {
    if (publication === undefined || message === undefined) return
    const known = message as { muted?: boolean }
    if ((known.muted ?? false) === isMuted && !again) return
    known.muted = isMuted
    this.#owner.send({ case: 'mute', value: { sid: publication.trackSid, muted: isMuted } })
  }

  #bySid(sid: unknown): Entry | undefined {
    return this.#find(({ publication }) => publication !== undefined && publication.trackSid === sid)
  }

  #find(is: (entry: Entry) => boolean): Entry | undefined {
    for (const entry of this.#entries.values()) if (is(entry)) return entry
    return undefined
  }
}

function infoOf(track: unknown): LocalPublicationInfo | undefined {
  if (!isObject(track)) return undefined
  const { sid, name, mimeType } = track
  if (typeof sid !== 'string' || sid === '') return undefined
  return {
    sid,
    name: typeof name === 'string' ? name : '',
    mimeType: typeof mimeType === 'string' ? mimeType : '',
  }
}

function reasonOf(reason: unknown): TrackPublishErrorReason {
  switch (reason) {
    case RequestResponseReason.NotAllowed:
      return 'notAllowed'
    case RequestResponseReason.LimitExceeded:
      return 'limitReached'
    case RequestResponseReason.UnsupportedType:
      return 'unsupported'
    default:
      return 'internal'
  }
}

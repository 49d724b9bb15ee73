/**
 * The signalling side of the loopback. It answers requests as livekit-server does, in the protocol's message shapes. The
 * hub forwards the packets; this side sets the hub's routes.
 */
import { randomInt } from 'node:crypto'
import type { DataPacket } from '@livekit/protocol'
import type { MessageChannel } from '../data-packet/channels'
import { loadProtocol } from '../base/lazy'
import { withAllKeys } from '../base/map-keys'
import { isHandle, MAX_HANDLE } from '../signal/convert'
import { CLIENT_PROTOCOL } from '../signal/messages'
import { ClientCapability, ParticipantState, RequestResponseReason } from '../signal/messages'
import type {
  AddTrackMessage,
  DataTrackInfoMessage,
  GetDataBlobMessage,
  ParticipantInfoMessage,
  PublishDataTrackMessage,
  RoomSignalRequest,
  SignalResponseLike,
  StoreDataBlobMessage,
  SubscriptionPermissionMessage,
  UnpublishDataTrackMessage,
  UpdateMetadataMessage,
} from '../signal/messages'
import { AudioTracks, MemberAudio } from './audio-tracks'
import type { AudioRoutes } from './audio-tracks'
import { DataBlobs } from './blobs'
import { permissionOf, permissionsIn, refusalOfUpdate, updated } from './profiles'
import type { ParticipantDescription, Refusal } from './profiles'
import { sid } from './sids'
import { PublisherPermissions } from './subscription-permissions'

/** The packet side, with its routes. The native hub implements it. */
export interface Routes extends AudioRoutes {
  addRoute(publisher: number, pubHandle: number, subscriber: number, subHandle: number): void
  removeRoute(publisher: number, pubHandle: number, subscriber: number): void
}

/**
 * How the SFU refuses the next publish request. The names are those of `DataTrackPublishError`'s reasons, where it has
 * one.
 */
export type LoopbackRejection =
  'notAllowed' | 'duplicateName' | 'invalidName' | 'limitReached' | 'duplicateHandle' | 'unclassified'

const rejections: Readonly<Record<LoopbackRejection, number>> = {
  notAllowed: RequestResponseReason.NotAllowed,
  duplicateName: RequestResponseReason.DuplicateName,
  invalidName: RequestResponseReason.InvalidName,
  limitReached: RequestResponseReason.LimitExceeded,
  duplicateHandle: RequestResponseReason.DuplicateHandle,
  unclassified: RequestResponseReason.UnclassifiedError,
}

/** The most bytes of a name, as in livekit-server. */
const MAX_NAME = 256
/** Numbers of `livekit.ParticipantInfo.Kind`. */
const STANDARD = 0
const AGENT = 4
/** How loud a simulated speaker is, as in livekit-server. */
const SPEAKER_LEVEL = 0.9

/** What the SFU sends to a participant. */
export interface MemberEnds {
  readonly deliver: (response: SignalResponseLike) => void
  readonly message: (channel: MessageChannel, message: Uint8Array) => void
  /** The audio tracks that are sent to it now, by their SIDs. */
  readonly tracksSent: (sids: ReadonlySet<string>) => void
}

interface Member extends MemberEnds {
  readonly session: number
  description: ParticipantDescription
  readonly joinedAtMs: number
  sid: string
  /** Whether other participants are not told about it, because its new server session is not ready yet. */
  quiet: boolean
  readonly tracks: Map<number, DataTrackInfoMessage>
  readonly audio: MemberAudio
  /** The tracks that it subscribes to: its handle for each SID. */
  readonly subscriptions: Map<string, number>
  /** Tracks that it asked for and may not subscribe to: their SIDs. */
  readonly refused: Set<string>
  /** Who may subscribe to its own tracks. */
  readonly permissions: PublisherPermissions
  readonly blobs: DataBlobs
  nextHandle: number
}

export class SignalSfu {
  readonly #routes: Routes
  readonly #members = new Map<string, Member>()
  readonly #audio: AudioTracks
  readonly #sid = sid('RM_')
  readonly #createdAtMs = Date.now()
  #metadata = ''
  /** How many participants publish audio, as the participants were told. */
  #publishers = 0
  #recording = false
  /** How many participants subscribe to a track, by SID. Tracks without subscribers are not in it. */
  readonly #subscribers = new Map<string, number>()
  readonly #rejections: { readonly reason: LoopbackRejection; readonly message: string }[] = []

  constructor(routes: Routes) {
    this.#routes = routes
    this.#audio = new AudioTracks(routes, () => this.#members.values())
  }

  has(identity: string): boolean {
    return this.#members.has(identity)
  }

  get identities(): string[] {
    return [...this.#members.keys()]
  }

  /** Adds a participant, which publishes these tracks with its request. Returns the `join` message for it. */
  join(
    session: number,
    description: ParticipantDescription,
    ends: MemberEnds,
    addTracks: readonly AddTrackMessage[],
  ): SignalResponseLike {
    const member: Member = {
      ...ends,
      session,
      description,
      joinedAtMs: Date.now(),
      sid: sid('PA_'),
      quiet: false,
      tracks: new Map(),
      audio: new MemberAudio(),
      subscriptions: new Map(),
      refused: new Set(),
      permissions: new PublisherPermissions(),
      blobs: new DataBlobs(),
      nextHandle: firstHandle(),
    }
    this.#members.set(description.identity, member)
    for (const request of addTracks) this.#addTrack(member, request)
    this.#broadcast(member)
    this.#broadcastRoom()
    return this.#joinMessage(member)
  }

  /** Removes a participant, whether it left by itself or not. `reason`: `livekit.DisconnectReason`. */
  leave(identity: string, reason: number): void {
    const member = this.#members.get(identity)
    if (member === undefined) return
    this.#audio.leave(member)
    this.#members.delete(identity)
    this.#dropTracks(member)
    for (const trackSid of [...member.subscriptions.keys()]) this.#unsubscribe(member, trackSid)
    member.tracks.clear()
    this.#broadcast(member, ParticipantState.Disconnected, reason)
    this.#broadcastRoom()
  }

  /** Ends a publication, by decision of the SFU. Returns whether there was one. */
  unpublish(trackSid: string): boolean {
    for (const member of this.#members.values()) {
      for (const info of member.tracks.values()) {
        if (info.sid !== trackSid) continue
        this.#remove(member, info)
        return true
      }
    }
    return this.#audioChanged(this.#audio.unpublish(trackSid))
  }

  /** Mutes an audio track or unmutes it, as an administrator does. Returns whether there was one. */
  mute(trackSid: string, muted: boolean): boolean {
    return this.#audioChanged(this.#audio.mute(trackSid, muted))
  }

  /** A participant sends these audio tracks now. */
  setSending(identity: string, cids: readonly string[]): void {
    const member = this.#members.get(identity)
    if (member !== undefined && this.#audio.setSending(member, cids)) this.#audioChanged(member)
  }

  /** Tells the others what a participant publishes. Returns whether there is one. */
  #audioChanged(member: Pick<Member, 'description'> | undefined): boolean {
    const publisher = member && this.#members.get(member.description.identity)
    if (publisher === undefined) return false
    this.#broadcast(publisher)
    if (this.#publishers !== this.#countPublishers()) this.#broadcastRoom()
    return true
  }

  rejectNextPublish(reason: LoopbackRejection, message: string): void {
    this.#rejections.push({ reason, message })
  }

  /**
   * Begins a new server session for a participant, which publishes these tracks with its request. Its publications and
   * subscriptions are gone; handles start again.
   */
  restart(identity: string, addTracks: readonly AddTrackMessage[]): SignalResponseLike | undefined {
    const member = this.#members.get(identity)
    if (member === undefined) return undefined
    this.#audio.leave(member)
    this.#dropTracks(member)
    for (const trackSid of [...member.subscriptions.keys()]) this.#unsubscribe(member, trackSid)
    member.tracks.clear()
    member.blobs.clear()
    member.refused.clear()
    member.permissions.clear()
    member.sid = sid('PA_')
    member.nextHandle = firstHandle()
    // As in livekit-server, the others are told about the participant again once it is active, after it has published.
    member.quiet = true
    for (const request of addTracks) this.#addTrack(member, request)
    return this.#joinMessage(member)
  }

  /** The participant of a new server session is active. The others are told about it now. */
  activate(identity: string): void {
    const member = this.#members.get(identity)
    if (member === undefined || !member.quiet) return
    member.quiet = false
    this.#broadcast(member)
  }

  /** Resumes a server session. Its participant gets the current state. */
  resume(identity: string): void {
    const member = this.#members.get(identity)
    if (member === undefined) return
    const participants = this.#others(member)
    member.deliver({ message: { case: 'update', value: { participants } } })
    member.deliver({ message: { case: 'roomUpdate', value: { room: this.#roomInfo() } } })
    this.#sendHandles(member)
    this.#audio.resume(member)
  }

  /** Changes a participant's description or permissions, as an administrator does. */
  update(identity: string, change: Partial<Omit<ParticipantDescription, 'identity'>>): void {
    const member = this.#members.get(identity)
    if (member === undefined) return
    member.description = {
      ...updated(member.description, change),
      ...permissionsIn({ ...member.description, ...change }),
    }
    // As livekit-server does when a grant is taken away.
    if (!member.description.canPublishData)
      for (const info of [...member.tracks.values()]) this.#remove(member, info)
    this.#audio.permissionsChanged(member)
    this.#audioChanged(member)
  }

  updateRoomMetadata(metadata: string): void {
    this.#metadata = metadata
    this.#broadcastRoom()
  }

  setRecording(recording: boolean): void {
    this.#recording = recording
    this.#broadcastRoom()
  }

  /** Answers a request of a participant. */
  request(identity: string, request: RoomSignalRequest): void {
    const member = this.#members.get(identity)
    if (member === undefined) return
    switch (request.case) {
      case 'publishDataTrackRequest':
        this.#publish(member, request.value)
        return
      case 'unpublishDataTrackRequest':
        this.#unpublishRequest(member, request.value)
        return
      case 'updateDataSubscription':
        for (const { trackSid, subscribe } of request.value.updates) {
          if (subscribe) this.#subscribe(member, trackSid)
          else this.#unsubscribe(member, trackSid)
        }
        this.#sendHandles(member)
        return
      case 'updateMetadata':
        this.#updateMetadata(member, request.value)
        return
      case 'storeDataBlobRequest':
        this.#storeBlob(member, request.value)
        return
      case 'getDataBlobRequest':
        this.#getBlob(member, request.value)
        return
      case 'subscriptionPermission':
        this.#setPermissions(member, request.value)
        return
      case 'simulate':
        // The connection handles the other scenarios; see `LoopbackConnection`.
        if (request.value.scenario.case === 'speakerUpdate') this.#speak(member, request.value.scenario.value)
        return
      case 'subscription':
        this.#audio.subscribe(member, request.value.trackSids, request.value.subscribe)
        return
      case 'addTrack':
        if (this.#addTrack(member, request.value)) this.#audioChanged(member)
        return
      case 'mute':
        if (this.#audio.muted(member, request.value.sid, request.value.muted)) this.#audioChanged(member)
        return
      case 'syncState':
        // Of data, the loopback loses nothing that it could restore.
        this.#audio.sync(member, request.value.publishTracks ?? [])
        return
      case 'leave':
        this.leave(identity, request.value.reason)
    }
  }

  /** Forwards a participant's message to the packet's destinations, or to all other participants. */
  message(identity: string, channel: MessageChannel, message: Uint8Array): void {
    const member = this.#members.get(identity)
    if (member?.description.canPublishData !== true) return
    const { DataPacket } = loadProtocol()
    let packet: DataPacket
    try {
      packet = withAllKeys(DataPacket, message, DataPacket.fromBinary(message))
    } catch {
      return
    }
    if (packet.value.case === 'transcription' && !member.description.isAgent) return
    // The SFU sets the sender, whatever the packet says, except for texts of agents.
    const { isHidden } = member.description
    if (!inAnothersName(member, packet)) packet.participantIdentity = isHidden ? '' : identity
    packet.participantSid = isHidden ? '' : member.sid
    const stamped = packet.toBinary()
    const to = packet.destinationIdentities
    for (const other of this.#members.values()) {
      if (other === member || (to.length > 0 && !to.includes(other.description.identity))) continue
      // A copy for each recipient, so that changes by one do not affect the others.
      other.message(channel, stamped.slice())
    }
  }

  /** Says for so many seconds that a participant speaks, to all participants. */
  #speak(member: Member, seconds: number): void {
    const say = (active: boolean): void => {
      const speakers = [{ sid: member.sid, level: active ? SPEAKER_LEVEL : 0, active }]
      const response = { message: { case: 'speakersChanged', value: { speakers } } }
      for (const { deliver } of this.#members.values()) deliver(response)
    }
    say(true)
    setTimeout(() => say(false), seconds * 1000).unref()
  }

  #publish(member: Member, request: PublishDataTrackMessage): void {
    const refusal = this.#refusal(member, request)
    if (refusal !== undefined) {
      this.#respond(member, refusal.reason, refusal.message, 'publishDataTrack', request)
      return
    }
    const info: DataTrackInfoMessage = { ...request, sid: sid('DTR_') }
    member.tracks.set(request.pubHandle, info)
    member.deliver({ message: { case: 'publishDataTrackResponse', value: { info } } })
    this.#broadcast(member)
  }

  /** Publishes an audio track. Returns whether the others are to be told. */
  #addTrack(member: Member, request: AddTrackMessage): boolean {
    // As livekit-server, which has answered it before.
    if (member.audio.published.has(request.cid)) return false
    const refusal = this.#scriptedRefusal() ?? this.#audio.refusal(member, request)
    if (refusal === undefined) this.#audio.publish(member, request)
    else this.#respond(member, refusal.reason, refusal.message, 'addTrack', request)
    return refusal === undefined
  }

  #scriptedRefusal(): Refusal | undefined {
    const scripted = this.#rejections.shift()
    return scripted && { reason: rejections[scripted.reason], message: scripted.message }
  }

  /** In the order of livekit-server's checks. */
  #refusal(member: Member, request: PublishDataTrackMessage): Refusal | undefined {
    const scripted = this.#scriptedRefusal()
    if (scripted !== undefined) return scripted
    if (!member.description.canPublishData) {
      return {
        reason: RequestResponseReason.NotAllowed,
        message: 'this participant may not publish data',
      }
    }
    if (!isHandle(request.pubHandle)) {
      return { reason: RequestResponseReason.InvalidHandle, message: `handles are 1 to ${MAX_HANDLE}` }
    }
    const length = Buffer.byteLength(request.name)
    if (length < 1 || length > MAX_NAME) {
      return { reason: RequestResponseReason.InvalidName, message: `names have 1 to ${MAX_NAME} bytes` }
    }
    if (member.tracks.has(request.pubHandle)) {
      return { reason: RequestResponseReason.DuplicateHandle, message: 'the handle is in use' }
    }
    if ([...member.tracks.values()].some(({ name }) => name === request.name)) {
      return { reason: RequestResponseReason.DuplicateName, message: 'the name is in use' }
    }
    return undefined
  }

  #updateMetadata(member: Member, request: UpdateMetadataMessage): void {
    const refusal = refusalOfUpdate(member.description, request)
    if (refusal === undefined) {
      member.description = updated(member.description, request)
      // The participant gets the change before the confirmation.
      this.#broadcast(member)
    }
    const { reason, message } = refusal ?? { reason: RequestResponseReason.Ok, message: '' }
    this.#respond(member, reason, message, 'updateMetadata', request, request.requestId)
  }

  #storeBlob(member: Member, { requestId, blob }: StoreDataBlobMessage): void {
    const refusal = member.blobs.store(blob.key, blob.contents)
    if (refusal !== undefined) {
      this.#respond(member, refusal.reason, refusal.message, undefined, undefined, requestId)
      return
    }
    member.deliver({ message: { case: 'storeDataBlobResponse', value: { requestId, key: blob.key } } })
  }

  #getBlob(member: Member, { requestId, participantIdentity, key }: GetDataBlobMessage): void {
    const contents = this.#members.get(participantIdentity)?.blobs.get(key)
    if (contents === undefined) {
      const { NotFound } = RequestResponseReason
      this.#respond(member, NotFound, 'there is no such data blob', undefined, undefined, requestId)
      return
    }
    const value = { requestId, blob: { key, contents } }
    member.deliver({ message: { case: 'getDataBlobResponse', value } })
  }

  #unpublishRequest(member: Member, request: UnpublishDataTrackMessage): void {
    const info = member.tracks.get(request.pubHandle)
    if (info === undefined) {
      const { InvalidHandle } = RequestResponseReason
      this.#respond(member, InvalidHandle, 'there is no such data track', 'unpublishDataTrack', request)
      return
    }
    this.#remove(member, info)
  }

  #remove(member: Member, info: DataTrackInfoMessage): void {
    member.tracks.delete(info.pubHandle)
    this.#dropTrack(member, info)
    member.deliver({ message: { case: 'unpublishDataTrackResponse', value: { info } } })
    this.#broadcast(member)
  }

  #dropTracks(member: Member): void {
    for (const info of member.tracks.values()) this.#dropTrack(member, info)
  }

  /** Ends all subscriptions of a track. Each former subscriber gets its new table. */
  #dropTrack(publisher: Member, info: DataTrackInfoMessage): void {
    this.#subscribers.delete(info.sid)
    for (const member of this.#members.values()) {
      member.refused.delete(info.sid)
      if (!member.subscriptions.delete(info.sid)) continue
      this.#routes.removeRoute(publisher.session, info.pubHandle, member.session)
      this.#sendHandles(member)
    }
  }

  #subscribe(member: Member, trackSid: string): void {
    const found = this.#find(trackSid)
    if (found === undefined || found.publisher === member || member.subscriptions.has(trackSid)) return
    // As livekit-server, which does not answer then.
    if (!member.description.canSubscribe) return
    if (!found.publisher.permissions.permits(member.description.identity, trackSid)) {
      this.#refuse(member, found.publisher, trackSid)
      return
    }
    const handle = this.#handle(member)
    if (handle === undefined) return
    member.subscriptions.set(trackSid, handle)
    // The route comes first, because livekit-server, too, forwards packets before it sends the table.
    this.#routes.addRoute(found.publisher.session, found.info.pubHandle, member.session, handle)
    this.#count(found.publisher, found.info, 1)
  }

  #setPermissions(publisher: Member, message: SubscriptionPermissionMessage): void {
    const { permissions } = publisher
    permissions.set(
      message,
      (sid) => [...this.#members.values()].find((member) => member.sid === sid)?.description.identity,
    )
    this.#audio.subscriptionPermissionsChanged(publisher)
    for (const member of this.#members.values()) {
      const { identity } = member.description
      for (const { sid: trackSid } of publisher.tracks.values()) {
        const permitted = permissions.permits(identity, trackSid)
        if (permitted && member.refused.delete(trackSid)) {
          this.#tellPermission(member, publisher, trackSid, true)
          this.#subscribe(member, trackSid)
          this.#sendHandles(member)
        } else if (!permitted && member.subscriptions.has(trackSid)) {
          this.#unsubscribe(member, trackSid)
          this.#sendHandles(member)
          this.#refuse(member, publisher, trackSid)
        }
      }
    }
  }

  #refuse(member: Member, publisher: Member, trackSid: string): void {
    if (member.refused.has(trackSid)) return
    member.refused.add(trackSid)
    this.#tellPermission(member, publisher, trackSid, false)
  }

  #tellPermission(member: Member, publisher: Member, trackSid: string, allowed: boolean): void {
    const value = { participantSid: publisher.sid, trackSid, allowed }
    member.deliver({ message: { case: 'subscriptionPermissionUpdate', value } })
  }

  #unsubscribe(member: Member, trackSid: string): void {
    member.refused.delete(trackSid)
    const found = this.#find(trackSid)
    if (!member.subscriptions.delete(trackSid) || found === undefined) return
    this.#routes.removeRoute(found.publisher.session, found.info.pubHandle, member.session)
    this.#count(found.publisher, found.info, -1)
  }

  /** Tells a publisher of its track's first subscriber, and when there is none left. Newer servers do so. */
  #count(publisher: Member, { sid: trackSid, pubHandle }: DataTrackInfoMessage, by: 1 | -1): void {
    const before = this.#subscribers.get(trackSid) ?? 0
    const count = before + by
    if (count > 0) this.#subscribers.set(trackSid, count)
    else this.#subscribers.delete(trackSid)
    if (before > 0 && count > 0) return
    const value = { pubHandle, hasSubscribers: count > 0 }
    publisher.deliver({ message: { case: 'dataTrackDemandUpdate', value } })
  }

  #find(trackSid: string): { readonly publisher: Member; readonly info: DataTrackInfoMessage } | undefined {
    for (const publisher of this.#members.values()) {
      for (const info of publisher.tracks.values()) if (info.sid === trackSid) return { publisher, info }
    }
    return undefined
  }

  /** The next handle of the session that is free; `undefined`: all 65,535 are taken. */
  #handle(member: Member): number | undefined {
    const taken = new Set(member.subscriptions.values())
    for (let tried = 0; tried < MAX_HANDLE; tried++) {
      const handle = member.nextHandle
      member.nextHandle = handle === MAX_HANDLE ? 1 : handle + 1
      if (!taken.has(handle)) return handle
    }
    return undefined
  }

  /** The whole table, each time. */
  #sendHandles(member: Member): void {
    const subHandles: Record<number, { publisherIdentity: string; publisherSid: string; trackSid: string }> =
      {}
    for (const [trackSid, handle] of member.subscriptions) {
      const publisher = this.#find(trackSid)?.publisher
      if (publisher === undefined) continue
      subHandles[handle] = {
        publisherIdentity: publisher.description.identity,
        publisherSid: publisher.sid,
        trackSid,
      }
    }
    member.deliver({ message: { case: 'dataTrackSubscriberHandles', value: { subHandles } } })
  }

  #respond(
    member: Member,
    reason: number,
    message: string,
    kind: 'publishDataTrack' | 'unpublishDataTrack' | 'updateMetadata' | 'addTrack' | undefined,
    value:
      | PublishDataTrackMessage
      | UnpublishDataTrackMessage
      | UpdateMetadataMessage
      | AddTrackMessage
      | undefined,
    requestId = 0,
  ): void {
    member.deliver({
      message: {
        case: 'requestResponse',
        value: { requestId, reason, message, request: { case: kind, value } },
      },
    })
  }

  /** Sends the participant's current state to the others, unless it is hidden, and to the participant itself. */
  #broadcast(member: Member, state: number = ParticipantState.Active, disconnectReason = 0): void {
    if (member.quiet && state === ParticipantState.Active) return
    const value = { participants: [{ ...participantInfo(member, state), disconnectReason }] }
    for (const other of this.#members.values()) {
      const isTold = other === member || !(other.quiet || member.description.isHidden)
      if (isTold) other.deliver({ message: { case: 'update', value } })
    }
  }

  /** Tells all participants of the room's current state. */
  #broadcastRoom(): void {
    this.#publishers = this.#countPublishers()
    const value = { room: this.#roomInfo() }
    for (const member of this.#members.values()) member.deliver({ message: { case: 'roomUpdate', value } })
  }

  #visible(): Member[] {
    return [...this.#members.values()].filter(({ description }) => !description.isHidden)
  }

  #countPublishers(): number {
    return this.#visible().filter(({ audio }) => audio.published.size > 0).length
  }

  #roomInfo(): Readonly<Record<string, unknown>> {
    return {
      sid: this.#sid,
      name: 'loopback',
      metadata: this.#metadata,
      numParticipants: this.#visible().length,
      numPublishers: this.#countPublishers(),
      creationTimeMs: BigInt(this.#createdAtMs),
      activeRecording: this.#recording,
    }
  }

  /** The participants that a participant sees. */
  #others(member: Member): ParticipantInfoMessage[] {
    return [...this.#members.values()]
      .filter((other) => other !== member && !other.quiet && !other.description.isHidden)
      .map((other) => participantInfo(other))
  }

  #joinMessage(member: Member): SignalResponseLike {
    return {
      message: {
        case: 'join',
        value: {
          room: this.#roomInfo(),
          participant: participantInfo(member),
          otherParticipants: this.#others(member),
        },
      },
    }
  }
}

function participantInfo(member: Member, state: number = ParticipantState.Active): ParticipantInfoMessage {
  const { identity, name, metadata, attributes, isAgent } = member.description
  return {
    sid: member.sid,
    identity,
    state,
    name,
    metadata,
    attributes,
    kind: isAgent ? AGENT : STANDARD,
    permission: permissionOf(member.description),
    joinedAt: BigInt(Math.floor(member.joinedAtMs / 1000)),
    joinedAtMs: BigInt(member.joinedAtMs),
    dataTracks: [...member.tracks.values()],
    tracks: member.audio.infos,
    clientProtocol: CLIENT_PROTOCOL,
    capabilities: [ClientCapability.DeflateRaw],
  }
}

/** Whether an agent sends a text in the name of another participant. Such texts are marked. */
function inAnothersName({ description }: Member, { participantIdentity, value }: DataPacket): boolean {
  if (!description.isAgent || participantIdentity === '' || participantIdentity === description.identity)
    return false
  if (value.case === 'chatMessage') value.value.generated = true
  else if (value.case === 'streamHeader' && value.value.contentHeader.case === 'textHeader') {
    value.value.contentHeader.value.generated = true
  } else return false
  return true
}

/** Handles of a server session start at a random number below 256, as in livekit-server. */
function firstHandle(): number {
  return randomInt(1, 256)
}

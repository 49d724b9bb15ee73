/**
 * Routes decoded signal responses to their handlers.
 *
 * It switches on `message.case`, never on `instanceof`, because callers may use another copy of the protocol package.
 * Malformed entries are skipped one by one; an invalid track never hides the others.
 */
import { infoFromNative } from '../data-track/info'
import type { DataTrackInfo } from '../data-track/info'
import { log } from '../base/logging'
import { isObject } from '../base/arguments'
import type { NativeTrackInfo } from '../native/native'
import { infoFromMessage, isHandle } from './convert'
import {
  MAX_PARTICIPANTS,
  MAX_SUBSCRIBER_HANDLES,
  MAX_TRACK_BYTES,
  MAX_TRACKS_OF_PARTICIPANT,
  TRACK_BYTES,
} from './limits'
import { ParticipantState, RequestResponseReason } from './messages'
import type { SignalResponseLike } from './messages'

/** Handlers of the publishing side. `LocalDataTrackManager` implements them. */
export interface LocalSignalHandlers {
  /** The SFU accepted a publication; `info.pubHandle` says which. */
  handlePublishResponse(info: DataTrackInfo): void
  /** The SFU refused a publication. */
  handlePublishRejected(pubHandle: number, reason: PublishRejection, message: string): void
  /** The SFU ended a publication, or confirmed that it has ended. */
  handleUnpublishResponse(pubHandle: number): void
  /** Whether a publication has subscribers. livekit-server 1.13 does not say so. */
  handleDemandUpdate?(pubHandle: number, hasSubscribers: boolean): void
}

/** Handlers of the subscribing side. `RemoteDataTrackManager` implements them. */
export interface RemoteSignalHandlers {
  /** All tracks that a participant publishes now. Earlier tracks that are missing were unpublished. */
  handlePublicationUpdate(publisherIdentity: string, tracks: readonly DataTrackInfo[]): void
  /** The whole table: the SID of each subscriber handle. */
  handleSubscriberHandles(table: ReadonlyMap<number, string>): void
  /** Whether the publisher of a track lets this participant subscribe to it. */
  handleSubscriptionPermission?(trackSid: string, allowed: boolean): void
}

/** Why the SFU refused to publish a track. */
export type PublishRejection =
  'notAllowed' | 'duplicateName' | 'invalidName' | 'limitReached' | 'duplicateHandle' | 'unknown'

/** The receivers of a dispatcher's messages. */
export interface SignalDispatcherOptions {
  /** The publishing side. Default: none; its messages are then not consumed. */
  readonly local?: LocalSignalHandlers | undefined
  /** The subscribing side. Default: none; its messages are then not consumed. */
  readonly remote?: RemoteSignalHandlers | undefined
  /**
   * The local participant's identity, because its own tracks are not remote tracks. A `join` message sets it, too.
   * Until it is known, no participant is skipped.
   */
  readonly identity?: string | undefined
}

/** Routes every `SignalResponse` that a connection receives. */
export class SignalDispatcher {
  readonly #local: LocalSignalHandlers | undefined
  readonly #remote: RemoteSignalHandlers | undefined
  #identity: string | undefined
  /**
   * SIDs of participants by identity, and the bytes of their tracks. A participant that reconnects has a new SID, and
   * the end of its old session must not end the new one.
   */
  readonly #known = new Map<string, { readonly sid: unknown; readonly trackBytes: number }>()
  #trackBytes = 0
  /** Messages of which it was logged that the SFU sends nonsense. */
  readonly #warned = new Set<string>()

  constructor(options: SignalDispatcherOptions) {
    this.#local = options.local
    this.#remote = options.remote
    this.#identity = options.identity
  }

  /** The local participant's identity, if it is known. */
  get identity(): string | undefined {
    return this.#identity
  }

  /**
   * Routes a message.
   *
   * @returns `true` if the message was only about data tracks and needs no further handling. `false` if the caller has
   * to handle it, too: the dispatcher reads participants' tracks from `join`, `update` and `roomMoved`, and nothing
   * else.
   */
  dispatch(response: SignalResponseLike): boolean {
    const { case: kind, value } = response.message
    switch (kind) {
      case 'publishDataTrackResponse':
        return this.#local !== undefined && this.#published(this.#local, value)
      case 'unpublishDataTrackResponse':
        return this.#local !== undefined && this.#unpublished(this.#local, value)
      case 'requestResponse':
        return this.#local !== undefined && this.#answered(this.#local, value)
      case 'dataTrackSubscriberHandles':
        return this.#remote !== undefined && this.#assigned(this.#remote, value)
      case 'dataTrackDemandUpdate':
        return this.#local !== undefined && this.#demanded(this.#local, value)
      case 'subscriptionPermissionUpdate':
        // It may be about a media track, which the caller handles.
        this.#permitted(value)
        return false
      case 'join':
        this.#joined(value)
        return false
      case 'update':
        if (isObject(value)) this.#participants(value['participants'])
        return false
      case 'roomMoved':
        if (isObject(value)) {
          this.#setIdentity(value['participant'])
          this.#participants(value['otherParticipants'])
        }
        return false
      case undefined:
      default:
        return false
    }
  }

  #published(local: LocalSignalHandlers, value: unknown): true {
    const info = isObject(value) ? infoFromMessage(value['info']) : undefined
    if (info === undefined) malformed('publishDataTrackResponse')
    else local.handlePublishResponse(infoFromNative(info))
    return true
  }

  #unpublished(local: LocalSignalHandlers, value: unknown): true {
    const info = isObject(value) ? value['info'] : undefined
    const handle = isObject(info) ? info['pubHandle'] : undefined
    if (isHandle(handle)) local.handleUnpublishResponse(handle)
    else malformed('unpublishDataTrackResponse')
    return true
  }

  #demanded(local: LocalSignalHandlers, value: unknown): true {
    const { pubHandle, hasSubscribers = false } = isObject(value) ? value : {}
    if (isHandle(pubHandle) && typeof hasSubscribers === 'boolean') {
      local.handleDemandUpdate?.(pubHandle, hasSubscribers)
    } else {
      this.#malformedOnce('dataTrackDemandUpdate')
    }
    return true
  }

  #malformedOnce(message: string): void {
    if (this.#warned.has(message)) return
    this.#warned.add(message)
    malformed(message)
  }

  #answered(local: LocalSignalHandlers, value: unknown): boolean {
    if (!isObject(value) || !isObject(value['request'])) return false
    const { case: kind, value: request } = value['request']
    if (kind !== 'publishDataTrack' && kind !== 'unpublishDataTrack') return false
    const handle = isObject(request) ? request['pubHandle'] : undefined
    const message = typeof value['message'] === 'string' ? value['message'] : ''
    const { reason } = value
    if (!isHandle(handle)) {
      malformed('requestResponse')
    } else if (reason === RequestResponseReason.Ok || reason === RequestResponseReason.Queued) {
      // The answer itself comes in a separate message.
    } else if (kind === 'publishDataTrack') {
      local.handlePublishRejected(handle, rejection(reason), message)
    } else {
      // The SFU does not know the track, and here it has ended as well.
      log('debug', 'signal', `the SFU could not unpublish the data track of handle ${handle}`)
    }
    return true
  }

  #assigned(remote: RemoteSignalHandlers, value: unknown): true {
    const table = isObject(value) ? value['subHandles'] : undefined
    if (!isObject(table)) {
      malformed('dataTrackSubscriberHandles')
      return true
    }
    const handles = new Map<number, string>()
    const entries = Object.entries(table)
    let bad = 0
    // In bufbuild 1 this is an object whose keys are the numbers as strings.
    for (const [key, entry] of entries.slice(0, MAX_SUBSCRIBER_HANDLES)) {
      const handle = Number(key)
      const sid = isObject(entry) ? entry['trackSid'] : undefined
      if (isHandle(handle) && typeof sid === 'string') handles.set(handle, sid)
      else bad += 1
    }
    malformed('dataTrackSubscriberHandles', bad)
    tooMany('subscriber handles', entries.length - MAX_SUBSCRIBER_HANDLES)
    remote.handleSubscriberHandles(handles)
    return true
  }

  #permitted(value: unknown): void {
    // In plain objects of bufbuild 2, fields with the value `false` are absent.
    const { trackSid, allowed = false } = isObject(value) ? value : {}
    if (typeof trackSid === 'string' && typeof allowed === 'boolean') {
      this.#remote?.handleSubscriptionPermission?.(trackSid, allowed)
    } else {
      this.#malformedOnce('subscriptionPermissionUpdate')
    }
  }

  #joined(value: unknown): void {
    if (!isObject(value)) return
    this.#setIdentity(value['participant'])
    this.#participants(value['otherParticipants'])
  }

  #setIdentity(participant: unknown): void {
    if (isObject(participant) && typeof participant['identity'] === 'string') {
      this.#identity = participant['identity']
    }
  }

  #participants(participants: unknown): void {
    if (this.#remote === undefined || !Array.isArray(participants)) return
    let [bad, more] = [0, 0]
    for (const participant of participants as unknown[]) {
      const identity = isObject(participant) ? participant['identity'] : undefined
      if (!isObject(participant) || typeof identity !== 'string' || identity === '') {
        bad += 1
        continue
      }
      if (identity === this.#identity) continue
      const { state, sid, dataTracks } = participant
      const gone = state === ParticipantState.Disconnected
      const known = this.#known.get(identity)
      if (gone && known !== undefined && known.sid !== sid) continue
      if (!gone && this.#known.size >= MAX_PARTICIPANTS && known === undefined) {
        more += 1
        continue
      }
      this.#trackBytes -= known?.trackBytes ?? 0
      const { tracks, bytes } = infos(gone ? [] : dataTracks, MAX_TRACK_BYTES - this.#trackBytes)
      this.#trackBytes += bytes
      if (gone) this.#known.delete(identity)
      else this.#known.set(identity, { sid, trackBytes: bytes })
      this.#remote.handlePublicationUpdate(identity, tracks)
    }
    malformed('update', bad)
    tooMany('participants', more)
  }
}

/** The valid tracks of a list, as far as they fit into `room` bytes, and the bytes that they take. */
function infos(messages: unknown, room: number): { tracks: DataTrackInfo[]; bytes: number } {
  const tracks: DataTrackInfo[] = []
  if (!Array.isArray(messages)) return { tracks, bytes: 0 }
  let [bad, more, bytes] = [0, Math.max(0, messages.length - MAX_TRACKS_OF_PARTICIPANT), 0]
  for (const message of messages.slice(0, MAX_TRACKS_OF_PARTICIPANT) as unknown[]) {
    const info = infoFromMessage(message)
    if (info === undefined) {
      bad += 1
      continue
    }
    const cost = costOf(info)
    if (bytes + cost > room) {
      more += 1
      continue
    }
    bytes += cost
    tracks.push(infoFromNative(info))
  }
  malformed('DataTrackInfo', bad)
  tooMany('data tracks of a participant', more)
  return { tracks, bytes }
}

function costOf({ sid, name, frameEncoding, schemaName, schemaEncoding }: NativeTrackInfo): number {
  let characters = 0
  for (const text of [sid, name, frameEncoding, schemaName, schemaEncoding]) characters += text?.length ?? 0
  return TRACK_BYTES + 2 * characters
}

/** The native side's name for the protocol's number. */
function rejection(reason: unknown): PublishRejection {
  switch (reason) {
    case RequestResponseReason.NotAllowed:
      return 'notAllowed'
    case RequestResponseReason.LimitExceeded:
      return 'limitReached'
    case RequestResponseReason.InvalidName:
      return 'invalidName'
    case RequestResponseReason.DuplicateHandle:
      return 'duplicateHandle'
    case RequestResponseReason.DuplicateName:
      return 'duplicateName'
    default:
      return 'unknown'
  }
}

/** Logs one line per message, however many entries are malformed, so that a server cannot flood the log. */
function malformed(message: string, count = 1): void {
  if (count > 0)
    log('warn', 'signal', `skipped ${count} malformed part${count === 1 ? '' : 's'} of ${message}`)
}

function tooMany(what: string, count: number): void {
  if (count > 0) log('warn', 'signal', `skipped ${count} ${what}: there are too many`)
}

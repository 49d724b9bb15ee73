/**
 * Routes already decoded signal responses to the handlers made for them.
 *
 * It switches on `message.case`, never on `instanceof`: callers bring another copy of the protocol package. What is
 * malformed is skipped entry by entry; one bad track never hides the others.
 */
import { infoFromNative } from '../data-track/info'
import type { DataTrackInfo } from '../data-track/info'
import { log } from '../base/logging'
import { isObject } from '../base/arguments'
import { infoFromMessage, isHandle } from './convert'
import { MAX_PARTICIPANTS, MAX_SUBSCRIBER_HANDLES, MAX_TRACKS_OF_PARTICIPANT } from './limits'
import { ParticipantState, RequestResponseReason } from './messages'
import type { SignalResponseLike } from './messages'

/** Handlers of the publisher's side; `LocalDataTrackManager` has them. */
export interface LocalSignalHandlers {
  /** The SFU took the publication; `info.pubHandle` says which. */
  handlePublishResponse(info: DataTrackInfo): void
  /** The SFU refused a publication. `reason` as {@link PublishRejection}. */
  handlePublishRejected(pubHandle: number, reason: PublishRejection, message: string): void
  /** The SFU ended a publication, or confirms that it ended. */
  handleUnpublishResponse(pubHandle: number): void
}

/** Handlers of the subscriber's side; `RemoteDataTrackManager` has them. */
export interface RemoteSignalHandlers {
  /** All tracks that a participant publishes now; those of before that are missing are unpublished. */
  handlePublicationUpdate(publisherIdentity: string, tracks: readonly DataTrackInfo[]): void
  /** The whole table: which track each subscriber handle stands for. */
  handleSubscriberHandles(table: ReadonlyMap<number, string>): void
}

/** Why the SFU refused to publish. */
export type PublishRejection =
  'notAllowed' | 'duplicateName' | 'invalidName' | 'limitReached' | 'duplicateHandle' | 'unknown'

/** What a dispatcher serves. */
export interface SignalDispatcherOptions {
  /** Who publishes. Default: nobody; then those messages are not consumed. */
  readonly local?: LocalSignalHandlers | undefined
  /** Who subscribes. Default: nobody; then those messages are not consumed. */
  readonly remote?: RemoteSignalHandlers | undefined
  /**
   * One's own identity: one's own tracks are not remote ones. A `join` message sets it, too. Until it is known no
   * participant is skipped.
   */
  readonly identity?: string | undefined
}

/** Takes each `SignalResponse` that a connection receives. */
export class SignalDispatcher {
  readonly #local: LocalSignalHandlers | undefined
  readonly #remote: RemoteSignalHandlers | undefined
  #identity: string | undefined
  /** SIDs of participants by identity: who reconnects has a new one, and the old one's end must not end the new. */
  readonly #sids = new Map<string, unknown>()

  constructor(options: SignalDispatcherOptions) {
    this.#local = options.local
    this.#remote = options.remote
    this.#identity = options.identity
  }

  /** One's own identity, as far as it is known. */
  get identity(): string | undefined {
    return this.#identity
  }

  /**
   * Routes a message.
   *
   * @returns `true` if the message was about data tracks alone and is done with. `false` if it is somebody else's too:
   * `join`, `update` and `roomMoved` are read here for the tracks of participants, and are still yours to handle.
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
      // The answer itself comes as a message of its own.
    } else if (kind === 'publishDataTrack') {
      local.handlePublishRejected(handle, rejection(reason), message)
    } else {
      // The SFU does not know the track; neither do we any more.
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
    // bufbuild 1 has an object here, with the numbers as strings.
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
      const gone = participant['state'] === ParticipantState.Disconnected
      if (gone && this.#sids.has(identity) && this.#sids.get(identity) !== participant['sid']) continue
      if (!gone && this.#sids.size >= MAX_PARTICIPANTS && !this.#sids.has(identity)) {
        more += 1
        continue
      }
      if (gone) this.#sids.delete(identity)
      else this.#sids.set(identity, participant['sid'])
      const tracks = gone ? [] : participant['dataTracks']
      this.#remote.handlePublicationUpdate(identity, Array.isArray(tracks) ? infos(tracks) : [])
    }
    malformed('update', bad)
    tooMany('participants', more)
  }
}

function infos(messages: readonly unknown[]): DataTrackInfo[] {
  let bad = 0
  const all = messages.slice(0, MAX_TRACKS_OF_PARTICIPANT).flatMap((message) => {
    const info = infoFromMessage(message)
    if (info === undefined) bad += 1
    return info === undefined ? [] : infoFromNative(info)
  })
  malformed('DataTrackInfo', bad)
  tooMany('data tracks of a participant', messages.length - MAX_TRACKS_OF_PARTICIPANT)
  return all
}

/** The native side's word for the protocol's number. */
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

/** One line for a message, however many parts of it are bad: a server could have the log written without end. */
function malformed(message: string, count = 1): void {
  if (count > 0)
    log('warn', 'signal', `skipped ${count} malformed part${count === 1 ? '' : 's'} of ${message}`)
}

function tooMany(what: string, count: number): void {
  if (count > 0) log('warn', 'signal', `skipped ${count} ${what}: there are too many`)
}

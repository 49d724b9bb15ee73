/**
 * One participant's tracks over a native session. It turns the native side's events into objects, and method calls into
 * native calls.
 *
 * Its owner is a room, or a manager of an application that brings its own connection. The owner gets the requests to
 * send and the events to emit.
 */
import { Deferred } from '../base/abort'
import { EventThrottle } from '../base/event-throttle'
import { ForwardedStreams } from '../data-track/demand'
import { Latch } from '../data-track/latch'
import type { LatchedFrame } from '../data-track/latch'
import { LocalDataTrack } from '../data-track/local'
import type { PushableFrame } from '../data-track/local'
import { infoFromNative, infoToNative } from '../data-track/info'
import type { DataTrackInfo } from '../data-track/info'
import { Publication } from '../data-track/publication'
import type { PublicationSession } from '../data-track/publication'
import { checkPublishOptions } from '../data-track/publish-options'
import type { DataTrackPublishOptions } from '../data-track/publish-options'
import { RemoteDataTrack } from '../data-track/remote'
import type { RemoteSession, RemoteTrackState } from '../data-track/remote'
import { DataTrackFrame } from '../data-track/frame'
import { frameStats, packetStats, sendStats } from '../data-track/stats'
import type { DataTrackFrameStats, DataTrackPacketStats, DataTrackSendStats } from '../data-track/stats'
import type { OpenedFrame, SealedFrame, StreamCore } from '../data-track/stream-core'
import type { DataTrackCodec } from '../base/codec'
import * as check from '../base/arguments'
import { isPromise } from '../e2ee/provider'
import type { E2eeProvider } from '../e2ee/provider'
import { providerFailed, SessionKeys } from '../e2ee/session-encryption'
import type { EncryptionOptions } from '../e2ee/session-encryption'
import type { Environment, EventSink } from '../native/environment'
import { DataTrackE2eeError, DataTrackPublishError, DataTrackUnpublishedError } from '../base/errors'
import type { ErrorReason } from '../base/error-reasons'
import { log } from '../base/logging'
import { mapNativeError, publishError } from '../native/native-error'
import type { NativeEvent, NativeSession } from '../native/native'
import { nothingSent, sumOfSent } from '../data-track/stats'
import { requestOf } from '../signal/requests'
import type { DataTrackSignalRequest } from '../signal/messages'
import type { LocalSignalHandlers, PublishRejection, RemoteSignalHandlers } from '../signal/dispatch'

/** The owner of a session. The session tells it what happens. */
export interface SessionOwner {
  /** Sends a request to the SFU. */
  sendRequest(request: DataTrackSignalRequest): void
  localTrackPublished(track: LocalDataTrack<never>): void
  localTrackUnpublished(info: DataTrackInfo, reason: DataTrackUnpublishedError): void
  /** A publication has a new SID. */
  localTrackRepublished?(): void
  trackPublished(track: RemoteDataTrack): void
  /** Whether this participant may subscribe to a remote track has changed. */
  permissionChanged?(track: RemoteDataTrack): void
  trackUnpublished(track: RemoteDataTrack): void
  encryptionError(error: DataTrackE2eeError): void
  /** Asks a publisher for the last frame of a track. Absent if the owner cannot ask. */
  fetchLatest?(
    identity: string,
    handle: number,
    signal: AbortSignal | undefined,
  ): Promise<LatchedFrame | undefined>
  /** The application wants to know who subscribes. Absent if the owner knows no participants. */
  demandWanted?(): void
  /** Whether a publication has subscribers has changed. */
  demandChanged?(hasSubscribers: boolean | undefined, info: DataTrackInfo): void
  /** The SFU forwards a track to this participant, or does so no longer. */
  forwarded?(publisherIdentity: string, pubHandle: number, forwarded: boolean): void
  /** Messages that waited for a key can be tried again. Absent if the owner has no messages. */
  keysChanged?(): void
  /** The native session failed. It is already closed. */
  failed(message: string): void
  /**
   * Handling an event failed. The session is already closed. Absent if events call the application's listeners, because
   * their errors are the application's.
   */
  broken?(): void
}

export interface SessionOptions {
  readonly encryption: EncryptionOptions | undefined
  /**
   * The local participant's identity, which tells the local key from remote ones; `undefined` where it does not matter.
   */
  readonly identity: string | undefined
  /** Whether the session can be garbage-collected without having been closed, together with its owner. */
  readonly weakly: boolean
  /** Called after each accepted frame, if the owner sends the packets; `null` if a native driver does. */
  readonly onPushed: (() => void) | null
}

interface PendingPublication {
  readonly deferred: Deferred<LocalDataTrack<never>>
  readonly codec: DataTrackCodec<unknown> | null
  readonly maxQueueBytes: number
  readonly latch: boolean
}

interface RemoteEntry {
  readonly track: RemoteDataTrack
  readonly state: RemoteTrackState
}

export class Session
  implements EventSink, PublicationSession, RemoteSession, LocalSignalHandlers, RemoteSignalHandlers
{
  readonly environment: Environment
  readonly native: NativeSession
  readonly provider: E2eeProvider | null
  readonly onPushed: (() => void) | null
  /** Settles when the keys that the provider already had are derived. */
  readonly keysReady: Promise<void>
  readonly handleFault: (() => void) | undefined
  readonly #owner: SessionOwner
  readonly #encryption: EncryptionOptions | undefined
  readonly #keys: SessionKeys | null
  readonly #pending = new Map<number, PendingPublication>()
  readonly #publications = new Map<number, Publication>()
  readonly #remote = new Map<number, RemoteEntry>()
  /** The numbers of remote tracks by SID. */
  readonly #bySid = new Map<string, number>()
  /** Throttles the provider's errors for each participant. */
  readonly #providerFailures = new EventThrottle()
  /** Counters of the publications that have ended. */
  #sentBefore = nothingSent
  #closed = false
  #closing = false
  /** Publications that have ended for the application, but whose last frames are still sent. */
  #finishing: Publication[] = []
  /** Set by {@link finish}: called instead of the owner when keys have changed. */
  #keysChanged: (() => void) | undefined

  constructor(environment: Environment, native: NativeSession, owner: SessionOwner, options: SessionOptions) {
    this.environment = environment
    this.native = native
    this.#owner = owner
    this.handleFault = owner.broken && (() => this.#broken())
    this.#encryption = options.encryption
    this.onPushed = options.onPushed
    this.provider = options.encryption?.provider ?? null
    environment.addSession(native.id, this, options.weakly)
    const keyProvider = options.encryption?.keyProvider
    if (keyProvider === undefined) {
      this.#keys = null
      this.keysReady = Promise.resolve()
    } else {
      this.#keys = new SessionKeys(native, options.identity, () => environment.pump())
      this.keysReady = keyProvider.attach(this.#keys)
      // An application that does not await `keysReady` learns of the failure when frames find no key.
      this.keysReady.catch((error: unknown) => {
        if (!this.#closed)
          log('warn', 'e2ee', error instanceof Error ? error.message : 'a key could not be set')
      })
    }
  }

  get closed(): boolean {
    return this.#closed
  }

  get closing(): boolean {
    return this.#closing
  }

  /** Whether a publication waits for the SFU's answer. */
  get publishing(): boolean {
    return this.#pending.size > 0
  }

  get opensFrames(): boolean {
    return this.provider !== null
  }

  /** Runs a control call, then hands out the events that it caused. Native errors become typed ones. */
  control<T>(call: () => T): T {
    try {
      return call()
    } catch (error) {
      throw mapNativeError(error)
    } finally {
      this.environment.pump()
    }
  }

  async publish<T = PushableFrame>(options: DataTrackPublishOptions<T>): Promise<LocalDataTrack<T>> {
    const { native, codec, signal, latch } = checkPublishOptions(options, this.#encryption !== undefined)
    signal?.throwIfAborted()
    if (this.#closed) throw new DataTrackPublishError('disconnected')
    const deferred = new Deferred<LocalDataTrack<never>>()
    // The call's events are handed out after this entry exists, because they refer to it.
    this.control(() => {
      const handle = this.native.publish(native)
      this.#pending.set(handle, { deferred, codec, maxQueueBytes: native.maxQueueBytes, latch })
      deferred.abortWith(signal, () => {
        this.#pending.delete(handle)
        this.control(() => this.native.cancelPublish(handle))
      })
    })
    return await deferred.promise
  }

  /** The remote tracks that are published now. */
  remoteTracks(): RemoteDataTrack[] {
    return [...this.#remote.values()].map(({ track }) => track)
  }

  packetStats(): DataTrackPacketStats {
    return packetStats(this.native.packetStats())
  }

  /** The sum of all publications' counters. */
  sentStats(): DataTrackSendStats {
    const now = [...this.#publications.values()].map((publication) => sendStats(publication.stats()))
    return now.reduce(sumOfSent, this.#sentBefore)
  }

  demandWanted(): void {
    this.#owner.demandWanted?.()
  }

  demandChanged({ demand, info }: Publication): void {
    this.#owner.demandChanged?.(demand.value, info)
  }

  /** A publication, with the last frame that it keeps. */
  latched(
    handle: number,
  ): { readonly info: DataTrackInfo; readonly frame: LatchedFrame | undefined } | undefined {
    const publication = this.#publications.get(handle)
    if (publication === undefined) return undefined
    const kept = publication.latch?.frame
    const last = this.native.lastFrame(handle)
    const frame = kept === undefined || last === null ? undefined : { ...kept, ...last }
    return { info: publication.info, frame }
  }

  async fetchLatest(
    identity: string,
    handle: number,
    signal: AbortSignal | undefined,
  ): Promise<LatchedFrame | undefined> {
    return await this.#owner.fetchLatest?.(identity, handle, signal)
  }

  /** The publications, as the SFU describes them. */
  publishedInfos(): DataTrackInfo[] {
    return [...this.#publications.values()].map(({ info }) => info)
  }

  /** The handles of the publications. */
  publishedHandles(): Iterable<number> {
    return this.#publications.keys()
  }

  /** What participants say of the subscribers of a publication. */
  announceDemand(handle: number, hasSubscribers: boolean | undefined): void {
    this.#publications.get(handle)?.demand.announce(hasSubscribers)
  }

  // Signals.

  /** The SFU says whether a publication has subscribers. */
  handleDemandUpdate(pubHandle: number, hasSubscribers: boolean): void {
    this.#publications.get(pubHandle)?.demand.tell(hasSubscribers)
  }

  handlePublishResponse(info: DataTrackInfo): void {
    this.control(() => this.native.handlePublishResponse(infoToNative(info)))
  }

  handlePublishRejected(pubHandle: number, reason: PublishRejection, message: string): void {
    this.control(() => this.native.handlePublishRejected(pubHandle, reason, message))
  }

  handleUnpublishResponse(pubHandle: number): void {
    this.control(() => this.native.handleUnpublishResponse(pubHandle))
  }

  /**
   * The participant may no longer publish data. livekit-server has then ended all its publications without saying so.
   */
  handlePublishingRevoked(): void {
    for (const handle of [...this.#publications.keys()]) this.handleUnpublishResponse(handle)
  }

  handlePublicationUpdate(publisherIdentity: string, tracks: readonly DataTrackInfo[]): void {
    this.control(() => this.native.handlePublicationUpdate(publisherIdentity, tracks.map(infoToNative)))
  }

  handleSubscriberHandles(table: ReadonlyMap<number, string>): void {
    this.control(() => this.native.handleSubscriberHandles([...table.keys()], [...table.values()]))
  }

  handleSubscriptionPermission(trackSid: string, allowed: boolean): void {
    this.control(() => this.native.handleSubscriptionPermission(trackSid, allowed))
    const number = this.#bySid.get(trackSid)
    const entry = number === undefined ? undefined : this.#remote.get(number)
    if (entry !== undefined) this.#permit(entry, allowed)
  }

  /** Whether this participant may subscribe. Without that permission, livekit-server does not answer subscriptions. */
  handleSubscribingAllowed(allowed: boolean): void {
    this.control(() => this.native.handleSubscribingAllowed(allowed))
  }

  // The connection.

  handleConnectionLost(): void {
    this.control(() => this.native.handleConnectionLost())
  }

  handleResumed(): void {
    this.control(() => this.native.handleResumed())
    this.#renewPermissions()
    this.#wakePublications()
  }

  handleRebuilt(): void {
    this.control(() => this.native.handleRebuilt())
    this.#renewPermissions()
    this.#wakePublications()
  }

  /**
   * The application has ended the session: everything ends, and the owner is told nothing more. Frames that were
   * accepted before are still sent. {@link close} follows. `keysChanged`: called when messages that waited for a key
   * can be tried again.
   */
  finish(keysChanged: () => void): void {
    if (this.#closed) return
    this.#closing = true
    this.#keysChanged = keysChanged
    const publications = [...this.#publications.values()]
    this.#end(() => this.native.finish())
    for (const publication of publications) publication.leaving()
    this.#finishing = publications
  }

  /** Ends everything. `ours`: the application asked for it, so streams end normally. Idempotent. */
  close(ours: boolean): void {
    this.#closing ||= ours
    if (!this.#closed) this.#end(() => this.native.close())
    else this.control(() => this.native.close())
    for (const publication of this.#finishing) publication.left()
    this.#finishing = []
    if (this.#keys !== null) {
      this.#keys.close()
      this.#encryption?.keyProvider?.detach(this.#keys)
    }
    this.environment.removeSession(this.native.id)
  }

  #end(native: () => void): void {
    this.#closed = true
    const lastStats = new Map([...this.#remote.values()].map(({ track }) => [track, lastStatsOf(track)]))
    this.control(native)
    for (const { deferred } of this.#pending.values())
      deferred.reject(new DataTrackPublishError('disconnected'))
    this.#pending.clear()
    for (const publication of this.#publications.values()) {
      this.#ended(publication, new DataTrackUnpublishedError('disconnected'))
    }
    for (const entry of this.#remote.values()) this.#gone(entry, lastStats.get(entry.track) ?? nothingCounted)
  }

  handleEvent(event: NativeEvent): void {
    if (this.#keysChanged !== undefined && !this.#concernsTheEnd(event)) return
    switch (event.type) {
      case 'publishRequest':
      case 'unpublishRequest':
      case 'updateSubscription':
        this.#owner.sendRequest(requestOf(event))
        return
      case 'published':
        this.#published(event.handle, infoFromNative(event.info))
        return
      case 'publishFailed':
        this.#pending.get(event.handle)?.deferred.reject(publishError(event.reason, event.message))
        this.#pending.delete(event.handle)
        return
      case 'republished': {
        const publication = this.#publications.get(event.handle)
        if (publication === undefined) return
        publication.info = infoFromNative(event.info)
        publication.connected()
        this.#owner.localTrackRepublished?.()
        return
      }
      case 'unpublished': {
        const publication = this.#publications.get(event.handle)
        if (publication !== undefined) this.#ended(publication, unpublishedError(event.by, event.message))
        return
      }
      case 'bufferedAmountLow':
        this.#publications.get(event.handle)?.wake()
        return
      case 'trackPublished': {
        const { track: number, publisherIdentity } = event
        const info = infoFromNative(event.info)
        const forwarded = new ForwardedStreams(() =>
          this.#owner.forwarded?.(publisherIdentity, info.pubHandle, forwarded.any),
        )
        const state = { track: number, publisherIdentity, info, published: true, permitted: true, forwarded }
        const track = new RemoteDataTrack(this, state)
        this.#remote.set(number, { track, state })
        this.#bySid.set(info.sid, number)
        this.#owner.trackPublished(track)
        return
      }
      case 'trackUpdated': {
        const entry = this.#remote.get(event.track)
        if (entry !== undefined) this.#updated(entry, infoFromNative(event.info))
        return
      }
      case 'trackUnpublished': {
        const entry = this.#remote.get(event.track)
        if (entry !== undefined) this.#gone(entry, frameStats(event.stats))
        return
      }
      case 'subscribed':
        this.environment.stream(event.stream)?.handleSubscribed()
        return
      case 'latestWanted':
        this.environment.stream(event.stream)?.handleLatestWanted()
        return
      case 'streamEnded':
        this.environment.stream(event.stream)?.handleEnded(event.reason)
        return
      case 'encryptionError':
        // For a custom provider `openSealed` reports the failure, because it knows the cause.
        if (this.provider !== null && event.reason === 'decryptionFailed') return
        this.#owner.encryptionError(
          new DataTrackE2eeError(event.reason, {
            participantIdentity: event.publisherIdentity ?? undefined,
            keyIndex: event.keyIndex,
            count: event.count,
          }),
        )
        return
      case 'failed':
        log('error', 'datatrack', event.message)
        this.close(false)
        this.#owner.failed(event.message)
        return
      case 'keysChanged':
        this.#owner.keysChanged?.()
        return
      case 'localDescription':
      case 'localCandidate':
      case 'descriptionRejected':
      case 'peerState':
      case 'messages':
      case 'audioFrames':
      case 'audioProgress':
      case 'channelBufferedAmountLow':
      case 'lingered':
      case 'relayFailed':
        // Events of a connection, or of audio. They go to sinks of their own.
        return
    }
  }

  #broken(): void {
    // After `finish`, the owner may already have another session.
    const finished = this.#keysChanged !== undefined
    this.close(finished)
    if (!finished) this.#owner.broken?.()
  }

  /** After {@link finish}, when the owner may already have another session. Returns whether to handle the event. */
  #concernsTheEnd(event: NativeEvent): boolean {
    if (event.type === 'keysChanged') this.#keysChanged?.()
    if (event.type === 'failed') {
      log('error', 'datatrack', event.message)
      this.close(true)
    }
    return event.type === 'streamEnded'
  }

  // The custom provider.

  sealFailed(cause: unknown): void {
    this.#providerFailed(cause, undefined, undefined)
  }

  openSealed(frame: SealedFrame, core: StreamCore): OpenedFrame | Promise<OpenedFrame> {
    const { payload, iv, keyIndex } = frame
    const context = { publisherIdentity: core.publisherIdentity, trackName: core.trackName }
    try {
      const opened = (this.provider as E2eeProvider).decrypt({ payload, iv, keyIndex }, context)
      if (!isPromise(opened)) return openedFrame(frame, opened)
      return opened
        .then((plain) => openedFrame(frame, plain))
        .catch((cause: unknown) => this.#openFailed(cause, frame, core))
    } catch (cause) {
      this.#openFailed(cause, frame, core)
      return
    }
  }

  #openFailed(cause: unknown, frame: SealedFrame, core: StreamCore): undefined {
    this.native.countOpenFailure(core.stream, frame.keyIndex)
    this.#providerFailed(cause, core.publisherIdentity, frame.keyIndex)
    return undefined
  }

  #providerFailed(cause: unknown, identity: string | undefined, keyIndex: number | undefined): void {
    const count = this.#providerFailures.count(identity ?? '')
    if (count > 0) this.#owner.encryptionError(providerFailed(cause, identity, keyIndex, count))
  }

  #published(handle: number, info: DataTrackInfo): void {
    const pending = this.#pending.get(handle)
    // The application cancelled the publication a moment ago. The unpublish request is already on its way.
    if (pending === undefined) return
    this.#pending.delete(handle)
    const latch = pending.latch ? new Latch() : null
    const publication = new Publication(this, handle, info, pending.maxQueueBytes, latch)
    this.#publications.set(handle, publication)
    const track = new LocalDataTrack<never>(publication, pending.codec)
    pending.deferred.resolve(track)
    this.#owner.localTrackPublished(track)
  }

  #ended(publication: Publication, reason: DataTrackUnpublishedError): void {
    if (!this.#publications.delete(publication.handle)) return
    publication.end(reason)
    this.#sentBefore = sumOfSent(this.#sentBefore, sendStats(publication.stats()))
    this.#owner.localTrackUnpublished(publication.info, reason)
  }

  #updated(entry: RemoteEntry, info: DataTrackInfo): void {
    this.#bySid.delete(entry.state.info.sid)
    this.#bySid.set(info.sid, entry.state.track)
    entry.state.info = info
    this.#permit(entry, true)
  }

  #permit({ track, state }: RemoteEntry, permitted: boolean): void {
    if (state.permitted === permitted) return
    state.permitted = permitted
    this.#owner.permissionChanged?.(track)
  }

  /** After a reconnect, a track that was refused can be asked for again, and the SFU answers anew. */
  #renewPermissions(): void {
    for (const entry of this.#remote.values()) this.#permit(entry, true)
  }

  #gone({ track, state }: RemoteEntry, stats: DataTrackFrameStats): void {
    if (!this.#remote.delete(state.track)) return
    this.#bySid.delete(state.info.sid)
    state.published = false
    track.keepStats(stats)
    this.#owner.trackUnpublished(track)
  }

  #wakePublications(): void {
    for (const publication of this.#publications.values()) {
      publication.connected()
      // The SFU may have said something else meanwhile, and does not repeat it.
      publication.demand.tell(undefined)
    }
  }
}

const nothingCounted: DataTrackFrameStats = { opened: 0, completed: 0, dropped: {}, open: 0 }

/** The final counters of a track whose session closes. Frames that are still open count as `ended`. */
function lastStatsOf(track: RemoteDataTrack): DataTrackFrameStats {
  try {
    const { open, ...stats } = track.stats()
    return { ...stats, dropped: { ...stats.dropped, ended: (stats.dropped.ended ?? 0) + open }, open: 0 }
  } catch {
    // The native session failed.
    return nothingCounted
  }
}

function openedFrame(frame: SealedFrame, plain: Uint8Array): DataTrackFrame {
  check.bytes('the result of decrypt()', plain)
  return new DataTrackFrame(plain, frame.userTimestamp, frame.number, frame.timestamp, frame.age)
}

function unpublishedError(
  by: ErrorReason<'DataTrackUnpublishedError'>,
  message: string,
): DataTrackUnpublishedError {
  return new DataTrackUnpublishedError(by, message === '' ? {} : { detail: message })
}

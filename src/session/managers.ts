/**
 * Data tracks for programs that bring their own signalling and transport: another SDK, an Electron process, a test.
 *
 * A manager runs on the JavaScript thread alone: it opens no socket and starts no thread. The application hands it the
 * SFU's answers and the packets of the lossy data channel `_data_track`, and sends what the manager asks it to send.
 * The manager's clock is a timer that never keeps the process alive.
 */
import * as check from '../base/arguments'
import { environment } from '../native/environment'
import type { EncryptionOptions } from '../e2ee/session-encryption'
import { DataTrackClosedError } from '../base/errors'
import type { DataTrackE2eeError, DataTrackUnpublishedError } from '../base/errors'
import type { NativeSession } from '../native/native'
import { Session } from './session'
import type { SessionOwner } from './session'
import { sessionOptions } from './session-options'
import { isObject } from '../base/arguments'
import { isHandle, MAX_HANDLE } from '../signal/convert'
import { SignalDispatcher } from '../signal/dispatch'
import type { LocalSignalHandlers, PublishRejection, RemoteSignalHandlers } from '../signal/dispatch'
import { syncStateOf } from '../signal/requests'
import type { DataTrackInfoMessage, DataTrackSignalRequest, RequestResponseMessage } from '../signal/messages'
import { TypedEmitter } from '../base/typed-emitter'
import type { EventMap } from '../base/typed-emitter'
import type { DataTrackInfo } from '../data-track/info'
import type { LocalDataTrack, PushableFrame } from '../data-track/local'
import type { DataTrackPublishOptions } from '../data-track/publish-options'
import type { RemoteDataTrack } from '../data-track/remote'
import type { DataTrackPacketStats } from '../data-track/stats'

/** Options of both managers. */
export interface DataTrackManagerOptions {
  /** End-to-end encryption; see {@link EncryptionOptions}. Default: none. */
  readonly encryption?: EncryptionOptions | undefined
  /** The local participant's identity. Needed for the local participant's key with `sharedKey: false`. */
  readonly identity?: string | undefined
}

/** Events of both managers. */
export interface DataTrackManagerEvents {
  /** Frames could not be encrypted or decrypted. At most one event a second for each participant and reason. */
  encryptionError: (error: DataTrackE2eeError) => void
  /** A bug of this package. The manager has closed itself. */
  failed: (error: DataTrackClosedError) => void
}

/** Events of {@link LocalDataTrackManager}. */
export interface LocalDataTrackManagerEvents extends DataTrackManagerEvents {
  /** The application has to send a `PublishDataTrackRequest` with the fields of `request.value`. */
  sfuPublishRequest: (request: Extract<DataTrackSignalRequest, { case: 'publishDataTrackRequest' }>) => void
  /** The application has to send an `UnpublishDataTrackRequest` with the fields of `request.value`. */
  sfuUnpublishRequest: (
    request: Extract<DataTrackSignalRequest, { case: 'unpublishDataTrackRequest' }>,
  ) => void
  trackPublished: (track: LocalDataTrack<never>) => void
  trackUnpublished: (info: DataTrackInfo, reason: DataTrackUnpublishedError) => void
  /**
   * There are packets to send: call `packets()`. Emitted once per turn of the event loop, however many frames were
   * pushed.
   */
  packetsAvailable: () => void
}

/** Events of {@link RemoteDataTrackManager}. */
export interface RemoteDataTrackManagerEvents extends DataTrackManagerEvents {
  /** The application has to send an `UpdateDataSubscription` with the fields of `request.value`. */
  sfuUpdateSubscription: (
    request: Extract<DataTrackSignalRequest, { case: 'updateDataSubscription' }>,
  ) => void
  trackPublished: (track: RemoteDataTrack) => void
  trackUnpublished: (track: RemoteDataTrack) => void
}

/** The largest packet, in bytes. All LiveKit SDKs accept data channel messages of this size. */
export const MAX_PACKET_LENGTH = 16_000
/** The longest delay that `setTimeout` accepts, in ms. */
const MAX_TIMER = 0x7fff_ffff

abstract class DataTrackManager<
  Events extends EventMap<Events> & DataTrackManagerEvents,
> extends TypedEmitter<Events> {
  /** @internal */
  protected readonly session: Session
  #timer: NodeJS.Timeout | undefined
  #scheduled = false

  /** @internal */
  protected constructor(options: DataTrackManagerOptions, onPushed: (() => void) | null) {
    super()
    const { encryption, identity } = check.options('options', options)
    if (identity !== undefined) check.string('options.identity', identity)
    const native = sessionOptions(encryption)
    const env = environment()
    this.session = new Session(env, env.binding.createSession(native), this.#owner(), {
      encryption,
      identity,
      weakly: true,
      onPushed,
    })
    closeCollected.register(this, this.session.native, this)
  }

  /** Resolves when the keys that the provider already had are derived. */
  get ready(): Promise<void> {
    return this.session.keysReady
  }

  /** ms until the manager's next timeout; −1 if there is none. The manager handles it by itself. */
  nextTimeout(): number {
    return this.session.closed ? -1 : this.session.native.nextTimeout()
  }

  /** The transport is lost for now. Pushes are refused with `reconnecting`. */
  handleConnectionLost(): void {
    this.run(() => this.session.handleConnectionLost())
  }

  /** The connection was resumed: the transport is back in the same server session. */
  handleResumed(): void {
    this.run(() => this.session.handleResumed())
  }

  /** The connection was rebuilt: there is a new server session. Publications and subscriptions are requested again. */
  handleRebuilt(): void {
    this.run(() => this.session.handleRebuilt())
  }

  /** Ends all tracks and streams. Idempotent. */
  close(): void {
    clearTimeout(this.#timer)
    closeCollected.unregister(this)
    this.session.close(true)
  }

  /** The same as {@link close}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    this.close()
    return Promise.resolve()
  }

  /** @internal Runs a call from the application. Afterwards the next timeout may have changed. */
  protected run<T>(call: () => T): T {
    if (this.session.closed) throw new DataTrackClosedError('closed')
    try {
      return call()
    } finally {
      this.schedule()
    }
  }

  /** @internal Sets the timer for the next timeout, once for all calls of a turn. */
  protected schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      clearTimeout(this.#timer)
      const ms = this.nextTimeout()
      if (ms < 0) return
      this.#timer = timer(new WeakRef(this), this.session.publishing ? this : null, ms)
    })
  }

  /** @internal */
  protected abstract owner(): Omit<SessionOwner, 'encryptionError' | 'failed'>

  /** @internal The timer has fired. */
  timedOut(): void {
    if (this.session.closed) return
    this.session.control(() => this.session.native.handleTimeout())
    this.schedule()
  }

  #owner(): SessionOwner {
    // A subclass's event map contains the base's events, but the type checker does not see that through `Events`.
    const emitter = this as unknown as TypedEmitter<DataTrackManagerEvents>
    return {
      ...this.owner(),
      encryptionError: (error) => emitter.emit('encryptionError', error),
      failed: (message) => {
        emitter.emit('failed', new DataTrackClosedError('nativePanic', { detail: message }))
      },
    }
  }
}

/**
 * Starts the manager's timer. The timer holds the manager weakly, so that a manager that the application dropped can be
 * collected. While a publication waits for the SFU's answer the timer holds the manager (`held`), so that the caller
 * gets its timeout error.
 *
 * This is a function outside the class, because a closure within a method holds the method's `this`.
 */
function timer(
  weak: WeakRef<{ timedOut(): void }>,
  held: { timedOut(): void } | null,
  ms: number,
): NodeJS.Timeout {
  return setTimeout(() => (held ?? weak.deref())?.timedOut(), Math.min(Math.ceil(ms), MAX_TIMER)).unref()
}

/** Closes a manager that was garbage-collected. Its session is held weakly until then. */
const closeCollected = new FinalizationRegistry<NativeSession>((native) => {
  native.close()
  environment().removeSession(native.id)
  environment().pump()
})

/**
 * The publishing side.
 *
 *     const manager = new LocalDataTrackManager()
 *     manager.on('sfuPublishRequest', ({ value }) => signal.send(new PublishDataTrackRequest(value)))
 *     manager.on('packetsAvailable', () => { for (const packet of manager.packets()) channel.send(packet) })
 *     const dispatcher = new SignalDispatcher({ local: manager })   // or call the handle… methods yourself
 *     const track = await manager.publishDataTrack({ name: 'imu' })
 */
export class LocalDataTrackManager
  extends DataTrackManager<LocalDataTrackManagerEvents>
  implements LocalSignalHandlers
{
  readonly #buffer = new Uint8Array(MAX_PACKET_LENGTH)
  readonly #announcement: { pending: boolean }

  /** @throws `TypeError` or `RangeError` for wrong options; an error with the code `NATIVE_MISSING` without an addon */
  constructor(options: DataTrackManagerOptions = {}) {
    const announcement = { pending: false, announce: (): void => undefined }
    super(options, () => {
      if (announcement.pending) return
      announcement.pending = true
      queueMicrotask(announcement.announce)
    })
    this.#announcement = announcement
    announcement.announce = () => {
      if (!announcement.pending) return
      announcement.pending = false
      if (!this.session.closed) this.emit('packetsAvailable')
    }
  }

  /** Publishes a track, like `LocalParticipant.publishDataTrack`. */
  async publishDataTrack<T = PushableFrame>(options: DataTrackPublishOptions<T>): Promise<LocalDataTrack<T>> {
    return await this.run(() => this.session.publish(options))
  }

  handlePublishResponse(info: DataTrackInfo): void {
    this.run(() => this.session.handlePublishResponse(info))
  }

  handlePublishRejected(pubHandle: number, reason: PublishRejection, message: string): void {
    this.run(() => this.session.handlePublishRejected(pubHandle, reason, message))
  }

  /** Handles a `DataTrackDemandUpdate` of the SFU: whether a publication has subscribers. */
  handleDemandUpdate(pubHandle: number, hasSubscribers: boolean): void {
    assertHandle(pubHandle)
    check.requiredBoolean('hasSubscribers', hasSubscribers)
    this.run(() => this.session.handleDemandUpdate(pubHandle, hasSubscribers))
  }

  /** Handles a `RequestResponse` of the SFU. Returns whether it was about a data track. */
  handleRequestResponse(response: RequestResponseMessage): boolean {
    return new SignalDispatcher({ local: this }).dispatch({
      message: { case: 'requestResponse', value: response },
    })
  }

  handleUnpublishResponse(pubHandle: number): void {
    assertHandle(pubHandle)
    this.run(() => this.session.handleUnpublishResponse(pubHandle))
  }

  /** The publications in the form of `SyncState.publish_data_tracks`, to send when a session is resumed. */
  publishResponsesForSyncState(): readonly { readonly info: DataTrackInfoMessage }[] {
    return syncStateOf(this.run(() => this.session.native.publishResponsesForSyncState())).publishDataTracks
  }

  /**
   * Copies the next packet into `target`, which must have at least {@link MAX_PACKET_LENGTH} bytes. Returns the
   * packet's length; 0 if there is no packet. A packet that was taken counts as sent.
   */
  pollTransmit(target: Uint8Array): number {
    check.bytes('target', target)
    if (target.byteLength < MAX_PACKET_LENGTH) {
      throw check.outOfRange('target.byteLength', `>= ${MAX_PACKET_LENGTH} bytes`, target.byteLength)
    }
    const length = this.run(() => this.session.native.pollTransmit(target))
    // A waiting `push()` or `flush()` may go on now that packets were taken.
    if (length === 0) this.session.environment.pump()
    return length
  }

  /**
   * Yields packets until there are none; each is a copy with its own buffer. Stop early to leave the rest in the queue.
   */
  *packets(): Generator<Uint8Array, void, undefined> {
    for (;;) {
      const length = this.pollTransmit(this.#buffer)
      if (length === 0) {
        this.#announcement.pending = false
        return
      }
      yield this.#buffer.slice(0, length)
    }
  }

  /** @internal */
  protected owner(): Omit<SessionOwner, 'encryptionError' | 'failed'> {
    return {
      sendRequest: (request) => {
        if (request.case === 'publishDataTrackRequest') this.emit('sfuPublishRequest', request)
        else if (request.case === 'unpublishDataTrackRequest') this.emit('sfuUnpublishRequest', request)
        this.schedule()
      },
      localTrackPublished: (track) => this.emit('trackPublished', track),
      localTrackUnpublished: (info, reason) => this.emit('trackUnpublished', info, reason),
      trackPublished: () => undefined,
      trackUnpublished: () => undefined,
    }
  }
}

/**
 * The subscribing side.
 *
 *     const manager = new RemoteDataTrackManager()
 *     manager.on('sfuUpdateSubscription', ({ value }) => signal.send(new UpdateDataSubscription(value)))
 *     channel.on('message', (packet) => manager.handlePacket(packet))
 *     manager.on('trackPublished', async (track) => { for await (const frame of track.subscribe()) … })
 */
export class RemoteDataTrackManager
  extends DataTrackManager<RemoteDataTrackManagerEvents>
  implements RemoteSignalHandlers
{
  /** @throws `TypeError` or `RangeError` for wrong options; an error with the code `NATIVE_MISSING` without an addon */
  constructor(options: DataTrackManagerOptions = {}) {
    super(options, null)
  }

  /** The tracks that can be subscribed to now. */
  get tracks(): readonly RemoteDataTrack[] {
    return this.session.remoteTracks()
  }

  handlePublicationUpdate(publisherIdentity: string, tracks: readonly DataTrackInfo[]): void {
    check.string('publisherIdentity', publisherIdentity)
    if (!Array.isArray(tracks) || !(tracks as readonly unknown[]).every((track) => isObject(track)))
      throw check.invalidType('tracks', 'an array', tracks)
    this.run(() => this.session.handlePublicationUpdate(publisherIdentity, tracks))
  }

  handleSubscriberHandles(table: ReadonlyMap<number, string>): void {
    if (!(table instanceof Map)) throw check.invalidType('table', 'a Map of handles to SIDs', table)
    this.run(() => this.session.handleSubscriberHandles(table))
  }

  /**
   * Handles a `SubscriptionPermissionUpdate`. If the publisher does not let this participant subscribe to the track,
   * its streams end with `notAllowed`.
   */
  handleSubscriptionPermission(trackSid: string, allowed: boolean): void {
    check.string('trackSid', trackSid)
    check.requiredBoolean('allowed', allowed)
    this.run(() => this.session.handleSubscriptionPermission(trackSid, allowed))
  }

  /** Handles a received packet; any bytes are accepted. Completed frames come out of the streams. */
  handlePacket(packet: Uint8Array): void {
    check.bytes('packet', packet)
    this.run(() => this.session.native.handlePacket(packet))
  }

  /** Counters of the received packets. */
  packetStats(): DataTrackPacketStats {
    return this.session.packetStats()
  }

  /** @internal */
  protected owner(): Omit<SessionOwner, 'encryptionError' | 'failed'> {
    return {
      sendRequest: (request) => {
        if (request.case === 'updateDataSubscription') this.emit('sfuUpdateSubscription', request)
        this.schedule()
      },
      localTrackPublished: () => undefined,
      localTrackUnpublished: () => undefined,
      trackPublished: (track) => this.emit('trackPublished', track),
      trackUnpublished: (track) => this.emit('trackUnpublished', track),
    }
  }
}

function assertHandle(pubHandle: number): void {
  if (!isHandle(pubHandle)) throw check.outOfRange('pubHandle', `>= 1 and <= ${MAX_HANDLE}`, pubHandle)
}

/**
 * A publication: it lives from the SFU's answer to the end of the track, whether or not the application still holds the
 * `LocalDataTrack`.
 */
import { Deferred, LazySignal } from '../base/abort'
import * as check from '../base/arguments'
import { DataTrackPushFrameError } from '../base/errors'
import type { DataTrackPushFrameErrorReason, DataTrackUnpublishedError } from '../base/errors'
import { checkSealed, isPromise } from '../e2ee/provider'
import type { E2eeProvider, SealedDataTrackFrame } from '../e2ee/provider'
import { PushStatus } from '../native/native'
import type { NativeSendStats, NativeSession } from '../native/native'
import { PublicationDemand } from './demand'
import type { DataTrackInfo } from './info'
import type { Latch } from './latch'

/** What a publication needs from its session. */
export interface PublicationSession {
  readonly native: NativeSession
  readonly provider: E2eeProvider | null
  /** Called after a frame was accepted; `null` if a native driver sends the packets. */
  readonly onPushed: (() => void) | null
  /** Runs a control call, then hands out the events that it caused. */
  control<T>(call: () => T): T
  /** The application wants to know who subscribes. */
  demandWanted(): void
  demandChanged(publication: Publication): void
  /** Counts and reports that the provider could not encrypt a frame. */
  sealFailed(cause: unknown): void
}

/** A frame in the form that the native side takes. `given` is what the caller handed in, for errors. */
export interface OutgoingFrame {
  readonly payload: Uint8Array
  readonly userTimestamp: bigint | undefined
  readonly given: unknown
}

/** Whether a publication is still published. */
export interface PublicationLife {
  readonly name: string
  published: boolean
}

interface PushWaiter {
  readonly frame: OutgoingFrame
  readonly sealed: SealedDataTrackFrame | null
  readonly deferred: Deferred<undefined>
}

/** Upper bounds for a frame's size in the queue: the header with both extensions, the payload per packet, the tag. */
const MAX_HEADER = 40
const MIN_PACKET_PAYLOAD = 15_960
const TAG = 16
const MAX_SAFE_TIMESTAMP = BigInt(Number.MAX_SAFE_INTEGER)

export class Publication {
  readonly handle: number
  readonly #session: PublicationSession
  readonly #native: NativeSession
  readonly #maxQueueBytes: number
  /** In bytes, with a user timestamp. Read at the start, because the native side forgets the track at its end. */
  readonly maxFrameLength: number
  info: DataTrackInfo
  /** For code that outlives the track: the object holds no reference that leads back to the track. */
  readonly life: PublicationLife
  readonly #end = new LazySignal()
  readonly demand: PublicationDemand
  /** Pushes that wait for room, in order. */
  readonly #pushes: PushWaiter[] = []
  readonly #flushes = new Set<Deferred<undefined>>()
  /** What the first waiting push waits for: that the queue falls to this many bytes, or (`#stalled`) the connection. */
  #level = 0
  #stalled = false
  #finalStats: NativeSendStats | null = null

  constructor(
    session: PublicationSession,
    handle: number,
    info: DataTrackInfo,
    maxQueueBytes: number,
    readonly latch: Latch | null = null,
  ) {
    this.#session = session
    this.#native = session.native
    this.handle = handle
    this.info = info
    this.life = { name: info.name, published: true }
    this.demand = new PublicationDemand(
      () => session.demandWanted(),
      () => session.demandChanged(this),
    )
    this.#maxQueueBytes = maxQueueBytes
    this.maxFrameLength = session.native.maxFrameLength(handle, true)
  }

  get published(): boolean {
    return this.life.published
  }

  /** Aborts when the publication ends. */
  get signal(): AbortSignal {
    return this.#end.signal
  }

  get bufferedAmount(): number {
    return this.published ? this.#native.bufferedAmount(this.handle) : 0
  }

  stats(): NativeSendStats {
    return this.#finalStats ?? this.#native.sendStats(this.handle)
  }

  /** The hot path: one native call and no allocation in JavaScript. Returns a {@link PushStatus}. */
  push(payload: Uint8Array, userTimestamp: bigint | undefined): number {
    let status: number
    if (userTimestamp === undefined) {
      status = this.#native.push(this.handle, payload, -1)
    } else if (userTimestamp >= 0n && userTimestamp <= MAX_SAFE_TIMESTAMP) {
      status = this.#native.push(this.handle, payload, Number(userTimestamp))
    } else {
      check.timestamp('frame.userTimestamp', userTimestamp)
      status = this.#native.pushWithTimestamp(this.handle, payload, userTimestamp)
    }
    if (status === PushStatus.Ok) {
      this.latch?.keep(payload, userTimestamp)
      if (this.#session.onPushed !== null) this.#session.onPushed()
    }
    return status
  }

  /** Whether frames are encrypted in JavaScript, by the custom provider. */
  get sealing(): boolean {
    return this.#session.provider !== null && this.info.usesE2ee
  }

  /** Throws at once if the frame is not accepted. */
  tryPush(frame: OutgoingFrame): void {
    const sealed = this.sealing ? this.#seal(frame) : null
    if (sealed !== null && isPromise(sealed)) {
      // The promise is dropped here, so a rejection would be unhandled.
      sealed.catch(() => undefined)
      throw new DataTrackPushFrameError('encryptionFailed', frame.given, {
        detail: 'the provider returned a promise: await push() instead',
      })
    }
    const status = this.#pushNow(frame, sealed)
    if (status !== PushStatus.Ok) throw refused(status, frame.given)
  }

  /** Waits for room, in order. {@link LocalDataTrack.push} describes the rest. */
  async pushWaiting(frame: OutgoingFrame, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted()
    const sealing = this.sealing ? this.#seal(frame) : null
    const sealed = sealing !== null && isPromise(sealing) ? await this.#sealLater(sealing, frame) : sealing
    signal?.throwIfAborted()
    if (this.#pushes.length === 0 && this.#tryWaiting(frame, sealed)) return
    const deferred = new Deferred<undefined>()
    const waiter: PushWaiter = { frame, sealed, deferred }
    this.#pushes.push(waiter)
    deferred.abortWith(signal, () => {
      const index = this.#pushes.indexOf(waiter)
      this.#pushes.splice(index, 1)
      // The pushes behind it may be small enough to fit.
      if (index === 0) this.wake()
    })
    if (this.#pushes.length === 1) this.#watch()
    await deferred.promise
  }

  /** Resolves when nothing is queued, or when the publication has ended. */
  async flush(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted()
    if (!this.published || this.bufferedAmount === 0) return
    const deferred = new Deferred<undefined>()
    this.#flushes.add(deferred)
    deferred.abortWith(signal, () => this.#flushes.delete(deferred))
    this.#watch()
    await deferred.promise
  }

  unpublish(): void {
    if (this.published) this.#session.control(() => this.#native.unpublish(this.handle))
  }

  /** The connection is resumed or rebuilt. */
  connected(): void {
    this.#stalled = false
    this.wake()
  }

  /** Accepts the waiting pushes that fit now: the queue fell to the watched level, or a waiting push was cancelled. */
  wake(): void {
    while (this.#pushes.length > 0 && !this.#stalled) {
      const [{ frame, sealed, deferred }] = this.#pushes as [PushWaiter]
      try {
        if (!this.#tryWaiting(frame, sealed)) break
        this.#pushes.shift()
        deferred.resolve(undefined)
      } catch (error) {
        this.#pushes.shift()
        deferred.reject(error)
      }
    }
    if (this.#flushes.size > 0 && this.bufferedAmount === 0) this.#flushed()
    this.#watch()
  }

  /** Ends the publication. Only the first call has an effect. */
  end(reason: DataTrackUnpublishedError): void {
    if (!this.published) return
    this.life.published = false
    this.#finalStats = this.#native.sendStats(this.handle)
    for (const { frame, deferred } of this.#pushes.splice(0)) {
      deferred.reject(
        new DataTrackPushFrameError(
          reason.reason === 'disconnected' ? 'disconnected' : 'trackUnpublished',
          frame.given,
        ),
      )
    }
    this.#flushed()
    this.demand.end(reason)
    this.#end.abort(reason)
  }

  /** The publication has ended for the application, but its last frames are still sent. Its counters continue. */
  leaving(): void {
    this.#finalStats = null
  }

  /** Follows {@link leaving}: no more frames are sent. */
  left(): void {
    this.#finalStats = this.#native.sendStats(this.handle)
  }

  #flushed(): void {
    const flushes = [...this.#flushes]
    this.#flushes.clear()
    for (const deferred of flushes) deferred.resolve(undefined)
  }

  /** `true`: the frame was accepted. `false`: the queue has no room, or the connection is lost for now. */
  #tryWaiting(frame: OutgoingFrame, sealed: SealedDataTrackFrame | null): boolean {
    // With `dropOldest` the native side would accept this frame and drop older ones, so the level is checked first.
    this.#level = this.#levelFor(frame)
    if (this.published && this.bufferedAmount > this.#level) return false
    const status = this.#pushNow(frame, sealed)
    if (status === PushStatus.Ok) return true
    if (status === PushStatus.Reconnecting) {
      // Waiting for the queue's level would not help: the level may be low while the connection is lost, and this would
      // retry in a loop.
      this.#stalled = true
      return false
    }
    if (status !== PushStatus.QueueFull) throw refused(status, frame.given)
    this.#level = Math.min(this.#level, Math.max(0, this.bufferedAmount - 1))
    return false
  }

  #pushNow(frame: OutgoingFrame, sealed: SealedDataTrackFrame | null): number {
    if (sealed === null) return this.push(frame.payload, frame.userTimestamp)
    const status = this.#native.pushSealed(
      this.handle,
      sealed.payload,
      frame.userTimestamp ?? null,
      sealed.iv,
      sealed.keyIndex,
    )
    if (status === PushStatus.Ok) {
      this.latch?.keep(frame.payload, frame.userTimestamp)
      this.#session.onPushed?.()
    }
    return status
  }

  /** The queue may hold this many bytes for the frame to fit. An empty queue takes any frame. */
  #levelFor(frame: OutgoingFrame): number {
    const bytes = frame.payload.byteLength + TAG
    const packets = Math.max(1, Math.ceil(bytes / MIN_PACKET_PAYLOAD))
    return Math.max(0, this.#maxQueueBytes - bytes - packets * MAX_HEADER)
  }

  /**
   * Asks for one event when the first waiting push or flush can go on. A push's level is above a flush's, so it comes
   * first.
   */
  #watch(): void {
    if (!this.published) return
    const pushing = this.#pushes.length > 0 && !this.#stalled
    // Watch even if `bufferedAmount` is 0 by now. Another thread empties the queue, and without a watch no event would
    // come.
    if (!pushing && this.#flushes.size === 0) return
    const level = pushing ? this.#level : 0
    this.#session.control(() => this.#native.watchBuffered(this.handle, level))
  }

  #seal(frame: OutgoingFrame): SealedDataTrackFrame | Promise<SealedDataTrackFrame> {
    try {
      const sealed = (this.#session.provider as E2eeProvider).encrypt(frame.payload, {
        trackName: this.info.name,
      })
      return isPromise(sealed) ? sealed : checkSealed(sealed)
    } catch (cause) {
      throw this.#sealFailed(cause, frame)
    }
  }

  async #sealLater(
    sealing: Promise<SealedDataTrackFrame>,
    frame: OutgoingFrame,
  ): Promise<SealedDataTrackFrame> {
    try {
      return checkSealed(await sealing)
    } catch (cause) {
      throw this.#sealFailed(cause, frame)
    }
  }

  #sealFailed(cause: unknown, frame: OutgoingFrame): DataTrackPushFrameError {
    this.#session.sealFailed(cause)
    return new DataTrackPushFrameError('encryptionFailed', frame.given, { cause })
  }
}

const reasons: Readonly<Record<number, DataTrackPushFrameErrorReason>> = {
  [PushStatus.TrackUnpublished]: 'trackUnpublished',
  [PushStatus.NotPublished]: 'trackUnpublished',
  [PushStatus.QueueFull]: 'queueFull',
  [PushStatus.Reconnecting]: 'reconnecting',
  [PushStatus.Disconnected]: 'disconnected',
  [PushStatus.FrameTooLarge]: 'frameTooLarge',
  [PushStatus.NoKey]: 'noKey',
  [PushStatus.EncryptionFailed]: 'encryptionFailed',
}

/** The error for a status other than `Ok`. */
export function refused(status: number, given: unknown): Error {
  if (status === PushStatus.SharedMemory) {
    return check.invalidType('frame.payload', 'a Uint8Array over memory that is not shared', given)
  }
  return new DataTrackPushFrameError(reasons[status] ?? 'internal', given)
}

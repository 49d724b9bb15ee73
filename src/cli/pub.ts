/** `datatrack pub`: publishes the lines or chunks of a stream as frames. */
import type { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import type { ConnectOptions } from '../connection/connect-options'
import type { DataTrackFrameEncoding, DataTrackSchema } from '../base/codec'
import { now } from '../data-track/frame'
import type { LocalDataTrack } from '../data-track/local'
import type { EncryptionOptions } from '../e2ee/session-encryption'
import { abortable } from '../base/abort'
import { DataTrackPushFrameError } from '../base/errors'
import type { Room } from '../room/room'
import { checkSource, chunks, lines, openSource, whole } from './frame-source'
import type { SourceKind } from './frame-source'
import { printable } from '../base/printable'
import { note, Stopped } from './output'
import { Progress, Throughput, dropsOf, dropsText } from './progress'
import { joinRoom } from '../check/rooms'
import { tokenFor } from './server'
import type { ServerSettings } from './settings'
import { participantIn, untilDisconnected } from './room-notes'

/** Options of {@link pub}. */
export interface PubOptions {
  readonly server: ServerSettings
  readonly connect: ConnectOptions
  readonly encryption: EncryptionOptions | undefined
  readonly name: string
  readonly frameEncoding: DataTrackFrameEncoding | undefined
  readonly schema: DataTrackSchema | undefined
  readonly source: SourceKind
  /** Bytes of a frame. `undefined`: each line is a frame. */
  readonly chunk: number | undefined
  /** Frames a second at most. `undefined`: no limit. */
  readonly rate: number | undefined
  /** The command ends after so many frames. `undefined`: no limit. */
  readonly count: number | undefined
  /** Whether each frame carries the time at which it was pushed. */
  readonly timestamp: boolean
  /** Whether the last frame is kept for later participants. The command then goes on after the source has ended. */
  readonly latch: boolean
  /**
   * Time after which a frame that was not sent is dropped, ms. `undefined`: frames are not dropped, and the source
   * waits until they are sent.
   */
  readonly maxAge: number | undefined
  /** Identity of a participant. The command publishes the track when this participant is in the room. */
  readonly waitFor: string | undefined
  /** Time between publishing and the first frame, s. */
  readonly settle: number
  /** Whether the first frame waits for a subscriber, instead of waiting for `settle`. */
  readonly waitForSubscriber: boolean
  readonly quiet: boolean
}

/** Exit codes of `datatrack pub`. 1 is an error, 2 a wrong command line. */
export const PubExit = {
  /** All frames were sent. */
  Ok: 0,
  /** Some frames were dropped. */
  Dropped: 3,
} as const

/** Time limit for sending the frames that are still queued when the source has ended, ms. */
const FLUSH = 10_000

/** Publishes until the source or the signal ends, and resolves with the exit code. */
export async function pub(options: PubOptions, signal: AbortSignal): Promise<number> {
  const { server } = options
  await checkSource(options.source)
  const token = tokenFor(server, 'pub', { canPublishData: true })
  const room = await joinRoom(server.url, token, { ...options.connect, encryption: options.encryption })
  try {
    const ended = untilDisconnected(room, signal)
    if (options.waitFor !== undefined) await participantIn(room, options.waitFor, ended)
    const track = await room.localParticipant.publishDataTrack({
      name: options.name,
      frameEncoding: options.frameEncoding,
      schema: options.schema,
      maxQueueAge: options.maxAge ?? Infinity,
      latch: options.latch,
      signal: ended,
    })
    if (!options.quiet) {
      note(`Publishing ${printable(track.name)} as ${printable(room.localParticipant.identity)}.`)
    }
    if (options.waitForSubscriber) await subscribed(track, AbortSignal.any([ended, track.signal]))
    else await settle(room, options.settle, ended)
    return await publishAll(track, options, AbortSignal.any([ended, track.signal]))
  } catch (error) {
    // The user pressed Ctrl-C before the track was published.
    if (signal.aborted && error === signal.reason) return PubExit.Ok
    throw error
  } finally {
    await room.disconnect()
  }
}

async function publishAll(track: LocalDataTrack, options: PubOptions, signal: AbortSignal): Promise<number> {
  const throughput = new Throughput()
  let refused = 0
  const dropped = (): string => dropsText(track.stats().dropped, { frameTooLarge: refused })
  const progress = new Progress(() => throughput.line(dropped()), { quiet: options.quiet, live: true })
  const source = openSource(options.source, signal)
  const frames = framesOf(options, source.bytes, track, () => (refused += 1))
  let failure: string | undefined
  let end: Error | undefined
  try {
    await pushFrames(frames, track, options, throughput, signal)
    if (options.count === undefined || throughput.frames < options.count) failure = await source.failure()
    source.close()
    if (options.latch && failure === undefined) await abortable(new Promise<never>(() => undefined), signal)
  } catch (error) {
    // After an abort, each kind of source fails with a different error. The signal's reason replaces it.
    end = (signal.aborted ? signal.reason : error) as Error
  } finally {
    source.close()
    await leave(track)
    progress.stop(`Published ${throughput.summary(dropped())}.`)
  }
  if (end !== undefined && !(end instanceof Stopped)) throw end
  if (failure !== undefined) throw new Error(failure)
  return Object.keys(dropsOf(track.stats().dropped)).length + refused > 0 ? PubExit.Dropped : PubExit.Ok
}

function framesOf(
  { source, chunk }: PubOptions,
  bytes: Readable,
  { maxFrameLength }: LocalDataTrack,
  tooLong: () => void,
): AsyncIterable<Uint8Array> {
  if (source.kind === 'message') return whole(bytes)
  return chunk === undefined ? lines(bytes, maxFrameLength, tooLong) : chunks(bytes, chunk)
}

/**
 * After a delay, frames that are late by at most so many ms are sent at once. More of them would be a burst, and the
 * server drops packets: while a subscriber's connection is new, the server queues at most 8 KiB for it.
 */
const CATCH_UP = 10

async function pushFrames(
  frames: AsyncIterable<Uint8Array>,
  track: LocalDataTrack,
  { rate, count: limit = Infinity, timestamp, maxAge }: PubOptions,
  throughput: Throughput,
  signal: AbortSignal,
): Promise<void> {
  const period = rate === undefined ? 0 : 1000 / rate
  let due = performance.now()
  for await (const payload of frames) {
    if (period > 0) {
      const wait = due - performance.now()
      if (wait > 0) await delay(wait, undefined, { signal })
      due = Math.max(due, performance.now() - CATCH_UP) + period
    }
    const frame = { payload, userTimestamp: timestamp ? now() : undefined }
    if (maxAge === undefined) await track.push(frame, { signal })
    else pushLive(track, frame)
    throughput.add(payload.byteLength)
    if (throughput.frames >= limit) break
  }
}

/** Pushes a frame without waiting. While the room is reconnecting, the frame is not sent: only new frames matter. */
function pushLive(
  track: LocalDataTrack,
  frame: { payload: Uint8Array; userTimestamp: bigint | undefined },
): void {
  try {
    track.tryPush(frame)
  } catch (error) {
    if (!(error instanceof DataTrackPushFrameError && error.reason === 'reconnecting')) throw error
  }
}

/** Waits until the queued frames are sent, and unpublishes the track. */
async function leave(track: LocalDataTrack): Promise<void> {
  if (!track.isPublished()) return
  await track.flush({ signal: AbortSignal.timeout(FLUSH) }).catch(() => undefined)
  await track.unpublish()
}

/** Waits until a participant subscribes. */
async function subscribed(track: LocalDataTrack, signal: AbortSignal): Promise<void> {
  if (track.hasSubscribers !== true) note('Waiting for a subscriber.')
  await track.waitForSubscriber({ signal })
}

/**
 * Waits so that participants can subscribe. Frames are lost until the server forwards the track to a subscriber. Not
 * all SDKs tell the publisher when that begins. In an empty room there is no participant to wait for.
 */
/** Gives participants time to subscribe. */
export async function settle(room: Room, seconds: number, signal: AbortSignal): Promise<void> {
  if (room.remoteParticipants.size === 0 || seconds === 0) return
  await delay(seconds * 1000, undefined, { signal }).catch(() => signal.throwIfAborted())
}

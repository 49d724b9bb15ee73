/**
 * Counters that add up: every frame that was pushed or arrived is counted somewhere, and every drop has a reason.
 *
 * - outgoing, frames: `pushed = sent + Σ dropped + queued`
 * - incoming, frames of a track: `opened = completed + Σ dropped + open`
 * - incoming, frames of a stream: `received = delivered + Σ dropped + buffered`
 * - incoming, packets: `received = accepted + Σ dropped + held`
 */
import type {
  NativeFrameStats,
  NativePacketStats,
  NativeSendStats,
  NativeStreamStats,
} from '../native/native'

/** The number of drops for each reason. A reason that never occurred may be missing. */
export type DropCounts<Reason extends string> = Readonly<Partial<Record<Reason, number>>>

/** Why an accepted frame was not sent. */
export type SendDropReason =
  /** The queue was over `maxQueueBytes`, and a newer frame took this frame's place. */
  | 'queueFull'
  /** The frame waited longer than `maxQueueAge`, and a newer one was behind it. */
  | 'timedOut'
  /** The track ended while the frame was in the queue. */
  | 'unpublished'
  /** The connection was lost while the frame was in the queue or partly sent. */
  | 'connectionLost'
  /** No key was set in time. */
  | 'noKey'

/** Why a received packet did not become part of a frame. */
export type PacketDropReason =
  /** It is not a data track packet of version 0. */
  | 'malformed'
  /** The handle is not in the SFU's table, and the wait for the table had ended or its buffer was full. */
  | 'unknownHandle'
  /** The packet belongs to an earlier server session. */
  | 'staleEpoch'
  /** The same packet arrived before, or its frame is already complete. */
  | 'duplicate'
  /** Its frame was given up before. */
  | 'superseded'
  /** The packet contradicts other packets of its frame, or exceeds the limits. */
  | 'inconsistent'
  /** The application no longer subscribes to the track. */
  | 'unsubscribed'

/** Why a frame was not completed although at least one of its packets was accepted. */
export type FrameDropReason =
  /** Newer frames took its place before all its packets arrived. */
  | 'incomplete'
  /** It is older than a frame that was already delivered, and with `maxPartialFrames: 1` no older frame may follow. */
  | 'superseded'
  /** Its packets did not all arrive in time. */
  | 'timedOut'
  /** Its packets contradict each other, or it exceeds the limits. */
  | 'malformed'
  /** No key decrypts it. */
  | 'decryptionFailed'
  /** There is no key for its publisher. */
  | 'noKey'
  /** The track is encrypted, but the frame is marked as not encrypted. */
  | 'unencrypted'
  /** The subscription, the track or the connection ended before the frame was complete. */
  | 'ended'

/** Why a complete frame did not reach the reader of a stream. */
export type StreamDropReason =
  /** The reader was too slow: the stream's buffer was full, or the frame was too old. */
  | 'tooSlow'
  /** The stream was closed while the frame was in its buffer. */
  | 'closed'
  /** With `latest: true`: the same frame or a newer one, which the publisher had kept, was delivered instead. */
  | 'superseded'
  /** The codec could not decode it, or the custom provider could not decrypt it. */
  | 'decodeFailed'

/** Counters of a published track. */
export interface DataTrackSendStats {
  /** Accepted frames. */
  readonly pushed: number
  /** Frames whose last packet the transport accepted. */
  readonly sent: number
  /** Frames dropped after they were accepted. */
  readonly dropped: DropCounts<SendDropReason>
  /** Frames in the queue. */
  readonly queued: number
  /** Bytes in the queue, headers included. */
  readonly queuedBytes: number
  readonly packetsSent: number
  /** Headers included. */
  readonly bytesSent: number
  /** Frames refused with an error. They are not part of `pushed`. */
  readonly refused: number
}

/** Counters of the packets that a participant received. */
export interface DataTrackPacketStats {
  readonly received: number
  /** Headers included. */
  readonly bytesReceived: number
  /** Packets that became part of a frame. */
  readonly accepted: number
  readonly dropped: DropCounts<PacketDropReason>
  /** Packets held until the SFU names their track. */
  readonly held: number
}

/** Counters of the frames of a remote track. */
export interface DataTrackFrameStats {
  /** Frames of which at least one packet was accepted. */
  readonly opened: number
  /** Frames that were completed, decrypted and handed to the streams. */
  readonly completed: number
  readonly dropped: DropCounts<FrameDropReason>
  /** Frames that miss packets or wait for a key. */
  readonly open: number
}

/** Counters of one stream. */
export interface DataTrackStreamStats {
  /** Frames completed while the stream was open, and latched frames. */
  readonly received: number
  /** Frames that the reader took. */
  readonly delivered: number
  readonly dropped: DropCounts<StreamDropReason>
  /** Frames that wait for the reader. */
  readonly buffered: number
  /** Memory of the frames in `buffered`, in bytes: their payloads, and 128 for each packet that they arrived in. */
  readonly bufferedBytes: number
}

// The native side uses the same names; only its index type is wider.

/** @internal */
export const sendStats = (stats: NativeSendStats): DataTrackSendStats => stats
/** @internal */
export const packetStats = (stats: NativePacketStats): DataTrackPacketStats => stats
/** @internal */
export const frameStats = (stats: NativeFrameStats): DataTrackFrameStats => stats
/** @internal */
export const streamStats = (stats: NativeStreamStats): DataTrackStreamStats => stats

/** @internal */
export const nothingSent: DataTrackSendStats = {
  pushed: 0,
  sent: 0,
  dropped: {},
  queued: 0,
  queuedBytes: 0,
  packetsSent: 0,
  bytesSent: 0,
  refused: 0,
}

/** @internal The sum of two tracks' counters. */
export function sumOfSent(one: DataTrackSendStats, other: DataTrackSendStats): DataTrackSendStats {
  const dropped: Partial<Record<SendDropReason, number>> = { ...one.dropped }
  for (const [reason, count] of Object.entries(other.dropped) as [SendDropReason, number][]) {
    dropped[reason] = (dropped[reason] ?? 0) + count
  }
  return {
    pushed: one.pushed + other.pushed,
    sent: one.sent + other.sent,
    dropped,
    queued: one.queued + other.queued,
    queuedBytes: one.queuedBytes + other.queuedBytes,
    packetsSent: one.packetsSent + other.packetsSent,
    bytesSent: one.bytesSent + other.bytesSent,
    refused: one.refused + other.refused,
  }
}

/**
 * Counters that close: whatever was pushed or arrived is somewhere, and what was dropped has a reason.
 *
 * - out, frames: `pushed = sent + Σ dropped + queued`
 * - in, frames of a track: `opened = completed + Σ dropped + open`
 * - in, frames of a stream: `received = delivered + Σ dropped + buffered`
 * - in, packets: `received = accepted + Σ dropped + held`
 */
import type {
  NativeFrameStats,
  NativePacketStats,
  NativeSendStats,
  NativeStreamStats,
} from '../native/native'

/** How many were dropped, by reason; reasons that never occurred may be missing. */
export type DropCounts<Reason extends string> = Readonly<Partial<Record<Reason, number>>>

/** Why a frame that was accepted never left. */
export type SendDropReason =
  /** The queue was over `maxQueueBytes`, and a newer frame took its place. */
  | 'queueFull'
  /** It had waited longer than `maxQueueAge` while a newer one stood behind it. */
  | 'timedOut'
  /** The track ended while it was queued. */
  | 'unpublished'
  /** The connection was lost while it was queued or partly sent. */
  | 'connectionLost'
  /** No key came for it. */
  | 'noKey'

/** Why a packet that arrived did not become part of a frame. */
export type PacketDropReason =
  /** It is no data track packet of version 0. */
  | 'malformed'
  /** Its handle is not in the SFU's table, and the wait for the table was over or full. */
  | 'unknownHandle'
  /** It belongs to an earlier session of the connection. */
  | 'staleEpoch'
  /** The same packet, or another one of a frame that is finished. */
  | 'duplicate'
  /** Its frame was given up before. */
  | 'superseded'
  /** It contradicts other packets of its frame, or is beyond the limits. */
  | 'inconsistent'
  /** Nobody subscribes to the track any more. */
  | 'unsubscribed'

/** Why a frame that was opened was not completed. */
export type FrameDropReason =
  /** Newer frames took its place before all of its packets were there. */
  | 'incomplete'
  /** It is older than one that was delivered, and no older one may follow. */
  | 'superseded'
  /** Its packets did not all come in time. */
  | 'timedOut'
  /** Its packets contradict each other, or it is larger than the limits. */
  | 'malformed'
  /** No key opens it. */
  | 'decryptionFailed'
  /** There is no key for its publisher. */
  | 'noKey'
  /** It should be encrypted and says that it is not. */
  | 'unencrypted'
  /** The subscription, the track or the connection ended first. */
  | 'ended'

/** Why a complete frame never reached the reader of a stream. */
export type StreamDropReason =
  /** The reader was too slow: the stream's buffer was full, or the frame too old. */
  | 'tooSlow'
  /** The stream was closed while it was buffered. */
  | 'closed'
  /** The codec could not decode it, or the custom provider could not open it. */
  | 'decodeFailed'

/** Counters of a published track. */
export interface DataTrackSendStats {
  /** Frames that were accepted. */
  readonly pushed: number
  /** Frames whose last packet the transport accepted. */
  readonly sent: number
  /** Frames that were dropped after they were accepted. */
  readonly dropped: DropCounts<SendDropReason>
  /** Frames that wait in the queue. */
  readonly queued: number
  /** Bytes that wait in the queue, headers included. */
  readonly queuedBytes: number
  readonly packetsSent: number
  /** Headers included. */
  readonly bytesSent: number
  /** Frames that were refused with an error; they are not in `pushed`. */
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
  /** Packets that wait for the SFU to name their track. */
  readonly held: number
}

/** Counters of the frames of a remote track. */
export interface DataTrackFrameStats {
  /** Frames of which at least one packet was accepted. */
  readonly opened: number
  /** Frames that were completed, decrypted and handed to the streams. */
  readonly completed: number
  readonly dropped: DropCounts<FrameDropReason>
  /** Frames of which packets are missing, or which wait for a key. */
  readonly open: number
}

/** Counters of one stream. */
export interface DataTrackStreamStats {
  /** Frames that were completed while the stream was open. */
  readonly received: number
  /** Frames that the reader took. */
  readonly delivered: number
  readonly dropped: DropCounts<StreamDropReason>
  /** Frames that wait for the reader. */
  readonly buffered: number
  /** Their memory, in bytes: the payloads, and 128 for each packet that they came in. */
  readonly bufferedBytes: number
}

// The native side's names are these names; only its index type is wider.

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

/** @internal The counters of two tracks together. */
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

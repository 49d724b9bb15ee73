/**
 * Statistics of audio tracks in the form of W3C's webrtc-stats: one flat object for each stream of packets. Times are in
 * seconds, timestamps in ms, as there.
 */
import type { AudioSenderStats, AudioStreamStats } from './audio-stats'

/** Fields that all statistics have. */
export interface RtcStatsBase {
  /** Different for each of them, and the same in later results. */
  readonly id: string
  /** When the values were read, in ms since 1970. */
  readonly timestamp: number
}

/** What an `AudioStream` has received and made of it: `RTCInboundRtpStreamStats`. */
export interface InboundRtpStats extends RtcStatsBase {
  readonly type: 'inbound-rtp'
  readonly kind: 'audio'
  /** The SID of the track. */
  readonly trackIdentifier: string
  /** Packets that arrived. */
  readonly packetsReceived: number
  /** Packets that did not arrive in time. */
  readonly packetsLost: number
  /** Packets that arrived and were not played: they came too late or too early, twice, or could not be read. */
  readonly packetsDiscarded: number
  /** Packets that were lost and could be played, because later ones repeated them (RED). */
  readonly fecPacketsReceived: number
  /** Samples of each channel that were made: all of them. */
  readonly totalSamplesReceived: number
  /** … of them those that take the place of lost ones, and silence, because nothing arrived. */
  readonly concealedSamples: number
  /** … of them those that are silence. */
  readonly silentConcealedSamples: number
  /** Seconds of sound that were made. */
  readonly totalSamplesDuration: number
}

/** What a published track has sent: `RTCOutboundRtpStreamStats`. */
export interface OutboundRtpStats extends RtcStatsBase {
  readonly type: 'outbound-rtp'
  readonly kind: 'audio'
  /** The SID of the track. */
  readonly trackIdentifier: string
  /** Whether the track is published and not muted. */
  readonly active: boolean
  readonly packetsSent: number
  /** Bytes of the packets, without headers. */
  readonly bytesSent: number
}

/** The result of `room.getRtcStats()`. */
export interface RtcStats {
  /** One for each track that the local participant publishes. */
  readonly publisherStats: readonly OutboundRtpStats[]
  /** One for each open `AudioStream`: each of them decodes by itself. A track that nothing reads has none. */
  readonly subscriberStats: readonly InboundRtpStats[]
}

const now = (): number => performance.timeOrigin + performance.now()

/** @internal `number`: which of the track's streams. */
export function inboundRtp(
  sid: string,
  number: number,
  sampleRate: number,
  stats: AudioStreamStats,
): InboundRtpStats {
  const samples = stats.samplesDecoded + stats.samplesConcealed + stats.samplesSilent
  const { packetsLate, packetsDuplicate, packetsInvalid, packetsSurplus, packetsUndecryptable } = stats
  return {
    id: `inbound-rtp ${sid} ${number}`,
    timestamp: now(),
    type: 'inbound-rtp',
    kind: 'audio',
    trackIdentifier: sid,
    packetsReceived: stats.packetsReceived - stats.packetsRepaired,
    packetsLost: stats.packetsLost,
    packetsDiscarded:
      packetsLate +
      packetsDuplicate +
      packetsInvalid +
      packetsSurplus +
      packetsUndecryptable +
      stats.packetsDiscarded,
    fecPacketsReceived: stats.packetsRepaired,
    totalSamplesReceived: samples,
    concealedSamples: stats.samplesConcealed + stats.samplesSilent,
    silentConcealedSamples: stats.samplesSilent,
    totalSamplesDuration: samples / sampleRate,
  }
}

/** @internal */
export function outboundRtp(sid: string, active: boolean, stats: AudioSenderStats): OutboundRtpStats {
  const { packetsSent, bytesSent } = stats
  const id = `outbound-rtp ${sid}`
  return {
    id,
    timestamp: now(),
    type: 'outbound-rtp',
    kind: 'audio',
    trackIdentifier: sid,
    active,
    packetsSent,
    bytesSent,
  }
}

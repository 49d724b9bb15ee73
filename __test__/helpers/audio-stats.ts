import type { AudioSenderStats, AudioStreamStats } from '../../index'

/** Whether the counters of a published track add up. */
export function senderCloses(stats: AudioSenderStats): boolean {
  const packets = stats.packetsSent + stats.packetsDropped + stats.packetsQueued
  return stats.units === packets + stats.unitsWithheld + stats.unitsMuted + stats.unitsFailed
}

/** Whether the counters of an audio stream add up. */
export function closes(stats: AudioStreamStats): boolean {
  return (
    stats.packetsReceived ===
      stats.packetsDecoded +
        stats.packetsLate +
        stats.packetsDuplicate +
        stats.packetsInvalid +
        stats.packetsSurplus +
        stats.packetsDiscarded +
        stats.packetsUndecryptable +
        stats.packetsHeld &&
    stats.framesProduced === stats.framesDelivered + stats.framesDropped + stats.framesQueued
  )
}

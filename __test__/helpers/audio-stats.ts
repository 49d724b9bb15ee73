import type { AudioStreamStats } from '../../index'

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

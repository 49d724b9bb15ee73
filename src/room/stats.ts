/** Figures of a room as a whole: what its connection carries, and how often it had to be rebuilt. */
import type { DataTrackPacketStats, DataTrackSendStats } from '../data-track/stats'
import type { ConnectionStats } from '../connection/stats'

/** What {@link Room.stats} returns. */
export interface RoomStats {
  /** When the room was connected; `undefined` while it is not. */
  readonly connectedAt: Date | undefined
  /** When the connection came back last; `undefined` if it was never lost. */
  readonly reconnectedAt: Date | undefined
  /** How often the connection came back within the same session. */
  readonly resumes: number
  /** How often it came back as a new session, with new SIDs. */
  readonly rebuilds: number
  /** The connection to the server; `undefined` in a loopback, and while the room is not connected. */
  readonly connection: ConnectionStats | undefined
  /** Frames out: the sum of the tracks' own counters, those that have ended included. */
  readonly sent: DataTrackSendStats
  /** Packets in, as {@link Room.packetStats} has them. */
  readonly received: DataTrackPacketStats
}

/** @internal When a room was connected, and how often it came back. */
export class ConnectionHistory {
  #connectedAt: Date | undefined
  #reconnectedAt: Date | undefined
  #resumes = 0
  #rebuilds = 0

  resumed(): void {
    this.#resumes += 1
    this.#reconnectedAt = new Date()
  }

  rebuilt(): void {
    this.#rebuilds += 1
    this.#reconnectedAt = new Date()
  }

  connected(): void {
    this.#connectedAt = new Date()
  }

  stats(): Pick<RoomStats, 'connectedAt' | 'reconnectedAt' | 'resumes' | 'rebuilds'> {
    return {
      connectedAt: this.#connectedAt,
      reconnectedAt: this.#reconnectedAt,
      resumes: this.#resumes,
      rebuilds: this.#rebuilds,
    }
  }
}

/** Statistics of a whole room: its connection, and how often it was resumed and rebuilt. */
import type { DataTrackPacketStats, DataTrackSendStats } from '../data-track/stats'
import type { ConnectionStats } from '../connection/stats'

/** The result of {@link Room.stats}. */
export interface RoomStats {
  /** When the room was connected; `undefined` while it is disconnected. */
  readonly connectedAt: Date | undefined
  /** When the connection last came back; `undefined` if it was never lost. */
  readonly reconnectedAt: Date | undefined
  /** How often the connection was resumed: back in the same server session. */
  readonly resumes: number
  /** How often the connection was rebuilt: back in a new server session, with new SIDs. */
  readonly rebuilds: number
  /** The connection to the server; `undefined` in a loopback, and while the room is not connected. */
  readonly connection: ConnectionStats | undefined
  /** Sent frames: the sum of all local tracks' counters, ended tracks included. */
  readonly sent: DataTrackSendStats
  /** Received packets, as in {@link Room.packetStats}. */
  readonly received: DataTrackPacketStats
}

/** @internal When a room was connected, and how often it was resumed and rebuilt. */
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

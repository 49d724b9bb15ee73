/** A remote participant. */
import { DeferrableMap } from './deferrable-map'
import type { RemoteDataTrack } from '../data-track/remote'
import type { DisconnectReason } from '../connection/disconnect-reason'
import type { RemoteTrackPublication } from '../media/remote-publication'
import { Participant } from './participant'

/** A remote participant. */
export class RemoteParticipant extends Participant {
  #disconnectReason: DisconnectReason | undefined

  /** Why the participant left; `undefined` while it is in the room, and if the server gave no reason. */
  get disconnectReason(): DisconnectReason | undefined {
    return this.#disconnectReason
  }

  /** @internal The participant has left. */
  leftFor(reason: DisconnectReason | undefined): void {
    this.#disconnectReason = reason
  }

  /** @internal The protocol of the participant's client: 0, 1 (RPC over streams), 2 (streams in one packet, too). */
  get clientProtocol(): number {
    return this.info.clientProtocol ?? 0
  }

  /** @internal The `livekit.ClientInfo.Capability` values of the participant's client. */
  get capabilities(): readonly number[] {
    return this.info.capabilities ?? []
  }

  /** The participant's audio tracks by SID. Do not change the map. */
  readonly trackPublications: Map<string, RemoteTrackPublication> = new Map<string, RemoteTrackPublication>()

  /**
   * The participant's data tracks by name. Do not change the map.
   *
   *     const imu = await participant.dataTracks.getDeferred('imu', signal)
   */
  readonly dataTracks: DeferrableMap<string, RemoteDataTrack> = new DeferrableMap()
}

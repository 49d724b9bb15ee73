/** The data tracks of a room's remote participants: as the participants have them, and in the loops of `dataTracks`. */
import type { RemoteDataTrack } from '../data-track/remote'
import { RoomEvent } from './events'
import type { TellRoomEvent } from './events'
import type { RemoteParticipant } from './remote-participant'
import { TrackQueue } from './track-queue'
import type { TrackFilter } from './track-queue'

/** See the top of this file. It lives as long as the room, across connections. */
export class RemoteTracks {
  readonly #participants: ReadonlyMap<string, RemoteParticipant>
  readonly #tell: TellRoomEvent
  readonly #queues = new Set<TrackQueue>()

  constructor(participants: ReadonlyMap<string, RemoteParticipant>, tell: TellRoomEvent) {
    this.#participants = participants
    this.#tell = tell
  }

  /** A loop over `existing` tracks, then over new ones. */
  loop(
    filter: TrackFilter,
    signal: AbortSignal | undefined,
    existing: Iterable<RemoteDataTrack>,
  ): TrackQueue {
    const queue = new TrackQueue(filter, signal, (ended) => this.#queues.delete(ended))
    if (signal?.aborted === true) return queue
    for (const track of existing) queue.add(track)
    this.#queues.add(queue)
    return queue
  }

  published(track: RemoteDataTrack): void {
    const tracks = this.#participants.get(track.publisherIdentity)?.dataTracks
    tracks?.set(track.name, track)
    tracks?.announce(track.name)
    for (const queue of [...this.#queues]) queue.add(track)
    this.#tell(RoomEvent.DataTrackPublished, track)
  }

  permissionChanged(track: RemoteDataTrack): void {
    const participant = this.#participants.get(track.publisherIdentity)
    if (participant === undefined) return
    this.#tell(RoomEvent.TrackSubscriptionPermissionChanged, track, track.permissionStatus, participant)
  }

  unpublished(track: RemoteDataTrack): void {
    const tracks = this.#participants.get(track.publisherIdentity)?.dataTracks
    // A new track with the same name may have replaced it.
    if (tracks?.get(track.name) === track) tracks.delete(track.name)
    for (const queue of [...this.#queues]) queue.remove(track)
    this.#tell(RoomEvent.DataTrackUnpublished, track.info.sid, track)
  }

  /** The room was disconnected: the loops end. */
  end(): void {
    for (const queue of [...this.#queues]) queue.end()
  }
}

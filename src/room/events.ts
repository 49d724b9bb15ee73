/** Events of rooms. Names are livekit-client's. */
import type { DisconnectReason } from '../connection/disconnect-reason'
import type { LocalDataTrack } from '../data-track/local'
import type { RemoteDataTrack } from '../data-track/remote'
import type { DataTrackE2eeError, DataTrackUnpublishedError } from '../base/errors'
import type { LocalParticipant, RemoteParticipant } from './participant'
import type { ParticipantPermissions } from './participant-info'

/** Names of a room's events. */
export const RoomEvent = {
  /** The room is connected. */
  Connected: 'connected',
  /** The connection is lost and being rebuilt; tracks and streams are kept. */
  Reconnecting: 'reconnecting',
  /** The connection is back. */
  Reconnected: 'reconnected',
  /** The room is disconnected for good; all tracks and streams have ended. */
  Disconnected: 'disconnected',
  /** `room.state` has changed. */
  ConnectionStateChanged: 'connectionStateChanged',
  /** Somebody joined; once for each who was there already, too. */
  ParticipantConnected: 'participantConnected',
  /** Somebody left. Their tracks were unpublished before. */
  ParticipantDisconnected: 'participantDisconnected',
  /** A participant's metadata has changed; one's own, too, as with the next three. */
  ParticipantMetadataChanged: 'participantMetadataChanged',
  /** A participant's name has changed. */
  ParticipantNameChanged: 'participantNameChanged',
  /** Some of a participant's attributes have changed. */
  ParticipantAttributesChanged: 'participantAttributesChanged',
  /** What a participant may do has changed. */
  ParticipantPermissionsChanged: 'participantPermissionsChanged',
  /** The room's metadata have changed. */
  RoomMetadataChanged: 'roomMetadataChanged',
  /** The server moved the local participant to another room; participants and tracks of the old room have ended. */
  Moved: 'moved',
  /** A data track can be subscribed to; once for each that was there already, too. */
  DataTrackPublished: 'dataTrackPublished',
  /** A data track is gone. */
  DataTrackUnpublished: 'dataTrackUnpublished',
  /** A data track of the local participant is published. */
  LocalDataTrackPublished: 'localDataTrackPublished',
  /** A data track of the local participant has ended. */
  LocalDataTrackUnpublished: 'localDataTrackUnpublished',
  /** Frames could not be encrypted or decrypted; at most one a second for each participant and reason. */
  EncryptionError: 'encryptionError',
  /** A data packet came. */
  DataReceived: 'dataReceived',
} as const

/** State of a room's connection. Names are livekit-client's. */
export type ConnectionState = 'disconnected' | 'connecting' | 'connected' | 'reconnecting'

/** How a data packet travelled: in order and without loss, or neither. */
export type DataPacketKind = 'reliable' | 'lossy'

/** Listeners of a room's events. */
export interface RoomEvents {
  connected: () => void
  reconnecting: () => void
  reconnected: () => void
  disconnected: (reason: DisconnectReason) => void
  connectionStateChanged: (state: ConnectionState) => void
  participantConnected: (participant: RemoteParticipant) => void
  participantDisconnected: (participant: RemoteParticipant) => void
  /** `previous`: the metadata before; the participant has the new ones. */
  participantMetadataChanged: (previous: string, participant: LocalParticipant | RemoteParticipant) => void
  participantNameChanged: (name: string, participant: LocalParticipant | RemoteParticipant) => void
  /** `changed`: those that changed, as they are now; an empty value: it is gone. */
  participantAttributesChanged: (
    changed: Readonly<Record<string, string>>,
    participant: LocalParticipant | RemoteParticipant,
  ) => void
  /** `previous`: the permissions before; the participant has the new ones. */
  participantPermissionsChanged: (
    previous: ParticipantPermissions | undefined,
    participant: LocalParticipant | RemoteParticipant,
  ) => void
  roomMetadataChanged: (metadata: string) => void
  /** `name`: of the room that the local participant is in now. */
  moved: (name: string) => void
  dataTrackPublished: (track: RemoteDataTrack) => void
  /** livekit-client has only the SID. */
  dataTrackUnpublished: (sid: string, track: RemoteDataTrack) => void
  /** `never`: an event cannot know what the track's codec takes. */
  localDataTrackPublished: (track: LocalDataTrack<never>) => void
  localDataTrackUnpublished: (sid: string, reason: DataTrackUnpublishedError) => void
  /** `participant`: whose frames; `undefined` for one's own, and for somebody who left. */
  encryptionError: (error: DataTrackE2eeError, participant: RemoteParticipant | undefined) => void
  /** `participant`: the sender; `undefined` for the server's API, and for somebody who is not (or no longer) known. */
  dataReceived: (
    payload: Uint8Array,
    participant: RemoteParticipant | undefined,
    kind: DataPacketKind,
    topic: string | undefined,
  ) => void
}

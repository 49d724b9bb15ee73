/** Events of rooms. The names are livekit-client's. */
import type { DisconnectReason } from '../connection/disconnect-reason'
import type { DataTrackInfo } from '../data-track/info'
import type { LocalDataTrack } from '../data-track/local'
import type { RemoteDataTrack, TrackPermissionStatus } from '../data-track/remote'
import type { DataTrackE2eeError, DataTrackUnpublishedError } from '../base/errors'
import type { ConnectionQuality } from './activity'
import type { ChatMessage } from './chat'
import type { SipDTMF } from './dtmf'
import type { LocalParticipant } from './local-participant'
import type { LocalTrackPublication } from '../media/local-publication'
import type { RemoteAudioTrack } from '../media/remote-audio-track'
import type { RemoteTrackPublication } from '../media/remote-publication'
import type { RemoteParticipant } from './remote-participant'
import type { ParticipantPermissions } from './participant-info'
import type { TranscriptionSegment } from './transcription-packets'

/** Names of a room's events. */
export const RoomEvent = {
  /** The room is connected. */
  Connected: 'connected',
  /** The connection is lost, and the room is reconnecting. Tracks and streams are kept. */
  Reconnecting: 'reconnecting',
  /** The connection is back: resumed or rebuilt. */
  Reconnected: 'reconnected',
  /** The room is disconnected for good. All tracks and streams have ended. */
  Disconnected: 'disconnected',
  /**
   * Signalling is connected. Emitted in each reconnect, too. Data can flow only from `Connected` or `Reconnected` on.
   */
  SignalConnected: 'signalConnected',
  /** Signalling is lost, and the room is going to resume its session. `Reconnecting` follows in any case. */
  SignalReconnecting: 'signalReconnecting',
  /** The room has a new token, from the server or from the application's token source. Later connections use it. */
  TokenRefreshed: 'tokenRefreshed',
  /** `room.state` has changed. */
  ConnectionStateChanged: 'connectionStateChanged',
  /** A remote participant joined. Emitted once for each participant that was already there, too. */
  ParticipantConnected: 'participantConnected',
  /**
   * Data can be sent to a remote participant. Emitted once for each of its sessions, after `ParticipantConnected`.
   * Emitted for participants that were already active, too.
   */
  ParticipantActive: 'participantActive',
  /** A remote participant left. Its tracks were unpublished before. */
  ParticipantDisconnected: 'participantDisconnected',
  /** A participant's metadata changed. This and the next three are emitted for the local participant, too. */
  ParticipantMetadataChanged: 'participantMetadataChanged',
  /** A participant's name changed. */
  ParticipantNameChanged: 'participantNameChanged',
  /** Some of a participant's attributes changed. */
  ParticipantAttributesChanged: 'participantAttributesChanged',
  /** A participant's permissions changed. */
  ParticipantPermissionsChanged: 'participantPermissionsChanged',
  /** The list of participants that speak has changed, or how loud they speak. */
  ActiveSpeakersChanged: 'activeSpeakersChanged',
  /** The quality of a participant's connection changed. */
  ConnectionQualityChanged: 'connectionQualityChanged',
  /** The room's metadata changed. */
  RoomMetadataChanged: 'roomMetadataChanged',
  /** A recording of the room has begun or ended. */
  RecordingStatusChanged: 'recordingStatusChanged',
  /** The server moved the local participant to another room. Participants and tracks of the old room are gone. */
  Moved: 'moved',
  /** A remote participant published an audio track. Emitted once for each track that was already there, too. */
  TrackPublished: 'trackPublished',
  /** A remote audio track was unpublished, or its publisher left. */
  TrackUnpublished: 'trackUnpublished',
  /** The server sends an audio track, so that it can be heard. */
  TrackSubscribed: 'trackSubscribed',
  /** The server no longer sends an audio track. */
  TrackUnsubscribed: 'trackUnsubscribed',
  /** An audio track cannot be subscribed to. */
  TrackSubscriptionFailed: 'trackSubscriptionFailed',
  /** An audio track of the local participant was published. */
  LocalTrackPublished: 'localTrackPublished',
  /** An audio track of the local participant is published no longer: by the program, by the server, or with the room. */
  LocalTrackUnpublished: 'localTrackUnpublished',
  /** The connection was rebuilt, and an audio track of the local participant has a new SID. */
  LocalTrackRepublished: 'localTrackRepublished',
  /** A participant has subscribed to an audio track of the local participant for the first time. */
  LocalTrackSubscribed: 'localTrackSubscribed',
  /** An audio track was muted: by its publisher, or by the server. The local participant's tracks are among them. */
  TrackMuted: 'trackMuted',
  /** An audio track was unmuted. */
  TrackUnmuted: 'trackUnmuted',
  /** A data track can be subscribed to. Emitted once for each track that was already there, too. */
  DataTrackPublished: 'dataTrackPublished',
  /**
   * A publisher lets the local participant subscribe to its track, or does so no longer. The server reports it for
   * tracks to which the local participant has requested a subscription, even if the request was refused.
   */
  TrackSubscriptionPermissionChanged: 'trackSubscriptionPermissionChanged',
  /** A remote data track was unpublished. */
  DataTrackUnpublished: 'dataTrackUnpublished',
  /** A data track of the local participant was published. */
  LocalDataTrackPublished: 'localDataTrackPublished',
  /** A data track of the local participant ended. */
  LocalDataTrackUnpublished: 'localDataTrackUnpublished',
  /**
   * A data track of the local participant now has subscribers, now has none, or it is no longer known whether it has
   * any; see {@link LocalDataTrack.hasSubscribers}. Register the listener before you publish, so that the room asks the
   * other participants.
   */
  LocalDataTrackDemandChanged: 'localDataTrackDemandChanged',
  /** Frames could not be encrypted or decrypted. At most one event a second for each participant and reason. */
  EncryptionError: 'encryptionError',
  /** A data packet arrived. */
  DataReceived: 'dataReceived',
  /** The local participant sent or edited a chat message, or one arrived. */
  ChatMessage: 'chatMessage',
  /** A digit was dialled, on a telephone that takes part by SIP. */
  SipDTMFReceived: 'sipDTMFReceived',
  /** A transcription packet arrived. Agents also send text streams; see `room.transcriptions()`. */
  TranscriptionReceived: 'transcriptionReceived',
} as const

/** State of a room's connection. The names are livekit-client's. */
export type ConnectionState = 'disconnected' | 'connecting' | 'connected' | 'reconnecting'

/** How a data packet was sent: `reliable` is in order and without loss, `lossy` is neither. */
export type DataPacketKind = 'reliable' | 'lossy'

/** How a data packet was end-to-end encrypted: not at all, or with AES-GCM. */
export type EncryptionType = 'none' | 'gcm'

/**
 * Why an audio track cannot be subscribed to. `noDecryption`: the track is end-to-end encrypted, and the room does not
 * have the built-in encryption. `unencrypted`: the room is end-to-end encrypted, and the track is not. `limitReached`:
 * the room wants as many tracks as a connection has sections for, 256. The others are the server's.
 */
export type TrackSubscriptionFailure =
  'noDecryption' | 'unencrypted' | 'limitReached' | 'codecUnsupported' | 'trackNotFound' | 'unknown'

/** Listeners of a room's events. */
export interface RoomEvents {
  connected: () => void
  reconnecting: () => void
  reconnected: () => void
  disconnected: (reason: DisconnectReason) => void
  signalConnected: () => void
  signalReconnecting: () => void
  /** `token`: the new token. It is a secret: do not log it. */
  tokenRefreshed: (token: string) => void
  connectionStateChanged: (state: ConnectionState) => void
  participantConnected: (participant: RemoteParticipant) => void
  participantActive: (participant: RemoteParticipant) => void
  /** `reason`: why the participant left; `undefined` if the server gave no reason. */
  participantDisconnected: (participant: RemoteParticipant, reason?: DisconnectReason) => void
  /** `previous`: the metadata before the change; the participant has the new metadata. */
  participantMetadataChanged: (previous: string, participant: LocalParticipant | RemoteParticipant) => void
  participantNameChanged: (name: string, participant: LocalParticipant | RemoteParticipant) => void
  /** `changed`: the changed attributes with their new values; an empty value means that the attribute was removed. */
  participantAttributesChanged: (
    changed: Readonly<Record<string, string>>,
    participant: LocalParticipant | RemoteParticipant,
  ) => void
  /** `previous`: the permissions before the change; the participant has the new ones. */
  participantPermissionsChanged: (
    previous: ParticipantPermissions | undefined,
    participant: LocalParticipant | RemoteParticipant,
  ) => void
  /** `speakers`: all participants that speak now, the loudest first. */
  activeSpeakersChanged: (speakers: (LocalParticipant | RemoteParticipant)[]) => void
  connectionQualityChanged: (
    quality: ConnectionQuality,
    participant: LocalParticipant | RemoteParticipant,
  ) => void
  roomMetadataChanged: (metadata: string) => void
  recordingStatusChanged: (isRecording: boolean) => void
  /** `name`: the name of the room that the local participant is in now. */
  moved: (name: string) => void
  trackPublished: (publication: RemoteTrackPublication, participant: RemoteParticipant) => void
  trackUnpublished: (publication: RemoteTrackPublication, participant: RemoteParticipant) => void
  trackSubscribed: (
    track: RemoteAudioTrack,
    publication: RemoteTrackPublication,
    participant: RemoteParticipant,
  ) => void
  trackUnsubscribed: (
    track: RemoteAudioTrack,
    publication: RemoteTrackPublication,
    participant: RemoteParticipant,
  ) => void
  trackSubscriptionFailed: (
    trackSid: string,
    participant: RemoteParticipant,
    reason: TrackSubscriptionFailure,
  ) => void
  localTrackPublished: (publication: LocalTrackPublication, participant: LocalParticipant) => void
  localTrackUnpublished: (publication: LocalTrackPublication, participant: LocalParticipant) => void
  /** `previousSid`: the SID that the track had before; the publication has the new one. */
  localTrackRepublished: (
    publication: LocalTrackPublication,
    previousSid: string,
    participant: LocalParticipant,
  ) => void
  localTrackSubscribed: (publication: LocalTrackPublication, participant: LocalParticipant) => void
  trackMuted: (
    publication: LocalTrackPublication | RemoteTrackPublication,
    participant: LocalParticipant | RemoteParticipant,
  ) => void
  trackUnmuted: (
    publication: LocalTrackPublication | RemoteTrackPublication,
    participant: LocalParticipant | RemoteParticipant,
  ) => void
  dataTrackPublished: (track: RemoteDataTrack) => void
  trackSubscriptionPermissionChanged: (
    track: RemoteDataTrack,
    status: TrackPermissionStatus,
    participant: RemoteParticipant,
  ) => void
  /** The event's first argument is livekit-client's only one. */
  dataTrackUnpublished: (sid: string, track: RemoteDataTrack) => void
  /** `never`: the event does not know the type that the track's codec accepts. */
  localDataTrackPublished: (track: LocalDataTrack<never>) => void
  localDataTrackUnpublished: (sid: string, reason: DataTrackUnpublishedError) => void
  /** `hasSubscribers`: `undefined` if it is no longer known whether the track has subscribers. */
  localDataTrackDemandChanged: (hasSubscribers: boolean | undefined, info: DataTrackInfo) => void
  /** `participant`: the publisher of the frames; `undefined` for the local participant and for one that has left. */
  encryptionError: (error: DataTrackE2eeError, participant: RemoteParticipant | undefined) => void
  /**
   * `participant`: the sender; `undefined` for the server's API, and for a participant that is not known (any more).
   */
  dataReceived: (
    payload: Uint8Array,
    participant: RemoteParticipant | undefined,
    kind: DataPacketKind,
    topic: string | undefined,
    encryptionType: EncryptionType,
  ) => void
  /** `participant`: the sender. It is the local participant for messages that this room sends. */
  chatMessage: (message: ChatMessage, participant: LocalParticipant | RemoteParticipant | undefined) => void
  sipDTMFReceived: (dtmf: SipDTMF, participant: RemoteParticipant | undefined) => void
  /** `participant`: the participant who spoke. `trackSid`: the SID of the audio track, as the agent named it. */
  transcriptionReceived: (
    segments: TranscriptionSegment[],
    participant: LocalParticipant | RemoteParticipant | undefined,
    trackSid: string,
  ) => void
}

/** @internal Queues an event of a room. */
export type TellRoomEvent = <Name extends keyof RoomEvents>(
  event: Name,
  ...args: Parameters<RoomEvents[Name]>
) => void

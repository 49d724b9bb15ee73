/** Events of rooms, with the names and arguments of `@livekit/rtc-node`. */
import type {
  ConnectionQuality,
  ConnectionState,
  DataPacketKind,
  DisconnectReason,
  EncryptionType,
} from './enums'
import type { ChatMessage, LocalParticipant, Participant, RemoteParticipant } from './participants'
import type { LocalTrackPublication, RemoteTrackPublication, TrackPublication } from './publications'
import type { LocalTrack, RemoteTrack } from './tracks'

/** Names of a room's events. `Connected` and `ParticipantEncryptionStatusChanged` are not emitted. */
export enum RoomEvent {
  ParticipantConnected = 'participantConnected',
  ParticipantDisconnected = 'participantDisconnected',
  LocalTrackPublished = 'localTrackPublished',
  LocalTrackUnpublished = 'localTrackUnpublished',
  LocalTrackRepublished = 'localTrackRepublished',
  LocalTrackSubscribed = 'localTrackSubscribed',
  TrackPublished = 'trackPublished',
  TrackUnpublished = 'trackUnpublished',
  TrackSubscribed = 'trackSubscribed',
  TrackUnsubscribed = 'trackUnsubscribed',
  TrackSubscriptionFailed = 'trackSubscriptionFailed',
  TrackMuted = 'trackMuted',
  TrackUnmuted = 'trackUnmuted',
  ActiveSpeakersChanged = 'activeSpeakersChanged',
  RoomMetadataChanged = 'roomMetadataChanged',
  RoomSidChanged = 'roomSidChanged',
  ParticipantMetadataChanged = 'participantMetadataChanged',
  ParticipantNameChanged = 'participantNameChanged',
  ParticipantAttributesChanged = 'participantAttributesChanged',
  ParticipantEncryptionStatusChanged = 'participantEncryptionStatusChanged',
  ConnectionQualityChanged = 'connectionQualityChanged',
  DataReceived = 'dataReceived',
  ChatMessage = 'chatMessage',
  DtmfReceived = 'dtmfReceived',
  EncryptionError = 'encryptionError',
  ConnectionStateChanged = 'connectionStateChanged',
  Connected = 'connected',
  Disconnected = 'disconnected',
  Reconnecting = 'reconnecting',
  Reconnected = 'reconnected',
  RoomUpdated = 'roomUpdated',
  Moved = 'moved',
  TokenRefreshed = 'tokenRefreshed',
}

/** Listeners of a room's events. */
export interface RoomCallbacks {
  participantConnected: (participant: RemoteParticipant) => void
  participantDisconnected: (participant: RemoteParticipant) => void
  localTrackPublished: (publication: LocalTrackPublication, participant: LocalParticipant) => void
  localTrackUnpublished: (publication: LocalTrackPublication, participant: LocalParticipant) => void
  localTrackRepublished: (
    publication: LocalTrackPublication,
    previousSid: string,
    participant: LocalParticipant,
  ) => void
  localTrackSubscribed: (track: LocalTrack) => void
  trackPublished: (publication: RemoteTrackPublication, participant: RemoteParticipant) => void
  trackUnpublished: (publication: RemoteTrackPublication, participant: RemoteParticipant) => void
  trackSubscribed: (
    track: RemoteTrack,
    publication: RemoteTrackPublication,
    participant: RemoteParticipant,
  ) => void
  trackUnsubscribed: (
    track: RemoteTrack,
    publication: RemoteTrackPublication,
    participant: RemoteParticipant,
  ) => void
  trackSubscriptionFailed: (trackSid: string, participant: RemoteParticipant, reason?: string) => void
  trackMuted: (publication: TrackPublication, participant: Participant) => void
  trackUnmuted: (publication: TrackPublication, participant: Participant) => void
  activeSpeakersChanged: (speakers: Participant[]) => void
  roomMetadataChanged: (metadata: string) => void
  roomSidChanged: (sid: string) => void
  participantMetadataChanged: (metadata: string | undefined, participant: Participant) => void
  participantNameChanged: (name: string, participant: Participant) => void
  participantAttributesChanged: (changedAttributes: Record<string, string>, participant: Participant) => void
  participantEncryptionStatusChanged: (isEncrypted: boolean, participant: Participant) => void
  connectionQualityChanged: (quality: ConnectionQuality, participant: Participant) => void
  dataReceived: (
    payload: Uint8Array,
    participant?: RemoteParticipant,
    kind?: DataPacketKind,
    topic?: string,
    encryptionType?: EncryptionType,
  ) => void
  chatMessage: (message: ChatMessage, participant?: Participant) => void
  dtmfReceived: (code: number, digit: string, participant: RemoteParticipant) => void
  encryptionError: (error: Error) => void
  connectionStateChanged: (state: ConnectionState) => void
  connected: () => void
  disconnected: (reason: DisconnectReason) => void
  reconnecting: () => void
  reconnected: () => void
  roomUpdated: () => void
  moved: () => void
  tokenRefreshed: () => void
}

/** This package's texts as the numbers of `@livekit/rtc-node`, and back. */
import type { DisconnectReason as Reason } from '../connection/disconnect-reason'
import { disconnectReasonNumber } from '../connection/disconnect-reason'
import type { SimulationScenario } from '../connection/scenarios'
import type { TrackEncryption } from '../media/remote-publication'
import type { AudioTrackSource } from '../media/track-publish-options'
import type { ConnectionQuality as Quality } from '../room/activity'
import type { ConnectionState as State, DataPacketKind as Kind, EncryptionType as Type } from '../room/events'
import type {
  ParticipantKind as Participant,
  ParticipantKindDetail as Detail,
} from '../room/participant-info'
import { RtcNodeError } from '../base/errors'
import {
  ConnectionQuality,
  ConnectionState,
  DataPacketKind,
  EncryptionType,
  ParticipantKind,
  ParticipantKindDetail,
  SimulateScenarioKind,
  TrackSource,
} from './enums'
import type { DisconnectReason } from './enums'

const states: Readonly<Record<State, ConnectionState>> = {
  disconnected: ConnectionState.CONN_DISCONNECTED,
  // There is no number for it. `connect` has not resolved yet.
  connecting: ConnectionState.CONN_DISCONNECTED,
  connected: ConnectionState.CONN_CONNECTED,
  reconnecting: ConnectionState.CONN_RECONNECTING,
}

export function stateNumber(state: State): ConnectionState {
  return states[state]
}

/** The numbers are the protocol's, as this package's own are. */
export function reasonNumber(reason: Reason): DisconnectReason {
  // eslint-disable-next-line @typescript-eslint/no-unsafe-enum-assignment -- a test compares the numbers
  return disconnectReasonNumber(reason)
}

const qualities: Readonly<Record<Quality, ConnectionQuality>> = {
  poor: ConnectionQuality.QUALITY_POOR,
  good: ConnectionQuality.QUALITY_GOOD,
  excellent: ConnectionQuality.QUALITY_EXCELLENT,
  lost: ConnectionQuality.QUALITY_LOST,
  unknown: ConnectionQuality.QUALITY_LOST,
}

export function qualityNumber(quality: Quality): ConnectionQuality {
  return qualities[quality]
}

const packetKinds: Readonly<Record<Kind, DataPacketKind>> = {
  lossy: DataPacketKind.KIND_LOSSY,
  reliable: DataPacketKind.KIND_RELIABLE,
}

export function packetKindNumber(kind: Kind): DataPacketKind {
  return packetKinds[kind]
}

const encryptions: Readonly<Record<Type | TrackEncryption, EncryptionType>> = {
  none: EncryptionType.NONE,
  gcm: EncryptionType.GCM,
  custom: EncryptionType.CUSTOM,
}

export function encryptionNumber(type: Type | TrackEncryption): EncryptionType {
  return encryptions[type]
}

/** The protocol's numbers for the last two are 7 and 8. */
const kinds: Readonly<Record<string, ParticipantKind>> = {
  standard: ParticipantKind.STANDARD,
  ingress: ParticipantKind.INGRESS,
  egress: ParticipantKind.EGRESS,
  sip: ParticipantKind.SIP,
  agent: ParticipantKind.AGENT,
  connector: ParticipantKind.CONNECTOR,
  bridge: ParticipantKind.BRIDGE,
}

export function kindNumber(kind: Participant): ParticipantKind {
  return kinds[kind] ?? ParticipantKind.STANDARD
}

const kindDetails: Readonly<Record<string, ParticipantKindDetail>> = {
  cloudAgent: ParticipantKindDetail.CLOUD_AGENT,
  forwarded: ParticipantKindDetail.FORWARDED,
  connectorWhatsapp: ParticipantKindDetail.CONNECTOR_WHATSAPP,
  connectorTwilio: ParticipantKindDetail.CONNECTOR_TWILIO,
  bridgeRtsp: ParticipantKindDetail.BRIDGE_RTSP,
  simulation: ParticipantKindDetail.SIMULATION,
}

/** Details that rtc-node does not know are left out. */
export function kindDetailNumbers(details: readonly Detail[]): ParticipantKindDetail[] {
  return details.flatMap((detail) => kindDetails[detail] ?? [])
}

const sources: Readonly<Record<string, TrackSource>> = {
  camera: TrackSource.SOURCE_CAMERA,
  microphone: TrackSource.SOURCE_MICROPHONE,
  screen_share: TrackSource.SOURCE_SCREENSHARE,
  screen_share_audio: TrackSource.SOURCE_SCREENSHARE_AUDIO,
}

export function sourceNumber(source: string): TrackSource {
  return sources[source] ?? TrackSource.SOURCE_UNKNOWN
}

/** @throws `RtcNodeError` (`video`) for a source of pictures */
export function sourceName(source: TrackSource | undefined): AudioTrackSource {
  switch (source) {
    case TrackSource.SOURCE_MICROPHONE:
      return 'microphone'
    case TrackSource.SOURCE_SCREENSHARE_AUDIO:
      return 'screen_share_audio'
    case TrackSource.SOURCE_CAMERA:
    case TrackSource.SOURCE_SCREENSHARE:
      throw new RtcNodeError('video', { detail: `TrackSource.${TrackSource[source]}` })
    default:
      return 'unknown'
  }
}

const scenarios: Readonly<Record<SimulateScenarioKind, SimulationScenario>> = {
  [SimulateScenarioKind.SIMULATE_SIGNAL_RECONNECT]: 'signal-reconnect',
  [SimulateScenarioKind.SIMULATE_SPEAKER]: 'speaker',
  [SimulateScenarioKind.SIMULATE_NODE_FAILURE]: 'node-failure',
  [SimulateScenarioKind.SIMULATE_SERVER_LEAVE]: 'server-leave',
  [SimulateScenarioKind.SIMULATE_MIGRATION]: 'migration',
  [SimulateScenarioKind.SIMULATE_FORCE_TCP]: 'force-tcp',
  [SimulateScenarioKind.SIMULATE_FORCE_TLS]: 'force-tls',
  [SimulateScenarioKind.SIMULATE_FULL_RECONNECT]: 'full-reconnect',
  [SimulateScenarioKind.SIMULATE_DISCONNECT_SIGNAL_ON_RESUME]: 'disconnect-signal-on-resume',
}

export function scenarioName(kind: SimulateScenarioKind): SimulationScenario {
  return scenarios[kind]
}

/**
 * The names, numbers and shapes of `@livekit/rtc-node`, over this package.
 *
 * Importing this module loads neither the native addon nor the protocol package.
 */
export { AudioFrame, combineAudioFrames } from '../media/audio-frame'
export { AudioMixer } from '../media/audio-mixer'
export type { AudioMixerOptions } from '../media/audio-mixer'
export { AudioResampler, AudioResamplerQuality } from '../media/audio-resampler'
export { AudioSource } from './audio-source'
export { AudioStream } from './audio-stream'
export type { AudioStreamOptions, NoiseCancellationOptions } from './audio-stream'
export {
  ConnectionQuality,
  ConnectionState,
  ContinualGatheringPolicy,
  DataPacketKind,
  DisconnectReason,
  EncryptionState,
  EncryptionType,
  IceTransportType,
  KeyDerivationFunction,
  ParticipantKind,
  ParticipantKindDetail,
  SimulateScenarioKind,
  StreamState,
  TrackKind,
  TrackSource,
  VideoBufferType,
  VideoCodec,
  VideoRotation,
} from './enums'
export { RtcNodeError } from '../base/errors'
export type { RtcNodeErrorReason } from '../base/errors'
export { RoomEvent } from './events'
export type { RoomCallbacks } from './events'
export { FrameProcessor, isFrameProcessor } from './frame-processor'
export type { FrameProcessorCredentials, FrameProcessorStreamInfo } from './frame-processor'
export { IceServer, TrackPublishOptions } from './options'
export type {
  AudioEncoding,
  E2EEOptions,
  KeyProviderOptions,
  RoomDataStreamOptions,
  RoomOptions,
  RtcConfiguration,
  VideoEncoding,
} from './options'
export { LocalParticipant, Participant, RemoteParticipant } from './participants'
export type {
  ChatMessage,
  DataPublishOptions,
  ParticipantInfo,
  Transcription,
  TranscriptionSegment,
} from './participants'
export { LocalTrackPublication, RemoteTrackPublication, TrackPublication } from './publications'
export { ConnectError, dispose, Room } from './room'
export type { InboundRtpStats, OutboundRtpStats, RtcStats, RtcStatsBase } from '../media/rtc-stats'
export { RpcError } from './rpc'
export type {
  IncomingRpcNext,
  OutgoingRpcNext,
  PerformRpcParams,
  RpcCallInfo,
  RpcInterceptor,
  RpcInvocationData,
} from './rpc'
export { ByteStreamReader, ByteStreamWriter, TextStreamReader, TextStreamWriter } from './streams'
export type {
  BaseStreamInfo,
  ByteStreamHandler,
  ByteStreamInfo,
  ByteStreamOptions,
  DataStreamOptions,
  TextStreamHandler,
  TextStreamInfo,
} from './streams'
export { LocalAudioTrack, RemoteAudioTrack, Track } from './tracks'
export type { AudioTrack, LocalTrack, RemoteTrack } from './tracks'
export {
  AudioFilter,
  E2EEManager,
  FrameCryptor,
  KeyProvider,
  LocalVideoTrack,
  RemoteVideoTrack,
  VideoFrame,
  VideoSource,
  VideoStream,
} from './unsupported'
export type { VideoFrameEvent } from './unsupported'

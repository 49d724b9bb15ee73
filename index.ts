/**
 * LiveKit data tracks for Node.js and Electron.
 *
 * Importing this module loads neither the native addon nor the protocol package. The first `Loopback`, room or manager
 * loads them.
 */
export { connect, Room } from './src/room/room'
export type { DataTracksOptions } from './src/room/room'
export type { RoomOptions } from './src/room/room-options'
export type { ConnectOptions, IceTransports } from './src/connection/connect-options'
export type { IceServer } from './src/connection/ice-servers'
export { DefaultReconnectPolicy } from './src/connection/reconnect-policy'
export type { ReconnectContext, ReconnectPolicy } from './src/connection/reconnect-policy'
export { TokenSource } from './src/connection/token-source'
export type {
  TokenEndpointOptions,
  TokenSourceConfigurable,
  TokenSourceFetchOptions,
  TokenSourceFixed,
  TokenSourceResponseObject,
} from './src/connection/token-source'
export type { ConnectToken, TokenProvider, TokenRequest } from './src/connection/tokens'
export { ConnectionCheck } from './src/check/connection-check'
export type {
  ConnectionCheckEvents,
  ConnectionCheckInfo,
  ConnectionCheckOptions,
  ConnectionCheckStatus,
} from './src/check/connection-check'
export type { CheckName } from './src/check/run-checks'
export type { ConnectionPath, ConnectionStats, MessageChannelStats, SctpStats } from './src/connection/stats'
export type { DisconnectReason } from './src/connection/disconnect-reason'
export type { RoomStats } from './src/room/stats'
export type { SimulationScenario } from './src/connection/scenarios'
export { RoomEvent } from './src/room/events'
export type { ConnectionQuality } from './src/room/activity'
export type { ChatMessage, EditChatMessageOptions, SendChatMessageOptions } from './src/room/chat'
export type { PublishDtmfOptions, SipDTMF } from './src/room/dtmf'
export type {
  OutgoingTranscriptionSegment,
  PublishTranscriptionOptions,
  Transcription,
  TranscriptionSegment,
} from './src/room/transcription-packets'
export type { TranscribedSegment, Transcriptions, TranscriptionsOptions } from './src/room/transcriptions'
export type {
  ConnectionState,
  DataPacketKind,
  EncryptionType,
  RoomEvents,
  TrackSubscriptionFailure,
} from './src/room/events'
export { AudioFrame, combineAudioFrames } from './src/media/audio-frame'
export type { CapturedFrame } from './src/media/audio-frame'
export { AudioResampler, AudioResamplerQuality } from './src/media/audio-resampler'
export { AudioMixer } from './src/media/audio-mixer'
export type { AudioMixerOptions } from './src/media/audio-mixer'
export type { FrameStream } from './src/media/mixer-input'
export { FrameProcessor, FrameProcessorSymbol, isFrameProcessor } from './src/media/frame-processor'
export type { FrameProcessorCredentials, FrameProcessorStreamInfo } from './src/media/frame-processor'
export { AudioStream } from './src/media/audio-stream'
export type { AudioStreamOptions } from './src/media/audio-stream'
export type { AudioSenderStats, AudioStreamStats } from './src/media/audio-stats'
export type { InboundRtpStats, OutboundRtpStats, RtcStats, RtcStatsBase } from './src/media/rtc-stats'
export { AudioSource } from './src/media/audio-source'
export { LocalAudioTrack } from './src/media/local-audio-track'
export { LocalTrackPublication } from './src/media/local-publication'
export type { AudioTrackSource, TrackPublishOptions } from './src/media/track-publish-options'
export { RemoteAudioTrack } from './src/media/remote-audio-track'
export { RemoteTrackPublication } from './src/media/remote-publication'
export type { DataPublishOptions } from './src/data-packet/data-packets'
export type { DataPacketDropReason, DataPacketStats } from './src/data-packet/receiver'
export { ByteStreamReader, TextStreamReader } from './src/data-stream/readers'
export type { BaseStreamReader, ReadAllOptions } from './src/data-stream/readers'
export { ByteStreamWriter, TextStreamWriter } from './src/data-stream/writers'
export type { CloseStreamOptions } from './src/data-stream/writers'
export type { BaseStreamWriter } from './src/data-stream/writers'
export type { ByteStreamHandler, TextStreamHandler } from './src/data-stream/handlers'
export type { BaseStreamInfo, ByteStreamInfo, TextStreamInfo } from './src/data-stream/info'
export type { DataStreamDropReason, DataStreamStats } from './src/data-stream/incoming'
export type { DataStreamLimits } from './src/data-stream/limits'
export type { RpcLimits } from './src/rpc/limits'
export type { FileSource } from './src/data-stream/file-source'
export type {
  BytesDescription,
  SendBytesOptions,
  SendFileOptions,
  SendOptions,
  SendTextOptions,
  StreamBytesOptions,
  StreamOptions,
  StreamTextOptions,
  TextReferences,
} from './src/data-stream/options'
export { LocalParticipant } from './src/room/local-participant'
export { RemoteParticipant } from './src/room/remote-participant'
export type { ParticipantTrackPermission } from './src/room/subscription-permissions'
export type { ParticipantState } from './src/room/participant-state'
export type {
  ParticipantKind,
  ParticipantKindDetail,
  ParticipantPermissions,
  TrackSource,
} from './src/room/participant-info'
export type { ServerInfo } from './src/room/server-info'
export type { RequestOptions } from './src/room/profile'
export type { GetSchemaOptions } from './src/room/schemas'
export type { IncomingRpcNext, OutgoingRpcNext, RpcCallInfo, RpcInterceptor } from './src/rpc/interceptors'
export { RpcError } from './src/rpc/rpc-error'
export type { RpcErrorName, RpcErrorOptions } from './src/rpc/rpc-error'
export type { PerformRpcParams, RpcCallOptions } from './src/rpc/client-manager'
export type { RpcInvocationData, RpcMethodHandler } from './src/rpc/invocation'
export { TypedRpc } from './src/rpc/typed-rpc'
export type { RpcCodecs, TypedRpcCallOptions, TypedRpcHandler, TypedRpcInvocation } from './src/rpc/typed-rpc'
export { DeferrableMap } from './src/room/deferrable-map'
export { TypedEmitter } from './src/base/typed-emitter'
export type { EventMap } from './src/base/typed-emitter'

export { DataTrackFrame, DecodedDataTrackFrame, durationSince, now } from './src/data-track/frame'
export type { DataTrackFrameInit } from './src/data-track/frame'
export { bytes, json, text } from './src/base/codec'
export type {
  DataTrackCodec,
  DataTrackFrameEncoding,
  DataTrackSchema,
  DataTrackSchemaEncoding,
} from './src/base/codec'
export type { DataTrackInfo } from './src/data-track/info'
export { LocalDataTrack } from './src/data-track/local'
export type { PushableFrame, PushOptions, PushValueOptions, WritableOptions } from './src/data-track/local'
export type { DataTrackPublishOptions } from './src/data-track/publish-options'
export { RemoteDataTrack } from './src/data-track/remote'
export type { DecodingLatestOptions, LatestOptions, TrackPermissionStatus } from './src/data-track/remote'
export type {
  DataTrackSubscribeOptions,
  DecodingSubscribeOptions,
  RemoteDataTrackPipelineOptions,
} from './src/data-track/subscribe-options'
export { DataTrackStream } from './src/data-track/stream'
export type {
  DataTrackFrameStats,
  DataTrackPacketStats,
  DataTrackSendStats,
  DataTrackStreamStats,
  DropCounts,
  FrameDropReason,
  PacketDropReason,
  SendDropReason,
  StreamDropReason,
} from './src/data-track/stats'
export { LocalDataTrackManager, MAX_PACKET_LENGTH, RemoteDataTrackManager } from './src/session/managers'
export type {
  DataTrackManagerEvents,
  DataTrackManagerOptions,
  LocalDataTrackManagerEvents,
  RemoteDataTrackManagerEvents,
} from './src/session/managers'

export { SignalDispatcher } from './src/signal/dispatch'
export type {
  LocalSignalHandlers,
  PublishRejection,
  RemoteSignalHandlers,
  SignalDispatcherOptions,
} from './src/signal/dispatch'
export type {
  DataTrackInfoMessage,
  DataTrackSignalRequest,
  EncodingMessage,
  PublishDataTrackMessage,
  RequestResponseMessage,
  SchemaMessage,
  SignalResponseLike,
  UnpublishDataTrackMessage,
  UpdateDataSubscriptionMessage,
} from './src/signal/messages'

export { ExternalE2EEKeyProvider } from './src/e2ee/key-provider'
export type { KeyDerivation, KeyProviderOptions, SetKeyOptions } from './src/e2ee/key-provider'
export type { E2eeProvider, SealedDataTrackFrame } from './src/e2ee/provider'
export type { EncryptionOptions } from './src/e2ee/session-encryption'

export { Loopback } from './src/loopback/loopback'
export type { LoopbackJoinOptions, LoopbackParticipantUpdate, LoopbackStats } from './src/loopback/loopback'
export type { LoopbackNetworkOptions } from './src/loopback/network'
export type { LoopbackPermissions } from './src/loopback/profiles'
export type { LoopbackRejection } from './src/loopback/sfu'

export {
  AudioProcessingError,
  AudioSourceError,
  DataStreamError,
  DataTrackClosedError,
  DataTrackConnectionError,
  DataTrackDecodeError,
  DataTrackE2eeError,
  DataTrackError,
  DataTrackPublishError,
  DataTrackPushFrameError,
  DataTrackStreamError,
  DataTrackSubscribeError,
  DataTrackUnpublishedError,
  errorTable,
  PublishDataError,
  RtcNodeError,
  SignalRequestError,
  TrackPublishError,
} from './src/base/errors'
export type {
  AudioProcessingErrorReason,
  AudioSourceErrorReason,
  DataStreamErrorReason,
  DataTrackClosedErrorReason,
  DataTrackConnectionErrorReason,
  DataTrackDecodeErrorReason,
  DataTrackE2eeErrorReason,
  DataTrackErrorCode,
  DataTrackErrorOptions,
  DataTrackPublishErrorReason,
  DataTrackPushFrameErrorReason,
  DataTrackStreamErrorReason,
  DataTrackSubscribeErrorReason,
  DataTrackUnpublishedErrorReason,
  PublishDataErrorReason,
  RtcNodeErrorReason,
  SignalRequestErrorReason,
  TrackPublishErrorReason,
} from './src/base/errors'

export { setLogger, setLogLevel } from './src/base/logging'
export type { LogFields, Logger, LogLevel } from './src/base/logging'
export * as debug from './src/native/debug'

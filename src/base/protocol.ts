/**
 * What this package uses of LiveKit's protocol. The build puts these messages, and the messages in them, into a file of
 * their own, which is loaded on first use. `@livekit/protocol` itself makes all of its messages when it is loaded, which
 * takes some 60 ms.
 */
export { BinaryWriter } from '@bufbuild/protobuf'
export {
  ChatMessage,
  ClientConfigSetting,
  ClientInfo_Capability,
  ClientInfo_SDK,
  DataPacket,
  DataPacket_Kind,
  DataStream_ByteHeader,
  DataStream_Chunk,
  DataStream_CompressionType,
  DataStream_Header,
  DataStream_OperationType,
  DataStream_TextHeader,
  DataStream_Trailer,
  DataTrackInfo,
  DataTrackSubscriberHandles,
  EncryptedPacketPayload,
  Encryption_Type,
  JoinRequest,
  LeaveRequest_Action,
  ParticipantInfo,
  ParticipantUpdate,
  ReconnectReason,
  RpcAck,
  RpcRequest,
  RpcResponse,
  SignalRequest,
  SignalResponse,
  SignalTarget,
  SipDTMF,
  Transcription,
  UserPacket,
  WrappedJoinRequest,
} from '@livekit/protocol'

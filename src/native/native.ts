/**
 * What the native addon exports, in the order and by the names of `crates/node/src`.
 *
 * Internal: plain numbers, strings, byte arrays and flat objects, no classes of ours and no errors of ours. A failing
 * call throws an `Error` whose `code` is one of {@link NativeErrorCode} and whose `reason` (where there is one) is a
 * reason of the matching class in `errors.ts`. Absent values are `null`, never a missing property.
 *
 * Control calls are synchronous and cheap. What they cause is not returned but polled: after each control call, and
 * whenever the doorbell rings for events, call {@link NativeBinding.pollEvents}.
 */
import type { ErrorReason } from '../base/error-reasons'

/** Rust: `crates/node/src/js/error.rs`. */
export type NativeErrorCode =
  'PUBLISH' | 'SUBSCRIBE' | 'E2EE' | 'INVALID_ARGUMENT' | 'CLOSED' | 'CANCELLED' | 'NATIVE_PANIC'

/** What `push` returns; 0 is success. Rust: `PushStatus` in `crates/node/src/session/publisher.rs`. */
export const PushStatus = {
  Ok: 0,
  TrackUnpublished: 1,
  QueueFull: 2,
  Reconnecting: 3,
  Disconnected: 4,
  FrameTooLarge: 5,
  NoKey: 6,
  EncryptionFailed: 7,
  /** The payload is backed by a SharedArrayBuffer: a `TypeError`. */
  SharedMemory: 8,
  /** A panic was caught; the session is closed. */
  Panic: 9,
  /** The track is not published yet. */
  NotPublished: 10,
} as const

/** Rust: `TrackInfo` in `crates/datatrack/src/info.rs`. */
export interface NativeTrackInfo {
  pubHandle: number
  sid: string
  name: string
  /** Whether frames are encrypted end to end. */
  encrypted: boolean
  /** `json`, … as MCAP names it, `custom:<name>`, or `other:<number>`. */
  frameEncoding: string | null
  schemaName: string | null
  /** Like `frameEncoding`. */
  schemaEncoding: string | null
}

export interface NativePublishOptions {
  name: string
  /** Frames are sealed with the session's keys; the SFU's answer must agree. */
  encrypted: boolean
  frameEncoding: string | null
  schemaName: string | null
  schemaEncoding: string | null
  /** Bytes the track's queue holds, headers included. */
  maxQueueBytes: number
  /** Frames older than this go when a newer one is behind them, ms. `Infinity` turns it off. */
  maxQueueAgeMs: number
  /** false: drop the oldest frame when the queue is full; true: refuse the new one. */
  refuseWhenFull: boolean
  /** Packets a frame may have: 128 unless more is asked for. */
  maxPacketsPerFrame: number
}

export interface NativeSubscribeOptions {
  /** Exactly so many frames are buffered, the oldest dropped; `null`: the default policy below. */
  bufferSize: number | null
  maxBufferFrames: number
  maxBufferBytes: number
  /** Frames older than this go when more than 16 newer ones are behind them, ms. */
  maxBufferAgeMs: number
  /** 0: as many as there are. */
  targetFps: number
  /** Take frames of a track that says it is not encrypted although this session is. */
  allowUnencrypted: boolean
}

export interface NativePipelineOptions {
  maxPartialFrames: number
  partialFrameTimeoutMs: number
  maxPacketsPerFrame: number
  maxFrameBytes: number
}

export interface NativeSessionOptions {
  /** `none`, `native` (the built-in AES-GCM) or `custom` (frames are sealed and opened in JavaScript). */
  encryption: 'none' | 'native' | 'custom'
  /** `PBKDF2` or `HKDF`. */
  keyDerivation: string
  /** One key for all participants. */
  sharedKey: boolean
  /** Ratchet steps tried when a frame does not open. */
  ratchetWindow: number
  /** Failed frames in a row after which a key counts as invalid; −1: never. */
  failureTolerance: number
  publishTimeoutMs: number
  subscribeTimeoutMs: number
  /** Whether `handleSubscriptionsSent` tells when a request for a subscription has left: `subscribeTimeoutMs` begins then. */
  pacedSubscriptions: boolean
  /** Packets held for handles that the SFU has not named yet: bytes, and ms. */
  earlyPacketBytes: number
  earlyPacketMs: number
}

/**
 * What the state machines ask for or tell. Rust: `crates/node/src/convert/event.rs`.
 *
 * `session` says whose it is. Objects are flat; fields that a type does not name are absent.
 */
export type NativeEvent = { session: number } & (
  | // To be sent to the SFU.
    ({ type: 'publishRequest'; handle: number } & Omit<NativeTrackInfo, 'pubHandle' | 'sid'>)
  | { type: 'unpublishRequest'; handle: number }
  | { type: 'updateSubscription'; sid: string; subscribe: boolean; targetFps: number }
  // A local track.
  | { type: 'published'; handle: number; info: NativeTrackInfo }
  | { type: 'publishFailed'; handle: number; reason: ErrorReason<'DataTrackPublishError'>; message: string }
  /** After a full reconnect: the same track under a new SID. */
  | { type: 'republished'; handle: number; info: NativeTrackInfo }
  | {
      type: 'unpublished'
      handle: number
      by: ErrorReason<'DataTrackUnpublishedError'>
      /** Why the SFU did not take it again; empty otherwise. */
      message: string
    }
  /** What is queued fell to the level that `watchBuffered` set; once for each call of it. */
  | { type: 'bufferedAmountLow'; handle: number }
  // A remote track.
  | { type: 'trackPublished'; track: number; publisherIdentity: string; info: NativeTrackInfo }
  /** The same track under a new SID. */
  | { type: 'trackUpdated'; track: number; info: NativeTrackInfo }
  /** `stats`: the last ones, which `trackStats` does not know any more. */
  | {
      type: 'trackUnpublished'
      track: number
      publisherIdentity: string
      sid: string
      stats: NativeFrameStats
    }
  /** The SFU assigned a handle: frames can come. */
  | { type: 'subscribed'; stream: number }
  /** No more frames after those that are buffered. `reason` null: it ended normally. */
  | { type: 'streamEnded'; stream: number; reason: ErrorReason<'DataTrackSubscribeError'> | null }
  // End-to-end encryption; throttled to one per participant, reason and second.
  | {
      type: 'encryptionError'
      publisherIdentity: string | null
      reason: 'missingKey' | 'decryptionFailed' | 'unencrypted' | 'invalidKey'
      keyIndex: number
      /** Frames dropped for it since the last such event. */
      count: number
    }
  // A connection to a server; `session` is the connection's number then.
  | {
      type: 'localDescription'
      /** `publisher` or `subscriber`. */
      target: string
      /** `offer` or `answer`. */
      kind: string
      sdp: string
      /** Our number of an offer, the server's of an answer. */
      id: number
    }
  /** To be sent as a Trickle. */
  | { type: 'localCandidate'; target: string; candidate: string }
  | { type: 'descriptionRejected'; target: string; id: number; message: string }
  /** `connecting`, `connected`, `disconnected`, `timedOut`, `failed` or `closed`. */
  | { type: 'peerState'; target: string; state: string }
  /** Messages came: {@link NativeConnection.pollMessages} until it returns none; then it is told again. */
  | { type: 'messages' }
  /** What is buffered for a channel fell to the level that `watchBuffered` set; once for each call of it. */
  | { type: 'channelBufferedAmountLow'; channel: NativeChannel }
  /** After a `wait` of `sealMessage` or `openMessage`: it is worth another try. */
  | { type: 'keysChanged' }
  /** A panic or a bug: the session is closed, everything in it ends with `disconnected`. */
  | { type: 'failed'; message: string }
)

export interface NativeSendStats {
  pushed: number
  sent: number
  dropped: Record<string, number>
  queued: number
  queuedBytes: number
  packetsSent: number
  bytesSent: number
  refused: number
}

export interface NativePacketStats {
  received: number
  bytesReceived: number
  accepted: number
  dropped: Record<string, number>
  held: number
}

export interface NativeFrameStats {
  opened: number
  completed: number
  dropped: Record<string, number>
  open: number
}

export interface NativeStreamStats {
  received: number
  delivered: number
  dropped: Record<string, number>
  buffered: number
  bufferedBytes: number
}

export interface NativeSealedMessage {
  keyIndex: number
  /** 12 bytes. */
  iv: Uint8Array
  /** With its tag of 16 bytes. */
  ciphertext: Uint8Array
}

/** A channel for messages: ordered and lossless, or neither. */
export type NativeChannel = 'reliable' | 'lossy'

/** What {@link NativeConnection.send} returns. */
export const SendStatus = { Queued: 0, BufferFull: 1, TooLarge: 2, Closed: 3 } as const

/** One participant's two state machines with what drives them. */
export interface NativeSession {
  readonly id: number

  // The publisher. Rust: `crates/node/src/session/publisher.rs`.
  /** Starts a publication and returns its handle; `published` or `publishFailed` follows. Throws `PUBLISH`. */
  publish(options: NativePublishOptions): number
  /** Gives up a pending publication; a late answer of the SFU is met with an unpublish request. */
  cancelPublish(handle: number): void
  unpublish(handle: number): void
  /** `userTimestamp`: −1 for none, else a whole number up to 2^53 − 1. */
  push(handle: number, payload: Uint8Array, userTimestamp: number): number
  /** The same for timestamps beyond 2^53 − 1. */
  pushWithTimestamp(handle: number, payload: Uint8Array, userTimestamp: bigint): number
  /** A frame that JavaScript sealed. `userTimestamp` null for none. */
  pushSealed(
    handle: number,
    payload: Uint8Array,
    userTimestamp: bigint | null,
    iv: Uint8Array,
    keyIndex: number,
  ): number
  /** Largest payload, in bytes, with or without a user timestamp. */
  maxFrameLength(handle: number, withTimestamp: boolean): number
  /** Bytes queued for that track. */
  bufferedAmount(handle: number): number
  /** Asks for one `bufferedAmountLow` when at most `bytes` are queued; at once if so already. */
  watchBuffered(handle: number, bytes: number): void
  sendStats(handle: number): NativeSendStats
  handlePublishResponse(info: NativeTrackInfo): void
  /** `message` counts with `unknown` only. */
  handlePublishRejected(
    handle: number,
    reason: 'notAllowed' | 'duplicateName' | 'invalidName' | 'limitReached' | 'duplicateHandle' | 'unknown',
    message: string,
  ): void
  handleUnpublishResponse(handle: number): void
  /** The publications, for the sync state of a resumed session. */
  publishResponsesForSyncState(): NativeTrackInfo[]

  // The subscriber. Rust: `crates/node/src/session/subscriber.rs`.
  /** All tracks of that publisher; those missing are unpublished. Entries that make no sense are skipped. */
  handlePublicationUpdate(publisherIdentity: string, tracks: NativeTrackInfo[]): void
  /** The whole table: handles and the SIDs they stand for. */
  handleSubscriberHandles(handles: number[], sids: string[]): void
  /** With `pacedSubscriptions`: requests to subscribe to these tracks have left. */
  handleSubscriptionsSent(sids: string[]): void
  /** Opens a stream of a remote track and returns its number, unique in this environment. Throws `SUBSCRIBE`. */
  subscribe(track: number, options: NativeSubscribeOptions): number
  /**
   * Closes a stream; the last one of a track unsubscribes. Returns the stream's last counters; `null` if there is no
   * such stream (any more).
   */
  unsubscribe(stream: number): NativeStreamStats | null
  setPipelineOptions(track: number, options: NativePipelineOptions): void
  trackStats(track: number): NativeFrameStats
  streamStats(stream: number): NativeStreamStats
  packetStats(): NativePacketStats
  /** A frame that the codec could not decode, or that JavaScript could not open: counted where it belongs. */
  countDecodeFailure(stream: number): void
  countOpenFailure(stream: number, keyIndex: number): void

  // The connection.
  /** The transport is gone for now: pushes are refused with `Reconnecting`. */
  handleConnectionLost(): void
  /** The transport is back in the same signalling session; subscriptions are asked for again. */
  handleResumed(): void
  /** A new signalling session: publications are asked for again, handles mean nothing any more. */
  handleReconnected(): void
  /** Ends everything: publications `unpublished` by `disconnected`, streams with `disconnected`. Idempotent. */
  close(): void

  // Keys. `identity` null: the shared key, or the local participant's where there is none.
  /** Resolves when the key is derived and in use. `cancel`: a number for {@link NativeBinding.cancel}. */
  setKey(
    identity: string | null,
    keyIndex: number,
    material: Uint8Array,
    cancel?: number | null,
  ): Promise<void>
  ratchetKey(identity: string | null, keyIndex: number, cancel?: number | null): Promise<void>
  setSendKeyIndex(keyIndex: number): void
  /** Seals a message of the reliable side. `wait`: the key is being derived, and `keysChanged` comes. */
  sealMessage(message: Uint8Array): NativeSealedMessage | 'wait' | 'missingKey' | 'failed'
  /** Opens a message. `wait`: a key is being derived, and `keysChanged` comes. */
  openMessage(
    sender: string,
    keyIndex: number,
    iv: Uint8Array,
    ciphertext: Uint8Array,
  ): Uint8Array | 'wait' | 'missingKey' | 'decryptionFailed' | 'invalidKey'

  // For those who bring their own transport; a session with a driver does this on its own.
  /** Copies the next packet to `target` (16,000 bytes are enough) and returns its length; 0: there is none. */
  pollTransmit(target: Uint8Array): number
  handlePacket(packet: Uint8Array): void
  /** ms until `handleTimeout` is due; −1: never. */
  nextTimeout(): number
  handleTimeout(): void
}

/** A seeded bad network between the participants of a loopback; all figures apply to each packet. */
export interface NativeNetworkOptions {
  seed: number
  /** Shares from 0 to 1. */
  loss: number
  duplicate: number
  reorder: number
  /** ms. */
  delayMs: number
  jitterMs: number
  /** Bytes a second; 0: no limit. */
  bytesPerSecond: number
  /** A stall of `stallMs` each `stallEveryMs`; 0: none. */
  stallMs: number
  stallEveryMs: number
}

/** The packet side of the in-process SFU; the signalling side is `src/loopback/sfu.ts`. */
export interface NativeLoopbackHub {
  join(options: NativeSessionOptions): NativeSession
  /** Packets of `publisher`'s track `pubHandle` go to `subscriber` under `subHandle`. */
  addRoute(publisher: number, pubHandle: number, subscriber: number, subHandle: number): void
  removeRoute(publisher: number, pubHandle: number, subscriber: number): void
  leave(session: number): void
  setNetwork(options: NativeNetworkOptions): void
  /** Packets forwarded and what the network did to them. */
  stats(): { forwarded: number; lost: number; duplicated: number; reordered: number; noRoute: number }
  /** Ends all sessions and the hub's task. Idempotent. */
  close(): void
}

export interface NativeConnectionOptions {
  /** `single`: one peer connection, which we offer; `dual`: one more, which the server offers. */
  mode: string
  /** For the session that a full reconnect begins, before `handleReconnected` is called. */
  nextSession: boolean
  udp: boolean
  tcp: boolean
}

/** One peer connection. */
export interface NativePeerStats {
  /** By ICE's checks, ms; −1 while it is not known. */
  rttMs: number
  /** What the selected path travels in: `udp`, `tcp`, or `''` while there is none. */
  protocol: string
  /** What the server's end of it is to the server: `host`, `srflx`, `prflx`, `relay` or `''`. */
  candidateType: string
  datagramsSent: number
  datagramsReceived: number
  /** Those that were no WebRTC or did not decrypt. */
  datagramsRejected: number
  /** Those of the server's that did not come. */
  datagramsLost: number
  /** Of datagrams. */
  bytesSent: number
  bytesReceived: number
}

/** One data channel. */
export interface NativeChannelStats {
  /** For data tracks, a message is a packet. */
  messagesSent: number
  messagesReceived: number
  bytesSent: number
  bytesReceived: number
  /** Messages that came and were dropped, since nobody took them in time. */
  dropped: number
  /** Bytes that wait or are under way. */
  buffered: number
}

export interface NativeConnectionStats {
  /** Round trip of the path that carries data tracks out, ms; −1 while it is not known. */
  rttMs: number
  /** Whether any of the peer connections goes over TCP. */
  overTcp: boolean
  bytesSent: number
  bytesReceived: number
  /** Datagrams of the server's that did not come. */
  datagramsLost: number
  /** Data-track packets. */
  packetsSent: number
  packetsReceived: number
  /** Bytes that the data-track channel holds, and may hold. */
  buffered: number
  bufferLimit: number
  publisher: NativePeerStats
  /** Null when there is one peer connection only. */
  subscriber: NativePeerStats | null
  dataTrack: NativeChannelStats
  reliable: NativeChannelStats
  lossy: NativeChannelStats
}

/** A message that came by a channel. Rust: `Message` in `crates/node/src/connection.rs`. */
export interface NativeMessage {
  channel: NativeChannel
  data: Uint8Array
}

/** Peer connections to a server. Rust: `crates/node/src/connection.rs`. */
export interface NativeConnection {
  readonly id: number
  /** Asks for an offer; `localDescription` follows. Each but the first restarts ICE. */
  createOffer(): void
  handleAnswer(sdp: string, id: number): void
  handleOffer(sdp: string, id: number): void
  /** `candidate`: `candidate:…`, the member of that name in a Trickle's JSON. */
  addRemoteCandidate(target: string, candidate: string): void
  /**
   * The IP address at which signalling reached the server; `''` if it is not known. Candidates of the loopback and the
   * local link that come afterwards are only tried if the server is there, too.
   */
  setServerAddress(address: string): void
  /**
   * Queues a message of at most 65,535 bytes; {@link SendStatus}. What waits leaves when the connection is there. `more`:
   * another one follows at once, or {@link flush}, and this one can wait for that.
   */
  send(channel: NativeChannel, message: Uint8Array, more: boolean): number
  /** Nothing follows after all. */
  flush(): void
  /** Bytes that wait for the channel or are under way in it. */
  bufferedAmount(channel: NativeChannel): number
  /** Asks for one `channelBufferedAmountLow` when at most `bytes` are buffered; at once if so already. */
  watchBuffered(channel: NativeChannel, bytes: number): void
  /** Bytes that the reliable channel may hold, those under way included: it follows what the path carries. */
  reliableLimit(): number
  /** Some of the messages that came: few enough that a caller looks at its clock in between. */
  pollMessages(): NativeMessage[]
  stats(): NativeConnectionStats
  /** Idempotent. */
  close(): void
}

/** Columns of a row that {@link NativeBinding.drain} fills, in units of 4 bytes. */
export const Row = {
  Stream: 0,
  /** Where the payload starts in the slab. */
  Offset: 1,
  Length: 2,
  /** {@link RowFlag}, `| keyIndex << 8 | frame number << 16`. */
  Flags: 3,
  /** The user timestamp, little endian u64 (columns 4 and 5; 8-byte aligned). */
  UserTimestamp: 4,
  /** The packet timestamp, 90 kHz. */
  Timestamp: 6,
  /** Age of the frame when it was drained, in µs, at most 2^32 − 1. */
  Age: 7,
  Columns: 8,
} as const

export const RowFlag = {
  HasUserTimestamp: 1,
  /** Not in the slab: fetch it with `fillLarge`, in the order of the rows, before the next drain. */
  Large: 2,
  /** Still sealed; the 12 bytes of its IV follow the payload. */
  Sealed: 4,
} as const

/** What a doorbell has rung for, as flags. Rust: `Shared::news` in `crates/node/src/environment/mod.rs`. */
export const News = { Events: 1, Frames: 2, Logs: 4 } as const

/** Frames above this, in bytes, get a buffer of their own. Rust: `LARGE_FRAME` in `crates/node/src/session/drain.rs`. */
export const LARGE_FRAME = 16_384
/** Bytes of a slab. */
export const SLAB_SIZE = 65_536

export interface NativeBinding {
  version(): string
  /**
   * What is called (on a later turn of the event loop, once however much there is) when frames wait that somebody
   * asked for, or events, or log records: it is told which ({@link News}). It does not keep the process alive.
   */
  setDoorbell(callback: (news: number) => void): void
  /** The events there are, some thousand at a time; the doorbell rings for the rest. */
  pollEvents(): NativeEvent[]
  /**
   * Copies a frame of each stream with demand into `slab` from `offset` on, each at a multiple of 8, and one row of
   * {@link Row} for each into `rows`. Returns how many; stops when the slab, the rows or the frames are used up.
   * A stream's demand ends with its frame here; what else it has stays in reach of its buffer's policy.
   */
  drain(slab: Uint8Array, offset: number, rows: Uint32Array): number
  /** All frames of one stream; when there is none, its demand is registered and the doorbell will ring. */
  readStream(stream: number, slab: Uint8Array, offset: number, rows: Uint32Array): number
  /** Fills `target`, of the row's length, with the next large frame. */
  fillLarge(target: Uint8Array): void
  /** `true`: connected sessions keep the process alive, which is the default. */
  setSessionRef(session: number, ref: boolean): void
  /** Rejects what was started with that number with `CANCELLED`; does nothing if it ended before. */
  cancel(token: number): void

  createSession(options: NativeSessionOptions): NativeSession
  createLoopback(options: NativeNetworkOptions): NativeLoopbackHub
  /** A session for {@link connectSession}. It counts as connected until it is closed. */
  createServerSession(options: NativeSessionOptions): NativeSession
  /** Peer connections for a server session; after a full reconnect, new ones. Throws `CLOSED`. */
  connectSession(session: number, options: NativeConnectionOptions): NativeConnection

  /** `error`, `warn`, `info`, `debug`, `trace` or `silent`. */
  setLogLevel(level: string): void
  /** `level`, `target`, `message` of each record since the last call; and how many were lost. */
  pollLogs(): { records: { level: string; target: string; message: string }[]; lost: number }
  /** What is alive. */
  handles(): {
    kind: 'session' | 'stream' | 'publication' | 'loopback' | 'connection'
    id: number
    createdAt: string | null
  }[]
  /** For tests: panics inside the guard. */
  testPanic(session: number): void
  /** For tests: panics on the runtime; with a number for {@link cancel}, only waits to be cancelled. */
  testPanicAsync(cancel?: number | null): Promise<void>
}

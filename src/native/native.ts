/**
 * The native addon's exports, in the order and with the names of `crates/node/src`.
 *
 * Internal. It consists of plain numbers, strings, byte arrays and flat objects; it has no classes or errors of the
 * package. A call that fails throws an `Error` whose `code` is a {@link NativeErrorCode} and whose `reason`, if any, is
 * a reason of the matching class in `errors.ts`. Absent values are `null`, never a missing property.
 *
 * Control calls are synchronous and cheap. They do not return their effects as values; the effects are events to poll.
 * Call {@link NativeBinding.pollEvents} after each control call and whenever the doorbell rings for events.
 */
import type { ErrorReason } from '../base/error-reasons'

/** Rust: `crates/node/src/js/error.rs`. */
export type NativeErrorCode =
  'PUBLISH' | 'SUBSCRIBE' | 'E2EE' | 'INVALID_ARGUMENT' | 'CLOSED' | 'CANCELLED' | 'NATIVE_PANIC'

/** The result of `push`; 0 is success. Rust: `PushStatus` in `crates/node/src/session/publisher.rs`. */
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
  /** `json`, … by MCAP's names, `custom:<name>`, or `other:<number>`. */
  frameEncoding: string | null
  schemaName: string | null
  /** Like `frameEncoding`. */
  schemaEncoding: string | null
}

export interface NativePublishOptions {
  name: string
  /** Whether frames are encrypted with the session's keys. The SFU's answer must agree. */
  encrypted: boolean
  frameEncoding: string | null
  schemaName: string | null
  schemaEncoding: string | null
  /** Bytes that the track's queue holds, headers included. */
  maxQueueBytes: number
  /** A frame older than this is dropped if a newer one is behind it, in ms. `Infinity` turns it off. */
  maxQueueAgeMs: number
  /** When the queue is full: `false` drops the oldest frame, `true` refuses the new one. */
  refuseWhenFull: boolean
  /** Packets that a frame may have. */
  maxPacketsPerFrame: number
}

export interface NativeSubscribeOptions {
  /** Buffer exactly this many frames and drop the oldest; `null`: the policy of the three limits below. */
  bufferSize: number | null
  maxBufferFrames: number
  maxBufferBytes: number
  /** A frame older than this is dropped if more than 16 newer ones are behind it, in ms. */
  maxBufferAgeMs: number
  /** 0: all frames. */
  targetFps: number
  /** Accept frames of a track that is announced as unencrypted although this session is encrypted. */
  allowUnencrypted: boolean
  /** Live frames wait until `provideLatest` was called, which the event `latestWanted` asks for. */
  latest: boolean
}

export interface NativePipelineOptions {
  maxPartialFrames: number
  partialFrameTimeoutMs: number
  maxPacketsPerFrame: number
  maxFrameBytes: number
}

export interface NativeSessionOptions {
  /** `none`, `native` (the built-in AES-GCM) or `custom` (frames are encrypted and decrypted in JavaScript). */
  encryption: 'none' | 'native' | 'custom'
  /** `PBKDF2` or `HKDF`. */
  keyDerivation: string
  /** Whether all participants share one key. */
  sharedKey: boolean
  /** Ratchet steps to try if a frame does not decrypt. */
  ratchetWindow: number
  /** Consecutive failed frames after which a key counts as invalid; −1: never. */
  failureTolerance: number
  publishTimeoutMs: number
  subscribeTimeoutMs: number
  /**
   * Whether `handleSubscriptionsSent` reports when a subscription request was sent. `subscribeTimeoutMs` begins then.
   */
  pacedSubscriptions: boolean
  /** Limits for packets held for handles that the SFU has not announced yet: in bytes, and in ms. */
  earlyPacketBytes: number
  earlyPacketMs: number
}

/**
 * Requests and notifications of the state machines. Rust: `crates/node/src/convert/event.rs`.
 *
 * `source` is the number of the session or the connection. Objects are flat. Fields that a type does not list are
 * absent.
 */
export type NativeEvent = { source: number } & (
  | // To be sent to the SFU.
    ({ type: 'publishRequest'; handle: number } & Omit<NativeTrackInfo, 'pubHandle' | 'sid'>)
  | { type: 'unpublishRequest'; handle: number }
  | { type: 'updateSubscription'; sid: string; subscribe: boolean; targetFps: number }
  // A local track.
  | { type: 'published'; handle: number; info: NativeTrackInfo }
  | { type: 'publishFailed'; handle: number; reason: ErrorReason<'DataTrackPublishError'>; message: string }
  /** The connection was rebuilt: the same track has a new SID. */
  | { type: 'republished'; handle: number; info: NativeTrackInfo }
  | {
      type: 'unpublished'
      handle: number
      by: ErrorReason<'DataTrackUnpublishedError'>
      /** Why the SFU refused to publish the track again; empty otherwise. */
      message: string
    }
  /** The queued bytes fell to the level that `watchBuffered` set. Once for each call of it. */
  | { type: 'bufferedAmountLow'; handle: number }
  // A remote track.
  | { type: 'trackPublished'; track: number; publisherIdentity: string; info: NativeTrackInfo }
  /** The same track has a new SID. */
  | { type: 'trackUpdated'; track: number; info: NativeTrackInfo }
  /** `stats`: the final counters. `trackStats` no longer has them. */
  | {
      type: 'trackUnpublished'
      track: number
      publisherIdentity: string
      sid: string
      stats: NativeFrameStats
    }
  /** The SFU assigned a handle, so frames can arrive. */
  | { type: 'subscribed'; stream: number }
  /**
   * Fetch the last frame of a latched track, and call `provideLatest`. It comes with `subscribed` and after each
   * interruption, for a stream that was opened with `latest`.
   */
  | { type: 'latestWanted'; stream: number; track: number }
  /** No more frames will follow those in the buffer. `reason` is null if the stream ended normally. */
  | { type: 'streamEnded'; stream: number; reason: ErrorReason<'DataTrackSubscribeError'> | null }
  // End-to-end encryption; throttled to one per participant, reason and second.
  | {
      type: 'encryptionError'
      publisherIdentity: string | null
      reason: 'missingKey' | 'decryptionFailed' | 'unencrypted' | 'invalidKey'
      keyIndex: number
      /** Frames dropped for this reason since the last such event. */
      count: number
    }
  // A connection to a server; `source` is the connection's number then.
  | {
      type: 'localDescription'
      /** `publisher` or `subscriber`. */
      target: string
      /** `offer` or `answer`. */
      kind: string
      sdp: string
      /** For an offer, this side's number; for an answer, the server's. */
      id: number
    }
  /** To be sent as a `Trickle`. */
  | { type: 'localCandidate'; target: string; candidate: string }
  | { type: 'descriptionRejected'; target: string; id: number; message: string }
  /** `connecting`, `connected`, `disconnected`, `silent`, `noUdpSocket`, `timedOut`, `failed` or `closed`. */
  | { type: 'peerState'; target: string; state: string }
  /** A relay cannot be used, or no longer. `last`: there is no other one, and data may go through relays only. */
  | {
      type: 'relayFailed'
      target: string
      reason: ErrorReason<'DataTrackConnectionError'>
      message: string
      last: boolean
    }
  /**
   * Messages arrived: call {@link NativeConnection.pollMessages} until it returns none. The event comes again only
   * after that.
   */
  | { type: 'messages' }
  // A stream of an audio track; `source` is the stream's number then.
  /** Frames arrived: call {@link NativeAudioStream.read}. The event comes again only after that returned `null`. */
  | { type: 'audioFrames' }
  // A source of audio tracks; `source` is the source's number then.
  /**
   * There is room in the source, after {@link NativeAudioSource.capture} could not take all samples; or nothing waits in
   * it, after {@link NativeAudioSource.watchEmpty}.
   */
  | { type: 'audioProgress' }
  /** The bytes buffered for a channel fell to the level that `watchBuffered` set. Once for each call of it. */
  | { type: 'channelBufferedAmountLow'; channel: NativeChannel }
  /** The linger with this `id` is over; see {@link NativeConnection.linger}. */
  | { type: 'lingered'; id: number }
  /** After `sealMessage` or `openMessage` returned `wait`: the call can be repeated. */
  | { type: 'keysChanged' }
  /** A panic or a bug. The session is closed; everything in it ends with `disconnected`. */
  | { type: 'failed'; message: string }
)

export interface NativeLastFrame {
  /** The frame number, modulo 2^16. */
  number: number
  /** The packets' timestamp, in ticks of 90 kHz. */
  timestamp: number
}

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
  /** {@link IV_LENGTH} bytes. */
  iv: Uint8Array
  /** Includes its tag of 16 bytes. */
  ciphertext: Uint8Array
}

/** A message channel: `reliable` is ordered and lossless, `lossy` is neither. */
export type NativeChannel = 'reliable' | 'lossy'

/** The result of {@link NativeConnection.send}. Rust: `SendStatus` in `crates/node/src/connection.rs`. */
export const SendStatus = { Queued: 0, BufferFull: 1, TooLarge: 2, Closed: 3 } as const

/** One participant's two state machines, publisher and subscriber, and their driver. */
export interface NativeSession {
  readonly id: number

  // The publisher. Rust: `crates/node/src/session/publisher.rs`.
  /** Starts a publication and returns its handle. `published` or `publishFailed` follows. Throws `PUBLISH`. */
  publish(options: NativePublishOptions): number
  /** Cancels a pending publication. If the SFU still answers, an unpublish request follows. */
  cancelPublish(handle: number): void
  unpublish(handle: number): void
  /** `userTimestamp`: −1 for none, else a whole number up to 2^53 − 1. */
  push(handle: number, payload: Uint8Array, userTimestamp: number): number
  /** Like `push`, for timestamps above 2^53 − 1. */
  pushWithTimestamp(handle: number, payload: Uint8Array, userTimestamp: bigint): number
  /** Pushes a frame that JavaScript encrypted. `userTimestamp` null for none. */
  pushSealed(
    handle: number,
    payload: Uint8Array,
    userTimestamp: bigint | null,
    iv: Uint8Array,
    keyIndex: number,
  ): number
  /** The largest payload in bytes, with or without a user timestamp. */
  maxFrameLength(handle: number, withTimestamp: boolean): number
  /** Bytes in the track's queue. */
  bufferedAmount(handle: number): number
  /** Asks for one `bufferedAmountLow` when at most `bytes` are queued; at once if that is already so. */
  watchBuffered(handle: number, bytes: number): void
  /** What tells the last accepted frame from the others; `null` if none was pushed or the track has ended. */
  lastFrame(handle: number): NativeLastFrame | null
  sendStats(handle: number): NativeSendStats
  handlePublishResponse(info: NativeTrackInfo): void
  /** `message` is used with `unknown` only. */
  handlePublishRejected(
    handle: number,
    reason: 'notAllowed' | 'duplicateName' | 'invalidName' | 'limitReached' | 'duplicateHandle' | 'unknown',
    message: string,
  ): void
  handleUnpublishResponse(handle: number): void
  /** The publications, for the sync state of a resumed connection. */
  publishResponsesForSyncState(): NativeTrackInfo[]

  // The subscriber. Rust: `crates/node/src/session/subscriber.rs`.
  /**
   * `tracks` lists all tracks of the publisher; tracks that are missing from it are unpublished. Invalid entries are
   * skipped.
   */
  handlePublicationUpdate(publisherIdentity: string, tracks: NativeTrackInfo[]): void
  /** The whole table: the handles, and the SID of each. */
  handleSubscriberHandles(handles: number[], sids: string[]): void
  /** With `pacedSubscriptions`: the requests to subscribe to these tracks were sent. */
  handleSubscriptionsSent(sids: string[]): void
  /** Whether this participant may subscribe. If not, streams that wait for the SFU's answer end with `notAllowed`. */
  handleSubscribingAllowed(allowed: boolean): void
  /** Whether the publisher lets this participant subscribe to the track. If not, its streams end with `notAllowed`. */
  handleSubscriptionPermission(sid: string, allowed: boolean): void
  /** Opens a stream of a remote track. Returns its number, unique in this environment. Throws `SUBSCRIBE`. */
  subscribe(track: number, options: NativeSubscribeOptions): number
  /**
   * Closes a stream. Closing a track's last stream unsubscribes. Returns the stream's final counters; `null` if the
   * stream does not exist (any more).
   */
  unsubscribe(stream: number): NativeStreamStats | null
  /**
   * Copies the frames of one stream, as {@link NativeBinding.drain} does. If there are none, its demand is registered,
   * and the doorbell will ring.
   */
  readStream(stream: number, slab: Uint8Array, offset: number, rows: Uint32Array): number
  /**
   * Answers `latestWanted`. `payload` null: there is no such frame, and the other values do not matter. The first
   * answer comes before the live frames. Frames that the stream had already, or that are older, are dropped.
   */
  provideLatest(
    stream: number,
    payload: Uint8Array | null,
    number: number,
    timestamp: number,
    userTimestamp: bigint | null,
  ): void
  setPipelineOptions(track: number, options: NativePipelineOptions): void
  trackStats(track: number): NativeFrameStats
  streamStats(stream: number): NativeStreamStats
  packetStats(): NativePacketStats
  /** Counts a frame that the codec could not decode, or (`countOpenFailure`) that JavaScript could not decrypt. */
  countDecodeFailure(stream: number): void
  countOpenFailure(stream: number, keyIndex: number): void

  // The connection.
  /** The transport is lost for now. Pushes are refused with `Reconnecting`. */
  handleConnectionLost(): void
  /** The connection was resumed: same server session. Subscriptions are requested again. */
  handleResumed(): void
  /** The connection was rebuilt: new server session. Publications are requested again; old handles are invalid. */
  handleRebuilt(): void
  /**
   * Stops accepting frames and publications (`Disconnected`). Frames that were accepted before are still sent. Streams
   * end with `disconnected`. `close` follows.
   */
  finish(): void
  /** Ends everything: publications with `unpublished` by `disconnected`, streams with `disconnected`. Idempotent. */
  close(): void
  /** Creates the peer connections of a server session; for a rebuilt connection, new ones. Throws `CLOSED`. */
  connect(options: NativeConnectionOptions): NativeConnection
  /**
   * Opens a stream of the audio track with this SID. It begins at once, with silence until the track's packets arrive.
   * `sampleRate`: 8000 to 48000; `channels`: 1 or 2; `frameSamples`: samples of a frame and
   * channel; `sender`: the publisher's identity if frames are to be opened with its key, and `null` if they are taken as
   * they are. Only for a session of `createServerSession`.
   */
  openAudioStream(
    trackSid: string,
    sampleRate: number,
    channels: number,
    frameSamples: number,
    sender: string | null,
  ): NativeAudioStream
  /** How the frames end that the server itself sends in encrypted tracks; at most 1,024 bytes. Empty: there are none. */
  setServerTrailer(trailer: Uint8Array): void
  /**
   * Adds an audio track, which connections send if {@link NativeConnection.setSending} names it. A track of the same
   * `cid` ends. Throws `CLOSED` if the source is closed.
   */
  publishAudio(options: NativeAudioPublication): void
  /** Ends an audio track. Returns its counters; `null` if there is none of that `cid`. */
  unpublishAudio(cid: string): NativeSenderStats | null
  muteAudio(cid: string, muted: boolean): void
  audioSenderStats(cid: string): NativeSenderStats | null
  /** Whether the session keeps the process alive while it is connected. Default: `true`. */
  setRef(ref: boolean): void
  /** For tests: panics inside the guard. */
  testPanic(): void

  // Keys. `identity` null: the shared key, or the local participant's key if there is no shared one.
  /** Resolves when the key is derived and in use. `cancel`: a number for {@link NativeBinding.cancel}. */
  setKey(
    identity: string | null,
    keyIndex: number,
    material: Uint8Array,
    cancel?: number | null,
  ): Promise<void>
  ratchetKey(identity: string | null, keyIndex: number, cancel?: number | null): Promise<void>
  setSendKeyIndex(keyIndex: number): void
  /** Encrypts a message of the reliable side. `wait`: the key is being derived, and `keysChanged` will come. */
  sealMessage(message: Uint8Array): NativeSealedMessage | 'wait' | 'missingKey' | 'failed'
  /** Decrypts a message. `wait`: a key is being derived, and `keysChanged` will come. */
  openMessage(
    sender: string,
    keyIndex: number,
    iv: Uint8Array,
    ciphertext: Uint8Array,
  ): Uint8Array | 'wait' | 'missingKey' | 'decryptionFailed' | 'invalidKey'

  // For applications that bring their own transport. A session with a driver does this by itself.
  /** Copies the next packet to `target` (16,000 bytes suffice) and returns its length; 0 if there is none. */
  pollTransmit(target: Uint8Array): number
  handlePacket(packet: Uint8Array): void
  /** ms until `handleTimeout` is due; −1: never. */
  nextTimeout(): number
  handleTimeout(): void
}

/** A seeded bad network between the participants of a loopback. All values apply to each packet. */
export interface NativeNetworkOptions {
  seed: number
  /** Probabilities from 0 to 1. */
  loss: number
  duplicate: number
  reorder: number
  /** ms. */
  delayMs: number
  jitterMs: number
  /** Bytes per second; 0: no limit. */
  bytesPerSecond: number
  /** A stall of `stallMs` every `stallEveryMs`; 0: none. */
  stallMs: number
  stallEveryMs: number
}

/** The hub: the packet side of the loopback. The signalling side is `src/loopback/sfu.ts`. */
export interface NativeLoopbackHub {
  join(options: NativeSessionOptions): NativeSession
  /** Routes the packets of `publisher`'s track `pubHandle` to `subscriber`, as `subHandle`. */
  addRoute(publisher: number, pubHandle: number, subscriber: number, subHandle: number): void
  removeRoute(publisher: number, pubHandle: number, subscriber: number): void
  /**
   * Publishes what `publisher`'s voice `cid` says as the track `trackSid`, or replaces the list of those who hear it. A
   * track of the same voice with another SID ends. `red`: each packet repeats the one before it.
   */
  setAudioRoute(
    publisher: number,
    cid: string,
    trackSid: string,
    red: boolean,
    subscribers: readonly number[],
  ): void
  removeAudioRoute(publisher: number, cid: string): void
  /** Whether all packets of a member's publisher were delivered or lost. `true` if there is no such member. */
  isDrained(session: number): boolean
  /** Whether all packets of a member's voices were delivered or lost, but for those of the voices in `keeping`. */
  isAudioDrained(session: number, keeping: readonly string[]): boolean
  leave(session: number): void
  setNetwork(options: NativeNetworkOptions): void
  /** Counts of forwarded packets and of the network's effects. */
  stats(): { forwarded: number; lost: number; duplicated: number; reordered: number; noRoute: number }
  /** Ends all sessions and the hub's task. Idempotent. */
  close(): void
}

export interface NativeConnectionOptions {
  /** `single`: one peer connection, which this side offers. `dual`: a second one, which the server offers. */
  mode: string
  /** For the session of a rebuilt connection, before `handleRebuilt` is called. */
  nextSession: boolean
  udp: boolean
  tcp: boolean
  /** Whether relays may be used; see {@link NativeConnection.setRelays}. */
  relay: boolean
}

/** Rust: `relays` in `crates/node/src/convert/options.rs`. */
export interface NativeRelays {
  /** At most {@link MAX_RELAYS}. */
  servers: readonly NativeRelayServer[]
  /** Whether a server may have a loopback or link-local address, although the LiveKit server has none. */
  anywhere: boolean
  /** Whether data may go through relays only. */
  only: boolean
  /** Certificate authorities in PEM, for relays over TLS. */
  ca: string
}

/** The most relays of a connection. Rust: `MAX_RELAYS` in `crates/transport/src/relay/mod.rs`. */
export const MAX_RELAYS = 4

/** Rust: `proxy` in `crates/node/src/convert/options.rs`. */
export interface NativeProxy {
  /** A host name or an IP address, without brackets. */
  host: string
  port: number
  /** The value of the header `Proxy-Authorization`; empty: none. */
  authorization: string
}

export interface NativeRelayServer {
  /** A host name or an IP address, without brackets. */
  host: string
  port: number
  transport: 'udp' | 'tcp' | 'tls'
  username: string
  credential: string
  /** The proxy to it, unless it is reached over UDP. */
  proxy: NativeProxy | null
}

/** Counters of one peer connection. */
export interface NativePeerStats {
  /** The round trip time of ICE's checks in ms; −1 while it is unknown. */
  rttMs: number
  /** How data reaches the server: `udp`, `tcp`, `relay/udp`, `relay/tcp`, `relay/tls`, or `''` if it does not. */
  path: string
  /** The server's ICE candidate type on this path: `host`, `srflx`, `prflx`, `relay` or `''`. */
  candidateType: string
  datagramsSent: number
  datagramsReceived: number
  /** Received datagrams that were not WebRTC or did not decrypt. */
  datagramsRejected: number
  /** Datagrams that the server sent and that did not arrive. */
  datagramsLost: number
  /** Bytes of datagrams. */
  bytesSent: number
  bytesReceived: number
}

/** What SCTP counts and measures on the path that sends data. */
export interface NativeSctpStats {
  congestionWindow: number
  bytesInFlight: number
  /** The smoothed and the least round trip in ms; −1 while it is unknown. */
  rttMs: number
  leastRttMs: number
  /** How long the last measured datagram waited in queues on the path, in ms; −1 while it is unknown. */
  queueDelayMs: number
  chunksLost: number
  retransmissions: number
}

/** Counters of one data channel. */
export interface NativeChannelStats {
  /** For the data-track channel, a message is a packet. */
  messagesSent: number
  messagesReceived: number
  bytesSent: number
  bytesReceived: number
  /** Messages that arrived but were dropped, because JavaScript did not take them in time. */
  dropped: number
  /** Bytes that wait or are in flight. */
  buffered: number
}

/**
 * What a connection counts, over all peer connections that it has had. The values grow; only `datagramsLost` may also
 * become smaller.
 */
export interface ConnectionCounters {
  /** Bytes of all datagrams, connectivity checks and encryption included. */
  bytesSent: number
  bytesReceived: number
  /**
   * Datagrams that the server encrypted and that did not arrive: the network lost them, this machine had no room for
   * them, or the server did not send them after all. Counted by gaps in the numbers of their DTLS records (RFC 6347,
   * section 4.1); a datagram that comes out of order counts until it arrives. Always 0 with DTLS 1.3, which hides the
   * numbers.
   */
  datagramsLost: number
  /** Packets of data tracks. */
  packetsSent: number
  packetsReceived: number
}

export interface NativeConnectionStats extends ConnectionCounters {
  /** Round trip time of the path that sends data tracks, in ms; −1 while it is unknown. */
  rttMs: number
  /** Whether at least one of the peer connections uses TCP, to the server or to a relay. */
  overTcp: boolean
  /** Whether at least one of them goes through an HTTP proxy. */
  overProxy: boolean
  /** The path that sends data tracks; see {@link NativePeerStats.path}. */
  path: string
  /** Bytes buffered in the data-track channel, and (`bufferLimit`) the most that it may buffer. */
  buffered: number
  bufferLimit: number
  sctp: NativeSctpStats
  publisher: NativePeerStats
  /** Null if there is only one peer connection. */
  subscriber: NativePeerStats | null
  dataTrack: NativeChannelStats
  reliable: NativeChannelStats
  lossy: NativeChannelStats
}

/** A message received on a channel. Rust: `Message` in `crates/node/src/convert/event.rs`. */
export interface NativeMessage {
  channel: NativeChannel
  data: Uint8Array
}

/** Peer connections to a server. Rust: `crates/node/src/connection.rs`. */
export interface NativeConnection {
  readonly id: number
  /** Asks for an offer; `localDescription` follows. Every call but the first restarts ICE. */
  createOffer(): void
  handleAnswer(sdp: string, id: number): void
  handleOffer(sdp: string, id: number): void
  /** `candidate`: `candidate:…`, the member of that name in a `Trickle`'s JSON. */
  addRemoteCandidate(target: string, candidate: string): void
  /**
   * The server needs an offer with so many new sections. `localDescription` follows, as soon as no other offer waits for
   * its answer. ICE and the channels stay as they are. Sections for video are not offered.
   */
  requireSections(audios: number, videos: number): void
  /**
   * What the server asked for may have been lost with the connection for signalling. An offer with free sections for
   * `missing` more tracks follows, as after `requireSections`.
   */
  recoverSections(missing: number): void
  /**
   * Sets which audio tracks of the session are sent. An offer that has them follows, as after `requireSections`; before
   * the first offer, that one has them. At most {@link MAX_AUDIO_SECTIONS}.
   */
  setSending(cids: string[]): void
  /**
   * Sets which track each section of a peer connection carries: the sections' `mid`s, and the SID of each. The
   * description that says so comes next. At most {@link MAX_AUDIO_SECTIONS}.
   */
  setTracks(target: string, mids: string[], sids: string[]): void
  /**
   * Sets the IP address at which signalling reached the server; `''` if it is unknown. Later loopback and link-local
   * candidates are only tried if this address is one, too.
   */
  setServerAddress(address: string): void
  /** Sets the relays. Those that are open already stay open. With `only`, all other paths end. */
  setRelays(relays: NativeRelays): void
  /** Sets the HTTP proxy for later TCP connections to the server. Relays have proxies of their own. */
  setProxy(proxy: NativeProxy | null): void
  /**
   * Queues a message of at most 65,535 bytes. Returns a {@link SendStatus}. Queued messages are sent once the
   * connection is up. `more`: another message or {@link flush} follows at once, and this message can wait for it.
   */
  send(channel: NativeChannel, message: Uint8Array, more: boolean): number
  /** Sends what waits: no further message follows. */
  flush(): void
  /** Bytes that wait for the channel or are in flight in it. */
  bufferedAmount(channel: NativeChannel): number
  /** Asks for one `channelBufferedAmountLow` when at most `bytes` are buffered; at once if that is already so. */
  watchBuffered(channel: NativeChannel, bytes: number): void
  /** Bytes that the reliable channel may buffer, bytes in flight included. It follows the capacity of the path. */
  reliableLimit(): number
  /** Some of the received messages: few enough that the caller can check the time between calls. */
  pollMessages(): NativeMessage[]
  /**
   * Asks for one `lingered`. It comes when the server has the data-track packets that are in the channel now, or, with
   * `everything`, all accepted data, queues included. It comes after 1 s at the latest, and at once without a path.
   */
  linger(id: number, everything: boolean): void
  stats(): NativeConnectionStats
  /** Idempotent. */
  close(): void
}

/** The most audio tracks of a connection. Rust: the constant of that name in `crates/media/src/sections.rs`. */
export const MAX_AUDIO_SECTIONS = 256

/** What an audio stream has counted. Rust: `SinkStats` in `crates/media/src/sink.rs`. */
export interface NativeAudioStats {
  packetsReceived: number
  packetsRepaired: number
  packetsDecoded: number
  packetsLate: number
  packetsDuplicate: number
  packetsInvalid: number
  packetsSurplus: number
  packetsDiscarded: number
  packetsUndecryptable: number
  packetsHeld: number
  packetsLost: number
  samplesDecoded: number
  samplesConcealed: number
  samplesSilent: number
  framesProduced: number
  framesDelivered: number
  framesDropped: number
  framesQueued: number
}

/** A stream of an audio track. Rust: `crates/node/src/audio.rs`. */
export interface NativeAudioStream {
  readonly id: number
  /**
   * The interleaved 16-bit samples of some frames, in the machine's byte order. `null` if there are none; the event
   * `audioFrames` comes with the next one.
   */
  read(): Uint8Array | null
  stats(): NativeAudioStats
  /** Drops what was not read. Idempotent. */
  close(): void
}

/** An audio track to publish. Rust: `publish` in `crates/node/src/audio_source.rs`. */
export interface NativeAudioPublication {
  /** The name by which the server knows the request and the section of the track. */
  cid: string
  /** The stream that the track belongs to. */
  stream: string
  /** The number of its {@link NativeAudioSource}. */
  source: number
  /** Bits a second, 6000 to 510,000. */
  bitrate: number
  /** Whether silence is not transmitted. */
  dtx: boolean
  /** Whether two channels are mixed to one. */
  mono: boolean
  /** Whether each packet repeats the one before it (RED). Encrypted ones do not. */
  red: boolean
  /** Whether packets are encrypted with the session's key. What cannot be encrypted is not sent. */
  encrypted: boolean
  muted: boolean
}

/** What a published audio track has counted. Rust: `SenderStats` in `crates/transport/src/speaking.rs`. */
export interface NativeSenderStats {
  units: number
  packetsSent: number
  packetsDropped: number
  packetsQueued: number
  unitsWithheld: number
  unitsMuted: number
  unitsFailed: number
  bytesSent: number
}

/** Converts a sound to another rate. Samples are as in {@link NativeAudioSource.capture}. Rust: `crates/node/src/resampler.rs`. */
export interface NativeResampler {
  /** Takes samples, and returns those that are ready. Throws `CLOSED`. */
  push(samples: Uint8Array): Uint8Array
  /** Returns the rest of the sound. What is pushed next begins a new one. Throws `CLOSED`. */
  flush(): Uint8Array
  /** Frees memory before the object is collected. Idempotent. */
  close(): void
}

/** A source of audio tracks, paced in real time. Rust: `crates/node/src/audio_source.rs`. */
export interface NativeAudioSource {
  readonly id: number
  /**
   * Takes interleaved 16-bit samples in the machine's byte order, as many as fit. Returns how many bytes it took. If
   * those are not all, the event `audioProgress` comes when there is room. Throws `CLOSED`.
   */
  capture(samples: Uint8Array): number
  /** How much waits, in ms. */
  queuedMs(): number
  /** Drops what waits. */
  clear(): void
  /** Whether nothing waits. If something does, the event `audioProgress` comes when nothing does any more. */
  watchEmpty(): boolean
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
  /** The user timestamp as a little-endian u64 (columns 4 and 5, 8-byte aligned). */
  UserTimestamp: 4,
  /** The packet timestamp in ticks of 90 kHz. */
  Timestamp: 6,
  /** The frame's age when it was drained, in µs, at most 2^32 − 1. */
  Age: 7,
  Columns: 8,
} as const

export const RowFlag = {
  HasUserTimestamp: 1,
  /** The payload is not in the slab. Fetch it with `fillLarge`, in the order of the rows, before the next drain. */
  Large: 2,
  /** The payload is still encrypted. The {@link IV_LENGTH} bytes of its IV follow it. */
  Sealed: 4,
  /** `provideLatest` handed the frame in. */
  Latched: 8,
} as const

/** What the doorbell rang for, as flags. Rust: `Shared::news` in `crates/node/src/environment/shared.rs`. */
export const News = { Events: 1, Frames: 2, Logs: 4 } as const

/**
 * Frames larger than this, in bytes, get their own buffer. Rust: `LARGE_FRAME` in
 * `crates/node/src/environment/drain.rs`.
 */
export const LARGE_FRAME = 16_384
/** Bytes of an IV. Rust: `IV_LEN` in `crates/datatrack/src/e2ee/mod.rs`. */
export const IV_LENGTH = 12
/** Size of a slab in bytes. */
export const SLAB_SIZE = 65_536

export interface NativeBinding {
  version(): string
  /**
   * Sets the callback for news: frames that a reader waits for, events, or log records. It is called on a later turn of
   * the event loop, once for all news, with the kinds of news ({@link News}). It does not keep the process alive.
   */
  setDoorbell(callback: (news: number) => void): void
  /** The available events, some thousand at a time. The doorbell rings for the rest. */
  pollEvents(): NativeEvent[]
  /**
   * Copies one frame of each stream with demand into `slab` from `offset` on, each at a multiple of 8, and writes a
   * {@link Row} for each into `rows`. Returns the number of frames. It stops when the slab, the rows or the frames are
   * used up.
   *
   * A stream's demand ends with its frame. Its further frames stay in its buffer, under the buffer's policy.
   */
  drain(slab: Uint8Array, offset: number, rows: Uint32Array): number
  /** Fills `target`, whose length is the row's, with the next large frame. */
  fillLarge(target: Uint8Array): void
  /**
   * Rejects the call that was started with this number with `CANCELLED`. Does nothing if the call has already ended.
   */
  cancel(token: number): void

  createSession(options: NativeSessionOptions): NativeSession
  createLoopback(options: NativeNetworkOptions): NativeLoopbackHub
  /** Creates a session for {@link NativeSession.connect}. It counts as connected until it is closed. */
  createServerSession(options: NativeSessionOptions): NativeSession
  /** `sampleRate`: 8000 to 48000; `channels`: 1 or 2; `queueMs`: 0 to 600,000. */
  createAudioSource(sampleRate: number, channels: number, queueMs: number): NativeAudioSource
  /** Rates: 8000 to 192,000; `channels`: 1 or 2; `quality`: a value of `AudioResamplerQuality`. */
  createResampler(inputRate: number, outputRate: number, channels: number, quality: number): NativeResampler

  /** `error`, `warn`, `info`, `debug`, `trace` or `silent`. */
  setLogLevel(level: string): void
  /** The records since the last call (`level`, `target`, `message`), and the number of records that were lost. */
  pollLogs(): { records: { level: string; target: string; message: string }[]; lost: number }
  /** The live objects. */
  handles(): {
    kind: 'session' | 'stream' | 'publication' | 'loopback' | 'connection' | 'audioStream' | 'audioSource'
    id: number
    createdAt: string | null
  }[]
  /** For tests: panics on the runtime. With a number for {@link cancel} it only waits to be cancelled. */
  testPanicAsync(cancel?: number | null): Promise<void>
}

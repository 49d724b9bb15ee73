/**
 * The one table of reasons: class, reason, message, and what to do about it. Types, messages, docs and the test of all
 * errors come from here. `crates/node/src/convert/event.rs` names
 * those that come from the native side; a test compares.
 */

interface ReasonText {
  /** The error's message. */
  readonly message: string
  /** When it happens and what helps. */
  readonly doc: string
}

export const errorReasons = {
  DataTrackPublishError: {
    notAllowed: {
      message: 'publishing data is not allowed',
      doc: 'The token lacks the grant `canPublishData`, or the server has data tracks switched off.',
    },
    duplicateName: {
      message: 'a data track with that name is published already',
      doc: 'Names are unique for a publisher. Unpublish the other track or choose another name.',
    },
    invalidName: {
      message: 'the name of a data track must have 1 to 256 bytes',
      doc: 'The name is empty, too long, or rejected by the SFU. Bytes of UTF-8 count, not characters.',
    },
    timeout: {
      message: 'the SFU did not answer in time',
      doc: 'No answer within 10 s. Does the server support data tracks?',
    },
    limitReached: {
      message: 'no more data tracks can be published',
      doc: 'The SFU has a limit, or no handle is free. A participant has 65,535 handles. A handle is free again 30 s after its track ended, if the SFU has confirmed the end.',
    },
    disconnected: {
      message: 'the room is not connected',
      doc: 'The room was disconnected, or never connected. While a room is reconnecting, it keeps the request.',
    },
    invalidSchema: {
      message: 'frame encoding and schema do not match',
      doc: 'LiveKit allows only some pairs of `frameEncoding` and `schema`; the option `schema` of `publishDataTrack` lists them.',
    },
    cancelled: {
      message: 'publishing was cancelled',
      doc: 'Programs do not get this reason: if a signal cancels the publication, the call rejects with the reason of the signal.',
    },
    encryptionMismatch: {
      message: 'the SFU answered with another encryption than requested',
      doc: 'Nothing was sent. A track that should be encrypted is never sent as plaintext, and a plain track is never sent encrypted.',
    },
    noEncryption: {
      message: 'an encrypted track needs a room with end-to-end encryption',
      doc: "Programs do not get this reason: the room's option `encryption` decides for all of its tracks.",
    },
    internal: {
      message: 'publishing failed',
      doc: "The SFU gave a reason that this version does not know. The message has the SFU's text.",
    },
  },
  DataTrackPushFrameError: {
    trackUnpublished: {
      message: 'the track is not published any more',
      doc: 'You or the SFU unpublished it. `track.signal` aborts at that moment.',
    },
    queueFull: {
      message: 'the queue of the track is full',
      doc: "Only with `whenFull: 'refuse'`. Await `push` until the queue has space, or drop the frame.",
    },
    reconnecting: {
      message: 'the room is reconnecting',
      doc: '`tryPush` refuses frames until the connection is back. Await `push`, or drop the frame.',
    },
    disconnected: {
      message: 'the room is not connected any more',
      doc: 'The room was disconnected, or its connection is lost for good.',
    },
    frameTooLarge: {
      message: 'the frame is too large',
      doc: 'A frame has at most `track.maxFrameLength` bytes, which is what receivers can assemble. Nothing was sent.',
    },
    noKey: {
      message: 'there is no key to encrypt the frame with',
      doc: 'Await `keyProvider.setKey()` before the first frame of an encrypted track.',
    },
    encryptionFailed: {
      message: 'the frame could not be encrypted',
      doc: 'The custom provider threw, or returned a promise to `tryPush`. With a provider that returns promises, await `push`.',
    },
    encodeFailed: {
      message: 'the codec could not encode the value',
      doc: "The codec's own error is the `cause`.",
    },
    internal: {
      message: 'the native part failed',
      doc: 'A bug of this package, which has closed its connection. Please report it.',
    },
  },
  DataTrackSubscribeError: {
    unpublished: {
      message: 'the track is not published any more',
      doc: 'The track was unpublished before the subscription was complete. (If it is unpublished later, streams end normally.)',
    },
    timeout: {
      message: 'the SFU did not answer in time',
      doc: 'The SFU assigned no handle within 10 s. Subscribing again asks the SFU again.',
    },
    notAllowed: {
      message: 'this participant may not subscribe',
      doc: 'The token lacks the grant `canSubscribe`, the grant was revoked before the SFU answered, or the publisher does not let this participant subscribe to the track.',
    },
    disconnected: {
      message: 'the room is not connected',
      doc: 'The room was disconnected, or its connection is lost for good. While a room is reconnecting, it keeps its streams.',
    },
    cancelled: {
      message: 'the subscription was cancelled',
      doc: 'The program closed the stream before the SFU forwarded to it; `stream.ready` rejects with this. (A signal that aborts rejects with its own reason.)',
    },
    unencrypted: {
      message: 'the track is not encrypted, although this room is',
      doc: 'Subscribe with `allowUnencrypted: true` to accept plain frames.',
    },
    noDecryption: {
      message: 'the track is encrypted, and this room has no keys',
      doc: 'Give the room an `encryption` option; ciphertext is never handed out as a frame.',
    },
    internal: {
      message: 'subscribing failed',
      doc: 'A bug of this package or of the SFU; the message says more.',
    },
  },
  DataTrackStreamError: {
    locked: {
      message: 'the stream is being read already',
      doc: 'A stream has one reader: a loop, a `getReader()`, a pipe or a `read()`. Subscribe once more for a second reader.',
    },
  },
  DataTrackDecodeError: {
    decodeFailed: {
      message: 'the codec could not decode a frame',
      doc: "The codec's own error is the `cause`. `onDecodeError: 'skip'` counts such frames and goes on.",
    },
    undecodableResponse: {
      message: 'the codec could not decode the answer of a call',
      doc: "From `room.rpc.call`: caller and handler use different codecs. The codec's own error is the `cause`; `frame` is the answer's text.",
    },
  },
  DataTrackUnpublishedError: {
    local: {
      message: 'the track was unpublished',
      doc: 'The program called `unpublish()`, or the scope of the track ended (`withDataTrack`, `await using`).',
    },
    sfu: {
      message: 'the SFU unpublished the track',
      doc: 'For example, an administrator unpublished it, or the participant lost a permission.',
    },
    disconnected: { message: 'the room was disconnected', doc: 'Publications end with their room.' },
    republishRejected: {
      message: 'the SFU refused the track after a reconnect',
      doc: "The message has the SFU's text. Publish the track again.",
    },
  },
  DataTrackE2eeError: {
    missingKey: {
      message: 'there is no key',
      doc: 'No key is set for that participant (remote or local). Its frames wait for a key, and are dropped if none is set in time.',
    },
    decryptionFailed: {
      message: 'frames could not be decrypted',
      doc: 'The keys differ: another passphrase, another `keyDerivation`, or a rotation that was missed.',
    },
    unencrypted: {
      message: 'frames of an encrypted track came without encryption',
      doc: 'The frames were dropped.',
    },
    invalidKey: {
      message: 'the key counts as invalid',
      doc: 'More frames of the participant in a row than `failureTolerance` could not be decrypted. Setting a key makes it valid again.',
    },
    providerFailed: {
      message: 'the custom provider failed',
      doc: 'It threw, rejected, or returned something that is not a frame. Its own error is the `cause`.',
    },
    unsupported: {
      message: 'the room has no built-in encryption',
      doc: 'Keys can be set only in rooms whose `encryption` has a `keyProvider`.',
    },
    internal: { message: 'end-to-end encryption failed', doc: 'The message says more.' },
  },
  DataTrackConnectionError: {
    notAllowed: {
      message: 'the server refused the token',
      doc: 'The token is expired, signed with another key, or lacks the grant `roomJoin` for the room.',
    },
    notFound: {
      message: 'there is no LiveKit server at that URL, or no such room',
      doc: 'Use the URL of the server (`wss://host`), with a path only if a proxy serves it under that path. The room must exist only if the server does not create rooms by itself.',
    },
    serverUnreachable: {
      message: 'the server cannot be reached',
      doc: "No program answers at that host and port, or the server answers with an error. The detail has the system's error code.",
    },
    timeout: {
      message: 'connecting took too long',
      doc: 'The server did not answer, or no network path to it was found. `connectTimeout` is the limit.',
    },
    transportFailed: {
      message: 'signalling works, but no data can be sent to the server',
      doc: "Neither UDP nor TCP to the server's media ports works. A firewall blocks them, or the server announces a wrong address.",
    },
    noUdpSocket: {
      message: 'the system gives no UDP socket',
      doc: "Only with `iceTransports: 'udp'`. A sandbox or a limit on open files refuses UDP sockets; the log has the system's error. Use `'all'` or `'tcp'`.",
    },
    noRelay: {
      message: 'there is no relay to connect through',
      doc: "Only with `iceTransports: 'relay'`. There is no TURN server to use: the option `iceServers` names none, or that option is not set and the server names none. Switch TURN on at the server, or name a TURN server in `iceServers`.",
    },
    relayUnreachable: {
      message: 'no relay can be reached',
      doc: "This reason and the next five occur only if data may go through relays only: with `iceTransports: 'relay'`, or if the server tells its clients so. The host of each TURN server is unknown, refuses connections, or does not answer. If one of the next five reasons applies to one of several TURN servers, the error has that reason instead. Is the TURN server's port forwarded, and does the firewall let it through?",
    },
    proxyFailed: {
      message: 'the proxy does not let the room reach a relay',
      doc: "The proxy of the environment refuses to connect to the TURN server's port, wants other credentials, answers with something else, or does not answer. The TURN server cannot be reached without the proxy either. The detail has the proxy's HTTP status. Many proxies connect to port 443 only.",
    },
    relayUntrusted: {
      message: "the relay's certificate is not trusted",
      doc: "The certificate is expired, made for another name, or signed by an unknown authority. The option `ca` names the authorities to trust, in place of Node's list.",
    },
    relayUnauthorized: {
      message: 'the relay refuses the credentials',
      doc: 'The credentials are wrong or have expired. The LiveKit server makes new ones for each connection. Are the clocks of the LiveKit server and of the TURN server right, and do both have the same secret? If the option `iceServers` is set, check its `username` and `credential`.',
    },
    relayForbidden: {
      message: "the relay forbids the server's address",
      doc: "The TURN server accepts the client, but does not let it send to the addresses that the LiveKit server announces. livekit-server's own TURN server refuses private addresses, unless `turn.allow_restricted_peer_cidrs` names them.",
    },
    relayFailed: {
      message: 'the relay does not work',
      doc: "The TURN server has no capacity left, a quota is used up, it sends the client to another server, or it does not speak TURN. The detail has the TURN server's error.",
    },
    leaveRequest: {
      message: 'the server told this participant to leave',
      doc: "The server sent a leave request while the room was connecting. The detail has the server's reason.",
    },
    tokenUnavailable: {
      message: 'there is no token to connect with',
      doc: 'The function or `TokenSource` that gives the tokens failed (`cause`), its server answered with an error (`status`), or the new token is for another participant or room.',
    },
    messageTooLarge: {
      message: 'the server sent a message that is too large',
      doc: 'A message has at most 64 MiB. A server sends all participants of a room, with their metadata, in one message: use fewer participants or less metadata.',
    },
    internal: { message: 'connecting failed', doc: 'The message says more.' },
  },
  PublishDataError: {
    packetTooLarge: {
      message: 'the packet is too large',
      doc: '`size` and `maxSize` say by how much. Send larger data as a stream: `sendBytes`, `streamBytes`, `sendText`.',
    },
    bufferFull: {
      message: 'too much data waits to be sent',
      doc: 'Reliable packets: 16 MiB wait already. Lossy packets: the channel is full, and a packet that waited would be too old when it is sent.',
    },
    reconnecting: {
      message: 'the room is reconnecting',
      doc: 'Lossy packets are refused until the connection is back; reliable ones wait.',
    },
    notAllowed: {
      message: 'sending data is not allowed',
      doc: 'The token lacks the grant `canPublishData`, or the server took the permission away. Packets that were sent just before that may not have arrived. Lossy packets do not fail with this reason: the server drops them.',
    },
    disconnected: {
      message: 'the room is not connected',
      doc: 'The room was disconnected, or never connected.',
    },
    connectionLost: {
      message: 'the connection was rebuilt before the packet was acknowledged',
      doc: 'The packet may have arrived or not, because the server did not resume the session. Send it again if receivers can handle it twice.',
    },
    missingKey: {
      message: 'there is no key to encrypt the packet with',
      doc: 'Await `keyProvider.setKey()` before the first packet.',
    },
    encryptionFailed: { message: 'the packet could not be encrypted', doc: 'Nothing was sent.' },
    notEncryptable: {
      message: 'LiveKit cannot encrypt packets of this kind',
      doc: 'DTMF digits and transcription packets travel in the clear, so a room with end-to-end encryption does not send them. Send transcriptions as text streams on the topic `lk.transcription`; they are encrypted.',
    },
    unsupported: {
      message: 'the custom encryption provider does not encrypt packets',
      doc: 'A custom provider encrypts only frames of data tracks. A room with one sends no data packets. Use a key provider.',
    },
  },
  DataStreamError: {
    alreadyOpened: {
      message: 'a stream with that id is open already',
      doc: 'The sender opened a second stream with the same id, so chunks cannot be assigned to one of them. Ids are unique unless the sender chooses them.',
    },
    abnormalEnd: {
      message: 'the sender ended the stream early',
      doc: 'The sender cancelled the stream, or left the room; the detail says which.',
    },
    connectionLost: {
      message: 'the connection was rebuilt before the stream was complete',
      doc: 'The session of the sender or of the receiver could not be resumed, so parts of the stream may be lost. Send it again.',
    },
    disconnected: {
      message: 'the room was disconnected before the stream was complete',
      doc: 'The room was disconnected, or its connection was lost for good.',
    },
    timeout: {
      message: 'nothing happened on the stream for too long',
      doc: "Nothing came from the sender, and no handler read what had come. The limit is the room's option `dataStreams.idleTimeout`.",
    },
    decodeFailed: {
      message: 'the content could not be decoded',
      doc: "A text is not valid UTF-8, or compressed content is damaged. The decoder's error is the `cause`.",
    },
    lengthExceeded: {
      message: 'the stream is longer than its sender said',
      doc: 'Receiving: the sender sent more than it announced. Writing: more was written than `totalSize`, or the file has grown.',
    },
    incomplete: {
      message: 'parts of the stream are missing',
      doc: 'Receiving: a chunk is missing, or the sender sent less than it announced. Writing: the stream was closed before `totalSize` was written, or the file has shrunk.',
    },
    encryptionTypeMismatch: {
      message: 'part of the stream has another encryption than its beginning',
      doc: 'The stream was dropped. Either all of a stream is end-to-end encrypted, or none of it.',
    },
    unreadable: {
      message: 'the source is neither a file nor a pipe',
      doc: '`sendFile` sends files and named pipes, because they end. It refuses devices and sockets. Nothing was sent.',
    },
    headerTooLarge: {
      message: 'the header of the stream is too large',
      doc: 'Topic, attributes, destinations and names have at most 15,000 bytes together. Nothing was sent.',
    },
    payloadTooLarge: {
      message: 'the content is larger than allowed',
      doc: '`readAll` and `bytes` take at most `maxLength` bytes (256 MiB unless you say otherwise). Larger streams are read piece by piece.',
    },
    bufferFull: {
      message: 'too much of the stream was not read in time',
      doc: "Senders do not wait for readers. The limits are the room's options `dataStreams.maxBufferedBytes` and `maxTotalBufferedBytes`.",
    },
    locked: {
      message: 'the stream is being read already',
      doc: 'A reader is read once: by a loop, `readAll`, or as a web or Node stream. For a second reading, register another handler, which gets a reader of its own.',
    },
    closed: {
      message: 'the stream was closed',
      doc: 'The program wrote after `close` or `abort`, or after the stream had failed.',
    },
  },
  SignalRequestError: {
    notAllowed: {
      message: 'the server does not allow the request',
      doc: 'The token lacks the grant `canUpdateOwnMetadata`. For schemas: the server does not store them (`enable_participant_data_blob`).',
    },
    notFound: {
      message: 'the participant, the schema or the data blob was not found',
      doc: 'No participant with that identity is in the room, or it has not stored that schema or blob.',
    },
    limitExceeded: {
      message: 'the value is larger than the server allows',
      doc: 'livekit-server 1.13 takes names of 256 bytes, metadata of 512 KiB, attributes of 64 KiB, and schemas of 50 KiB each and 64,000 bytes in all.',
    },
    invalidRequest: {
      message: 'the server rejected the request as invalid',
      doc: "For example, a definition is empty, or the name of a schema or the key of a blob is too long. The detail has the server's text.",
    },
    notText: {
      message: 'the definition of the schema or the data blob is not text',
      doc: 'It is not valid UTF-8; it may be a binary descriptor. `{ bytes: true }` gives the bytes.',
    },
    unsupported: {
      message: 'the server does not support the request',
      doc: 'The server is too old to support it.',
    },
    timeout: {
      message: 'the server did not answer in time',
      doc: 'No answer came within 10 s, reconnects included. The server may have carried out the request all the same.',
    },
    disconnected: {
      message: 'the room is not connected',
      doc: 'The room was disconnected or never connected, or its connection is lost for good. While a room is reconnecting, it keeps the request.',
    },
    internal: {
      message: 'the request failed',
      doc: "The server gave a reason that this version does not know. The message has the server's text.",
    },
  },
  TrackPublishError: {
    notAllowed: {
      message: 'publishing the track is not allowed',
      doc: 'The token lacks the grant `canPublish`, or its `canPublishSources` do not name the source of the track.',
    },
    encrypted: {
      message: 'the custom encryption provider does not encrypt audio',
      doc: 'A custom provider encrypts frames of data tracks only. Nothing was sent: a room that is end-to-end encrypted never sends audio without encryption. Use a key provider.',
    },
    unsupported: {
      message: 'the track cannot be published here',
      doc: 'The server does not accept such tracks.',
    },
    alreadyPublished: {
      message: 'the track is published already',
      doc: 'A track is published once at a time. Make another track of the same source, or unpublish it first.',
    },
    sourceClosed: {
      message: 'the source of the track is closed',
      doc: 'A closed source has no sound any more. Make another source and another track.',
    },
    limitReached: {
      message: 'no more tracks can be published',
      doc: 'A connection carries 256 audio tracks of this side at most, or the server has a lower limit.',
    },
    unpublished: {
      message: 'the track was unpublished',
      doc: 'The program or the server unpublished the track before the call was complete, or the room was disconnected.',
    },
    timeout: {
      message: 'the server did not answer in time',
      doc: 'No answer within 10 s.',
    },
    disconnected: {
      message: 'the room is not connected',
      doc: 'The room was disconnected, or never connected. While a room is reconnecting, it keeps the request.',
    },
    internal: {
      message: 'publishing failed',
      doc: "The server gave a reason that this version does not know. The message has the server's text.",
    },
  },
  AudioSourceError: {
    closed: {
      message: 'the audio source is closed',
      doc: 'The program closed the source before all of the frame was in its queue.',
    },
  },
  AudioProcessingError: {
    closed: {
      message: 'the resampler or mixer is closed',
      doc: 'The program closed it, or ended the input of the mixer, and then gave it more. Make another one.',
    },
  },
  RtcNodeError: {
    video: {
      message: 'node-datatrack/rtc-node has no video',
      doc: 'The name exists, so that programs that import it load. Video needs libwebrtc.',
    },
    audioFilter: {
      message: 'noise cancellation by native plugins is not supported',
      doc: 'Such plugins are made for libwebrtc. A `FrameProcessor` works.',
    },
    localStream: {
      message: 'only tracks of remote participants can be heard',
      doc: 'An `AudioStream` of a track of the local participant does not exist here.',
    },
    encryption: {
      message: 'this option of the encryption is not supported',
      doc: 'The message names it. The encryption itself is that of all LiveKit SDKs.',
    },
  },
  DataTrackClosedError: {
    closed: {
      message: 'the object is closed',
      doc: 'The room was disconnected, or the manager or loopback was closed.',
    },
    alreadyConnected: {
      message: 'the room is connected already, or connecting',
      doc: 'A room has one connection at a time. Call `disconnect()` first, or make another room.',
    },
    participantDisconnected: {
      message: 'the participant has left the room',
      doc: 'It left, or the room was disconnected, before it became active. A participant that joins again is another object.',
    },
    nativePanic: {
      message: 'the native part failed and closed the connection',
      doc: 'A bug of this package. Please report it.',
    },
  },
} as const satisfies Record<string, Record<string, ReasonText>>

/** Names of the classes that have reasons. */
export type ErrorName = keyof typeof errorReasons
/** The reasons of a class. */
export type ErrorReason<Name extends ErrorName> = Extract<keyof (typeof errorReasons)[Name], string>

/** Classes whose reasons the native side names. */
type NativeErrorName = 'DataTrackPublishError' | 'DataTrackSubscribeError' | 'DataTrackE2eeError'

/**
 * The reason of an error that the native side threw. `internal` if the class does not have it, which only an addon of
 * another version can bring about.
 */
export function knownReason<Name extends NativeErrorName>(
  name: Name,
  reason: string | null | undefined,
): ErrorReason<Name> {
  const known = typeof reason === 'string' && Object.hasOwn(errorReasons[name], reason)
  return (known ? reason : 'internal') as ErrorReason<Name>
}

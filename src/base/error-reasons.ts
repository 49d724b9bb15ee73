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
      message: 'a data track of that name is published already',
      doc: 'Names are unique for a publisher. Unpublish the other track or choose another name.',
    },
    invalidName: {
      message: 'the name of a data track has 1 to 256 bytes',
      doc: 'The name is empty or too long, or the SFU does not like it. Bytes count, not characters.',
    },
    timeout: {
      message: 'the SFU did not answer in time',
      doc: 'No answer within 10 s. Does the server support data tracks?',
    },
    limitReached: {
      message: 'no more data tracks can be published',
      doc: 'The SFU has a limit, or all 65,535 handles of a participant are in use, or ended within 30 s, or wait for the SFU to confirm the end.',
    },
    disconnected: {
      message: 'the room is not connected',
      doc: 'It was closed, or never connected. A room that is reconnecting keeps the request instead.',
    },
    invalidSchema: {
      message: 'frame encoding and schema do not go together',
      doc: 'See `DataTrackPublishOptions.schema` for the pairs that LiveKit allows.',
    },
    cancelled: {
      message: 'publishing was given up',
      doc: 'The publication was cancelled by other means than a signal (a signal rejects with its own reason).',
    },
    encryptionMismatch: {
      message: 'the SFU answered with another encryption than was asked for',
      doc: 'Nothing was sent: a track that should be encrypted is never sent in the clear, nor the other way round.',
    },
    noEncryption: {
      message: 'an encrypted track needs a room with end-to-end encryption',
      doc: 'Give the room an `encryption` option, or publish without `encrypted: true`.',
    },
    internal: {
      message: 'publishing failed',
      doc: 'For a reason that this version does not know; the message has what the SFU said.',
    },
  },
  DataTrackPushFrameError: {
    trackUnpublished: {
      message: 'the track is not published any more',
      doc: 'It was unpublished by you or by the SFU. `track.signal` tells at once when that happens.',
    },
    queueFull: {
      message: 'the queue of the track is full',
      doc: "Only with `whenFull: 'refuse'`. Await `push` to wait for room, or drop the frame.",
    },
    reconnecting: {
      message: 'the connection is being rebuilt',
      doc: 'Frames are refused meanwhile. Await `push` to wait, or drop the frame.',
    },
    disconnected: {
      message: 'the room is not connected any more',
      doc: 'The room was closed or lost for good.',
    },
    frameTooLarge: {
      message: 'the frame is too large',
      doc: 'At most `track.maxFrameLength` bytes: what receivers can put together. Nothing was sent.',
    },
    noKey: {
      message: 'there is no key to encrypt the frame with',
      doc: 'Await `keyProvider.setKey()` before the first frame of an encrypted track.',
    },
    encryptionFailed: {
      message: 'the frame could not be encrypted',
      doc: 'The custom provider threw, or returned a promise to `tryPush` (await `push` for such providers).',
    },
    encodeFailed: {
      message: 'the codec could not encode the value',
      doc: "The codec's own error is the `cause`.",
    },
    internal: {
      message: 'the native part failed',
      doc: 'A bug of this package: its connection is closed. Please report it.',
    },
  },
  DataTrackSubscribeError: {
    unpublished: {
      message: 'the track is not published any more',
      doc: 'It was unpublished before the subscription was complete. (Later, streams end normally.)',
    },
    timeout: {
      message: 'the SFU did not answer in time',
      doc: 'No subscriber handle within 10 s. Does the token have the grant `canSubscribe`? Subscribing again asks the SFU again.',
    },
    disconnected: {
      message: 'the room is not connected',
      doc: 'It was closed, or the connection is lost for good. A room that is reconnecting keeps its streams.',
    },
    cancelled: {
      message: 'the subscription was given up',
      doc: 'By other means than a signal (a signal rejects with its own reason).',
    },
    unencrypted: {
      message: 'the track is not encrypted, although this room is',
      doc: 'Subscribe with `allowUnencrypted: true` if plain frames are welcome.',
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
      doc: 'A stream has one reader: a loop, a `getReader()`, a pipe or a `read()`. Subscribe once more for a second.',
    },
  },
  DataTrackDecodeError: {
    decodeFailed: {
      message: 'the codec could not decode a frame',
      doc: "The codec's own error is the `cause`. `onDecodeError: 'skip'` counts such frames and goes on.",
    },
    undecodableResponse: {
      message: 'the codec could not decode the answer of a call',
      doc: "From `room.rpc.call`: caller and handler use different codecs. The codec's own error is the `cause`, `frame` the answer's text.",
    },
  },
  DataTrackUnpublishedError: {
    local: { message: 'the track was unpublished', doc: 'By `unpublish()`, or at the end of its scope.' },
    sfu: {
      message: 'the SFU unpublished the track',
      doc: 'An administrator or a lost permission, for example.',
    },
    disconnected: { message: 'the room was disconnected', doc: 'Publications end with their room.' },
    republishRejected: {
      message: 'the SFU did not take the track back after a reconnect',
      doc: 'The message has what the SFU said. Publish anew.',
    },
  },
  DataTrackE2eeError: {
    missingKey: {
      message: 'there is no key',
      doc: 'Frames of that participant (or of your own) wait for one, and are dropped when none comes.',
    },
    decryptionFailed: {
      message: 'frames could not be decrypted',
      doc: 'The keys differ: another passphrase, another `keyDerivation`, or a rotation that was missed.',
    },
    unencrypted: {
      message: 'frames of an encrypted track came without encryption',
      doc: 'They were dropped.',
    },
    invalidKey: {
      message: 'the key counts as invalid',
      doc: 'Too many frames in a row could not be opened (`failureTolerance`). Setting a key starts anew.',
    },
    providerFailed: {
      message: 'the custom provider failed',
      doc: 'It threw, rejected, or returned what is no frame. Its own error is the `cause`.',
    },
    unsupported: {
      message: 'the room has no built-in encryption',
      doc: 'Keys are set on rooms whose `encryption` has a `keyProvider`.',
    },
    internal: { message: 'end-to-end encryption failed', doc: 'The message says more.' },
  },
  DataTrackConnectionError: {
    notAllowed: {
      message: 'the server refused the token',
      doc: 'It is expired, signed with another key, or lacks the grant `roomJoin` for the room.',
    },
    notFound: {
      message: 'there is no LiveKit server at that URL, or no such room',
      doc: 'The URL is that of the server (`wss://host`), without a path. Rooms need not exist unless auto-creation is off.',
    },
    serverUnreachable: {
      message: 'the server cannot be reached',
      doc: "Nothing answers at that host and port, or the server fails. The detail has the system's error code.",
    },
    timeout: {
      message: 'connecting took too long',
      doc: 'The server did not answer, or no network path to it was found. `connectTimeout` is the limit.',
    },
    transportFailed: {
      message: 'signalling works, but no data can be sent to the server',
      doc: "Neither UDP nor TCP to the server's media ports works: a firewall, or a server that announces a wrong address.",
    },
    leaveRequest: {
      message: 'the server sent this participant away',
      doc: 'While connecting. The detail has the reason that the server gave.',
    },
    messageTooLarge: {
      message: 'the server sent a larger message than is taken',
      doc: 'At most 64 MiB. A server sends the participants of a room in one message, metadata included: use less of them.',
    },
    internal: { message: 'connecting failed', doc: 'The message says more.' },
  },
  PublishDataError: {
    packetTooLarge: {
      message: 'the packet is too large',
      doc: '`size` and `maxSize` say by how much. Larger data go as a stream: `sendBytes`, `streamBytes`, `sendText`.',
    },
    bufferFull: {
      message: 'too much waits to be sent',
      doc: 'Reliable: 16 MiB wait already. Lossy: the channel is full, and a packet that waited would not be fresh any more.',
    },
    reconnecting: {
      message: 'the connection is being rebuilt',
      doc: 'Lossy packets are refused meanwhile; reliable ones wait.',
    },
    notAllowed: {
      message: 'sending data is not allowed',
      doc: 'The token lacks the grant `canPublishData`, or it was taken away; what was sent just before that may not have arrived. Lossy packets are not refused for it: the server drops them.',
    },
    disconnected: {
      message: 'the room is not connected',
      doc: 'It was closed, or never connected.',
    },
    connectionLost: {
      message: 'the connection was rebuilt before the packet was acknowledged',
      doc: 'It may have arrived or not: the server did not resume the session. Send it again if receivers can bear it twice.',
    },
    missingKey: {
      message: 'there is no key to encrypt the packet with',
      doc: 'Await `keyProvider.setKey()` before.',
    },
    encryptionFailed: { message: 'the packet could not be encrypted', doc: 'Nothing was sent.' },
    unsupported: {
      message: 'the custom encryption provider does not encrypt packets',
      doc: 'Custom providers encrypt frames of data tracks; nothing else leaves such a room. Use a key provider.',
    },
  },
  DataStreamError: {
    alreadyOpened: {
      message: 'a stream of that id is open already',
      doc: 'Its sender opened a second one under the same id; which chunk belongs to which cannot be told. Ids are unique unless you choose them.',
    },
    abnormalEnd: {
      message: 'the sender ended the stream early',
      doc: 'It gave the stream up, or left the room; the detail says which.',
    },
    connectionLost: {
      message: 'the connection was rebuilt before the stream was complete',
      doc: 'Parts of it may be lost: the session could not be resumed, at this end or at the other. Send it again.',
    },
    disconnected: {
      message: 'the room was disconnected before the stream was complete',
      doc: 'It was closed, or the connection was lost for good.',
    },
    timeout: {
      message: 'nothing happened on the stream for too long',
      doc: 'Nothing came from the sender, or nobody read what came. The limit is `dataStreams.idleTimeout` of the room.',
    },
    decodeFailed: {
      message: 'the content could not be decoded',
      doc: 'A text is no UTF-8, or compressed content is damaged. The error that told is the `cause`.',
    },
    lengthExceeded: {
      message: 'the stream is longer than its sender said',
      doc: 'Receiving: the sender is at fault. Writing: more was written than `totalSize`, or the file is longer than it was.',
    },
    incomplete: {
      message: 'parts of the stream are missing',
      doc: 'Receiving: a chunk is missing, or it ended before the length that its sender said. Writing: it was closed before `totalSize` was written, or the file is shorter than it was.',
    },
    duplicateChunk: {
      message: 'a chunk came twice',
      doc: 'The sender is at fault: reliable packets come once. Two streams of one id look like that, too.',
    },
    encryptionTypeMismatch: {
      message: 'a part of the stream is encrypted otherwise than its beginning',
      doc: 'The stream was dropped: all of it is end-to-end encrypted or none.',
    },
    unreadable: {
      message: 'that is neither a file nor a pipe',
      doc: '`sendFile` sends what ends: files and named pipes. Devices and sockets are refused. Nothing was sent.',
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
      doc: 'The limits are `dataStreams.maxBufferedBytes` and `maxTotalBufferedBytes` of the room: senders do not wait for readers.',
    },
    locked: {
      message: 'the stream is being read already',
      doc: 'A reader is read once: by a loop, `readAll`, or as a web or Node stream. Register another handler for a reader of its own.',
    },
    closed: {
      message: 'the stream was closed',
      doc: 'Writing after `close` or `abort`, or after the stream failed.',
    },
  },
  SignalRequestError: {
    notAllowed: {
      message: 'the server does not allow that',
      doc: 'The token lacks the grant `canUpdateOwnMetadata`; or, for schemas, the server keeps none (`enable_participant_data_blob`).',
    },
    notFound: {
      message: 'there is no such thing',
      doc: 'Nobody of that identity is in the room, or has defined that schema.',
    },
    limitExceeded: {
      message: 'it is larger than the server allows',
      doc: 'livekit-server 1.13 takes names of 256 bytes, metadata of 512 KiB, attributes of 64 KiB, and schemas of 50 KiB each and 64,000 bytes in all.',
    },
    invalidRequest: {
      message: 'the server does not take the request',
      doc: 'An empty definition, a name of a schema that is too long, and the like; the detail has what the server said.',
    },
    notText: {
      message: 'the definition of the schema is no text',
      doc: 'It is no UTF-8: a binary descriptor, for example. `getSchema(…, { bytes: true })` gives the bytes.',
    },
    unsupported: {
      message: 'the server does not know such requests',
      doc: 'An older server.',
    },
    timeout: {
      message: 'the server did not answer in time',
      doc: 'No answer within 10 s, reconnects included. The request may have been carried out all the same.',
    },
    disconnected: {
      message: 'the room is not connected',
      doc: 'It was closed, lost for good, or never connected. A room that is reconnecting keeps the request instead.',
    },
    internal: {
      message: 'the request failed',
      doc: 'For a reason that this version does not know; the message has what the server said.',
    },
  },
  DataTrackClosedError: {
    closed: { message: 'it is closed', doc: 'The room, session or loopback was closed before.' },
    alreadyConnected: {
      message: 'the room is connected already, or connecting',
      doc: 'A room has one connection at a time; `disconnect()` first, or make another room.',
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

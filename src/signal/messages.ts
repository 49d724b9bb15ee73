/**
 * The signalling messages for data tracks, as plain structures.
 *
 * They have the shape of `@livekit/protocol`'s messages (bufbuild). So any copy of that package fits, and none has to
 * be loaded. Requests can be passed to its constructors: `new PublishDataTrackRequest(request.value)`.
 */

/** What other participants may send to this client. 1: RPC over data streams; 2: also data streams in one packet. */
export const CLIENT_PROTOCOL = 2

/** `livekit.Encryption.Type`, as far as data tracks use it. */
export const EncryptionType = { None: 0, Gcm: 1 } as const

/** `livekit.RequestResponse.Reason`. */
export const RequestResponseReason = {
  Ok: 0,
  NotFound: 1,
  NotAllowed: 2,
  LimitExceeded: 3,
  Queued: 4,
  UnsupportedType: 5,
  UnclassifiedError: 6,
  InvalidHandle: 7,
  InvalidName: 8,
  DuplicateHandle: 9,
  DuplicateName: 10,
  InvalidRequest: 11,
} as const

/** `livekit.ParticipantInfo.State`. */
export const ParticipantState = { Joining: 0, Joined: 1, Active: 2, Disconnected: 3 } as const

/** `livekit.ClientInfo.Capability`, as far as it is used here. */
export const ClientCapability = { DeflateRaw: 2 } as const

/** `livekit.DataTrackFrameEncoding` and `livekit.DataTrackSchemaEncoding`. */
export interface EncodingMessage {
  readonly value:
    | { readonly case: 'wellKnown'; readonly value: number }
    | { readonly case: 'custom'; readonly value: string }
    | { readonly case?: undefined; readonly value?: undefined }
}

/** `livekit.DataTrackSchemaId`. */
export interface SchemaMessage {
  readonly name: string
  readonly encoding?: EncodingMessage | undefined
}

/** `livekit.DataTrackInfo`. */
export interface DataTrackInfoMessage {
  readonly pubHandle: number
  readonly sid: string
  readonly name: string
  readonly encryption: number
  readonly frameEncoding?: EncodingMessage | undefined
  readonly schema?: SchemaMessage | undefined
}

/** `livekit.PublishDataTrackRequest`. */
export interface PublishDataTrackMessage {
  readonly pubHandle: number
  readonly name: string
  readonly encryption: number
  readonly frameEncoding?: EncodingMessage | undefined
  readonly schema?: SchemaMessage | undefined
}

/** `livekit.UnpublishDataTrackRequest`. */
export interface UnpublishDataTrackMessage {
  readonly pubHandle: number
}

/** `livekit.UpdateDataSubscription`. */
export interface UpdateDataSubscriptionMessage {
  readonly updates: readonly {
    readonly trackSid: string
    readonly subscribe: boolean
    readonly options?: { readonly targetFps?: number | undefined } | undefined
  }[]
}

/** The last reliable packet of a sender that arrived, for a resume: `livekit.DataChannelReceiveState`. */
export interface ReceiveState {
  readonly publisherSid: string
  readonly lastSeq: number
}

/** `livekit.SyncState`, as far as it is used here. */
export interface SyncStateMessage {
  readonly publishTracks?: readonly PublishedTrackMessage[] | undefined
  readonly publishDataTracks: readonly { readonly info: DataTrackInfoMessage }[]
  readonly dataSubscription?: UpdateDataSubscriptionMessage | undefined
  /** The last reliable packet of each sender. */
  readonly datachannelReceiveStates?: readonly ReceiveState[] | undefined
}

/** The requests about data tracks: `SignalRequest.message`. */
export type DataTrackSignalRequest =
  | { readonly case: 'publishDataTrackRequest'; readonly value: PublishDataTrackMessage }
  | { readonly case: 'unpublishDataTrackRequest'; readonly value: UnpublishDataTrackMessage }
  | { readonly case: 'updateDataSubscription'; readonly value: UpdateDataSubscriptionMessage }

/** `livekit.UpdateParticipantMetadata`. Empty texts and absent keys change nothing. */
export interface UpdateMetadataMessage {
  readonly requestId: number
  readonly metadata: string
  readonly name: string
  readonly attributes: Readonly<Record<string, string>>
}

/** `livekit.DataBlobKey`. */
export interface DataBlobKeyMessage {
  readonly key:
    | { readonly case: 'generic'; readonly value: string }
    | { readonly case: 'schemaId'; readonly value: SchemaMessage }
}

/** `livekit.StoreDataBlobRequest`. */
export interface StoreDataBlobMessage {
  readonly requestId: number
  readonly blob: { readonly key: DataBlobKeyMessage; readonly contents: Uint8Array }
}

/** `livekit.GetDataBlobRequest`. */
export interface GetDataBlobMessage {
  readonly requestId: number
  readonly participantIdentity: string
  readonly key: DataBlobKeyMessage
}

/** Requests that are answered by a message with their number. */
export type NumberedSignalRequest =
  | { readonly case: 'updateMetadata'; readonly value: UpdateMetadataMessage }
  | { readonly case: 'storeDataBlobRequest'; readonly value: StoreDataBlobMessage }
  | { readonly case: 'getDataBlobRequest'; readonly value: GetDataBlobMessage }

/** `livekit.SimulateScenario.scenario`, as far as it is used here. */
export type SimulateScenarioMessage =
  | {
      readonly case:
        | 'nodeFailure'
        | 'migration'
        | 'serverLeave'
        | 'disconnectSignalOnResume'
        | 'disconnectSignalOnResumeNoMessages'
        | 'leaveRequestFullReconnect'
      readonly value: true
    }
  /** Seconds. */
  | { readonly case: 'speakerUpdate'; readonly value: number }
  /** `livekit.CandidateProtocol`: 1 is TCP, 2 is TLS. */
  | { readonly case: 'switchCandidateProtocol'; readonly value: 1 | 2 }

/** `livekit.SubscriptionPermission`. */
export interface SubscriptionPermissionMessage {
  readonly allParticipants: boolean
  readonly trackPermissions: readonly {
    readonly participantIdentity: string
    readonly participantSid: string
    readonly allTracks: boolean
    readonly trackSids: readonly string[]
  }[]
}

/** The requests of a room: {@link DataTrackSignalRequest} and those of its session. */
export type RoomSignalRequest =
  | DataTrackSignalRequest
  | NumberedSignalRequest
  | { readonly case: 'syncState'; readonly value: SyncStateMessage }
  | { readonly case: 'subscriptionPermission'; readonly value: SubscriptionPermissionMessage }
  | { readonly case: 'subscription'; readonly value: UpdateSubscriptionMessage }
  | { readonly case: 'addTrack'; readonly value: AddTrackMessage }
  | { readonly case: 'mute'; readonly value: { readonly sid: string; readonly muted: boolean } }
  | { readonly case: 'simulate'; readonly value: { readonly scenario: SimulateScenarioMessage } }
  | { readonly case: 'leave'; readonly value: { readonly reason: number } }

/** `livekit.ParticipantPermission`, as far as it is used here. */
export interface ParticipantPermissionMessage {
  readonly canSubscribe?: boolean | undefined
  readonly canPublish?: boolean | undefined
  readonly canPublishData?: boolean | undefined
  readonly canUpdateMetadata?: boolean | undefined
  readonly hidden?: boolean | undefined
  /** `livekit.TrackSource`. */
  readonly canPublishSources?: readonly number[] | undefined
  readonly canSubscribeMetrics?: boolean | undefined
  readonly canManageAgentSession?: boolean | undefined
  readonly recorder?: boolean | undefined
  readonly agent?: boolean | undefined
}

/** `livekit.TrackType.AUDIO`. */
export const AUDIO_TRACK = 0

/** `livekit.AudioTrackFeature`, as far as it is used here. */
export const AudioTrackFeature = { Stereo: 0, NoDtx: 1 } as const

/** `livekit.AddTrackRequest` of an audio track. */
export interface AddTrackMessage {
  /** The name by which the server knows the request, and the section of the track in the description. */
  readonly cid: string
  readonly name: string
  readonly type: number
  /** `livekit.TrackSource`. */
  readonly source: number
  readonly muted: boolean
  readonly disableDtx: boolean
  readonly disableRed: boolean
  /** `livekit.Encryption.Type`. */
  readonly encryption: number
  readonly stereo: boolean
  readonly stream: string
  readonly audioFeatures: readonly number[]
}

/** `livekit.TrackPublishedResponse`, for the sync state of a resumed session: `track` is what the server said of it. */
export interface PublishedTrackMessage {
  readonly cid: string
  readonly track: object
}

/** `livekit.TrackInfo` of an audio track, as far as it is used here. */
export interface TrackInfoMessage {
  readonly sid: string
  readonly type?: number | undefined
  readonly name?: string | undefined
  readonly muted?: boolean | undefined
  /** `livekit.TrackSource`. */
  readonly source?: number | undefined
  readonly mimeType?: string | undefined
  /** `livekit.Encryption.Type`. */
  readonly encryption?: number | undefined
}

/** `livekit.UpdateSubscription`. */
export interface UpdateSubscriptionMessage {
  readonly trackSids: readonly string[]
  readonly subscribe: boolean
  readonly participantTracks: readonly never[]
}

/** `livekit.ParticipantInfo`, as far as it is used here. */
export interface ParticipantInfoMessage {
  readonly sid: string
  readonly identity: string
  readonly state: number
  readonly name?: string | undefined
  readonly metadata?: string | undefined
  readonly attributes?: Readonly<Record<string, string>> | undefined
  readonly permission?: ParticipantPermissionMessage | undefined
  /** `livekit.ParticipantInfo.Kind`. */
  readonly kind?: number | undefined
  /** `livekit.ParticipantInfo.KindDetail`. */
  readonly kindDetails?: readonly number[] | undefined
  /** `livekit.DisconnectReason`, of a participant that has left. */
  readonly disconnectReason?: number | undefined
  /** Unix time in seconds; newer servers give ms, too. A `bigint`, or another copy of the protocol's type for it. */
  readonly joinedAt?: unknown
  readonly joinedAtMs?: unknown
  /** Counts up within a session. */
  readonly version?: number | undefined
  readonly dataTracks?: readonly DataTrackInfoMessage[] | undefined
  /** Audio tracks. */
  readonly tracks?: readonly TrackInfoMessage[] | undefined
  /** The protocol of its client; absent: 0. */
  readonly clientProtocol?: number | undefined
  /** `livekit.ClientInfo.Capability` of its client. */
  readonly capabilities?: readonly number[] | undefined
}

/** `livekit.RequestResponse`. */
export interface RequestResponseMessage {
  readonly reason: number
  readonly message: string
  readonly request: { readonly case?: string | undefined; readonly value?: unknown }
}

/**
 * A decoded `livekit.SignalResponse`: any object with a `message` that has a `case`. The content is not trusted;
 * {@link SignalDispatcher} checks it.
 */
export interface SignalResponseLike {
  readonly message: { readonly case?: string | undefined; readonly value?: unknown }
}

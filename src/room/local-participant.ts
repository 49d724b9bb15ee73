/** The local participant, and its requests to the server. */
import * as check from '../base/arguments'
import { onAbort } from '../base/abort'
import type { DataPackets, DataPublishOptions } from '../data-packet/data-packets'
import type { FileSource } from '../data-stream/file-source'
import type { ByteStreamInfo, TextStreamInfo } from '../data-stream/info'
import type {
  SendBytesOptions,
  SendFileOptions,
  SendTextOptions,
  StreamBytesOptions,
  StreamTextOptions,
} from '../data-stream/options'
import type { OutgoingStreams } from '../data-stream/outgoing'
import type { ByteStreamWriter, TextStreamWriter } from '../data-stream/writers'
import type { LocalDataTrack, PushableFrame } from '../data-track/local'
import type { DataTrackPublishOptions } from '../data-track/publish-options'
import type { DataTrackSchema } from '../base/codec'
import { DataTrackPublishError } from '../base/errors'
import type { ChatMessage, EditChatMessageOptions, SendChatMessageOptions } from './chat'
import type { PublishDtmfOptions } from './dtmf'
import type { LocalAudioTrack } from '../media/local-audio-track'
import type { LocalTrackPublication } from '../media/local-publication'
import type { TrackPublishOptions } from '../media/track-publish-options'
import type { OutgoingMessages } from './outgoing-messages'
import { OwnProfile } from './profile'
import { SubscriptionPermissions } from './subscription-permissions'
import type { ParticipantTrackPermission, PermittedTracks } from './subscription-permissions'
import type { RequestOptions } from './profile'
import type { PublishTranscriptionOptions, Transcription } from './transcription-packets'
import { noSchemas } from './schemas'
import type { GetSchemaOptions, Schemas } from './schemas'
import type { PerformRpcParams } from '../rpc/client-manager'
import type { RpcInterceptor } from '../rpc/interceptors'
import type { RoomRpc } from '../rpc/room-rpc'
import type { RpcMethodHandler } from '../rpc/invocation'
import type { Session } from '../session/session'
import type { ParticipantInfoMessage } from '../signal/messages'
import { PendingRequests } from './pending-requests'
import { Participant } from './participant'

/** @internal The local participant's requests to the server. */
export interface ParticipantRequests {
  readonly pending: PendingRequests
  readonly schemas: Schemas
  readonly profile: OwnProfile
}

/** @internal The audio tracks that the local participant publishes. */
export interface TrackPublications {
  publish(track: LocalAudioTrack, options: TrackPublishOptions | undefined): Promise<LocalTrackPublication>
  unpublish(what: LocalAudioTrack | string): LocalTrackPublication | undefined
}

/** @internal What the local participant needs of its room. */
export interface LocalParticipantOwner {
  readonly session: () => Session | undefined
  readonly packets: DataPackets
  readonly streams: OutgoingStreams
  readonly requests: () => ParticipantRequests | undefined
  readonly rpc: RoomRpc
  readonly messages: OutgoingMessages
  readonly audio: () => TrackPublications
  /** The tracks that {@link LocalParticipant.setTrackSubscriptionPermissions} is about. */
  readonly tracks: PermittedTracks
}

/** The local participant. */
export class LocalParticipant extends Participant {
  readonly #session: () => Session | undefined
  readonly #packets: DataPackets
  readonly #streams: OutgoingStreams
  readonly #requests: () => ParticipantRequests | undefined
  readonly #rpc: RoomRpc
  readonly #messages: OutgoingMessages
  readonly #audio: () => TrackPublications
  /** The local participant's audio tracks by SID. Do not change the map. */
  readonly trackPublications: Map<string, LocalTrackPublication> = new Map<string, LocalTrackPublication>()
  /** @internal */
  readonly subscriptionPermissions: SubscriptionPermissions

  /** @internal */
  constructor(info: ParticipantInfoMessage, owner: LocalParticipantOwner) {
    super(info)
    this.subscriptionPermissions = new SubscriptionPermissions(owner.tracks)
    this.#session = owner.session
    this.#packets = owner.packets
    this.#streams = owner.streams
    this.#requests = owner.requests
    this.#rpc = owner.rpc
    this.#messages = owner.messages
    this.#audio = owner.audio
  }

  /**
   * Sends a data packet: one message of up to about 65,000 bytes. All participants in the room get it, or only those in
   * `destinationIdentities`.
   *
   * The promise of a reliable packet resolves when the server has acknowledged it. Packets stay in order without
   * awaiting, so do not await each packet before the next one if the rate matters.
   *
   * Without the grant `canPublishData` reliable packets are refused at once (`notAllowed`), and the server drops lossy
   * ones.
   *
   * @throws `PublishDataError`; `TypeError` that names the argument; the signal's `reason`
   */
  async publishData(data: Uint8Array, options: DataPublishOptions = {}): Promise<void> {
    await this.#packets.publishData(this.identity, data, options)
  }

  /**
   * Sends a text of any length to the handlers of its topic.
   *
   * A short text is sent in one packet if all receivers support that. It is compressed if all receivers can decompress
   * it. The promise resolves when the server has acknowledged all of it.
   *
   * @returns the stream's description, as receivers get it
   * @throws `PublishDataError`; `DataStreamError` (`headerTooLarge`, `connectionLost`); errors of reading an
   * attachment; `TypeError` or `RangeError` that names the argument; the signal's `reason`
   */
  sendText(text: string, options?: SendTextOptions): Promise<TextStreamInfo> {
    return this.#streams.sendText(text, options)
  }

  /**
   * Sends bytes of any length, like {@link sendText}. Do not change the bytes before the promise settles.
   *
   * @returns the stream's description, as receivers get it
   * @throws as `sendText`
   */
  sendBytes(bytes: Uint8Array, options?: SendBytesOptions): Promise<ByteStreamInfo> {
    return this.#streams.sendBytes(bytes, options)
  }

  /**
   * Sends a file as a byte stream: a path, a `file:` URL, or a `Blob` or `File`. The file is read while it is sent, and
   * not kept in memory. A named pipe is read until its writers close it.
   *
   * @returns the stream's description, as receivers get it
   * @throws as `sendText`; the system's error for a file that cannot be read; `DataStreamError`: `incomplete` or
   * `lengthExceeded` if the file becomes shorter or longer while it is sent, `unreadable` for devices and sockets
   */
  sendFile(source: FileSource, options?: SendFileOptions): Promise<ByteStreamInfo> {
    return this.#streams.sendFile(source, options)
  }

  /**
   * Opens a text stream that is written piece by piece. Such a stream is not compressed.
   *
   *     await using writer = await room.localParticipant.streamText({ topic: 'answer' })
   *     for await (const token of model) await writer.write(token)
   *
   * @throws as `sendText`
   */
  streamText(options?: StreamTextOptions): Promise<TextStreamWriter> {
    return this.#streams.streamText(options)
  }

  /**
   * Opens a byte stream that is written piece by piece. Such a stream is not compressed.
   *
   * @throws as `sendText`
   */
  streamBytes(options?: StreamBytesOptions): Promise<ByteStreamWriter> {
    return this.#streams.streamBytes(options)
  }

  /**
   * Sends a chat message, as a text stream on the topic `lk.chat` and, for older receivers, as a chat packet. The rooms
   * of the receivers emit `RoomEvent.ChatMessage`, and so does this room. The promise resolves when the server has
   * acknowledged the message.
   *
   * @param text at most 1 MiB of UTF-8. With more than some 60,000 bytes, the message is sent as a text stream only
   * @throws as `sendText`
   */
  sendChatMessage(text: string, options?: SendChatMessageOptions): Promise<ChatMessage> {
    return this.#messages.sendChatMessage(text, options)
  }

  /**
   * Replaces the text of a chat message.
   *
   * @returns the message with its new text and its `editTimestamp`
   * @throws as `sendText`
   */
  editChatMessage(
    editText: string,
    originalMessage: ChatMessage,
    options?: EditChatMessageOptions,
  ): Promise<ChatMessage> {
    return this.#messages.editChatMessage(editText, originalMessage, options)
  }

  /**
   * Sends a DTMF digit, for a telephone that takes part by SIP. This works without end-to-end encryption only, because
   * LiveKit cannot encrypt digits.
   *
   * @param code the digit's number, 0 to 2^32 − 1; 10 for `*`, 11 for `#`
   * @param digit the digit itself
   * @throws `PublishDataError`; `TypeError` or `RangeError` that names the argument; the signal's `reason`
   */
  async publishDtmf(code: number, digit: string, options?: PublishDtmfOptions): Promise<void> {
    await this.#messages.publishDtmf(code, digit, options)
  }

  /**
   * Sends a transcription packet, for older clients. For newer clients, use `streamText` with `senderIdentity`. The
   * server forwards the packet only if a participant of the kind `agent` sent it. This works without end-to-end
   * encryption only, because LiveKit cannot encrypt such packets.
   *
   * @throws `PublishDataError`; `TypeError` or `RangeError` that names the argument; the signal's `reason`
   */
  async publishTranscription(
    transcription: Transcription,
    options?: PublishTranscriptionOptions,
  ): Promise<void> {
    await this.#messages.publishTranscription(transcription, options)
  }

  /**
   * Sets the local participant's metadata, which all participants in the room see. It needs the grant
   * `canUpdateOwnMetadata`. The promise resolves when the server has accepted it. A reconnect in between, or later,
   * does not lose it.
   *
   * @param metadata at least 1 character (LiveKit reads an empty text as "no change"), by default at most 512 KiB
   * @throws `SignalRequestError`; `TypeError` or `RangeError` that names the argument; the signal's `reason`
   */
  async setMetadata(metadata: string, options?: RequestOptions): Promise<void> {
    await this.#profile().update({ metadata }, options)
  }

  /**
   * Sets the local participant's name, which all participants in the room see. It needs the grant
   * `canUpdateOwnMetadata`.
   *
   * @param name at least 1 character (LiveKit reads an empty text as "no change"), by default at most 256 bytes
   * @throws as {@link setMetadata}
   */
  async setName(name: string, options?: RequestOptions): Promise<void> {
    await this.#profile().update({ name }, options)
  }

  /**
   * Sets some of the local participant's attributes, which all participants in the room see. Other attributes stay
   * unchanged. It needs the grant `canUpdateOwnMetadata`.
   *
   * @param attributes an empty value removes the attribute; by default at most 64 KiB in all
   * @throws as {@link setMetadata}
   */
  async setAttributes(attributes: Readonly<Record<string, string>>, options?: RequestOptions): Promise<void> {
    await this.#profile().update({ attributes }, options)
  }

  protected override get hasLeft(): boolean {
    return false
  }

  /**
   * Sets who may subscribe to the local participant's data tracks. By default all participants may. The setting also
   * holds for later connections of the room. Subscriptions that are no longer permitted end, with `notAllowed` in rooms
   * of this package.
   *
   * If no permission names a track, only participants with `allowAll` may subscribe to it.
   *
   * @param allParticipantsAllowed whether all participants may subscribe to all tracks; then the list is ignored
   * @param participantTrackPermissions the whole list; it replaces the previous one
   * @throws `TypeError` or `RangeError` that names the argument
   */
  setTrackSubscriptionPermissions(
    allParticipantsAllowed: boolean,
    participantTrackPermissions: readonly ParticipantTrackPermission[] = [],
  ): void {
    this.subscriptionPermissions.set(allParticipantsAllowed, participantTrackPermissions)
  }

  #profile(): OwnProfile {
    return this.#requests()?.profile ?? new OwnProfile(this, PendingRequests.closed())
  }

  /**
   * Stores the definition of a schema at the server. Other participants fetch it by the schema in the `info` of a
   * track, so store it before you publish the track.
   *
   * Neither this package nor the server interprets the definition. Storing it again replaces it. It is kept while the
   * local participant is in the room, also if the connection is rebuilt.
   *
   * @param schema its name has 1 to 256 characters (livekit-server 1.13 accepts about 200)
   * @param definition a text, or bytes for binary encodings; 1 to 51,200 bytes
   * @throws `SignalRequestError`; `TypeError` or `RangeError` that names the argument; the signal's `reason`
   */
  async defineSchema(
    schema: DataTrackSchema,
    definition: string | Uint8Array,
    options?: RequestOptions,
  ): Promise<void> {
    await (this.#requests()?.schemas ?? noSchemas).define(this.identity, schema, definition, options)
  }

  /**
   * Fetches the definition of a schema that a participant in the room has stored with {@link defineSchema}.
   *
   *     const definition = await localParticipant.getSchema(track.info.schema, track.publisherIdentity)
   *
   * @throws `SignalRequestError` (`notFound`, `notText` …); `TypeError` or `RangeError` that names the argument; the
   * signal's `reason`
   */
  getSchema(
    schema: DataTrackSchema,
    participantIdentity: string,
    options: GetSchemaOptions & { readonly bytes: true },
  ): Promise<Uint8Array>
  getSchema(schema: DataTrackSchema, participantIdentity: string, options?: GetSchemaOptions): Promise<string>
  async getSchema(
    schema: DataTrackSchema,
    participantIdentity: string,
    options?: GetSchemaOptions,
  ): Promise<string | Uint8Array> {
    return await (this.#requests()?.schemas ?? noSchemas).get(schema, participantIdentity, options)
  }

  /**
   * Stores a blob of data at the server. Other participants fetch it by this participant's identity and the key. The
   * server keeps the blob while the local participant is in the room, even if the connection is rebuilt. Storing it
   * again replaces it. All blobs and definitions of schemas of a participant together have at most some 64,000 bytes.
   *
   * @param key 1 to 256 bytes of UTF-8 (livekit-server 1.13 accepts about 200)
   * @param contents a text or bytes; 1 to 51,200 bytes
   * @throws `SignalRequestError`; `TypeError` or `RangeError` that names the argument; the signal's `reason`
   */
  async storeDataBlob(key: string, contents: string | Uint8Array, options?: RequestOptions): Promise<void> {
    await (this.#requests()?.schemas ?? noSchemas).storeBlob(this.identity, key, contents, options)
  }

  /**
   * Fetches a blob that a participant in the room has stored with {@link storeDataBlob}.
   *
   * @throws `SignalRequestError` (`notFound`, `notText` …); `TypeError` or `RangeError` that names the argument; the
   * signal's `reason`
   */
  getDataBlob(
    key: string,
    participantIdentity: string,
    options: GetSchemaOptions & { readonly bytes: true },
  ): Promise<Uint8Array>
  getDataBlob(key: string, participantIdentity: string, options?: GetSchemaOptions): Promise<string>
  async getDataBlob(
    key: string,
    participantIdentity: string,
    options?: GetSchemaOptions,
  ): Promise<string | Uint8Array> {
    return await (this.#requests()?.schemas ?? noSchemas).getBlob(key, participantIdentity, options)
  }

  /**
   * Calls a method of another participant and resolves with its answer. `room.rpc.call` does the same with typed
   * values.
   *
   * The promise settles within `responseTimeout` in any case. A reconnect in between does no harm if the answer arrives
   * in time. A call that failed may still have run, unless its error says that nothing was sent.
   *
   * @throws `RpcError`; `TypeError` or `RangeError` that names the argument; the signal's `reason`
   */
  performRpc(params: PerformRpcParams): Promise<string> {
    return this.#rpc.performRpc(params)
  }

  /**
   * Adds an interceptor: it surrounds each call that the participant makes or handles. Use it for tracing,
   * authorisation or headers in payloads. The interceptor that was added first is the outermost. Adding it again does
   * nothing.
   *
   * @throws `TypeError` that names the argument
   */
  addRpcInterceptor(interceptor: RpcInterceptor): void {
    this.#rpc.interceptors.add(interceptor)
  }

  /** Removes an interceptor. Running calls keep it. */
  removeRpcInterceptor(interceptor: RpcInterceptor): void {
    this.#rpc.interceptors.remove(interceptor)
  }

  /** The same as {@link Room.registerRpcMethod}. */
  registerRpcMethod(method: string, handler: RpcMethodHandler): void {
    this.#rpc.server.registerRpcMethod(method, handler)
  }

  /** The same as {@link Room.unregisterRpcMethod}. */
  unregisterRpcMethod(method: string): void {
    this.#rpc.server.unregisterRpcMethod(method)
  }

  /**
   * Publishes a data track. The promise resolves when the SFU has accepted it. A reconnect in between does no harm.
   *
   * @throws `DataTrackPublishError`; `TypeError` or `RangeError` that names the option; the signal's `reason`
   */
  async publishDataTrack<T = PushableFrame>(options: DataTrackPublishOptions<T>): Promise<LocalDataTrack<T>> {
    const session = this.#session()
    if (session === undefined) throw new DataTrackPublishError('disconnected')
    return await session.publish(options)
  }

  /**
   * Publishes an audio track. The promise resolves when the server has accepted it. A reconnect in between does no harm,
   * and later ones keep the track published. While `connect` is under way, the track goes with the request to join.
   *
   * @throws `TrackPublishError`; `TypeError` or `RangeError` that names the option; the signal's `reason`
   */
  publishTrack(track: LocalAudioTrack, options?: TrackPublishOptions): Promise<LocalTrackPublication> {
    return this.#audio().publish(track, options)
  }

  /**
   * Ends the publication of an audio track. What its source has not sent yet is not sent any more; see
   * {@link AudioSource.waitForPlayout}. The source stays open, and the track can be published again.
   *
   * @param track the track, or its SID
   * @returns the publication that has ended; `undefined` if there was none
   * @throws `TypeError` that names the argument
   */
  unpublishTrack(track: LocalAudioTrack | string): Promise<LocalTrackPublication | undefined> {
    return new Promise((resolve) => resolve(this.#audio().unpublish(track)))
  }

  /**
   * Publishes a data track while `use` runs. The track is unpublished when `use` ends for any reason. If it ends
   * normally, the pushed frames are sent first.
   *
   * @param use gets the track, and a signal that aborts when the track ends earlier or `options.signal` aborts.
   * `withDataTrack` resolves with the result of `use`
   * @throws what `publishDataTrack` and `use` throw
   */
  async withDataTrack<T = PushableFrame, R = void>(
    options: DataTrackPublishOptions<T>,
    use: (track: LocalDataTrack<T>, signal: AbortSignal) => R | Promise<R>,
  ): Promise<R> {
    check.callback('use', use)
    const track = await this.publishDataTrack(options)
    const scope = new AbortController()
    const ended = track.signal
    const given = options.signal
    const stop = [
      onAbort(ended, () => scope.abort(ended.reason)),
      onAbort(given, () => scope.abort(given?.reason)),
    ]
    // The track may have ended, or the caller aborted, since the SFU's answer.
    if (ended.aborted) scope.abort(ended.reason)
    if (given?.aborted === true) scope.abort(given.reason)
    try {
      const result = await use(track, scope.signal)
      if (track.isPublished() && !scope.signal.aborted)
        await track.flush({ signal: scope.signal }).catch(() => undefined)
      return result
    } finally {
      for (const remove of stop) remove()
      await track.unpublish()
    }
  }
}

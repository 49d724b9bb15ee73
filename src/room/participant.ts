/** Who is in a room. */
import { onAbort } from '../base/abort'
import * as check from '../base/arguments'
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
import { DeferrableMap } from './deferrable-map'
import type { LocalDataTrack, PushableFrame } from '../data-track/local'
import type { DataTrackPublishOptions } from '../data-track/publish-options'
import type { RemoteDataTrack } from '../data-track/remote'
import type { DataTrackSchema } from '../base/codec'
import { DataTrackPublishError } from '../base/errors'
import { changesOf, isOlder, joinedAtOf, keptOf, kindOf, permissionsOf } from './participant-info'
import type { ParticipantChanges, ParticipantKind, ParticipantPermissions } from './participant-info'
import { OwnProfile } from './profile'
import type { RequestOptions } from './profile'
import { noSchemas } from './schemas'
import type { GetSchemaOptions, Schemas } from './schemas'
import type { PerformRpcParams } from '../rpc/client-manager'
import type { RoomRpc } from '../rpc/room-rpc'
import type { RpcMethodHandler } from '../rpc/server-manager'
import type { Session } from '../session/session'
import type { ParticipantInfoMessage } from '../signal/messages'
import { PendingRequests } from './pending-requests'

/** What both kinds of participants have. */
abstract class Participant {
  #info: ParticipantInfoMessage

  /** @internal */
  constructor(info: ParticipantInfoMessage) {
    this.#info = keptOf(info)
  }

  /** Unique in the room; it stays the same when the participant reconnects. Empty before the room is connected. */
  get identity(): string {
    return this.#info.identity
  }

  /** The SFU's name for the participant's session (`PA_…`). */
  get sid(): string {
    return this.#info.sid
  }

  /** A name to be shown; may be empty. */
  get name(): string {
    return this.#info.name ?? ''
  }

  /** What the application attached to the participant; may be empty. */
  get metadata(): string {
    return this.#info.metadata ?? ''
  }

  /** What the application attached to the participant, by key. */
  get attributes(): Readonly<Record<string, string>> {
    return this.#info.attributes ?? {}
  }

  /** @internal */
  get info(): ParticipantInfoMessage {
    return this.#info
  }

  /** What the participant may do; `undefined` before the server has said it. */
  get permissions(): ParticipantPermissions | undefined {
    return permissionsOf(this.#info.permission)
  }

  /** What the participant is: `standard`, `agent`, `sip` … */
  get kind(): ParticipantKind {
    return kindOf(this.#info.kind)
  }

  /** When the participant joined, by the server's clock; `undefined` before the server has said it. */
  get joinedAt(): Date | undefined {
    return joinedAtOf(this.#info)
  }

  /** @internal Returns what has changed. */
  update(info: ParticipantInfoMessage): ParticipantChanges {
    const before = this.#info
    if (isOlder(info, before)) return {}
    this.#info = { ...keptOf(info), permission: permissionsOf(info.permission) ?? before.permission }
    return changesOf(before, this.#info)
  }
}

/** Somebody else. */
export class RemoteParticipant extends Participant {
  /** @internal What the participant's client understands: 0, 1 (RPC over streams), 2 (streams in one packet, too). */
  get clientProtocol(): number {
    return this.info.clientProtocol ?? 0
  }

  /** @internal `livekit.ClientInfo.Capability` of the participant's client. */
  get capabilities(): readonly number[] {
    return this.info.capabilities ?? []
  }

  /**
   * The participant's data tracks by name. Do not change it.
   *
   *     const imu = await participant.dataTracks.getDeferred('imu', signal)
   */
  readonly dataTracks: DeferrableMap<string, RemoteDataTrack> = new DeferrableMap()
}

/** @internal What one asks the server for. */
export interface ParticipantRequests {
  readonly pending: PendingRequests
  readonly schemas: Schemas
  readonly profile: OwnProfile
}

/** Oneself. */
export class LocalParticipant extends Participant {
  readonly #session: () => Session | undefined
  readonly #packets: DataPackets
  readonly #streams: OutgoingStreams
  readonly #requests: () => ParticipantRequests | undefined
  readonly #rpc: RoomRpc

  /** @internal */
  constructor(
    info: ParticipantInfoMessage,
    session: () => Session | undefined,
    packets: DataPackets,
    streams: OutgoingStreams,
    requests: () => ParticipantRequests | undefined,
    rpc: RoomRpc,
  ) {
    super(info)
    this.#session = session
    this.#packets = packets
    this.#streams = streams
    this.#requests = requests
    this.#rpc = rpc
  }

  /**
   * Sends a data packet: one message of at most some 65,000 bytes, in one piece. Everybody in the room gets it, or those
   * whom `destinationIdentities` names.
   *
   * The promise of a reliable packet resolves when the server has acknowledged it, so do not await each one before the
   * next where the rate matters: they stay in order.
   *
   * Without the grant `canPublishData` reliable packets are refused at once (`notAllowed`), and the server drops lossy ones.
   *
   * @throws `PublishDataError`; `TypeError` that names the argument; the signal's `reason`
   */
  async publishData(data: Uint8Array, options: DataPublishOptions = {}): Promise<void> {
    await this.#packets.publishData(this.identity, data, options)
  }

  /**
   * Sends a text of any length to those who handle its topic. A short one goes in one packet where all receivers
   * understand that, and compressed where all can decompress it. Resolves when the server has acknowledged all of it.
   *
   * @returns what receivers are told of the stream
   * @throws `PublishDataError`; `DataStreamError` (`headerTooLarge`, `connectionLost`); what reading an attachment
   * throws; `TypeError` or `RangeError` that names the argument; the signal's `reason`
   */
  sendText(text: string, options?: SendTextOptions): Promise<TextStreamInfo> {
    return this.#streams.sendText(text, options)
  }

  /**
   * Sends bytes of any length, as {@link sendText} does. They must not be changed before the promise settles.
   *
   * @returns what receivers are told of the stream
   * @throws as `sendText`
   */
  sendBytes(bytes: Uint8Array, options?: SendBytesOptions): Promise<ByteStreamInfo> {
    return this.#streams.sendBytes(bytes, options)
  }

  /**
   * Sends a file as a byte stream: a path, a `file:` URL, or a `Blob` or `File`. It is read as it is sent, not kept. Named
   * pipes are read until their writers close them.
   *
   * @returns what receivers are told of the stream
   * @throws as `sendText`; the system's error for a file that cannot be read; `DataStreamError`: `incomplete` or
   * `lengthExceeded` when it becomes shorter or longer meanwhile, `unreadable` for devices and sockets
   */
  sendFile(source: FileSource, options?: SendFileOptions): Promise<ByteStreamInfo> {
    return this.#streams.sendFile(source, options)
  }

  /**
   * Begins a text that is written piece by piece. Such a text is not compressed.
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
   * Begins a byte stream that is written piece by piece. Such a stream is not compressed.
   *
   * @throws as `sendText`
   */
  streamBytes(options?: StreamBytesOptions): Promise<ByteStreamWriter> {
    return this.#streams.streamBytes(options)
  }

  /**
   * Sets one's metadata, which everybody in the room sees. It needs the grant `canUpdateOwnMetadata`. Resolves when the
   * server has taken it; a connection that is rebuilt meanwhile or later does not matter.
   *
   * @param metadata 1 character or more (LiveKit takes an empty text as "leave it"), by default at most 512 KiB
   * @throws `SignalRequestError`; `TypeError` or `RangeError` that names the argument; the signal's `reason`
   */
  async setMetadata(metadata: string, options?: RequestOptions): Promise<void> {
    await this.#profile().update({ metadata }, options)
  }

  /**
   * Sets one's name, which everybody in the room sees. It needs the grant `canUpdateOwnMetadata`.
   *
   * @param name 1 character or more (LiveKit takes an empty text as "leave it"), by default at most 256 bytes
   * @throws as {@link setMetadata}
   */
  async setName(name: string, options?: RequestOptions): Promise<void> {
    await this.#profile().update({ name }, options)
  }

  /**
   * Sets some of one's attributes, which everybody in the room sees; those that are not named stay. It needs the grant
   * `canUpdateOwnMetadata`.
   *
   * @param attributes an empty value takes the attribute away; by default at most 64 KiB
   * @throws as {@link setMetadata}
   */
  async setAttributes(attributes: Readonly<Record<string, string>>, options?: RequestOptions): Promise<void> {
    await this.#profile().update({ attributes }, options)
  }

  #profile(): OwnProfile {
    return this.#requests()?.profile ?? new OwnProfile(this, PendingRequests.closed())
  }

  /**
   * Stores the definition of a schema at the server, where others find it by the name that your tracks are published
   * with. Do it before you publish. The text is not looked at, neither here nor there. Defining it anew replaces it. It is
   * kept for as long as you are in the room, also when the connection is rebuilt.
   *
   * @param schema its name has 1 to 256 characters (livekit-server 1.13 takes about 200)
   * @param definition a text, or bytes for encodings that are binary; 1 to 51,200 bytes
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
   * Fetches the definition of a schema that somebody in the room has stored with {@link defineSchema}.
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
   * Calls a method of another participant and resolves to its answer. `room.rpc.call` does the same with typed values.
   *
   * The promise settles within `responseTimeout`, whatever happens; a connection that is rebuilt meanwhile does not matter
   * if the answer comes in time. A call that fails may have run all the same, unless its error says that nothing was sent.
   *
   * @throws `RpcError`; `TypeError` or `RangeError` that names the argument; the signal's `reason`
   */
  performRpc(params: PerformRpcParams): Promise<string> {
    return this.#rpc.client.performRpc(params)
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
   * Publishes a data track. The promise resolves when the SFU has taken it; a connection that is rebuilt meanwhile does
   * not matter.
   *
   * @throws `DataTrackPublishError`; `TypeError` or `RangeError` that names the option; the signal's `reason`
   */
  async publishDataTrack<T = PushableFrame>(options: DataTrackPublishOptions<T>): Promise<LocalDataTrack<T>> {
    const session = this.#session()
    if (session === undefined) throw new DataTrackPublishError('disconnected')
    return await session.publish(options)
  }

  /**
   * Publishes a data track for as long as `use` runs. It is unpublished when `use` ends in whatever way; what was pushed
   * before a normal end is sent first.
   *
   * @param use gets the track and a signal, which aborts when the track ends earlier or `options.signal` aborts. Its
   * result is the result
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
    // Between the SFU's answer and now.
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

/** Rooms: one participant's view of the other participants, over any kind of connection. */
import type { UserPacket } from '@livekit/protocol'
import * as check from '../base/arguments'
import { ownBytes } from '../base/bytes'
import type { MessageChannel } from '../data-packet/channels'
import { DataPackets } from '../data-packet/data-packets'
import type { PacketSender } from '../data-packet/sender'
import type { DataPacketStats, PacketHandlers, ReceivedPacket } from '../data-packet/receiver'
import { DataStreams } from '../data-stream/data-streams'
import type { ByteStreamHandler, TextStreamHandler } from '../data-stream/handlers'
import type { DataStreamStats } from '../data-stream/incoming'
import type { DataStreamLimits } from '../data-stream/limits'
import type { RemoteDataTrack } from '../data-track/remote'
import type { DataTrackPacketStats } from '../data-track/stats'
import { encryptionForNative, packetEncryption } from '../e2ee/session-encryption'
import type { EncryptionOptions } from '../e2ee/session-encryption'
import { Deferred, onAbort } from '../base/abort'
import { environment } from '../native/environment'
import { DataTrackClosedError, DataTrackE2eeError } from '../base/errors'
import type { RoomConnection } from '../connection/contract'
import { disconnectReason } from '../connection/disconnect-reason'
import type { DisconnectReason } from '../connection/disconnect-reason'
import { ActiveSpeakers } from './active-speakers'
import { RoomDemand } from './demand/room-demand'
import { RoomMessages } from './messages'
import { EventQueue } from './event-queue'
import { RoomEvent } from './events'
import type { ConnectionState, RoomEvents } from './events'
import { LocalParticipant } from './participant'
import type { ParticipantRequests, RemoteParticipant } from './participant'
import { Roster } from './roster'
import { noRoom, profileIn, roomInfoOf } from './room-info'
import type { RoomInfo } from './room-info'
import { serverInfoIn } from './server-info'
import type { ServerInfo } from './server-info'
import { nothingSent } from '../data-track/stats'
import { ConnectionHistory } from './stats'
import type { RoomStats } from './stats'
import { checkReconnectPolicy } from '../connection/reconnect-policy'
import type { ReconnectPolicy } from '../connection/reconnect-policy'
import type { ConnectToken } from '../connection/tokens'
import { scenarioSteps } from '../connection/scenarios'
import type { SimulationScenario } from '../connection/scenarios'
import { OwnProfile } from './profile'
import { Schemas } from './schemas'
import type { RpcLimits } from '../rpc/limits'
import { RoomRpc } from '../rpc/room-rpc'
import type { RpcMethodHandler } from '../rpc/invocation'
import { TypedRpc } from '../rpc/typed-rpc'
import { checkConnectArguments, connectRoom } from '../connection/server-connection'
import type { ConnectOptions } from '../connection/connect-options'
import { Session } from '../session/session'
import type { SessionOwner } from '../session/session'
import { isObject } from '../base/arguments'
import { ParticipantState } from '../signal/messages'
import type { ParticipantInfoMessage, SignalResponseLike } from '../signal/messages'
import { PendingRequests } from './pending-requests'
import { syncStateOf } from '../signal/requests'
import { TrackQueue } from './track-queue'
import { RoomTranscriptions } from './transcriptions'
import type { Transcriptions, TranscriptionsOptions } from './transcriptions'
import { TypedEmitter } from '../base/typed-emitter'

/** Options of a room. */
export interface RoomOptions {
  /**
   * End-to-end encryption of the data tracks, data packets and streams; see {@link EncryptionOptions}. Default: none.
   */
  readonly encryption?: EncryptionOptions | undefined
  /** Limits of the data streams that remote participants send; see {@link DataStreamLimits}. */
  readonly dataStreams?: DataStreamLimits | undefined
  /** Limits of the calls that the room answers. */
  readonly rpc?: RpcLimits | undefined
  /** Decides on the attempts to reconnect. Default: a `DefaultReconnectPolicy`. */
  readonly reconnectPolicy?: ReconnectPolicy | undefined
}

/** Filters of {@link Room.dataTracks}. */
export interface DataTracksOptions {
  /** Only tracks with this name. Default: any name. */
  readonly name?: string | undefined
  /** Only tracks of this participant. Default: all participants. */
  readonly identity?: string | undefined
  /** Ends the loop with the signal's `reason`. */
  readonly signal?: AbortSignal | undefined
}

const unknownParticipant: ParticipantInfoMessage = {
  sid: '',
  identity: '',
  state: ParticipantState.Disconnected,
}

/**
 * A room as one participant sees it. Register listeners before you connect; then they also get events for participants
 * and tracks that are already there.
 *
 * A connected room keeps the process alive; see {@link unref}.
 */
export class Room extends TypedEmitter<RoomEvents> {
  /** The local participant. */
  readonly localParticipant: LocalParticipant
  /** The remote participants by identity. Do not change the map. */
  readonly remoteParticipants: Map<string, RemoteParticipant> = new Map<string, RemoteParticipant>()
  /** Remote procedure calls with typed values. */
  readonly rpc: TypedRpc
  /** @internal */
  readonly reconnectPolicy: ReconnectPolicy | undefined
  readonly #options: RoomOptions
  readonly #queues = new Set<TrackQueue>()
  readonly #packets: DataPackets
  readonly #streams: DataStreams
  readonly #rpc: RoomRpc
  readonly #messages: RoomMessages
  readonly #transcriptions: RoomTranscriptions
  readonly #roster: Roster
  readonly #speakers: ActiveSpeakers
  readonly #demand: RoomDemand
  readonly #events = new EventQueue()
  #serverInfo: ServerInfo | undefined
  #state: ConnectionState = 'disconnected'
  #session: Session | undefined
  #connection: RoomConnection | undefined
  #requests: ParticipantRequests | undefined
  #info: RoomInfo = noRoom
  #history = new ConnectionHistory()
  /** Whether this and later connections keep the process alive. */
  #ref = true
  /** Cancels the pending `connect`. */
  #connecting: AbortController | undefined
  /** Resolves when all previous connections have ended. The next one waits for it. */
  #leaving: Promise<void> | undefined

  /** @throws `TypeError` that names the option */
  constructor(options: RoomOptions = {}) {
    super()
    this.#options = check.options('options', options)
    encryptionForNative(this.#options.encryption)
    this.reconnectPolicy = checkReconnectPolicy('options.reconnectPolicy', this.#options.reconnectPolicy)
    const packetHandlers: PacketHandlers = { user: (packet) => this.#dataReceived(packet) }
    this.#packets = new DataPackets(packetHandlers, (reason, participantIdentity, keyIndex, count) =>
      this.#encryptionError(new DataTrackE2eeError(reason, { participantIdentity, keyIndex, count })),
    )
    const sender = (): PacketSender => this.#packets.sender
    this.#streams = new DataStreams(sender, this.remoteParticipants, this.#options.dataStreams)
    this.#rpc = new RoomRpc(
      sender,
      this.#streams,
      {
        connected: () => this.#session !== undefined,
        serverVersion: () => this.#serverInfo?.version || undefined,
        clientProtocol: (identity) => this.remoteParticipants.get(identity)?.clientProtocol,
      },
      this.#options.rpc,
    )
    this.#messages = new RoomMessages(sender, this.#streams, {
      tell: (event, ...args) => this.#tell(event, ...args),
      listens: (event) => this.listenerCount(event) > 0,
      participant: (identity) => this.getParticipantByIdentity(identity),
      remote: (identity) => this.remoteParticipants.get(identity),
      local: () => this.localParticipant,
    })
    this.#transcriptions = new RoomTranscriptions(this.#streams)
    Object.assign(
      packetHandlers,
      this.#streams.packetHandlers(),
      this.#rpc.packetHandlers(),
      this.#messages.packetHandlers(),
    )
    this.localParticipant = new LocalParticipant(
      unknownParticipant,
      () => this.#session,
      this.#packets,
      this.#streams.outgoing,
      () => this.#requests,
      this.#rpc,
      this.#messages,
    )
    this.rpc = new TypedRpc(this.localParticipant)
    this.#speakers = new ActiveSpeakers(this.localParticipant, this.remoteParticipants, (event, ...args) =>
      this.#tell(event, ...args),
    )
    this.#demand = new RoomDemand(
      this.remoteParticipants,
      this.#rpc,
      () => this.#session,
      () => this.listenerCount(RoomEvent.LocalDataTrackDemandChanged) > 0,
    )
    this.#roster = new Roster(this.localParticipant, this.remoteParticipants, {
      tell: (event, ...args) => this.#tell(event, ...args),
      localUpdated: ({ permissions }) => this.#localUpdated(permissions !== undefined),
      joined: (identity) => {
        this.#rpc.handleParticipantConnected(identity)
        this.#demand.changed(identity)
      },
      active: (participant) => this.#demand.active(participant),
      replaced: (participant) => {
        this.#speakers.gone(participant)
        this.#streams.handleReplaced(participant)
        this.#demand.changed(participant.identity)
      },
      left: (participant) => {
        this.#speakers.gone(participant)
        this.#rpc.handleParticipantDisconnected(participant.identity)
        this.#streams.handleLeft(participant)
        this.#demand.changed(participant.identity)
      },
      failed: () => this.#end('stateMismatch', false),
    })
  }

  /** The room's name, from the token. Empty before the room is connected. */
  get name(): string {
    return this.#info.name
  }

  /** The server's ID of the room's session (`RM_…`). Empty before the room is connected. */
  get sid(): string {
    return this.#info.sid
  }

  /** The room's metadata, which the application sets. May be empty. */
  get metadata(): string {
    return this.#info.metadata
  }

  /** The participants that speak, the loudest first; see {@link RemoteParticipant.isSpeaking}. */
  get activeSpeakers(): readonly (LocalParticipant | RemoteParticipant)[] {
    return this.#speakers.speakers
  }

  /**
   * Participants in the room, hidden ones not counted. The server updates this and {@link numPublishers} now and then;
   * {@link remoteParticipants} is exact.
   */
  get numParticipants(): number {
    return this.#info.numParticipants
  }

  /** Participants that publish media. */
  get numPublishers(): number {
    return this.#info.numPublishers
  }

  /** When the room was created, by the server's clock; `undefined` before the room is connected. */
  get creationTime(): Date | undefined {
    return this.#info.creationTime
  }

  /** Whether the room is being recorded: a participant whose token has the grant `recorder` is in it. */
  get isRecording(): boolean {
    return this.#info.activeRecording
  }

  /** The server of the current or last connection; `undefined` before the first one. */
  get serverInfo(): ServerInfo | undefined {
    return this.#serverInfo
  }

  /** The participant with this identity, local or remote. */
  getParticipantByIdentity(identity: string): LocalParticipant | RemoteParticipant | undefined {
    check.string('identity', identity)
    if (identity !== '' && identity === this.localParticipant.identity) return this.localParticipant
    return this.remoteParticipants.get(identity)
  }

  /** State of the connection. */
  get state(): ConnectionState {
    return this.#state
  }

  /** Whether the room is connected; `false` while it is reconnecting. */
  get isConnected(): boolean {
    return this.#state === 'connected'
  }

  /**
   * Connects to a LiveKit server. The promise resolves when data can flow. A connection that is lost later is restored
   * automatically, and tracks and streams go on.
   *
   * @param url `wss://host` or `ws://host:port`
   * @param token an access token with the grant `roomJoin`, and `canPublishData` to publish; or a function or a
   * `TokenSource` that gives one. Those are asked again when the room reconnects and its token has expired, or the server
   * refused it
   * @throws `DataTrackConnectionError`; `TypeError` or `RangeError` that names the argument; the signal's `reason`
   */
  async connect(url: string | URL, token: ConnectToken, options: ConnectOptions = {}): Promise<void> {
    if (this.#connecting !== undefined || this.#session !== undefined) {
      throw new DataTrackClosedError('alreadyConnected')
    }
    checkConnectArguments(url, token, options)
    const connecting = new AbortController()
    this.#connecting = connecting
    const { signal } = options
    const stopListening = onAbort(signal, () => this.#giveUp(connecting, signal?.reason))
    try {
      connecting.signal.throwIfAborted()
      this.#setState('connecting')
      // A listener may have cancelled it.
      connecting.signal.throwIfAborted()
      // With the same identity, the next connection would end the previous one early.
      await this.#left(connecting.signal)
      await connectRoom(this, url, token, options, connecting.signal)
    } catch (error) {
      this.#giveUp(connecting, error)
      throw error
    } finally {
      stopListening()
      if (this.#connecting === connecting) this.#connecting = undefined
    }
  }

  /**
   * Cancels the pending `connect` at once, so that the next one can begin even if the pending one has not reacted yet.
   */
  #giveUp(connecting: AbortController, reason: unknown): void {
    if (this.#connecting !== connecting) return
    this.#connecting = undefined
    connecting.abort(reason)
    if (this.#session !== undefined) this.#end('clientInitiated', true)
    else if (this.#state === 'connecting') this.#setState('disconnected')
  }

  /**
   * Yields the existing data tracks, then new ones, each once, so there is no race with connecting. A track that ended
   * before the loop reached it is skipped. The loop ends when the room is disconnected.
   *
   *     for await (const track of room.dataTracks({ name: 'imu', signal })) …
   *
   * @throws the signal's `reason` when it aborts; `TypeError` that names the option
   */
  dataTracks(options: DataTracksOptions = {}): AsyncIterableIterator<RemoteDataTrack> & AsyncDisposable {
    const { name, identity, signal } = check.options('options', options)
    if (name !== undefined) check.string('options.name', name)
    if (identity !== undefined) check.string('options.identity', identity)
    const queue = new TrackQueue({ name, identity }, check.signal('options.signal', signal), (ended) => {
      this.#queues.delete(ended)
    })
    if (signal?.aborted === true) return queue
    for (const track of this.#session?.remoteTracks() ?? []) queue.add(track)
    this.#queues.add(queue)
    return queue
  }

  /**
   * Yields what participants say, as agents transcribe it: interim and final versions of each segment, from now on. If
   * the loop is behind, it gets the newest version of each segment that waits. The loop ends when the room is
   * disconnected.
   *
   *     for await (const { participantIdentity, text, final } of room.transcriptions({ signal })) …
   *
   * @throws the signal's `reason` when it aborts; `TypeError` that names the option
   */
  transcriptions(options?: TranscriptionsOptions): Transcriptions {
    return this.#transcriptions.loop(options)
  }

  /**
   * Handles the calls of a method, from any participant. Register handlers before you connect, and no call is missed.
   * They stay registered until they are removed, also if the room is disconnected and connected again.
   *
   * A handler gets {@link RpcInvocationData} and returns a text, or a promise of one. An {@link RpcError} that it
   * throws reaches the caller. Any other error becomes `APPLICATION_ERROR` for the caller, and is logged here.
   *
   * @throws `RangeError` for a method that already has a handler; `TypeError` that names the argument
   */
  registerRpcMethod(method: string, handler: RpcMethodHandler): void {
    this.#rpc.server.registerRpcMethod(method, handler)
  }

  /** Removes the handler of a method. Running calls continue. Does nothing if there is no handler. */
  unregisterRpcMethod(method: string): void {
    this.#rpc.server.unregisterRpcMethod(method)
  }

  /** Counters of the received data-track packets. All zero without a connection. */
  packetStats(): DataTrackPacketStats {
    return (
      this.#session?.packetStats() ?? { received: 0, bytesReceived: 0, accepted: 0, dropped: {}, held: 0 }
    )
  }

  /** Counters of the received data packets, those of streams and RPC included. */
  dataPacketStats(): DataPacketStats {
    return this.#packets.stats()
  }

  /** Statistics of the whole room: the connection, reconnects, sent frames and received packets. */
  stats(): RoomStats {
    return {
      ...this.#history.stats(),
      connection: this.#connection?.stats(),
      sent: this.#session?.sentStats() ?? nothingSent,
      received: this.packetStats(),
    }
  }

  /**
   * Reconnects at once. Use it if the application knows that the network has changed, long before a timeout would tell.
   *
   * The session is resumed as after any loss. A wait for the next attempt is cut short, a running attempt is replaced
   * by a new one, and the number of attempts starts again.
   *
   * @returns `false` if the room is not connected; then nothing happens
   */
  reconnectNow(): boolean {
    this.#connection?.reconnectNow()
    return this.#connection !== undefined
  }

  /**
   * Causes a fault on purpose, for tests. The promise resolves when the fault has begun. `Reconnecting`, `Reconnected`
   * or `Disconnected` tell what follows.
   *
   * @param scenario livekit-client's names. `signal-reconnect`, `resume-reconnect` and `full-reconnect` happen here;
   * others are requests to the server, which it must support
   * @throws `DataTrackClosedError` if the room is not connected; `RangeError` for an unknown name
   */
  simulateScenario(scenario: SimulationScenario): Promise<void> {
    return new Promise((resolve) => {
      const steps = scenarioSteps(scenario)
      if (this.#connection === undefined) throw new DataTrackClosedError('closed')
      this.#connection.simulate(steps)
      resolve()
    })
  }

  /**
   * Calls `handler` for each text stream that a participant sends on a topic. It works before `connect` and across
   * connections. A topic may have several handlers; each gets its own reader. Streams without a handler are dropped.
   *
   *     room.registerTextStreamHandler('chat', async (reader, { identity }) => show(identity, await reader.readAll()))
   *
   * @returns a function that removes the handler
   * @throws `TypeError` that names the argument
   */
  registerTextStreamHandler(topic: string, handler: TextStreamHandler): () => void {
    return this.#streams.registerText(topic, handler)
  }

  /** Removes a handler; without `handler`, all handlers of the topic. Existing readers go on. */
  unregisterTextStreamHandler(topic: string, handler?: TextStreamHandler): void {
    this.#streams.unregisterText(topic, handler)
  }

  /** Like {@link registerTextStreamHandler}, for byte streams, including files and attachments. */
  registerByteStreamHandler(topic: string, handler: ByteStreamHandler): () => void {
    return this.#streams.registerBytes(topic, handler)
  }

  /** Like {@link unregisterTextStreamHandler}, for byte streams. */
  unregisterByteStreamHandler(topic: string, handler?: ByteStreamHandler): void {
    this.#streams.unregisterBytes(topic, handler)
  }

  /** Counters of the data streams that remote participants send. */
  dataStreamStats(): DataStreamStats {
    return this.#streams.stats()
  }

  /**
   * Ends the connection and everything in it, within the call: tracks, streams, loops. The only event that follows is
   * `disconnected`. Frames, packets and pieces of streams that were accepted before are still sent.
   *
   * The promise resolves when the server has acknowledged all of them and the connection is closed, after 1 s at the
   * latest. Until then the process stays alive. Idempotent. A pending `connect` rejects with `DataTrackClosedError`
   * (`closed`). The room can be connected again at once; `connect` then waits until the previous connection has ended.
   */
  disconnect(): Promise<void> {
    if (this.#connecting !== undefined) this.#giveUp(this.#connecting, new DataTrackClosedError('closed'))
    else this.#end('clientInitiated', true)
    return this.#leaving ?? Promise.resolve()
  }

  /** Waits until all previous connections have ended. Throws the signal's `reason`. */
  async #left(signal: AbortSignal): Promise<void> {
    if (this.#leaving === undefined) return
    const left = new Deferred<void>().abortWith(signal, () => undefined)
    void this.#leaving.then(() => left.resolve())
    await left.promise
  }

  /** Leaves the room. The connection sends what was accepted before, and tells this room nothing more. */
  #leave(session: Session, connection: RoomConnection, packets: PacketSender): void {
    session.finish(() => packets.handleKeysChanged())
    const left = connection.leave({
      get isDrained() {
        return packets.isDrained
      },
      drained: () => packets.drained(),
      bufferedAmountLow: () => packets.handleBufferedAmountLow(),
      close: () => {
        packets.close()
        session.close(true)
      },
    })
    const leaving = Promise.all([this.#leaving, left]).then(() => {
      if (this.#leaving === leaving) this.#leaving = undefined
    })
    this.#leaving = leaving
  }

  /** The same as {@link disconnect}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.disconnect()
  }

  /**
   * Lets the process end although this room is connected. It applies to the current connection and to later ones. A
   * pending `connect` keeps the process alive.
   */
  unref(): this {
    return this.#setRef(false)
  }

  /** Undoes {@link unref}. */
  ref(): this {
    return this.#setRef(true)
  }

  /** @internal The room's encryption, to create the native session with. */
  get encryption(): EncryptionOptions | undefined {
    return this.#options.encryption
  }

  /** @internal Gives the room its connection. A `join` message follows. */
  attach(connection: RoomConnection, identity: string): void {
    this.#connection = connection
    const session = new Session(environment(), connection.native, this.#owner(), {
      encryption: this.#options.encryption,
      identity,
      weakly: false,
      onPushed: null,
    })
    this.#session = session
    this.#packets.attach(connection.channels, connection.native, packetEncryption(this.#options.encryption))
    const pending = new PendingRequests((request) => connection.sendRequest(request))
    const profile = new OwnProfile(this.localParticipant, pending)
    this.#requests = { pending, schemas: new Schemas(pending), profile }
    this.#history = new ConnectionHistory()
    this.#roster.attach(session, identity)
    this.#applyRef()
    this.#setState('connecting')
  }

  /** @internal Handles a message of the SFU. */
  receive(response: SignalResponseLike): void {
    this.#events.run(() => this.#receive(response))
  }

  #receive(response: SignalResponseLike): void {
    if (this.#session === undefined) return
    const { case: kind, value } = response.message
    if (this.#requests?.pending.handle(kind, value) === true || this.#speakers.handle(kind, value)) return
    switch (kind) {
      case 'join':
        this.#joined(response, isObject(value) ? value : {})
        return
      case 'update':
        this.#roster.updated(response)
        return
      case 'roomMoved':
        this.#roster.moved(response, () => {
          this.#roomUpdated(isObject(value) ? value['room'] : undefined)
          this.#tell(RoomEvent.Moved, this.#info.name)
        })
        return
      case 'roomUpdate':
        this.#roomUpdated(isObject(value) ? value['room'] : undefined)
        return
      case 'leave':
        this.#end(disconnectReason(isObject(value) ? value['reason'] : undefined), false)
        return
      case undefined:
      default:
        this.#roster.dispatch(response)
    }
  }

  /** @internal */
  connectionLost(): void {
    if (this.#session === undefined || this.#state === 'reconnecting') return
    this.#session.handleConnectionLost()
    this.#packets.lost()
  }

  /** @internal */
  tokenRefreshed(token: string): void {
    if (this.#session !== undefined) this.#tell(RoomEvent.TokenRefreshed, token)
  }

  /** @internal */
  signalConnected(): void {
    this.#tell(RoomEvent.SignalConnected)
  }

  /** @internal `resuming`: only signalling is lost, as far as is known. */
  connectionReconnecting(resuming: boolean): void {
    if (this.#session === undefined || this.#state === 'reconnecting') return
    this.#events.run(() => {
      this.#setState('reconnecting')
      if (resuming) this.#tell(RoomEvent.SignalReconnecting)
      this.#tell(RoomEvent.Reconnecting)
    })
  }

  /** @internal The connection was resumed: same server session. */
  connectionResumed(lastSequence: number): void {
    this.#events.run(() => this.#resumed(lastSequence))
  }

  #resumed(lastSequence: number): void {
    const session = this.#session
    if (session === undefined) return
    const publications = session.native.publishResponsesForSyncState()
    const syncState = syncStateOf(publications, this.#packets.receiveStates())
    this.#connection?.sendRequest({ case: 'syncState', value: syncState })
    session.handleResumed()
    this.#packets.resumed(lastSequence)
    this.#requests?.pending.resend()
    this.#history.resumed()
    this.#setState('connected')
    this.#tell(RoomEvent.Reconnected)
  }

  /** @internal The connection was rebuilt: new server session, with its `join` message. */
  connectionRebuilt(join: SignalResponseLike): void {
    this.#events.run(() => this.#rebuilt(join))
  }

  #rebuilt(join: SignalResponseLike): void {
    const session = this.#session
    const connection = this.#connection
    if (session === undefined || connection === undefined) return
    // Schemas come before the tracks that are published with them, and restored properties before the pending changes
    // to them.
    const requests = this.#requests
    requests?.pending.resend(() => {
      requests.schemas.restore()
      requests.profile.restore(profileIn(join))
    })
    session.handleRebuilt()
    this.#packets.attach(connection.channels, connection.native, packetEncryption(this.#options.encryption))
    this.#packets.rebuilt()
    this.#streams.rebuilt()
    this.#history.rebuilt()
    this.#speakers.clear()
    this.#roster.rebuilt()
    this.#receive(join)
    this.#demand.rebuilt()
    this.#tell(RoomEvent.Reconnected)
  }

  /** @internal A message arrived on a channel. */
  receiveMessage(channel: MessageChannel, data: Uint8Array): void {
    if (this.#session !== undefined) this.#packets.receive(channel, data)
  }

  /** @internal The bytes buffered for the reliable channel fell to the watched level. */
  bufferedAmountLow(): void {
    this.#packets.handleBufferedAmountLow()
  }

  #dataReceived({ value, senderIdentity, channel, encrypted }: ReceivedPacket<UserPacket>): void {
    const participant = this.remoteParticipants.get(senderIdentity)
    const encryption = encrypted ? 'gcm' : 'none'
    this.#tell(RoomEvent.DataReceived, ownBytes(value.payload), participant, channel, value.topic, encryption)
  }

  #joined(response: SignalResponseLike, join: Readonly<Record<string, unknown>>): void {
    const { participant, room } = join
    this.#serverInfo = serverInfoIn(join)
    const first = this.#state === 'connecting'
    this.#roster.joinedAs(participant, first)
    if (first) {
      this.#allowPackets()
      this.#applyPermissions()
      this.#info = roomInfoOf(room)
      this.#history.connected()
    } else {
      this.#roomUpdated(room)
    }
    this.#setState('connected')
    if (first) this.#tell(RoomEvent.Connected)
    this.#roster.joinedBy(response)
  }

  #localUpdated(permissions: boolean): void {
    this.#allowPackets()
    this.#applyPermissions()
    if (permissions && this.localParticipant.permissions?.canPublishData === false) {
      this.#session?.handlePublishingRevoked()
    }
    this.#requests?.pending.updated()
  }

  /** While the permissions are unknown, packets count as allowed; the server refuses requests that are not. */
  #allowPackets(): void {
    this.#packets.sender.setAllowed(this.localParticipant.permissions?.canPublishData !== false)
  }

  /** The server does not answer a subscription that is not allowed, so the permissions decide. */
  #applyPermissions(): void {
    const { permissions } = this.localParticipant
    if (permissions !== undefined) this.#session?.handleSubscribingAllowed(permissions.canSubscribe)
  }

  #roomUpdated(room: unknown): void {
    const before = this.#info
    if (!isObject(room)) return
    this.#info = roomInfoOf(room)
    const { metadata, activeRecording } = this.#info
    if (metadata !== before.metadata) this.#tell(RoomEvent.RoomMetadataChanged, metadata)
    if (activeRecording !== before.activeRecording)
      this.#tell(RoomEvent.RecordingStatusChanged, activeRecording)
  }

  #end(reason: DisconnectReason, ours: boolean): void {
    this.#events.run(() => this.#ended(reason, ours))
  }

  #ended(reason: DisconnectReason, ours: boolean): void {
    const session = this.#session
    const connection = this.#connection
    if (session === undefined) return
    this.#session = undefined
    this.#connection = undefined
    this.#history = new ConnectionHistory()
    this.#roster.detach()
    this.#rpc.close()
    this.#demand.close()
    const packets = this.#packets.detach()
    this.#streams.detach()
    this.#requests?.pending.close()
    this.#requests = undefined
    if (ours && connection !== undefined) {
      this.#leave(session, connection, packets)
    } else {
      packets.close()
      session.close(false)
      connection?.close()
    }
    this.#speakers.clear()
    this.#roster.clear()
    for (const queue of [...this.#queues]) queue.end()
    this.#transcriptions.end()
    this.#messages.close()
    this.#setState('disconnected')
    this.#tell(RoomEvent.Disconnected, reason)
  }

  #tell<Name extends keyof RoomEvents>(event: Name, ...args: Parameters<RoomEvents[Name]>): void {
    this.#events.add(() => void this.emit(event, ...args))
  }

  #setState(state: ConnectionState): void {
    if (state === this.#state) return
    this.#state = state
    this.#tell(RoomEvent.ConnectionStateChanged, state)
  }

  #setRef(ref: boolean): this {
    this.#ref = ref
    this.#applyRef()
    return this
  }

  #applyRef(): void {
    const connection = this.#connection
    if (connection === undefined) return
    connection.native.setRef(this.#ref)
    connection.setRef(this.#ref)
  }

  #owner(): SessionOwner {
    return {
      sendRequest: (request) => this.#connection?.sendRequest(request),
      localTrackPublished: (track) => {
        this.#demand.published(track.info.pubHandle)
        this.#tell(RoomEvent.LocalDataTrackPublished, track)
      },
      localTrackUnpublished: ({ sid }, reason) =>
        this.#tell(RoomEvent.LocalDataTrackUnpublished, sid, reason),
      trackPublished: (track) => this.#trackPublished(track),
      trackUnpublished: (track) => this.#trackUnpublished(track),
      encryptionError: (error) => this.#encryptionError(error),
      demandWanted: () => this.#demand.want(),
      demandChanged: (hasSubscribers, info) =>
        this.#tell(RoomEvent.LocalDataTrackDemandChanged, hasSubscribers, info),
      forwarded: (identity, handle, forwarded) => this.#demand.forwarded(identity, handle, forwarded),
      keysChanged: () => this.#events.run(() => this.#packets.handleKeysChanged()),
      failed: () => this.#end('unknownReason', false),
      broken: () => this.#end('stateMismatch', false),
    }
  }

  #encryptionError(error: DataTrackE2eeError): void {
    const { participantIdentity } = error
    const participant =
      participantIdentity === undefined ? undefined : this.remoteParticipants.get(participantIdentity)
    this.#tell(RoomEvent.EncryptionError, error, participant)
  }

  #trackPublished(track: RemoteDataTrack): void {
    const tracks = this.remoteParticipants.get(track.publisherIdentity)?.dataTracks
    tracks?.set(track.name, track)
    tracks?.announce(track.name)
    for (const queue of [...this.#queues]) queue.add(track)
    this.#tell(RoomEvent.DataTrackPublished, track)
  }

  #trackUnpublished(track: RemoteDataTrack): void {
    const tracks = this.remoteParticipants.get(track.publisherIdentity)?.dataTracks
    // A new track with the same name may have replaced it.
    if (tracks?.get(track.name) === track) tracks.delete(track.name)
    for (const queue of [...this.#queues]) queue.remove(track)
    this.#tell(RoomEvent.DataTrackUnpublished, track.info.sid, track)
  }
}

/**
 * Creates a room and connects it: `new Room(options)` and `room.connect(url, token, options)`. To get the events for
 * participants and tracks that are already there, create the room yourself and register listeners before you connect
 * it.
 *
 * @throws as {@link Room.connect}
 */
export async function connect(
  url: string | URL,
  token: ConnectToken,
  options: RoomOptions & ConnectOptions = {},
): Promise<Room> {
  const room = new Room(options)
  await room.connect(url, token, options)
  return room
}

/** Rooms: what a participant sees of the others, whatever connection is below. */
import type { UserPacket } from '@livekit/protocol'
import * as check from '../base/arguments'
import { ownBytes } from '../base/bytes'
import type { MessageChannel } from '../data-packet/channels'
import { DataPackets } from '../data-packet/data-packets'
import type { DataPacketStats, PacketHandlers, ReceivedPacket } from '../data-packet/receiver'
import { DataStreams } from '../data-stream/data-streams'
import type { ByteStreamHandler, TextStreamHandler } from '../data-stream/handlers'
import type { DataStreamStats } from '../data-stream/incoming'
import type { DataStreamLimits } from '../data-stream/limits'
import type { RemoteDataTrack } from '../data-track/remote'
import type { DataTrackPacketStats } from '../data-track/stats'
import { encryptionForNative, packetEncryption } from '../e2ee/session-encryption'
import type { EncryptionOptions } from '../e2ee/session-encryption'
import { onAbort } from '../base/abort'
import { environment } from '../native/environment'
import { DataTrackClosedError, DataTrackE2eeError } from '../base/errors'
import type { ConnectableRoom, RoomConnection } from '../connection/contract'
import { disconnectReason, disconnectReasonNumber } from '../connection/disconnect-reason'
import type { DisconnectReason } from '../connection/disconnect-reason'
import { EventQueue } from './event-queue'
import { RoomEvent } from './events'
import type { ConnectionState, RoomEvents } from './events'
import { LocalParticipant } from './participant'
import type { ParticipantRequests, RemoteParticipant } from './participant'
import { Roster } from './roster'
import { noRoom, profileIn, roomInfoOf, serverVersionIn } from './room-info'
import type { RoomInfo } from './room-info'
import { nothingSent } from '../data-track/stats'
import { ConnectionHistory } from './stats'
import type { RoomStats } from './stats'
import { scenarioSteps } from '../connection/scenarios'
import type { SimulationScenario } from '../connection/scenarios'
import { OwnProfile } from './profile'
import { Schemas } from './schemas'
import type { RpcLimits } from '../rpc/limits'
import { RoomRpc } from '../rpc/room-rpc'
import type { RpcMethodHandler } from '../rpc/server-manager'
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
import { TypedEmitter } from '../base/typed-emitter'

/** Options of a room. */
export interface RoomOptions {
  /** End-to-end encryption of all data tracks; see {@link EncryptionOptions}. Default: none. */
  readonly encryption?: EncryptionOptions | undefined
  /** What may be kept of data streams that others send; see {@link DataStreamLimits}. */
  readonly dataStreams?: DataStreamLimits | undefined
  /** Limits of the calls that it answers. */
  readonly rpc?: RpcLimits | undefined
}

/** Which tracks {@link Room.dataTracks} yields. */
export interface DataTracksOptions {
  /** Only tracks of that name. Default: of any. */
  readonly name?: string | undefined
  /** Only tracks of that participant. Default: of all. */
  readonly identity?: string | undefined
  /** Ends the loop with the signal's `reason`. */
  readonly signal?: AbortSignal | undefined
}

const nobody: ParticipantInfoMessage = { sid: '', identity: '', state: ParticipantState.Joining }

/**
 * A room as one participant sees it. Register listeners before you connect, and they hear of what is there already, too.
 *
 * A connected room keeps the process alive; see {@link unref}.
 */
export class Room extends TypedEmitter<RoomEvents> implements ConnectableRoom {
  /** Oneself. */
  readonly localParticipant: LocalParticipant
  /** The others by identity. Do not change it. */
  readonly remoteParticipants: Map<string, RemoteParticipant> = new Map<string, RemoteParticipant>()
  /** Remote procedure calls with typed values. */
  readonly rpc: TypedRpc
  readonly #options: RoomOptions
  readonly #queues = new Set<TrackQueue>()
  readonly #packets: DataPackets
  readonly #streams: DataStreams
  readonly #rpc: RoomRpc
  readonly #roster: Roster
  readonly #events = new EventQueue()
  #serverVersion: string | undefined
  #state: ConnectionState = 'disconnected'
  #session: Session | undefined
  #connection: RoomConnection | undefined
  #requests: ParticipantRequests | undefined
  #info: RoomInfo = noRoom
  #history = new ConnectionHistory()
  /** Whether a connection keeps the process alive, this one and those to come. */
  #ref = true
  /** Gives up the connection that is being made. */
  #connecting: AbortController | undefined
  /** The end of a connection that is being left; the next one begins after it. */
  #leaving: Promise<void> | undefined

  /** @throws `TypeError` that names the option */
  constructor(options: RoomOptions = {}) {
    super()
    this.#options = check.options('options', options)
    encryptionForNative(this.#options.encryption)
    const packetHandlers: PacketHandlers = { user: (packet) => this.#dataReceived(packet) }
    this.#packets = new DataPackets(packetHandlers, (reason, participantIdentity, keyIndex, count) =>
      this.#encryptionError(new DataTrackE2eeError(reason, { participantIdentity, keyIndex, count })),
    )
    const { sender } = this.#packets
    this.#streams = new DataStreams(sender, this.remoteParticipants, this.#options.dataStreams)
    this.#rpc = new RoomRpc(
      sender,
      this.#streams,
      {
        connected: () => this.#session !== undefined,
        serverVersion: () => this.#serverVersion,
        clientProtocol: (identity) => this.remoteParticipants.get(identity)?.clientProtocol,
      },
      this.#options.rpc,
    )
    Object.assign(packetHandlers, this.#streams.packetHandlers(), this.#rpc.packetHandlers())
    this.localParticipant = new LocalParticipant(
      nobody,
      () => this.#session,
      this.#packets,
      this.#streams.outgoing,
      () => this.#requests,
      this.#rpc,
    )
    this.rpc = new TypedRpc(this.localParticipant)
    this.#roster = new Roster(this.localParticipant, this.remoteParticipants, {
      tell: (event, ...args) => this.#tell(event, ...args),
      localUpdated: ({ permissions }) => this.#localUpdated(permissions !== undefined),
      joined: (identity) => this.#rpc.handleParticipantConnected(identity),
      replaced: (participant) => this.#streams.handleReplaced(participant),
      left: (participant) => {
        this.#rpc.handleParticipantDisconnected(participant.identity)
        this.#streams.handleLeft(participant)
      },
      failed: () => this.#end('stateMismatch', false),
    })
  }

  /** The room's name, which the token gives; empty before the room is connected. */
  get name(): string {
    return this.#info.name
  }

  /** The server's name for the room's session (`RM_…`); empty before the room is connected. */
  get sid(): string {
    return this.#info.sid
  }

  /** What the application attached to the room; may be empty. */
  get metadata(): string {
    return this.#info.metadata
  }

  /** Who has that identity: oneself or one of the others. */
  getParticipantByIdentity(identity: string): LocalParticipant | RemoteParticipant | undefined {
    check.string('identity', identity)
    if (identity !== '' && identity === this.localParticipant.identity) return this.localParticipant
    return this.remoteParticipants.get(identity)
  }

  /** State of the connection. */
  get state(): ConnectionState {
    return this.#state
  }

  /** Whether the room is connected; `false` while the connection is being rebuilt. */
  get isConnected(): boolean {
    return this.#state === 'connected'
  }

  /**
   * Connects to a LiveKit server and resolves when data can flow. A connection that is lost later is rebuilt by itself:
   * tracks and streams go on.
   *
   * @param url `wss://host` or `ws://host:port`
   * @param token an access token with the grant `roomJoin`, and `canPublishData` to publish
   * @throws `DataTrackConnectionError`; `TypeError` or `RangeError` that names the argument; the signal's `reason`
   */
  async connect(url: string | URL, token: string, options: ConnectOptions = {}): Promise<void> {
    if (this.#connecting !== undefined || (this.#session !== undefined && this.#leaving === undefined)) {
      throw new DataTrackClosedError('alreadyConnected')
    }
    checkConnectArguments(url, token, options)
    const connecting = new AbortController()
    this.#connecting = connecting
    const { signal } = options
    const stopListening = onAbort(signal, () => this.#giveUp(connecting, signal?.reason))
    try {
      if (this.#leaving !== undefined) await this.#leaving
      connecting.signal.throwIfAborted()
      this.#setState('connecting')
      // A listener may have given it up.
      connecting.signal.throwIfAborted()
      await connectRoom(this, url, token, options, connecting.signal)
    } catch (error) {
      this.#giveUp(connecting, error)
      throw error
    } finally {
      stopListening()
      if (this.#connecting === connecting) this.#connecting = undefined
    }
  }

  /** An attempt to connect is over at once, so that the next one can begin: it need not have noticed yet. */
  #giveUp(connecting: AbortController, reason: unknown): void {
    if (this.#connecting !== connecting) return
    this.#connecting = undefined
    connecting.abort(reason)
    if (this.#session !== undefined && this.#leaving === undefined) this.#leave()
    else if (this.#state === 'connecting') this.#setState('disconnected')
  }

  /**
   * The data tracks there are, then those to come, each once: no race with connecting. A track that ended before the
   * loop came to it is left out. The loop ends when the room is disconnected.
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
   * Answers calls of a method, by whomever in the room. Register before you connect, and no call is missed; handlers stay
   * until they are taken away, also when the room is disconnected and connected again.
   *
   * A handler gets {@link RpcInvocationData} and returns a text, or a promise of one. An {@link RpcError} that it throws
   * reaches the caller; all else becomes `APPLICATION_ERROR` there, and is logged here.
   *
   * @throws `RangeError` for a method that has a handler; `TypeError` that names the argument
   */
  registerRpcMethod(method: string, handler: RpcMethodHandler): void {
    this.#rpc.server.registerRpcMethod(method, handler)
  }

  /** Takes the handler of a method away. Calls that it works on go on. Does nothing if there is none. */
  unregisterRpcMethod(method: string): void {
    this.#rpc.server.unregisterRpcMethod(method)
  }

  /** Counters of the packets that arrived; all zero without a connection. */
  packetStats(): DataTrackPacketStats {
    return (
      this.#session?.packetStats() ?? { received: 0, bytesReceived: 0, accepted: 0, dropped: {}, held: 0 }
    )
  }

  /** Counters of the data packets that arrived, those of streams and RPC among them. */
  dataPacketStats(): DataPacketStats {
    return this.#packets.stats()
  }

  /** Figures of the room as a whole: the connection, reconnects, frames out and packets in. */
  stats(): RoomStats {
    return {
      ...this.#history.stats(),
      connection: this.#connection?.stats(),
      sent: this.#session?.sentStats() ?? nothingSent,
      received: this.packetStats(),
    }
  }

  /**
   * Rebuilds the connection at once: for a program that knows that the network has changed, long before timers would tell.
   * The session is resumed as after any loss. A wait for the next attempt is cut short, one that is under way is given up
   * for a new one, and all attempts are granted anew.
   *
   * @returns `false` when the room is not connected, and nothing happens
   */
  reconnectNow(): boolean {
    this.#connection?.reconnectNow()
    return this.#connection !== undefined
  }

  /**
   * Causes a fault on purpose, for tests. Resolves when it is under way; `Reconnecting`, `Reconnected` or `Disconnected`
   * tell what comes of it.
   *
   * @param scenario livekit-client's names: what happens here (`signal-reconnect`, `resume-reconnect`, `full-reconnect`),
   * or what the server is asked for, which it must know
   * @throws `DataTrackClosedError` when the room is not connected; `RangeError` for a name that is none
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
   * Has a handler called with each text stream that somebody sends on a topic, from now on, whatever becomes of the
   * connection; before `connect`, too. A topic may have several: each gets a reader of its own. Streams that nobody
   * handles are dropped.
   *
   *     room.registerTextStreamHandler('chat', async (reader, { identity }) => show(identity, await reader.readAll()))
   *
   * @returns what takes the handler away
   * @throws `TypeError` that names the argument
   */
  registerTextStreamHandler(topic: string, handler: TextStreamHandler): () => void {
    return this.#streams.registerText(topic, handler)
  }

  /** Takes a handler away; without one, all that were registered for the topic. Readers that there are stay. */
  unregisterTextStreamHandler(topic: string, handler?: TextStreamHandler): void {
    this.#streams.unregisterText(topic, handler)
  }

  /** The same as {@link registerTextStreamHandler} for byte streams, files and attachments among them. */
  registerByteStreamHandler(topic: string, handler: ByteStreamHandler): () => void {
    return this.#streams.registerBytes(topic, handler)
  }

  /** The same as {@link unregisterTextStreamHandler} for byte streams. */
  unregisterByteStreamHandler(topic: string, handler?: ByteStreamHandler): void {
    this.#streams.unregisterBytes(topic, handler)
  }

  /** Counters of the data streams that others send. */
  dataStreamStats(): DataStreamStats {
    return this.#streams.stats()
  }

  /**
   * Ends the connection and everything in it: tracks, streams, loops. Idempotent. A `connect` that is under way rejects
   * with `DataTrackClosedError` (`closed`). The room can be connected again at once.
   */
  disconnect(): Promise<void> {
    if (this.#connecting !== undefined) this.#giveUp(this.#connecting, new DataTrackClosedError('closed'))
    else if (this.#session !== undefined && this.#leaving === undefined) this.#leave()
    return this.#leaving ?? Promise.resolve()
  }

  /** Leaves the room. What a connection still has to do takes its time; the next one waits for it. */
  #leave(): void {
    this.#connection?.sendRequest({
      case: 'leave',
      value: { reason: disconnectReasonNumber('clientInitiated') },
    })
    this.#end('clientInitiated', true)
  }

  /** The same as {@link disconnect}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.disconnect()
  }

  /**
   * The process may end although this room is connected. It holds for the connection that there is and for all to come;
   * a `connect` that is under way keeps the process alive.
   */
  unref(): this {
    return this.#setRef(false)
  }

  /** Undoes {@link unref}. */
  ref(): this {
    return this.#setRef(true)
  }

  /** @internal The room's encryption, for whoever makes the native session. */
  get encryption(): EncryptionOptions | undefined {
    return this.#options.encryption
  }

  /** @internal Connects the room; a `join` message comes next. */
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

  /** @internal A message of the SFU. */
  receive(response: SignalResponseLike): void {
    this.#events.run(() => this.#receive(response))
  }

  #receive(response: SignalResponseLike): void {
    if (this.#session === undefined) return
    const { case: kind, value } = response.message
    if (this.#requests?.pending.handle(kind, value) === true) return
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
  connectionReconnecting(): void {
    if (this.#session === undefined || this.#state === 'reconnecting') return
    this.#events.run(() => {
      this.#setState('reconnecting')
      this.#tell(RoomEvent.Reconnecting)
    })
  }

  /** @internal The same signalling session goes on. */
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

  /** @internal There is a new signalling session; its `join` message has come with it. */
  connectionRebuilt(join: SignalResponseLike): void {
    this.#events.run(() => this.#rebuilt(join))
  }

  #rebuilt(join: SignalResponseLike): void {
    const session = this.#session
    const connection = this.#connection
    if (session === undefined || connection === undefined) return
    // Schemas come before the tracks that are published with them, and what is set anew after what was set before.
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
    this.#roster.rebuilt()
    this.#receive(join)
    this.#tell(RoomEvent.Reconnected)
  }

  /** @internal A message came by a channel. */
  receiveMessage(channel: MessageChannel, data: Uint8Array): void {
    if (this.#session !== undefined) this.#packets.receive(channel, data)
  }

  /** @internal What is buffered for the reliable channel fell to the watched level. */
  bufferedAmountLow(): void {
    this.#packets.handleBufferedAmountLow()
  }

  #dataReceived({ value, senderIdentity, channel }: ReceivedPacket<UserPacket>): void {
    const participant = this.remoteParticipants.get(senderIdentity)
    this.#tell(RoomEvent.DataReceived, ownBytes(value.payload), participant, channel, value.topic)
  }

  #joined(response: SignalResponseLike, join: Readonly<Record<string, unknown>>): void {
    const { participant, room } = join
    this.#serverVersion = serverVersionIn(join)
    const first = this.#state === 'connecting'
    this.#roster.joinedAs(participant, first)
    if (first) {
      this.#allowPackets()
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
    if (permissions && this.localParticipant.permissions?.canPublishData === false) {
      this.#session?.handlePublishingRevoked()
    }
    this.#requests?.pending.updated()
  }

  /** What the server has not said yet, it says with the refusal of what needs it. */
  #allowPackets(): void {
    this.#packets.sender.setAllowed(this.localParticipant.permissions?.canPublishData !== false)
  }

  #roomUpdated(room: unknown): void {
    const before = this.#info
    if (!isObject(room)) return
    this.#info = roomInfoOf(room)
    if (this.#info.metadata !== before.metadata)
      this.#tell(RoomEvent.RoomMetadataChanged, this.#info.metadata)
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
    this.#packets.detach()
    this.#streams.detach()
    this.#requests?.pending.close()
    this.#requests = undefined
    session.close(ours)
    connection?.close()
    this.#roster.clear()
    for (const queue of [...this.#queues]) queue.end()
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
    environment().binding.setSessionRef(connection.native.id, this.#ref)
    connection.setRef(this.#ref)
  }

  #owner(): SessionOwner {
    return {
      sendRequest: (request) => this.#connection?.sendRequest(request),
      localTrackPublished: (track) => this.#tell(RoomEvent.LocalDataTrackPublished, track),
      localTrackUnpublished: ({ sid }, reason) =>
        this.#tell(RoomEvent.LocalDataTrackUnpublished, sid, reason),
      trackPublished: (track) => this.#trackPublished(track),
      trackUnpublished: (track) => this.#trackUnpublished(track),
      encryptionError: (error) => this.#encryptionError(error),
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
    // A new track of the same name may have taken its place.
    if (tracks?.get(track.name) === track) tracks.delete(track.name)
    for (const queue of [...this.#queues]) queue.remove(track)
    this.#tell(RoomEvent.DataTrackUnpublished, track.info.sid, track)
  }
}

/**
 * Makes a room and connects it: `new Room(options)` and `room.connect(url, token, options)`. Register listeners on a room
 * of your own before you connect it if you want to hear of what is there already.
 *
 * @throws as {@link Room.connect}
 */
export async function connect(
  url: string | URL,
  token: string,
  options: RoomOptions & ConnectOptions = {},
): Promise<Room> {
  const room = new Room(options)
  await room.connect(url, token, options)
  return room
}

/** Rooms: one participant's view of the other participants, over any kind of connection. */
import * as check from '../base/arguments'
import type { DataPacketStats } from '../data-packet/receiver'
import type { ByteStreamHandler, TextStreamHandler } from '../data-stream/handlers'
import type { DataStreamStats } from '../data-stream/incoming'
import type { RemoteDataTrack } from '../data-track/remote'
import type { DataTrackPacketStats } from '../data-track/stats'
import { onAbort } from '../base/abort'
import { DataTrackClosedError } from '../base/errors'
import type { ConnectionState, RoomEvents } from './events'
import type { LocalParticipant } from './local-participant'
import type { RemoteParticipant } from './remote-participant'
import type { RoomStats } from './stats'
import type { ServerInfo } from './server-info'
import { scenarioSteps } from '../connection/scenarios'
import type { SimulationScenario } from '../connection/scenarios'
import type { RpcMethodHandler } from '../rpc/invocation'
import { TypedRpc } from '../rpc/typed-rpc'
import type { ConnectToken } from '../connection/tokens'
import { prepareConnection } from '../connection/prepare'
import { checkConnectArguments, connectRoom } from '../connection/server-connection'
import type { ConnectOptions } from '../connection/connect-options'
import { TypedEmitter } from '../base/typed-emitter'
import { RoomEngine } from './engine'
import type { RtcStats } from '../media/rtc-stats'
import type { RoomOptions } from './room-options'
import type { Transcriptions, TranscriptionsOptions } from './transcriptions'

/** Filters of {@link Room.dataTracks}. */
export interface DataTracksOptions {
  /** Only tracks with this name. Default: any name. */
  readonly name?: string | undefined
  /** Only tracks of this participant. Default: all participants. */
  readonly identity?: string | undefined
  /** Ends the loop with the signal's `reason`. */
  readonly signal?: AbortSignal | undefined
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
  readonly remoteParticipants: Map<string, RemoteParticipant>
  /** Remote procedure calls with typed values. */
  readonly rpc: TypedRpc
  readonly #engine: RoomEngine
  /** Cancels the pending `connect`. */
  #connecting: AbortController | undefined

  /** @throws `TypeError` that names the option */
  constructor(options: RoomOptions = {}) {
    super()
    check.options('options', options)
    this.#engine = new RoomEngine(options, this)
    this.localParticipant = this.#engine.parts.local
    this.remoteParticipants = this.#engine.parts.remote
    this.rpc = new TypedRpc(this.localParticipant)
  }

  /** @internal What follows the room's connection. It is a getter, so that a logged room does not show all of it. */
  get engine(): RoomEngine {
    return this.#engine
  }

  /** The room's name, from the token. Empty before the room is connected. */
  get name(): string {
    return this.#engine.info.name
  }

  /** The server's ID of the room (`RM_…`). Empty before the room is connected. */
  get sid(): string {
    return this.#engine.info.sid
  }

  /** The room's metadata, which the application sets. May be empty. */
  get metadata(): string {
    return this.#engine.info.metadata
  }

  /** The participants that speak, the loudest first; see {@link RemoteParticipant.isSpeaking}. */
  get activeSpeakers(): readonly (LocalParticipant | RemoteParticipant)[] {
    return this.#engine.parts.speakers.speakers
  }

  /**
   * Participants in the room, hidden ones not counted. The server updates this and {@link numPublishers} now and then;
   * {@link remoteParticipants} is exact.
   */
  get numParticipants(): number {
    return this.#engine.info.numParticipants
  }

  /** Participants that publish media. */
  get numPublishers(): number {
    return this.#engine.info.numPublishers
  }

  /** When the room was created, by the server's clock; `undefined` before the room is connected. */
  get creationTime(): Date | undefined {
    return this.#engine.info.creationTime
  }

  /** Seconds for which the server keeps the room before the first participant joins. 0 before the room is connected. */
  get emptyTimeout(): number {
    return this.#engine.info.emptyTimeout
  }

  /** Seconds for which the server keeps the room after the last participant has left. */
  get departureTimeout(): number {
    return this.#engine.info.departureTimeout
  }

  /** Whether the room is being recorded: a participant whose token has the grant `recorder` is in it. */
  get isRecording(): boolean {
    return this.#engine.info.activeRecording
  }

  /** The server of the current or last connection; `undefined` before the first one. */
  get serverInfo(): ServerInfo | undefined {
    return this.#engine.serverInfo
  }

  /** The participant with this identity, local or remote. */
  getParticipantByIdentity(identity: string): LocalParticipant | RemoteParticipant | undefined {
    check.string('identity', identity)
    return this.#engine.parts.participant(identity)
  }

  /** State of the connection. */
  get state(): ConnectionState {
    return this.#engine.state
  }

  /** Whether the room is connected; `false` while it is reconnecting. */
  get isConnected(): boolean {
    return this.#engine.state === 'connected'
  }

  /**
   * Prepares a connection, so that `connect` takes less time. It loads modules and the native addon, looks up the host,
   * and opens a TCP or TLS connection. A `connect` that follows within 10 s uses it. A failure of the network does not
   * reject the promise.
   *
   * @param token used only for hosts of LiveKit Cloud, to fetch the list of their regions
   * @param options those of {@link connect} that matter are `agent`, `ca`, `proxy` and `signal`
   * @throws `TypeError` or `RangeError` that names the argument; the signal's `reason`
   */
  async prepareConnection(url: string | URL, token?: string, options: ConnectOptions = {}): Promise<void> {
    await prepareConnection(url, token, options)
  }

  /**
   * Connects to a LiveKit server. The promise resolves when data can flow. A connection that is lost later is restored
   * automatically, and tracks and streams go on.
   *
   * @param url `wss://host` or `ws://host:port`
   * @param token an access token with the grant `roomJoin`, and `canPublishData` to publish; or a function or a
   * `TokenSource` that gives one. The room asks the function or the source again when it reconnects and its token has
   * expired or was refused
   * @throws `DataTrackConnectionError`; `TypeError` or `RangeError` that names the argument; the signal's `reason`
   */
  async connect(url: string | URL, token: ConnectToken, options: ConnectOptions = {}): Promise<void> {
    if (this.#connecting !== undefined || this.#engine.session !== undefined) {
      throw new DataTrackClosedError('alreadyConnected')
    }
    checkConnectArguments(url, token, options)
    const connecting = new AbortController()
    this.#connecting = connecting
    const { signal } = options
    const stopListening = onAbort(signal, () => this.#giveUp(connecting, signal?.reason))
    try {
      connecting.signal.throwIfAborted()
      this.#engine.setState('connecting')
      // A listener may have cancelled it.
      connecting.signal.throwIfAborted()
      // With the same identity, the next connection would end the previous one early.
      await this.#engine.departures.wait(connecting.signal)
      await connectRoom(this.#engine, url, token, options, connecting.signal)
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
    if (this.#engine.session !== undefined) this.#engine.end('clientInitiated', true)
    else if (this.#engine.state === 'connecting') this.#engine.connectFailed()
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
    check.signal('options.signal', signal)
    return this.#engine.parts.tracks.loop(
      { name, identity },
      signal,
      this.#engine.session?.remoteTracks() ?? [],
    )
  }

  /**
   * Yields what participants say, as agents transcribe it: interim and final versions of each segment, from now on. If
   * the loop is slower than the segments arrive, it gets only the newest version of each waiting segment. The loop ends
   * when the room is disconnected.
   *
   *     for await (const { participantIdentity, text, final } of room.transcriptions({ signal })) …
   *
   * @throws the signal's `reason` when it aborts; `TypeError` that names the option
   */
  transcriptions(options?: TranscriptionsOptions): Transcriptions {
    return this.#engine.parts.transcriptions.loop(options)
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
    this.#engine.parts.rpc.server.registerRpcMethod(method, handler)
  }

  /** Removes the handler of a method. Running calls continue. Does nothing if there is no handler. */
  unregisterRpcMethod(method: string): void {
    this.#engine.parts.rpc.server.unregisterRpcMethod(method)
  }

  /** Counters of the received data-track packets. All zero without a connection. */
  packetStats(): DataTrackPacketStats {
    return this.#engine.packetStats()
  }

  /** Counters of the received data packets, those of streams and RPC included. */
  dataPacketStats(): DataPacketStats {
    return this.#engine.parts.packets.stats()
  }

  /** Statistics of the whole room: the connection, reconnects, sent frames and received packets. */
  stats(): RoomStats {
    return this.#engine.stats()
  }

  /**
   * Statistics of the audio tracks in the form of W3C's webrtc-stats. Both lists are empty while the room is not
   * connected. The counters of this package's own form, which say more, are in `stats()` of publications and streams.
   */
  getRtcStats(): Promise<RtcStats> {
    const { audio, localAudio } = this.#engine.parts
    return Promise.resolve({ publisherStats: localAudio.rtcStats(), subscriberStats: audio.rtcStats() })
  }

  /**
   * Reconnects at once. Use it if the application knows that the network has changed, long before a timeout would tell.
   *
   * The session is resumed; if data goes over TCP directly to the server, the connection is rebuilt. A wait for the
   * next attempt is cut short, a running attempt is replaced by a new one, and the number of attempts starts again.
   *
   * @returns `false` if the room is neither connected nor reconnecting; then nothing happens
   */
  reconnectNow(): boolean {
    this.#engine.connection?.reconnectNow()
    return this.#engine.connection !== undefined
  }

  /**
   * Causes a fault on purpose, for tests. The promise resolves when the fault has begun. `Reconnecting`, `Reconnected`
   * or `Disconnected` tell what follows.
   *
   * @param scenario livekit-client's names. The package itself causes `signal-reconnect`, `resume-reconnect` and
   * `full-reconnect`. The others are requests to the server, which it must support
   * @throws `DataTrackClosedError` if the room is not connected; `RangeError` for an unknown name
   */
  simulateScenario(scenario: SimulationScenario): Promise<void> {
    return new Promise((resolve) => {
      const steps = scenarioSteps(scenario)
      if (this.#engine.connection === undefined) throw new DataTrackClosedError('closed')
      this.#engine.connection.simulate(steps)
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
    return this.#engine.parts.streams.registerText(topic, handler)
  }

  /** Removes a handler; without `handler`, all handlers of the topic. Existing readers go on. */
  unregisterTextStreamHandler(topic: string, handler?: TextStreamHandler): void {
    this.#engine.parts.streams.unregisterText(topic, handler)
  }

  /** Like {@link registerTextStreamHandler}, for byte streams, including files and attachments. */
  registerByteStreamHandler(topic: string, handler: ByteStreamHandler): () => void {
    return this.#engine.parts.streams.registerBytes(topic, handler)
  }

  /** Like {@link unregisterTextStreamHandler}, for byte streams. */
  unregisterByteStreamHandler(topic: string, handler?: ByteStreamHandler): void {
    this.#engine.parts.streams.unregisterBytes(topic, handler)
  }

  /** Counters of the data streams that remote participants send. */
  dataStreamStats(): DataStreamStats {
    return this.#engine.parts.streams.stats()
  }

  /**
   * Ends the connection and everything in it, within the call: tracks, streams, loops. The room emits the events of
   * what has ended, and `disconnected` last. Frames, packets and pieces of streams that were accepted before are still
   * sent.
   *
   * The promise resolves when the server has acknowledged all of them and the connection is closed, after 1 s at the
   * latest. Until then the process stays alive. Idempotent. A pending `connect` rejects with `DataTrackClosedError`
   * (`closed`). The room can be connected again at once; `connect` then waits until the previous connection has ended.
   */
  disconnect(): Promise<void> {
    if (this.#connecting !== undefined) this.#giveUp(this.#connecting, new DataTrackClosedError('closed'))
    else this.#engine.end('clientInitiated', true)
    return this.#engine.departures.ended
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
    this.#engine.setRef(false)
    return this
  }

  /** Undoes {@link unref}. */
  ref(): this {
    this.#engine.setRef(true)
    return this
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

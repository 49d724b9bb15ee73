/** The room, in the shape of `@livekit/rtc-node`. */
import { TypedEmitter } from '../base/typed-emitter'
import type { RtcStats } from '../media/rtc-stats'
import { Room as OwnRoom } from '../room/room'
import { ConnectionView } from './connection-view'
import { scenarioName } from './convert'
import { ConnectionState } from './enums'
import type { SimulateScenarioKind } from './enums'
import { RoomEvent } from './events'
import type { RoomCallbacks } from './events'
import { roomSettings } from './options'
import type { RoomOptions } from './options'
import type { LocalParticipant, RemoteParticipant } from './participants'
import { ByteStreamReader, TextStreamReader } from './streams'
import type { ByteStreamHandler, TextStreamHandler } from './streams'
import { E2EEManager } from './unsupported'

/** `connect` has failed. The error of this package that says why is its `cause`. */
export class ConnectError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'ConnectError'
  }
}

/** Rooms that are connected, for {@link dispose}. */
const connected = new Set<Room>()

/** Disconnects all rooms of this thread. A program need not call it: it ends by itself when its rooms are disconnected. */
export async function dispose(): Promise<void> {
  await Promise.all([...connected].map((room) => room.disconnect()))
}

/** One connection. */
interface Connection {
  readonly own: OwnRoom
  readonly view: ConnectionView
}

/** A room as one participant sees it. */
export class Room extends TypedEmitter<RoomCallbacks> {
  /** The remote participants by identity. Do not change the map. */
  readonly remoteParticipants: Map<string, RemoteParticipant> = new Map<string, RemoteParticipant>()
  /** The local participant; `undefined` before the room is connected. */
  localParticipant?: LocalParticipant
  /** Of a room that is end-to-end encrypted. */
  e2eeManager?: E2EEManager
  readonly #textHandlers = new Map<string, TextStreamHandler>()
  readonly #byteHandlers = new Map<string, ByteStreamHandler>()
  #connection: Connection | undefined
  #connecting = false
  #state = ConnectionState.CONN_DISCONNECTED
  #token: string | undefined
  #url: string | undefined
  #maxPayload: number | undefined
  #leaving: Promise<void> = Promise.resolve()

  /** State of the connection. */
  get connectionState(): ConnectionState {
    return this.#state
  }

  /** Whether the room is connected, or reconnecting. */
  get isConnected(): boolean {
    return this.#state !== ConnectionState.CONN_DISCONNECTED
  }

  /** The room's name; `undefined` before the room is connected. */
  get name(): string | undefined {
    return this.#connection?.own.name
  }

  /** The room's metadata; `undefined` before the room is connected. */
  get metadata(): string | undefined {
    return this.#connection?.own.metadata
  }

  /** Participants in the room, as the server counts them. */
  get numParticipants(): number {
    return this.#connection?.own.numParticipants ?? 0
  }

  /** Participants that publish media. */
  get numPublishers(): number {
    return this.#connection?.own.numPublishers ?? 0
  }

  /** When the room was created, by the server's clock; 1970 before the room is connected. */
  get creationTime(): Date {
    return this.#connection?.own.creationTime ?? new Date(0)
  }

  /** Whether the room is being recorded. */
  get isRecording(): boolean {
    return this.#connection?.own.isRecording ?? false
  }

  /** Seconds for which the server keeps the room after the last participant has left. */
  get departureTimeout(): number {
    return this.#connection?.own.departureTimeout ?? 0
  }

  /** Seconds for which the server keeps the room before the first participant joins. */
  get emptyTimeout(): number {
    return this.#connection?.own.emptyTimeout ?? 0
  }

  /** @internal */
  get token(): string | undefined {
    return this.#token
  }

  /** @internal */
  get serverUrl(): string | undefined {
    return this.#url
  }

  /** The server's ID of the room; empty if the room is not connected. */
  getSid(): Promise<string> {
    return Promise.resolve(this.isConnected ? (this.#connection?.own.sid ?? '') : '')
  }

  /**
   * Connects to a LiveKit server. Listeners that are added right after the promise has resolved miss no event:
   * participants and tracks that are there already are in {@link remoteParticipants}.
   *
   * @throws `ConnectError`, also if the room is connected already; `RtcNodeError` for options that this package does not
   * have
   */
  async connect(url: string, token: string, opts?: Partial<RoomOptions>): Promise<void> {
    if (this.#connecting || this.isConnected)
      throw new ConnectError('the room is connected already, or is being connected')
    this.#connecting = true
    try {
      await this.#connect(url, token, opts)
    } finally {
      this.#connecting = false
    }
  }

  async #connect(url: string, token: string, opts: Partial<RoomOptions> | undefined): Promise<void> {
    const settings = roomSettings(opts)
    this.#maxPayload = opts?.dataStream?.maxPayloadByteLength
    const own = new OwnRoom(settings.room)
    const view = new ConnectionView(own, this.remoteParticipants, settings.key !== undefined, {
      emit: (event, ...args) => void this.emit(event, ...args),
      stateChanged: (state) => this.#setState(state),
      tokenRefreshed: (fresh) => {
        this.#token = fresh
      },
      ended: () => void connected.delete(this),
    })
    for (const [topic, handler] of this.#textHandlers) this.#addText(own, topic, handler)
    for (const [topic, handler] of this.#byteHandlers) this.#addBytes(own, topic, handler)
    try {
      await this.#leaving
      await settings.key?.provider.setKey(settings.key.material)
      await own.connect(url, token, settings.connect)
    } catch (cause) {
      throw new ConnectError(cause instanceof Error ? cause.message : String(cause), { cause })
    }
    this.#token = token
    this.#url = url
    this.#connection = { own, view }
    this.localParticipant = view.local
    if (settings.room.encryption !== undefined) this.e2eeManager = new E2EEManager()
    connected.add(this)
    view.connected()
  }

  /** Disconnects from the room, and removes all listeners. What was sent before still arrives. */
  async disconnect(): Promise<void> {
    if (this.#connection === undefined || !this.isConnected) return
    const { own, view } = this.#connection
    view.release()
    this.#leaving = own.disconnect()
    await this.#leaving
    this.removeAllListeners()
  }

  /**
   * Statistics of the audio tracks, in the form of webrtc-stats.
   *
   * @throws `Error` if the room is not connected
   */
  async getRtcStats(): Promise<RtcStats> {
    if (this.#connection === undefined || !this.isConnected)
      throw new Error('getRtcStats requires a connected room')
    return await this.#connection.own.getRtcStats()
  }

  /** Causes a fault on purpose, for tests. */
  async simulateScenario(scenario: SimulateScenarioKind): Promise<void> {
    if (this.#connection === undefined) throw new Error('simulateScenario requires a connected room')
    await this.#connection.own.simulateScenario(scenarioName(scenario))
  }

  /**
   * Calls `callback` for each text stream of a topic.
   *
   * @throws `Error` if the topic has a handler
   */
  registerTextStreamHandler(topic: string, callback: TextStreamHandler): void {
    if (this.#textHandlers.has(topic)) throw alreadySet('text', topic)
    this.#textHandlers.set(topic, callback)
    if (this.#connection !== undefined) this.#addText(this.#connection.own, topic, callback)
  }

  /** Removes the handler of a topic. */
  unregisterTextStreamHandler(topic: string): void {
    this.#textHandlers.delete(topic)
    this.#connection?.own.unregisterTextStreamHandler(topic)
  }

  /**
   * Calls `callback` for each byte stream of a topic.
   *
   * @throws `Error` if the topic has a handler
   */
  registerByteStreamHandler(topic: string, callback: ByteStreamHandler): void {
    if (this.#byteHandlers.has(topic)) throw alreadySet('byte', topic)
    this.#byteHandlers.set(topic, callback)
    if (this.#connection !== undefined) this.#addBytes(this.#connection.own, topic, callback)
  }

  /** Removes the handler of a topic. */
  unregisterByteStreamHandler(topic: string): void {
    this.#byteHandlers.delete(topic)
    this.#connection?.own.unregisterByteStreamHandler(topic)
  }

  #addText(own: OwnRoom, topic: string, handler: TextStreamHandler): void {
    own.registerTextStreamHandler(topic, (reader, { identity }) =>
      handler(new TextStreamReader(reader, this.#maxPayload), { identity }),
    )
  }

  #addBytes(own: OwnRoom, topic: string, handler: ByteStreamHandler): void {
    own.registerByteStreamHandler(topic, (reader, { identity }) =>
      handler(new ByteStreamReader(reader, this.#maxPayload), { identity }),
    )
  }

  #setState(state: ConnectionState): void {
    if (state === this.#state) return
    this.#state = state
    this.emit(RoomEvent.ConnectionStateChanged, state)
  }
}

function alreadySet(kind: string, topic: string): Error {
  return new Error(`A ${kind} stream handler for topic "${topic}" has already been set.`)
}

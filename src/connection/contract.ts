/** The interfaces between a room and its connection. A connection goes to a server or to the loopback. */
import type { MessageChannel, MessageChannels } from '../data-packet/channels'
import type { EncryptionOptions } from '../e2ee/session-encryption'
import type { NativeSession } from '../native/native'
import type { AddTrackMessage, RoomSignalRequest, SignalResponseLike } from '../signal/messages'
import type { ReconnectPolicy } from './reconnect-policy'
import type { ScenarioSteps } from './scenarios'
import type { ConnectionStats } from './stats'

/** @internal With what a room is connected to a server. */
export interface ConnectionCredentials {
  readonly url: string
  readonly token: string
}

/** @internal What carries a room's signals and packets. */
export interface RoomConnection {
  readonly native: NativeSession
  /** The channels for messages. They are new ones after a rebuild. */
  readonly channels: MessageChannels
  /** Whether the room subscribes to all audio tracks by itself. */
  readonly autoSubscribe: boolean
  /** `undefined` in a loopback. */
  readonly credentials: ConnectionCredentials | undefined
  /** After a resume: what the server asked for may have been lost. So many tracks are wanted and not sent. */
  recoverSections(missing: number): void
  /** Sets which audio tracks are sent, by their names. */
  setSending(cids: readonly string[]): void
  /** The tracks that the last request to join has named, by their `cid`s. */
  readonly joinedTracks: readonly string[]
  /** Sends a request. The answer goes to {@link ConnectableRoom.receive}. */
  sendRequest(request: RoomSignalRequest): void
  /** Whether the connection's own resources, besides the native session, keep the process alive. */
  setRef(ref: boolean): void
  /** `undefined` in a loopback, which has no network. */
  stats(): ConnectionStats | undefined
  /** Drops the connection to reconnect at once, or speeds up an attempt that is already running. */
  reconnectNow(): void
  simulate(steps: ScenarioSteps): void
  /**
   * The application has left the room. The connection sends what was accepted before, then ends. Nothing more is told
   * to the room. The promise resolves when the connection has ended, after 1 s at the latest. Until then the process
   * stays alive.
   */
  leave(words: LastWords): Promise<void>
  /** Ends the connection. The session is already closed. */
  close(): void
}

/** @internal The packets that a room still has to send after it has left. */
export interface LastWords {
  /** Whether the channels have all packets. */
  readonly isDrained: boolean
  /** Resolves when {@link isDrained}. */
  drained(): Promise<void>
  /** See {@link ConnectableRoom.bufferedAmountLow}. */
  bufferedAmountLow(): void
  /** Closes the session. Packets that were not sent are discarded. */
  close(): void
}

/** @internal What a connection does to its room. */
export interface ConnectableRoom {
  readonly encryption: EncryptionOptions | undefined
  readonly reconnectPolicy: ReconnectPolicy | undefined
  /** The connection is about to join. Returns the tracks that are published with the request. */
  joining(native: NativeSession): readonly AddTrackMessage[]
  /** Gives the room its connection; a `join` message comes next. */
  attach(connection: RoomConnection, identity: string): void
  /** Handles a message of the server. */
  receive(response: SignalResponseLike): void
  /** The connection is lost. Nothing can be sent, and an attempt to reconnect follows. */
  connectionLost(): void
  /** Later connections need this token instead of the one before. */
  tokenRefreshed(token: string): void
  /** Signalling is connected, the first time or again. Packets cannot flow yet. */
  signalConnected(): void
  /** The attempt begins. The application is told now. `resuming`: it is to resume the session. */
  connectionReconnecting(resuming: boolean): void
  /** `lastSequence`: the last reliable packet that the server got from this side; 0 if it does not say. */
  connectionResumed(lastSequence: number): void
  /** The connection was rebuilt: new server session, with its `join` message. */
  connectionRebuilt(join: SignalResponseLike): void
  /** The server says which media tracks it sends now, by their SIDs. */
  tracksSent(sids: ReadonlySet<string>): void
  receiveMessage(channel: MessageChannel, data: Uint8Array): void
  /** The bytes buffered for the reliable channel fell to the watched level. */
  bufferedAmountLow(): void
}

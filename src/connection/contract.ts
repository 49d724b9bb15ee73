/** What a room and its connection ask of each other. A server's connection is one, the loopback's another. */
import type { MessageChannel, MessageChannels } from '../data-packet/channels'
import type { EncryptionOptions } from '../e2ee/session-encryption'
import type { NativeSession } from '../native/native'
import type { RoomSignalRequest, SignalResponseLike } from '../signal/messages'
import type { ScenarioSteps } from './scenarios'
import type { ConnectionStats } from './stats'

/** @internal What carries a room's signals and packets. */
export interface RoomConnection {
  readonly native: NativeSession
  /** What carries messages; another one after the connection was rebuilt. */
  readonly channels: MessageChannels
  /** Sends a request. What comes back goes to {@link ConnectableRoom.receive}. */
  sendRequest(request: RoomSignalRequest): void
  /** Whether what the connection has beside the native session keeps the process alive. */
  setRef(ref: boolean): void
  /** `undefined`: there is no network. */
  stats(): ConnectionStats | undefined
  /** Loses the connection, or hurries the attempt to get it back. */
  reconnectNow(): void
  simulate(steps: ScenarioSteps): void
  /** Ends the connection; the session is closed already. */
  close(): void
}

/** @internal What a connection does to its room. */
export interface ConnectableRoom {
  readonly encryption: EncryptionOptions | undefined
  /** Gives the room its connection; a `join` message comes next. */
  attach(connection: RoomConnection, identity: string): void
  /** A message of the server. */
  receive(response: SignalResponseLike): void
  /** The connection is lost: nothing more can be sent, and an attempt to get it back follows. */
  connectionLost(): void
  /** The attempt begins: from now on the program knows of it. */
  connectionReconnecting(): void
  /** `lastSequence`: the last reliable packet that the server got of us; 0 where it does not say. */
  connectionResumed(lastSequence: number): void
  /** There is a new signalling session; its `join` message has come with it. */
  connectionRebuilt(join: SignalResponseLike): void
  receiveMessage(channel: MessageChannel, data: Uint8Array): void
  /** What is buffered for the reliable channel fell to the watched level. */
  bufferedAmountLow(): void
}

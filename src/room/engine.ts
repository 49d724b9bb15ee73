/**
 * What a room does behind its public interface: it follows its connection, and keeps what belongs to the connection.
 * livekit-client calls this part the engine, too.
 */
import type { MessageChannel } from '../data-packet/channels'
import type { DataTrackPacketStats } from '../data-track/stats'
import { encryptionForNative } from '../e2ee/session-encryption'
import type { EncryptionOptions } from '../e2ee/session-encryption'
import { environment } from '../native/environment'
import { disconnectReason } from '../connection/disconnect-reason'
import type { DisconnectReason } from '../connection/disconnect-reason'
import { EventQueue } from './event-queue'
import { RoomEvent } from './events'
import type { ConnectionState, RoomEvents } from './events'
import type { ParticipantRequests } from './local-participant'
import { profileIn, RoomDescription } from './room-info'
import type { RoomInfo } from './room-info'
import { serverInfoIn } from './server-info'
import type { ServerInfo } from './server-info'
import { nothingSent } from '../data-track/stats'
import { ConnectionHistory } from './stats'
import type { RoomStats } from './stats'
import { OwnProfile } from './profile'
import { Schemas } from './schemas'
import { Session } from '../session/session'
import type { SessionOwner } from '../session/session'
import { isObject } from '../base/arguments'
import type { NativeSession } from '../native/native'
import type { AddTrackMessage, SignalResponseLike } from '../signal/messages'
import { PendingRequests } from './pending-requests'
import { syncStateOf } from '../signal/requests'
import { Departures } from './departures'
import type { TellRoomEvent } from './events'
import type { RoomOptions } from './room-options'
import type { TypedEmitter } from '../base/typed-emitter'
import { checkReconnectPolicy } from '../connection/reconnect-policy'
import type { ReconnectPolicy } from '../connection/reconnect-policy'
import type { ConnectableRoom, RoomConnection } from '../connection/contract'
import { RoomParts } from './parts'

/** See the top of this file. It lives as long as the room, across connections. */
export class RoomEngine implements ConnectableRoom {
  readonly encryption: EncryptionOptions | undefined
  readonly reconnectPolicy: ReconnectPolicy | undefined
  readonly parts: RoomParts
  /** The connections that the room has left. The next one waits for their end. */
  readonly departures = new Departures()
  readonly #events = new EventQueue()
  readonly #tell: TellRoomEvent
  readonly #description: RoomDescription
  #serverInfo: ServerInfo | undefined
  #state: ConnectionState = 'disconnected'
  #session: Session | undefined
  #connection: RoomConnection | undefined
  #requests: ParticipantRequests | undefined
  #history = new ConnectionHistory()
  #ref = true

  /** `emitter`: has the application's listeners. */
  constructor(options: RoomOptions, emitter: TypedEmitter<RoomEvents>) {
    encryptionForNative(options.encryption)
    this.encryption = options.encryption
    this.reconnectPolicy = checkReconnectPolicy('options.reconnectPolicy', options.reconnectPolicy)
    this.#tell = (event, ...args) => this.#events.add(() => void emitter.emit(event, ...args))
    this.#description = new RoomDescription(this.#tell)
    this.parts = new RoomParts(options, emitter, this.#tell, {
      session: () => this.#session,
      requests: () => this.#requests,
      send: (request) => this.#connection?.sendRequest(request),
      recoverSections: (missing) => this.#connection?.recoverSections(missing),
      setSending: (cids) => this.#connection?.setSending(cids),
      isConnecting: () => this.#state === 'connecting',
      autoSubscribe: () => this.#connection?.autoSubscribe === true,
      roomName: () => this.#description.info.name,
      credentials: () => this.#connection?.credentials,
      serverInfo: () => this.#serverInfo,
      localUpdated: ({ permissions }) => this.#localUpdated(permissions !== undefined),
      failed: () => this.end('stateMismatch', false),
    })
  }

  get state(): ConnectionState {
    return this.#state
  }

  /** What is known of the room. */
  get info(): RoomInfo {
    return this.#description.info
  }

  /** The server of the current or last connection. */
  get serverInfo(): ServerInfo | undefined {
    return this.#serverInfo
  }

  /** The current connection. It may be reconnecting. */
  get connection(): RoomConnection | undefined {
    return this.#connection
  }

  /** The session of the current connection. */
  get session(): Session | undefined {
    return this.#session
  }

  stats(): RoomStats {
    return {
      ...this.#history.stats(),
      connection: this.#connection?.stats(),
      sent: this.#session?.sentStats() ?? nothingSent,
      received: this.packetStats(),
    }
  }

  packetStats(): DataTrackPacketStats {
    return (
      this.#session?.packetStats() ?? { received: 0, bytesReceived: 0, accepted: 0, dropped: {}, held: 0 }
    )
  }

  setState(state: ConnectionState): void {
    if (state === this.#state) return
    this.#state = state
    this.#tell(RoomEvent.ConnectionStateChanged, state)
  }

  /** Whether this and later connections keep the process alive. */
  setRef(ref: boolean): void {
    this.#ref = ref
    this.#applyRef()
  }

  /** Ends the connection and everything in it. `ours`: the application has left, so what was accepted is still sent. */
  end(reason: DisconnectReason, ours: boolean): void {
    this.#events.run(() => this.#ended(reason, ours))
  }

  /** No connection could be made. */
  connectFailed(): void {
    this.#events.run(() => {
      this.parts.localAudio.clear()
      this.setState('disconnected')
    })
  }

  joining(native: NativeSession): readonly AddTrackMessage[] {
    return this.parts.localAudio.joining(native)
  }

  /** Gives the room its connection. A `join` message follows. */
  attach(connection: RoomConnection, identity: string): void {
    this.#connection = connection
    const session = new Session(environment(), connection.native, this.#owner(), {
      encryption: this.encryption,
      identity,
      weakly: false,
      onPushed: null,
    })
    this.#session = session
    this.parts.attach(connection, session, identity)
    const pending = new PendingRequests((request) => connection.sendRequest(request))
    const profile = new OwnProfile(this.parts.local, pending)
    this.#requests = { pending, schemas: new Schemas(pending), profile }
    this.#history = new ConnectionHistory()
    this.#applyRef()
    this.setState('connecting')
  }

  /** Handles a message of the SFU. */
  receive(response: SignalResponseLike): void {
    this.#events.run(() => this.#receive(response))
  }

  #receive(response: SignalResponseLike): void {
    if (this.#session === undefined) return
    const { case: kind, value } = response.message
    if (
      this.#requests?.pending.handle(kind, value) === true ||
      this.parts.speakers.handle(kind, value) ||
      this.parts.audio.handle(kind, value) ||
      this.parts.localAudio.handle(kind, value)
    )
      return
    switch (kind) {
      case 'join':
        this.#joined(response, isObject(value) ? value : {})
        return
      case 'update':
        this.parts.roster.updated(response)
        return
      case 'roomMoved':
        this.parts.roster.moved(response, () => {
          this.#description.updated(isObject(value) ? value['room'] : undefined)
          this.#tell(RoomEvent.Moved, this.info.name)
        })
        return
      case 'roomUpdate':
        this.#description.updated(isObject(value) ? value['room'] : undefined)
        return
      case 'leave':
        this.end(disconnectReason(isObject(value) ? value['reason'] : undefined), false)
        return
      case undefined:
      default:
        this.parts.roster.dispatch(response)
    }
  }

  connectionLost(): void {
    if (this.#session === undefined || this.#state === 'reconnecting') return
    this.#session.handleConnectionLost()
    this.parts.packets.lost()
    this.parts.localAudio.lost()
  }

  tokenRefreshed(token: string): void {
    if (this.#session === undefined) return
    this.parts.audio.tokenRefreshed()
    this.#tell(RoomEvent.TokenRefreshed, token)
  }

  signalConnected(): void {
    this.#tell(RoomEvent.SignalConnected)
  }

  /** `resuming`: only signalling is lost, as far as is known. */
  connectionReconnecting(resuming: boolean): void {
    if (this.#session === undefined || this.#state === 'reconnecting') return
    this.#events.run(() => {
      this.setState('reconnecting')
      if (resuming) this.#tell(RoomEvent.SignalReconnecting)
      this.#tell(RoomEvent.Reconnecting)
    })
  }

  /** The connection was resumed: same server session. */
  connectionResumed(lastSequence: number): void {
    this.#events.run(() => this.#resumed(lastSequence))
  }

  #resumed(lastSequence: number): void {
    const session = this.#session
    if (session === undefined) return
    const publications = session.native.publishResponsesForSyncState()
    const published = this.parts.localAudio.published()
    const syncState = syncStateOf(publications, this.parts.packets.receiveStates(), published)
    this.#connection?.sendRequest({ case: 'syncState', value: syncState })
    session.handleResumed()
    this.parts.local.subscriptionPermissions.restore()
    this.parts.packets.resumed(lastSequence)
    this.parts.audio.resumed()
    this.parts.localAudio.resumed()
    this.#requests?.pending.resend()
    this.#history.resumed()
    this.setState('connected')
    this.#tell(RoomEvent.Reconnected)
  }

  /** The connection was rebuilt: new server session, with its `join` message. */
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
    // Before the tracks are there, so that no other participant can subscribe in between.
    this.parts.local.subscriptionPermissions.restore()
    session.handleRebuilt()
    this.parts.rebuilt(connection)
    this.#history.rebuilt()
    this.#receive(join)
    this.parts.demand.rejoined()
    this.parts.audio.restore()
    this.parts.localAudio.connected(connection.native, connection.joinedTracks)
    this.#tell(RoomEvent.Reconnected)
  }

  /** The server says which media tracks it sends now, by their SIDs. */
  tracksSent(sids: ReadonlySet<string>): void {
    if (this.#session !== undefined) this.#events.run(() => this.parts.audio.sending(sids))
  }

  /** A message arrived on a channel. */
  receiveMessage(channel: MessageChannel, data: Uint8Array): void {
    if (this.#session !== undefined) this.parts.packets.receive(channel, data)
  }

  /** The bytes buffered for the reliable channel fell to the watched level. */
  bufferedAmountLow(): void {
    this.parts.packets.handleBufferedAmountLow()
  }

  #joined(response: SignalResponseLike, join: Readonly<Record<string, unknown>>): void {
    const { participant, room } = join
    this.parts.audio.joined(join['sifTrailer'])
    this.#serverInfo = serverInfoIn(join)
    const first = this.#state === 'connecting'
    this.parts.roster.joinedAs(participant, first)
    if (first) {
      this.#allowPackets()
      this.#applyPermissions()
      this.parts.local.subscriptionPermissions.restore()
      this.#description.joined(room)
      this.#history.connected()
    } else {
      this.#description.updated(room)
    }
    this.setState('connected')
    if (first) {
      const connection = this.#connection
      if (connection !== undefined)
        this.parts.localAudio.connected(connection.native, connection.joinedTracks)
      this.#tell(RoomEvent.Connected)
    }
    this.parts.roster.joinedBy(response)
  }

  #localUpdated(permissions: boolean): void {
    this.#allowPackets()
    this.#applyPermissions()
    if (permissions && this.parts.local.permissions?.canPublishData === false) {
      this.#session?.handlePublishingRevoked()
    }
    this.#requests?.pending.updated()
  }

  /** While the permissions are unknown, packets count as allowed; the server refuses requests that are not. */
  #allowPackets(): void {
    this.parts.packets.sender.setAllowed(this.parts.local.permissions?.canPublishData !== false)
  }

  /** The server does not answer a subscription that is not allowed, so the permissions decide. */
  #applyPermissions(): void {
    const { permissions } = this.parts.local
    if (permissions !== undefined) this.#session?.handleSubscribingAllowed(permissions.canSubscribe)
  }

  #ended(reason: DisconnectReason, ours: boolean): void {
    const session = this.#session
    const connection = this.#connection
    if (session === undefined) return
    this.#session = undefined
    this.#connection = undefined
    this.#history = new ConnectionHistory()
    const packets = this.parts.detach()
    this.#requests?.pending.close()
    this.#requests = undefined
    if (ours && connection !== undefined) {
      this.departures.leave(session, connection, packets)
    } else {
      packets.close()
      session.close(false)
      connection?.close()
    }
    this.parts.clear()
    this.setState('disconnected')
    this.#tell(RoomEvent.Disconnected, reason)
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
      localTrackRepublished: () => this.parts.local.subscriptionPermissions.published(),
      localTrackPublished: (track) => {
        this.parts.local.subscriptionPermissions.published()
        this.parts.demand.published(track.info.pubHandle)
        this.#tell(RoomEvent.LocalDataTrackPublished, track)
      },
      localTrackUnpublished: ({ sid }, reason) =>
        this.#tell(RoomEvent.LocalDataTrackUnpublished, sid, reason),
      trackPublished: (track) => this.parts.tracks.published(track),
      trackUnpublished: (track) => this.parts.tracks.unpublished(track),
      fetchLatest: (identity, handle, signal) => this.parts.latched.fetch(identity, handle, signal),
      permissionChanged: (track) => this.parts.tracks.permissionChanged(track),
      encryptionError: (error) => this.parts.encryptionError(error),
      demandWanted: () => this.parts.demand.want(),
      demandChanged: (hasSubscribers, info) =>
        this.#tell(RoomEvent.LocalDataTrackDemandChanged, hasSubscribers, info),
      forwarded: (identity, handle, forwarded) => this.parts.demand.forwarded(identity, handle, forwarded),
      keysChanged: () => this.#events.run(() => this.parts.packets.handleKeysChanged()),
      failed: () => this.end('unknownReason', false),
      broken: () => this.end('stateMismatch', false),
    }
  }
}

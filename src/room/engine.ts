/**
 * What a room does behind its public interface: it follows its connection, and keeps what belongs to the connection.
 * livekit-client calls this part the engine, too.
 */
import type { UserPacket } from '@livekit/protocol'
import { ownBytes } from '../base/bytes'
import type { MessageChannel } from '../data-packet/channels'
import { DataPackets } from '../data-packet/data-packets'
import type { PacketSender } from '../data-packet/sender'
import type { PacketHandlers, ReceivedPacket } from '../data-packet/receiver'
import { DataStreams } from '../data-stream/data-streams'
import type { DataTrackPacketStats } from '../data-track/stats'
import { encryptionForNative, packetEncryption } from '../e2ee/session-encryption'
import type { EncryptionOptions } from '../e2ee/session-encryption'
import { environment } from '../native/environment'
import { DataTrackE2eeError } from '../base/errors'
import { disconnectReason } from '../connection/disconnect-reason'
import type { DisconnectReason } from '../connection/disconnect-reason'
import { ActiveSpeakers } from './active-speakers'
import { RoomDemand } from './demand/room-demand'
import { RoomMessages } from './messages'
import { RoomTranscriptions } from './transcriptions'
import { EventQueue } from './event-queue'
import { RoomEvent } from './events'
import type { ConnectionState, RoomEvents } from './events'
import { LocalParticipant } from './participant'
import type { ParticipantRequests, RemoteParticipant } from './participant'
import { Roster } from './roster'
import { profileIn, RoomDescription } from './room-info'
import type { RoomInfo } from './room-info'
import { serverInfoIn } from './server-info'
import type { ServerInfo } from './server-info'
import { nothingSent } from '../data-track/stats'
import { ConnectionHistory } from './stats'
import type { RoomStats } from './stats'
import { OwnProfile } from './profile'
import { Schemas } from './schemas'
import { RoomRpc } from '../rpc/room-rpc'
import { Session } from '../session/session'
import type { SessionOwner } from '../session/session'
import { isObject } from '../base/arguments'
import { ParticipantState } from '../signal/messages'
import type { ParticipantInfoMessage, SignalResponseLike } from '../signal/messages'
import { PendingRequests } from './pending-requests'
import { syncStateOf } from '../signal/requests'
import { Departures } from './departures'
import { RemoteTracks } from './remote-tracks'
import type { TellRoomEvent } from './events'
import type { RoomOptions } from './room-options'
import type { TypedEmitter } from '../base/typed-emitter'
import { checkReconnectPolicy } from '../connection/reconnect-policy'
import type { ReconnectPolicy } from '../connection/reconnect-policy'
import type { ConnectableRoom, RoomConnection } from '../connection/contract'

const unknownParticipant: ParticipantInfoMessage = {
  sid: '',
  identity: '',
  state: ParticipantState.Disconnected,
}

/** See the top of this file. It lives as long as the room, across connections. */
export class RoomEngine implements ConnectableRoom {
  readonly encryption: EncryptionOptions | undefined
  readonly reconnectPolicy: ReconnectPolicy | undefined
  readonly localParticipant: LocalParticipant
  readonly remoteParticipants: Map<string, RemoteParticipant> = new Map<string, RemoteParticipant>()
  readonly packets: DataPackets
  readonly streams: DataStreams
  readonly rpc: RoomRpc
  readonly transcriptions: RoomTranscriptions
  readonly speakers: ActiveSpeakers
  readonly tracks: RemoteTracks
  /** The connections that the room has left. The next one waits for their end. */
  readonly departures = new Departures()
  readonly #events = new EventQueue()
  readonly #tell: TellRoomEvent
  readonly #description: RoomDescription
  readonly #messages: RoomMessages
  readonly #roster: Roster
  readonly #demand: RoomDemand
  #serverInfo: ServerInfo | undefined
  #state: ConnectionState = 'disconnected'
  #session: Session | undefined
  #connection: RoomConnection | undefined
  #requests: ParticipantRequests | undefined
  #history = new ConnectionHistory()
  #ref = true

  /** `emitter`: has the application's listeners. */
  constructor(
    { encryption, dataStreams, rpc, reconnectPolicy }: RoomOptions,
    emitter: TypedEmitter<RoomEvents>,
  ) {
    encryptionForNative(encryption)
    this.encryption = encryption
    this.reconnectPolicy = checkReconnectPolicy('options.reconnectPolicy', reconnectPolicy)
    this.#tell = (event, ...args) => this.#events.add(() => void emitter.emit(event, ...args))
    this.#description = new RoomDescription(this.#tell)
    const packetHandlers: PacketHandlers = { user: (packet) => this.#dataReceived(packet) }
    this.packets = new DataPackets(packetHandlers, (reason, participantIdentity, keyIndex, count) =>
      this.#encryptionError(new DataTrackE2eeError(reason, { participantIdentity, keyIndex, count })),
    )
    const sender = (): PacketSender => this.packets.sender
    this.streams = new DataStreams(sender, this.remoteParticipants, dataStreams)
    this.rpc = new RoomRpc(
      sender,
      this.streams,
      {
        connected: () => this.#session !== undefined,
        serverVersion: () => this.#serverInfo?.version || undefined,
        clientProtocol: (identity) => this.remoteParticipants.get(identity)?.clientProtocol,
      },
      rpc,
    )
    this.#messages = new RoomMessages(sender, this.streams, {
      tell: this.#tell,
      listens: (event) => emitter.listenerCount(event) > 0,
      participant: (identity) => this.participant(identity),
      remote: (identity) => this.remoteParticipants.get(identity),
      local: () => this.localParticipant,
    })
    this.transcriptions = new RoomTranscriptions(this.streams)
    Object.assign(
      packetHandlers,
      this.streams.packetHandlers(),
      this.rpc.packetHandlers(),
      this.#messages.packetHandlers(),
    )
    this.localParticipant = new LocalParticipant(
      unknownParticipant,
      () => this.#session,
      this.packets,
      this.streams.outgoing,
      () => this.#requests,
      this.rpc,
      this.#messages,
    )
    const tell = this.#tell
    this.tracks = new RemoteTracks(this.remoteParticipants, tell)
    this.speakers = new ActiveSpeakers(this.localParticipant, this.remoteParticipants, tell)
    this.#demand = new RoomDemand(
      this.remoteParticipants,
      this.rpc,
      () => this.#session,
      () => emitter.listenerCount(RoomEvent.LocalDataTrackDemandChanged) > 0,
    )
    this.#roster = new Roster(this.localParticipant, this.remoteParticipants, {
      tell,
      localUpdated: ({ permissions }) => this.#localUpdated(permissions !== undefined),
      joined: (identity) => {
        this.rpc.handleParticipantConnected(identity)
        this.#demand.changed(identity)
      },
      active: (participant) => this.#demand.active(participant),
      replaced: (participant) => {
        this.speakers.gone(participant)
        this.streams.handleReplaced(participant)
        this.#demand.changed(participant.identity)
      },
      left: (participant) => {
        this.speakers.gone(participant)
        this.rpc.handleParticipantDisconnected(participant.identity)
        this.streams.handleLeft(participant)
        this.#demand.changed(participant.identity)
      },
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

  /** The participant with this identity, local or remote. */
  participant(identity: string): LocalParticipant | RemoteParticipant | undefined {
    if (identity !== '' && identity === this.localParticipant.identity) return this.localParticipant
    return this.remoteParticipants.get(identity)
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
    this.packets.attach(connection.channels, connection.native, packetEncryption(this.encryption))
    const pending = new PendingRequests((request) => connection.sendRequest(request))
    const profile = new OwnProfile(this.localParticipant, pending)
    this.#requests = { pending, schemas: new Schemas(pending), profile }
    this.#history = new ConnectionHistory()
    this.#roster.attach(session, identity)
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
    if (this.#requests?.pending.handle(kind, value) === true || this.speakers.handle(kind, value)) return
    switch (kind) {
      case 'join':
        this.#joined(response, isObject(value) ? value : {})
        return
      case 'update':
        this.#roster.updated(response)
        return
      case 'roomMoved':
        this.#roster.moved(response, () => {
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
        this.#roster.dispatch(response)
    }
  }

  connectionLost(): void {
    if (this.#session === undefined || this.#state === 'reconnecting') return
    this.#session.handleConnectionLost()
    this.packets.lost()
  }

  tokenRefreshed(token: string): void {
    if (this.#session !== undefined) this.#tell(RoomEvent.TokenRefreshed, token)
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
    const syncState = syncStateOf(publications, this.packets.receiveStates())
    this.#connection?.sendRequest({ case: 'syncState', value: syncState })
    session.handleResumed()
    this.packets.resumed(lastSequence)
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
    session.handleRebuilt()
    this.packets.attach(connection.channels, connection.native, packetEncryption(this.encryption))
    this.packets.rebuilt()
    this.streams.rebuilt()
    this.#history.rebuilt()
    this.speakers.clear()
    this.#roster.rebuilt()
    this.#receive(join)
    this.#demand.rebuilt()
    this.#tell(RoomEvent.Reconnected)
  }

  /** A message arrived on a channel. */
  receiveMessage(channel: MessageChannel, data: Uint8Array): void {
    if (this.#session !== undefined) this.packets.receive(channel, data)
  }

  /** The bytes buffered for the reliable channel fell to the watched level. */
  bufferedAmountLow(): void {
    this.packets.handleBufferedAmountLow()
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
      this.#description.joined(room)
      this.#history.connected()
    } else {
      this.#description.updated(room)
    }
    this.setState('connected')
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
    this.packets.sender.setAllowed(this.localParticipant.permissions?.canPublishData !== false)
  }

  /** The server does not answer a subscription that is not allowed, so the permissions decide. */
  #applyPermissions(): void {
    const { permissions } = this.localParticipant
    if (permissions !== undefined) this.#session?.handleSubscribingAllowed(permissions.canSubscribe)
  }

  #ended(reason: DisconnectReason, ours: boolean): void {
    const session = this.#session
    const connection = this.#connection
    if (session === undefined) return
    this.#session = undefined
    this.#connection = undefined
    this.#history = new ConnectionHistory()
    this.#roster.detach()
    this.rpc.close()
    this.#demand.close()
    const packets = this.packets.detach()
    this.streams.detach()
    this.#requests?.pending.close()
    this.#requests = undefined
    if (ours && connection !== undefined) {
      this.departures.leave(session, connection, packets)
    } else {
      packets.close()
      session.close(false)
      connection?.close()
    }
    this.speakers.clear()
    this.#roster.clear()
    this.tracks.end()
    this.transcriptions.end()
    this.#messages.close()
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
      localTrackPublished: (track) => {
        this.#demand.published(track.info.pubHandle)
        this.#tell(RoomEvent.LocalDataTrackPublished, track)
      },
      localTrackUnpublished: ({ sid }, reason) =>
        this.#tell(RoomEvent.LocalDataTrackUnpublished, sid, reason),
      trackPublished: (track) => this.tracks.published(track),
      trackUnpublished: (track) => this.tracks.unpublished(track),
      encryptionError: (error) => this.#encryptionError(error),
      demandWanted: () => this.#demand.want(),
      demandChanged: (hasSubscribers, info) =>
        this.#tell(RoomEvent.LocalDataTrackDemandChanged, hasSubscribers, info),
      forwarded: (identity, handle, forwarded) => this.#demand.forwarded(identity, handle, forwarded),
      keysChanged: () => this.#events.run(() => this.packets.handleKeysChanged()),
      failed: () => this.end('unknownReason', false),
      broken: () => this.end('stateMismatch', false),
    }
  }

  #encryptionError(error: DataTrackE2eeError): void {
    const { participantIdentity } = error
    const participant =
      participantIdentity === undefined ? undefined : this.remoteParticipants.get(participantIdentity)
    this.#tell(RoomEvent.EncryptionError, error, participant)
  }
}

/**
 * What a room consists of, across connections: the participants, and what is made of signals and packets. A new feature
 * is created here, and hears here of the connection's life.
 */
import type { UserPacket } from '@livekit/protocol'
import { ownBytes } from '../base/bytes'
import { DataPackets } from '../data-packet/data-packets'
import type { PacketSender } from '../data-packet/sender'
import type { PacketHandlers, ReceivedPacket } from '../data-packet/receiver'
import { DataStreams } from '../data-stream/data-streams'
import { packetEncryption } from '../e2ee/session-encryption'
import type { EncryptionOptions } from '../e2ee/session-encryption'
import { DataTrackE2eeError } from '../base/errors'
import { ActiveSpeakers } from './active-speakers'
import { RoomDemand } from './demand/room-demand'
import { LatchedTracks } from './latched-tracks'
import { RoomMessages } from './messages'
import { RoomTranscriptions } from './transcriptions'
import { RoomEvent } from './events'
import type { RoomEvents } from './events'
import { LocalAudio } from './local-audio'
import { LocalParticipant } from './local-participant'
import type { ParticipantRequests } from './local-participant'
import type { RemoteParticipant } from './remote-participant'
import { Roster } from './roster'
import type { ServerInfo } from './server-info'
import { RoomRpc } from '../rpc/room-rpc'
import type { Session } from '../session/session'
import { ParticipantState } from '../signal/messages'
import type { ParticipantInfoMessage, RoomSignalRequest } from '../signal/messages'
import { RemoteAudio } from './remote-audio'
import { RemoteTracks } from './remote-tracks'
import type { TellRoomEvent } from './events'
import type { RoomOptions } from './room-options'
import type { TypedEmitter } from '../base/typed-emitter'
import type { ConnectionCredentials, RoomConnection } from '../connection/contract'
import type { ParticipantChanges } from './participant-info'

const unknownParticipant: ParticipantInfoMessage = {
  sid: '',
  identity: '',
  state: ParticipantState.Disconnected,
}

/** What the parts need of their room. */
export interface PartsOwner {
  /** The session of the current connection. */
  session(): Session | undefined
  requests(): ParticipantRequests | undefined
  /** Sends a request to the server; does nothing without a connection. */
  send(request: RoomSignalRequest): void
  /** After a resume: so many audio tracks are wanted and not sent. */
  recoverSections(missing: number): void
  /** Sets which audio tracks are sent, by their names. Returns whether the connection can carry audio. */
  setSending(cids: readonly string[]): void
  /** Whether a connection is being made. */
  isConnecting(): boolean
  /** Whether the room subscribes to all audio tracks by itself. */
  autoSubscribe(): boolean
  /** The room's name; empty before it is known. */
  roomName(): string
  /** With what the room is connected; `undefined` if it is not connected to a server. */
  credentials(): ConnectionCredentials | undefined
  /** The server of the current or last connection. */
  serverInfo(): ServerInfo | undefined
  /** The server has sent the current state of the local participant. */
  localUpdated(changes: ParticipantChanges): void
  /** Handling a timer failed. */
  failed(): void
}

/** See the top of this file. */
export class RoomParts {
  readonly local: LocalParticipant
  readonly remote: Map<string, RemoteParticipant> = new Map<string, RemoteParticipant>()
  readonly roster: Roster
  readonly packets: DataPackets
  readonly streams: DataStreams
  readonly rpc: RoomRpc
  readonly transcriptions: RoomTranscriptions
  readonly speakers: ActiveSpeakers
  readonly tracks: RemoteTracks
  readonly audio: RemoteAudio
  readonly localAudio: LocalAudio
  readonly demand: RoomDemand
  readonly latched: LatchedTracks
  readonly #messages: RoomMessages
  readonly #encryption: EncryptionOptions | undefined
  readonly #tell: TellRoomEvent

  /** `emitter`: has the application's listeners. `tell`: queues an event for them. */
  constructor(
    { encryption, dataStreams, rpc }: RoomOptions,
    emitter: TypedEmitter<RoomEvents>,
    tell: TellRoomEvent,
    owner: PartsOwner,
  ) {
    this.#encryption = encryption
    this.#tell = tell
    const packetHandlers: PacketHandlers = { user: (packet) => this.#dataReceived(packet) }
    this.packets = new DataPackets(packetHandlers, (reason, participantIdentity, keyIndex, count) =>
      this.encryptionError(new DataTrackE2eeError(reason, { participantIdentity, keyIndex, count })),
    )
    const sender = (): PacketSender => this.packets.sender
    this.streams = new DataStreams(sender, this.remote, dataStreams)
    this.rpc = new RoomRpc(
      sender,
      this.streams,
      {
        connected: () => owner.session() !== undefined,
        serverVersion: () => owner.serverInfo()?.version || undefined,
        clientProtocol: (identity) => this.remote.get(identity)?.clientProtocol,
      },
      rpc,
    )
    this.#messages = new RoomMessages(sender, this.streams, {
      tell,
      listens: (event) => emitter.listenerCount(event) > 0,
      participant: (identity) => this.participant(identity),
      remote: (identity) => this.remote.get(identity),
      local: () => this.local,
    })
    this.transcriptions = new RoomTranscriptions(this.streams)
    Object.assign(
      packetHandlers,
      this.streams.packetHandlers(),
      this.rpc.packetHandlers(),
      this.#messages.packetHandlers(),
    )
    this.local = new LocalParticipant(unknownParticipant, {
      session: () => owner.session(),
      packets: this.packets,
      streams: this.streams.outgoing,
      requests: () => owner.requests(),
      rpc: this.rpc,
      messages: this.#messages,
      audio: () => this.localAudio,
      tracks: {
        published: () => owner.session()?.publishedInfos() ?? [],
        send: (value) => owner.send({ case: 'subscriptionPermission', value }),
      },
    })
    this.tracks = new RemoteTracks(this.remote, tell)
    this.audio = new RemoteAudio({
      tell,
      encryption: packetEncryption(encryption),
      autoSubscribe: () => owner.autoSubscribe(),
      roomName: () => owner.roomName(),
      credentials: () => owner.credentials(),
      open: (sid, sender) => (sampleRate, channels, frameSamples) =>
        owner.session()?.native.openAudioStream(sid, sampleRate, channels, frameSamples, sender),
      setServerTrailer: (trailer) => owner.session()?.native.setServerTrailer(trailer),
      send: (request) => owner.send(request),
      recoverSections: (missing) => owner.recoverSections(missing),
    })
    this.localAudio = new LocalAudio({
      tell,
      encryption: packetEncryption(encryption),
      isConnecting: () => owner.isConnecting(),
      local: () => this.local,
      send: (request) => owner.send(request),
      setSending: (cids) => owner.setSending(cids),
    })
    this.speakers = new ActiveSpeakers(this.local, this.remote, tell)
    this.demand = new RoomDemand(
      this.remote,
      this.rpc,
      () => owner.session(),
      () => emitter.listenerCount(RoomEvent.LocalDataTrackDemandChanged) > 0,
    )
    this.latched = new LatchedTracks(
      this.rpc,
      () => this.local,
      this.remote,
      () => owner.session(),
    )
    this.roster = new Roster(this.local, this.remote, {
      tell,
      localUpdated: (changes) => owner.localUpdated(changes),
      joined: (identity) => {
        this.rpc.handleParticipantConnected(identity)
        this.demand.changed(identity)
      },
      described: (participant, { tracks }) => this.audio.described(participant, tracks),
      active: (participant) => this.demand.active(participant),
      replaced: (participant) => {
        this.audio.gone(participant)
        this.speakers.gone(participant)
        this.streams.handleReplaced(participant)
        this.demand.changed(participant.identity)
      },
      left: (participant) => {
        this.audio.gone(participant)
        this.speakers.gone(participant)
        this.rpc.handleParticipantDisconnected(participant.identity)
        this.streams.handleLeft(participant)
        this.demand.changed(participant.identity)
      },
      failed: () => owner.failed(),
    })
  }

  /** The participant with this identity, local or remote. */
  participant(identity: string): LocalParticipant | RemoteParticipant | undefined {
    if (identity !== '' && identity === this.local.identity) return this.local
    return this.remote.get(identity)
  }

  /** The room has a connection. */
  attach(connection: RoomConnection, session: Session, identity: string): void {
    this.#attachChannels(connection)
    this.roster.attach(session, identity)
  }

  /** The connection was rebuilt. Its `join` message comes next. */
  rebuilt(connection: RoomConnection): void {
    this.#attachChannels(connection)
    this.packets.rebuilt()
    this.streams.rebuilt()
    this.speakers.clear()
    this.demand.rebuilt()
    this.audio.sessionEnded()
    this.roster.rebuilt()
  }

  /** The room has lost its connection for good, or leaves it. What was accepted may still be sent with the result. */
  detach(): PacketSender {
    this.roster.detach()
    this.rpc.close()
    this.demand.close()
    const packets = this.packets.detach()
    this.streams.detach()
    return packets
  }

  /** Follows {@link detach}: participants, tracks and loops end. */
  clear(): void {
    this.speakers.clear()
    this.roster.clear()
    this.audio.sessionEnded()
    this.localAudio.clear()
    this.tracks.end()
    this.transcriptions.end()
    this.#messages.close()
  }

  #attachChannels({ channels, native }: RoomConnection): void {
    this.packets.attach(channels, native, packetEncryption(this.#encryption))
  }

  encryptionError(error: DataTrackE2eeError): void {
    const { participantIdentity } = error
    const participant = participantIdentity === undefined ? undefined : this.remote.get(participantIdentity)
    this.#tell(RoomEvent.EncryptionError, error, participant)
  }

  #dataReceived({ value, senderIdentity, channel, encrypted }: ReceivedPacket<UserPacket>): void {
    const participant = this.remote.get(senderIdentity)
    const encryption = encrypted ? 'gcm' : 'none'
    this.#tell(RoomEvent.DataReceived, ownBytes(value.payload), participant, channel, value.topic, encryption)
  }
}

/** The loopback: an SFU in this process, for first steps, demos and an application's tests. */
import { randomInt } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import * as check from '../base/arguments'
import type { EncryptionOptions } from '../e2ee/session-encryption'
import { environment } from '../native/environment'
import type { Environment } from '../native/environment'
import { DataTrackClosedError } from '../base/errors'
import { disconnectReasonNumber } from '../connection/disconnect-reason'
import type { DisconnectReason } from '../connection/disconnect-reason'
import type { NativeLoopbackHub, NativeSession } from '../native/native'
import { Room } from '../room/room'
import type { ConnectableRoom, LastWords, RoomConnection } from '../connection/contract'
import { LINGER_TIMEOUT } from '../connection/linger-timeout'
import { FormerRoom } from '../connection/former-room'
import { PublicationRequests } from '../connection/publication-requests'
import type { ScenarioSteps } from '../connection/scenarios'
import { sessionOptions } from '../session/session-options'
import type { AddTrackMessage, RoomSignalRequest, SignalResponseLike } from '../signal/messages'
import type { MessageChannel } from '../data-packet/channels'
import { MessagePipe } from './message-pipe'
import type { SeededNetwork } from './message-pipe'
import { networkForNative } from './network'
import type { LoopbackNetworkOptions } from './network'
import { checkPermissions, everything } from './profiles'
import type { LoopbackPermissions, ParticipantDescription } from './profiles'
import { SignalSfu } from './sfu'
import type { LoopbackRejection } from './sfu'

/** Options of {@link Loopback.join}. */
export interface LoopbackJoinOptions {
  /** End-to-end encryption. Default: none. Not allowed together with `room`, which has its own encryption. */
  readonly encryption?: EncryptionOptions | undefined
  /** Default: everything is allowed. */
  readonly permissions?: LoopbackPermissions | undefined
  /**
   * A room of the application that is not connected yet. Its listeners get events for what is already there. Default: a
   * new room.
   */
  readonly room?: Room | undefined
  /** The display name. Default: empty. */
  readonly name?: string | undefined
  /** Default: empty. */
  readonly metadata?: string | undefined
  /** Default: none. */
  readonly attributes?: Readonly<Record<string, string>> | undefined
  /** `agent`: the participant may send texts in the name of others, and transcription packets. Default: `standard`. */
  readonly kind?: 'standard' | 'agent' | undefined
  /** Whether other participants are not told about it. Default: `false`. */
  readonly hidden?: boolean | undefined
  /** Whether the room subscribes to all audio tracks by itself. Default: `false`. */
  readonly autoSubscribe?: boolean | undefined
}

/**
 * Changes that {@link Loopback.updateParticipant} makes. The names are those of `RoomServiceClient` in
 * `livekit-server-sdk`.
 */
export interface LoopbackParticipantUpdate {
  readonly name?: string | undefined
  readonly metadata?: string | undefined
  readonly attributes?: Readonly<Record<string, string>> | undefined
  readonly permission?: LoopbackPermissions | undefined
}

/** Counters of {@link Loopback.stats}: packets of data tracks and of audio tracks since the start. */
export interface LoopbackStats {
  /** Packets forwarded, counted once for each subscriber. */
  readonly forwarded: number
  /** Packets that the network lost. */
  readonly lost: number
  /** Packets that the network duplicated. */
  readonly duplicated: number
  /** Packets that the network reordered. */
  readonly reordered: number
  /** Packets of tracks without a subscriber. */
  readonly noRoute: number
}

interface Guest {
  /** Why it is being removed; `undefined`: it leaves by itself. */
  reason?: DisconnectReason
  readonly connection: LoopbackConnection
}

/**
 * Stands in for a LiveKit server's data tracks, audio tracks, data packets and signalling, with an optional bad network
 * between the participants.
 *
 *     const sfu = new Loopback({ loss: 0.05, seed: 1 })
 *     const alice = sfu.join('alice')
 *     const bob = sfu.join('bob')
 *     …
 *     sfu.close()
 *
 * Its rooms are real ones: signal messages and packets pass through the same code as with a server, but through no
 * sockets.
 */
export class Loopback {
  readonly #environment: Environment
  readonly #hub: NativeLoopbackHub
  readonly #sfu: SignalSfu
  readonly #guests = new Map<string, Guest>()
  #closed = false
  #network: LoopbackNetworkOptions
  readonly #seed: number

  /**
   * @throws `TypeError` or `RangeError` that names the option; an error with the code `NATIVE_MISSING` if there is no
   * addon
   */
  constructor(network: LoopbackNetworkOptions = {}) {
    this.#network = { ...check.options('options', network) }
    this.#seed = randomInt(2 ** 32)
    const options = networkForNative(this.#network, this.#seed)
    this.#environment = environment()
    this.#hub = this.#environment.binding.createLoopback(options)
    this.#sfu = new SignalSfu(this.#hub)
  }

  /**
   * Lets a participant join, and returns its connected room.
   *
   * @param identity unique; a participant that already has it is disconnected (`duplicateIdentity`), as by a server
   * @throws `DataTrackClosedError` after `close()`; `TypeError` or `RangeError` that names the argument
   */
  join(identity: string, options: LoopbackJoinOptions = {}): Room {
    if (check.string('identity', identity) === '') throw check.outOfRange('identity.length', '>= 1', 0)
    this.#assertOpen()
    const given = check.options('options', options)
    const room = given.room ?? new Room({ encryption: given.encryption })
    if (
      !(room instanceof Room) ||
      room.state !== 'disconnected' ||
      (given.encryption !== room.engine.encryption && given.encryption !== undefined)
    ) {
      throw check.invalidType(
        'options.room',
        'a Room that is not connected, with an encryption of its own',
        room,
      )
    }
    const description: ParticipantDescription = {
      identity,
      name: check.string('options.name', given.name ?? ''),
      metadata: check.string('options.metadata', given.metadata ?? ''),
      attributes: { ...given.attributes },
      isAgent: check.oneOf('options.kind', given.kind, 'standard', ['standard', 'agent']) === 'agent',
      isHidden: check.boolean('options.hidden', given.hidden, false),
      ...everything,
      ...checkPermissions('options.permissions', given.permissions),
    }
    const autoSubscribe = check.boolean('options.autoSubscribe', given.autoSubscribe, false)
    if (this.#sfu.has(identity)) this.#remove(identity, 'duplicateIdentity')
    const native = this.#hub.join(sessionOptions(room.engine.encryption))
    const connection = new LoopbackConnection(native, identity, {
      autoSubscribe,
      request: (request) => this.#sfu.request(identity, request),
      sending: (cids) => this.#sfu.setSending(identity, cids),
      isDrained: () => this.#hub.isDrained(native.id),
      isAudioDrained: (keeping) => this.#hub.isAudioDrained(native.id, keeping),
      message: (channel, message) => this.#sfu.message(identity, channel, message),
      room: room.engine,
      network: this.#seeded(),
      reconnect: (kind) => void this.reconnect(identity, kind),
      closed: () => this.#left(identity, connection),
    })
    this.#guests.set(identity, { connection })
    room.engine.attach(connection, identity)
    // A listener may have disconnected the room or closed the loopback.
    if (this.#guests.get(identity)?.connection !== connection) return room
    const ends = {
      deliver: (response: SignalResponseLike) => connection.deliver(response),
      message: (channel: MessageChannel, message: Uint8Array) => connection.deliverMessage(channel, message),
      tracksSent: (sids: ReadonlySet<string>) => connection.tracksSent(sids),
    }
    const join = this.#sfu.join(native.id, description, ends, connection.joining())
    connection.room.signalConnected()
    connection.room.receive(join)
    return room
  }

  /** Ends a publication, by decision of the SFU. Returns whether there was a publication with this SID. */
  unpublish(trackSid: string): boolean {
    this.#assertOpen()
    return this.#sfu.unpublish(check.string('trackSid', trackSid))
  }

  /**
   * Mutes an audio track or unmutes it, as an administrator does. Returns whether there was an audio track with this
   * SID.
   */
  mute(trackSid: string, muted = true): boolean {
    this.#assertOpen()
    return this.#sfu.mute(check.string('trackSid', trackSid), check.boolean('muted', muted, true))
  }

  /** Makes the SFU refuse the next publish request of any participant. Each call refuses one more request. */
  rejectNextPublish(reason: LoopbackRejection = 'notAllowed', message = 'refused by the loopback'): void {
    this.#assertOpen()
    const checked = check.oneOf('reason', reason, 'notAllowed', [
      'notAllowed',
      'duplicateName',
      'invalidName',
      'limitReached',
      'duplicateHandle',
      'unclassified',
    ])
    this.#sfu.rejectNextPublish(checked, check.string('message', message))
  }

  /**
   * Breaks a participant's connection and restores it: `resume` in the same server session, `full` in a new one, with
   * new SIDs and handles. Resolves when the room is connected again.
   *
   * @throws `RangeError` if there is no such participant
   */
  async reconnect(identity: string, kind: 'resume' | 'full'): Promise<void> {
    this.#assertOpen()
    check.oneOf('kind', kind, 'resume', ['resume', 'full'])
    const { connection } = this.#guest(identity)
    connection.cut()
    connection.room.connectionLost()
    connection.room.connectionReconnecting(kind === 'resume')
    await turn()
    if (this.#guests.get(identity)?.connection === connection) connection.room.signalConnected()
    // A listener may have disconnected the room, or it was disconnected in the meantime.
    if (this.#guests.get(identity)?.connection !== connection) return
    connection.mend(kind === 'full')
    if (kind === 'resume') {
      connection.room.connectionResumed(0)
      this.#sfu.resume(identity)
    } else {
      const join = this.#sfu.restart(identity, connection.joining())
      if (join !== undefined) connection.room.connectionRebuilt(join)
    }
    // The new session's requests are answered in the following turns. Then its participant is active.
    await turn()
    this.#sfu.activate(identity)
  }

  /** Removes a participant, as an administrator does. Its room is disconnected (`participantRemoved`). */
  kick(identity: string): void {
    this.#assertOpen()
    this.#guest(identity)
    this.#remove(identity, 'participantRemoved')
  }

  /**
   * Changes a participant's description or permissions, as an administrator does.
   *
   * Absent fields stay unchanged, and so does a field with an empty text. An empty attribute is removed. A participant
   * that loses the permission to publish data loses its data tracks. One that may not publish the sources of its audio
   * tracks any more loses these.
   *
   * @throws `RangeError` if there is no such participant
   */
  updateParticipant(identity: string, options: LoopbackParticipantUpdate): void {
    this.#assertOpen()
    this.#guest(identity)
    const { name, metadata, attributes, permission } = check.options('options', options)
    if (name !== undefined) check.string('options.name', name)
    if (metadata !== undefined) check.string('options.metadata', metadata)
    this.#sfu.update(identity, {
      ...(name !== undefined && { name }),
      ...(metadata !== undefined && { metadata }),
      ...(attributes !== undefined && { attributes: { ...attributes } }),
      ...checkPermissions('options.permission', permission),
    })
  }

  /** Changes the room's metadata, as an administrator does. */
  updateRoomMetadata(metadata: string): void {
    this.#assertOpen()
    this.#sfu.updateRoomMetadata(check.string('metadata', metadata))
  }

  /** Begins or ends a recording of the room, as far as its participants see it. Nothing is recorded. */
  setRecording(recording: boolean): void {
    this.#assertOpen()
    if (typeof recording !== 'boolean') throw check.invalidType('recording', 'a boolean', recording)
    this.#sfu.setRecording(recording)
  }

  /**
   * Changes the network from now on. Absent options stay as they are, the seed included. The seed's sequence of random
   * numbers starts again.
   */
  setNetwork(options: LoopbackNetworkOptions): void {
    this.#assertOpen()
    const network = { ...this.#network, ...check.options('options', options) }
    this.#hub.setNetwork(networkForNative(network, this.#seed))
    this.#network = network
    for (const { connection } of this.#guests.values()) connection.channels.setNetwork(this.#seeded())
  }

  #seeded(): SeededNetwork {
    return { options: this.#network, seed: this.#network.seed ?? this.#seed }
  }

  /** Counters of packets since the start. */
  stats(): LoopbackStats {
    this.#assertOpen()
    return this.#hub.stats()
  }

  /** Disconnects all rooms (`serverShutdown`) and ends the loopback. Idempotent. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    for (const identity of [...this.#guests.keys()]) {
      // A listener may already have disconnected this room.
      if (this.#guests.has(identity)) this.#remove(identity, 'serverShutdown')
    }
    this.#hub.close()
    this.#environment.pump()
  }

  /** The same as {@link close}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    this.close()
    return Promise.resolve()
  }

  #guest(identity: string): Guest {
    const guest = this.#guests.get(identity)
    if (guest === undefined) throw check.outOfRange('identity', 'that of a participant', identity)
    return guest
  }

  #remove(identity: string, reason: DisconnectReason): void {
    const guest = this.#guest(identity)
    guest.reason = reason
    const { connection } = guest
    // Synchronously, so that nothing sent by a removed participant arrives after its removal.
    connection.room.receive({ message: { case: 'leave', value: { reason: disconnectReasonNumber(reason) } } })
  }

  #left(identity: string, connection: LoopbackConnection): void {
    const guest = this.#guests.get(identity)
    if (guest?.connection !== connection) return
    this.#guests.delete(identity)
    this.#sfu.leave(identity, disconnectReasonNumber(guest.reason ?? 'clientInitiated'))
    this.#hub.leave(connection.native.id)
  }

  #assertOpen(): void {
    if (this.#closed) throw new DataTrackClosedError('closed')
  }
}

interface ConnectionEnds {
  readonly autoSubscribe: boolean
  readonly request: (request: RoomSignalRequest) => void
  /** The audio tracks that are sent now, by their `cid`s. */
  readonly sending: (cids: readonly string[]) => void
  readonly isDrained: () => boolean
  /** Whether nothing of audio tracks is under way, but for those with these `cid`s. */
  readonly isAudioDrained: (keeping: readonly string[]) => boolean
  readonly message: (channel: MessageChannel, message: Uint8Array) => void
  readonly room: ConnectableRoom
  readonly network: SeededNetwork
  readonly reconnect: (kind: 'resume' | 'full') => void
  readonly closed: () => void
}

/**
 * The signalling connection of one room. As over a socket, messages arrive in order and on a later microtask, never
 * within the call that caused them.
 */
class LoopbackConnection implements RoomConnection {
  readonly native: NativeSession
  readonly channels: MessagePipe
  readonly autoSubscribe: boolean
  /** The room, or the former room that has taken its place. */
  room: ConnectableRoom
  readonly #publications: PublicationRequests
  readonly #ends: ConnectionEnds
  #open = true
  #cut = false
  /** The audio tracks that are sent, by their `cid`s. */
  #sending: readonly string[] = []
  /** Messages that arrived while the connection was cut. The reliable channel keeps them for a resumed connection. */
  #messages: (() => void)[] = []

  constructor(native: NativeSession, identity: string, ends: ConnectionEnds) {
    this.native = native
    this.#ends = ends
    this.autoSubscribe = ends.autoSubscribe
    this.room = ends.room
    this.channels = new MessagePipe(identity, ends.network, ends.message, () => this.room.bufferedAmountLow())
    this.#publications = new PublicationRequests(
      () => (ends.isDrained() ? undefined : this.#drained(ends.isDrained)),
      (request) => this.#sendNow(request),
    )
  }

  get credentials(): undefined {
    return undefined
  }

  joinedTracks: readonly string[] = []

  /** The tracks that are published with the request to join. */
  joining(): readonly AddTrackMessage[] {
    const tracks = this.room.joining(this.native)
    this.joinedTracks = tracks.map(({ cid }) => cid)
    return tracks
  }

  recoverSections(): void {
    // There are no sections.
  }

  setSending(cids: readonly string[]): void {
    this.#sending = [...cids]
    void this.#tellSending()
  }

  /** The SFU learns of the end of a track when it has the track's last packets. */
  async #tellSending(): Promise<void> {
    const cids = this.#sending
    await this.#drained(() => this.#ends.isAudioDrained(cids))
    if (this.#open && !this.#cut && this.#sending === cids) this.#ends.sending(cids)
  }

  sendRequest(request: RoomSignalRequest): void {
    if (request.case === 'publishDataTrackRequest' || request.case === 'unpublishDataTrackRequest') {
      this.#publications.push(request)
    } else {
      this.#sendNow(request)
    }
  }

  async leave(words: LastWords): Promise<void> {
    const arrived = (): boolean =>
      this.#ends.isDrained() && this.channels.isDrained && this.#ends.isAudioDrained([])
    const former = new FormerRoom(
      words,
      () => this.#drained(arrived),
      () => this.close(),
    )
    this.room = former
    if (this.#cut || (words.isDrained && arrived())) former.end()
    await former.gone
  }

  /** Resolves when the network is empty. It polls, because arrivals in the network cause no event here. */
  async #drained(isDrained: () => boolean): Promise<void> {
    const end = performance.now() + LINGER_TIMEOUT
    while (this.#open && !this.#cut && !isDrained() && performance.now() < end) await delay(1)
  }

  #sendNow(request: RoomSignalRequest): void {
    queueMicrotask(() => {
      if (this.#open && !this.#cut) this.#ends.request(request)
    })
  }

  deliver(response: SignalResponseLike): void {
    queueMicrotask(() => {
      if (this.#open && !this.#cut) this.room.receive(response)
    })
  }

  tracksSent(sids: ReadonlySet<string>): void {
    queueMicrotask(() => {
      if (this.#open && !this.#cut) this.room.tracksSent(sids)
    })
  }

  deliverMessage(channel: MessageChannel, message: Uint8Array): void {
    const receive = (): void => this.room.receiveMessage(channel, message)
    if (this.#cut) this.#messages.push(receive)
    else if (this.#open) receive()
  }

  setRef(): void {
    // There is no socket to reference.
  }

  stats(): undefined {
    return undefined
  }

  reconnectNow(): void {
    if (!this.#cut) this.#ends.reconnect('resume')
  }

  /** A server would end the session by itself in the other scenarios, so they rebuild the connection. */
  simulate({ ask, lose }: ScenarioSteps): void {
    if (ask?.case === 'speakerUpdate') this.sendRequest({ case: 'simulate', value: { scenario: ask } })
    else if (!this.#cut) this.#ends.reconnect(lose === 'signal' ? 'resume' : 'full')
  }

  /** Cuts the connection. Signals in flight are lost in both directions. */
  cut(): void {
    this.#cut = true
    this.channels.cut()
  }

  /** `anew`: the connection is rebuilt, so nothing of the old session arrives. */
  mend(anew: boolean): void {
    this.#cut = false
    const messages = this.#messages
    this.#messages = []
    if (!anew) for (const receive of messages) receive()
    this.channels.mend(anew)
    // What the SFU was told meanwhile was lost.
    if (!anew) void this.#tellSending()
  }

  close(): void {
    if (!this.#open) return
    this.#open = false
    this.channels.close()
    this.#ends.closed()
  }
}

/** Waits for a turn of the event loop. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

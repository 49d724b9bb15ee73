/** An SFU in this process, for first steps, demos and the tests of your own program. */
import { randomInt } from 'node:crypto'
import * as check from '../base/arguments'
import type { EncryptionOptions } from '../e2ee/session-encryption'
import { environment } from '../native/environment'
import type { Environment } from '../native/environment'
import { DataTrackClosedError } from '../base/errors'
import { disconnectReasonNumber } from '../connection/disconnect-reason'
import type { DisconnectReason } from '../connection/disconnect-reason'
import type { NativeLoopbackHub, NativeSession } from '../native/native'
import { Room } from '../room/room'
import type { RoomConnection } from '../connection/contract'
import type { ScenarioSteps } from '../connection/scenarios'
import { sessionOptions } from '../session/session-options'
import type { RoomSignalRequest, SignalResponseLike } from '../signal/messages'
import type { MessageChannel } from '../data-packet/channels'
import { MessagePipe } from './message-pipe'
import type { SeededNetwork } from './message-pipe'
import { networkForNative } from './network'
import type { LoopbackNetworkOptions } from './network'
import type { LoopbackPermissions, ParticipantDescription } from './profiles'
import { SignalSfu } from './sfu'
import type { LoopbackRejection } from './sfu'

/** Options of {@link Loopback.join}. */
export interface LoopbackJoinOptions {
  /** End-to-end encryption. Default: none; not together with `room`, which has its own. */
  readonly encryption?: EncryptionOptions | undefined
  /** Default: everything is allowed. */
  readonly permissions?: LoopbackPermissions | undefined
  /** A room of yours, not connected yet; its listeners hear of what is there already. Default: a new one. */
  readonly room?: Room | undefined
  /** A name to be shown. Default: empty. */
  readonly name?: string | undefined
  /** Default: empty. */
  readonly metadata?: string | undefined
  /** Default: none. */
  readonly attributes?: Readonly<Record<string, string>> | undefined
}

/** What {@link Loopback.updateParticipant} changes. Names are those of `RoomServiceClient` in `livekit-server-sdk`. */
export interface LoopbackParticipantUpdate {
  readonly name?: string | undefined
  readonly metadata?: string | undefined
  readonly attributes?: Readonly<Record<string, string>> | undefined
  readonly permission?: LoopbackPermissions | undefined
}

/** What {@link Loopback.stats} returns: packets since the beginning. */
export interface LoopbackStats {
  /** Packets that were sent on, once for each subscriber. */
  readonly forwarded: number
  /** Packets that the network lost. */
  readonly lost: number
  /** Packets that the network doubled. */
  readonly duplicated: number
  /** Packets that the network let be overtaken. */
  readonly reordered: number
  /** Packets that nobody subscribes to. */
  readonly noRoute: number
}

interface Guest {
  readonly room: Room
  readonly connection: LoopbackConnection
}

/**
 * A stand-in for the data-track part of a LiveKit server, with an optional bad network between the participants.
 *
 *     const sfu = new Loopback({ loss: 0.05, seed: 1 })
 *     const alice = sfu.join('alice')
 *     const bob = sfu.join('bob')
 *     …
 *     sfu.close()
 *
 * Its rooms are real ones: signals and packets take the way that they take with a server, without the sockets.
 */
export class Loopback {
  readonly #environment: Environment
  readonly #hub: NativeLoopbackHub
  readonly #sfu: SignalSfu
  readonly #guests = new Map<string, Guest>()
  #closed = false
  #network: LoopbackNetworkOptions
  readonly #seed: number

  /** @throws `TypeError` or `RangeError` that names the option; an error with the code `NATIVE_MISSING` without an addon */
  constructor(network: LoopbackNetworkOptions = {}) {
    this.#network = { ...check.options('options', network) }
    this.#seed = randomInt(2 ** 32)
    const options = networkForNative(this.#network, this.#seed)
    this.#environment = environment()
    this.#hub = this.#environment.binding.createLoopback(options)
    this.#sfu = new SignalSfu(this.#hub)
  }

  /**
   * Lets somebody join and returns the connected room.
   *
   * @param identity unique; whoever has it already is disconnected (`duplicateIdentity`), as by a server
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
      (given.encryption !== room.encryption && given.encryption !== undefined)
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
      ...checkPermissions('options.permissions', given.permissions, {
        canPublishData: true,
        canUpdateMetadata: true,
      }),
    }
    if (this.#sfu.has(identity)) this.#remove(identity, 'duplicateIdentity')
    const native = this.#hub.join(sessionOptions(room.encryption))
    const connection = new LoopbackConnection(native, identity, {
      request: (request) => this.#sfu.request(identity, request),
      receive: (response) => room.receive(response),
      message: (channel, message) => this.#sfu.message(identity, channel, message),
      bufferedAmountLow: () => room.bufferedAmountLow(),
      network: this.#seeded(),
      reconnect: (kind) => void this.reconnect(identity, kind),
      closed: () => this.#left(identity, connection),
    })
    this.#guests.set(identity, { room, connection })
    room.attach(connection, identity)
    // A listener may have disconnected the room, or closed the loopback.
    if (this.#guests.get(identity)?.connection !== connection) return room
    const join = this.#sfu.join(
      native.id,
      description,
      (response) => connection.deliver(response),
      (channel, message) => connection.deliverMessage(() => room.receiveMessage(channel, message)),
    )
    room.receive(join)
    return room
  }

  /** The SFU ends a publication. Returns whether there was one of that SID. */
  unpublish(trackSid: string): boolean {
    this.#assertOpen()
    return this.#sfu.unpublish(check.string('trackSid', trackSid))
  }

  /** The SFU refuses the next publish request of anybody; several calls, several requests. */
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
   * A participant's connection breaks and comes back: `resume` in the same signalling session, `full` in a new one, with
   * new SIDs and handles. Resolves when the room is connected again.
   *
   * @throws `RangeError` for somebody who is not here
   */
  async reconnect(identity: string, kind: 'resume' | 'full'): Promise<void> {
    this.#assertOpen()
    check.oneOf('kind', kind, 'resume', ['resume', 'full'])
    const { room, connection } = this.#guest(identity)
    connection.cut()
    room.connectionLost()
    room.connectionReconnecting()
    await turn()
    // Disconnected meanwhile, or by a listener.
    if (this.#guests.get(identity)?.connection !== connection) return
    connection.mend(kind === 'full')
    if (kind === 'resume') {
      room.connectionResumed(0)
      this.#sfu.resume(identity)
    } else {
      const join = this.#sfu.restart(identity)
      if (join !== undefined) room.connectionRebuilt(join)
    }
    // The requests of the new session are answered in the turns that follow; then its participant is active.
    await turn()
    this.#sfu.activate(identity)
  }

  /** Removes a participant, as an administrator does: its room is disconnected (`participantRemoved`). */
  kick(identity: string): void {
    this.#assertOpen()
    this.#guest(identity)
    this.#remove(identity, 'participantRemoved')
  }

  /**
   * Changes what is said of a participant, or what it may do, as an administrator does. What is not named stays; an empty
   * text changes nothing, an empty attribute is taken away. Who may not publish data any more loses its tracks.
   *
   * @throws `RangeError` for somebody who is not here
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
      ...checkPermissions('options.permission', permission, {}),
    })
  }

  /** Changes what the application attached to the room, as an administrator does. */
  updateRoomMetadata(metadata: string): void {
    this.#assertOpen()
    this.#sfu.updateRoomMetadata(check.string('metadata', metadata))
  }

  /** Changes the network from now on; what is not named stays as it is, the seed too (and its sequence starts anew). */
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

  /** What happened to packets. */
  stats(): LoopbackStats {
    this.#assertOpen()
    return this.#hub.stats()
  }

  /** Disconnects all rooms (`serverShutdown`) and ends the loopback. Idempotent. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    for (const identity of [...this.#guests.keys()]) {
      // A listener may have disconnected the room before its turn came.
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
    const { room } = this.#guest(identity)
    // At once: nothing of a removed participant may come after it.
    room.receive({ message: { case: 'leave', value: { reason: disconnectReasonNumber(reason) } } })
  }

  #left(identity: string, connection: LoopbackConnection): void {
    if (this.#guests.get(identity)?.connection !== connection) return
    this.#guests.delete(identity)
    this.#sfu.leave(identity)
    this.#hub.leave(connection.native.id)
  }

  #assertOpen(): void {
    if (this.#closed) throw new DataTrackClosedError('closed')
  }
}

type Permissions = Pick<ParticipantDescription, 'canPublishData' | 'canUpdateMetadata'>

/** The permissions that are named, over those that there are. */
function checkPermissions<T extends Partial<Permissions>>(
  name: string,
  given: LoopbackPermissions | undefined,
  fallback: T,
): T {
  const permissions: Partial<Record<keyof Permissions, boolean>> = { ...fallback }
  for (const permission of ['canPublishData', 'canUpdateMetadata'] as const) {
    const value = check.options(name, given)[permission]
    if (value !== undefined) permissions[permission] = check.boolean(`${name}.${permission}`, value, value)
  }
  return permissions as T
}

interface ConnectionEnds {
  readonly request: (request: RoomSignalRequest) => void
  readonly receive: (response: SignalResponseLike) => void
  readonly message: (channel: MessageChannel, message: Uint8Array) => void
  readonly bufferedAmountLow: () => void
  readonly network: SeededNetwork
  readonly reconnect: (kind: 'resume' | 'full') => void
  readonly closed: () => void
}

/**
 * The signalling connection of one room: messages arrive in order, on a later microtask, never within the call that
 * caused them, as over a socket.
 */
class LoopbackConnection implements RoomConnection {
  readonly native: NativeSession
  readonly channels: MessagePipe
  readonly #ends: ConnectionEnds
  #open = true
  #cut = false
  /** Messages that came while the connection was broken: the lossless channel keeps them for a resume. */
  #messages: (() => void)[] = []

  constructor(native: NativeSession, identity: string, ends: ConnectionEnds) {
    this.native = native
    this.#ends = ends
    this.channels = new MessagePipe(identity, ends.network, ends.message, ends.bufferedAmountLow)
  }

  sendRequest(request: RoomSignalRequest): void {
    queueMicrotask(() => {
      if (this.#open && !this.#cut) this.#ends.request(request)
    })
  }

  deliver(response: SignalResponseLike): void {
    queueMicrotask(() => {
      if (this.#open && !this.#cut) this.#ends.receive(response)
    })
  }

  deliverMessage(receive: () => void): void {
    if (this.#cut) this.#messages.push(receive)
    else if (this.#open) receive()
  }

  setRef(): void {
    // There is nothing but the session.
  }

  stats(): undefined {
    return undefined
  }

  reconnectNow(): void {
    if (!this.#cut) this.#ends.reconnect('resume')
  }

  /** What a server would do of its own ends the session. */
  simulate({ lose }: ScenarioSteps): void {
    if (!this.#cut) this.#ends.reconnect(lose === 'signal' ? 'resume' : 'full')
  }

  /** The connection breaks: what is under way, both ways, is lost. */
  cut(): void {
    this.#cut = true
    this.channels.cut()
  }

  /** `anew`: in a new session, in which nothing of the old one arrives. */
  mend(anew: boolean): void {
    this.#cut = false
    const messages = this.#messages
    this.#messages = []
    if (!anew) for (const receive of messages) receive()
    this.channels.mend(anew)
  }

  close(): void {
    if (!this.#open) return
    this.#open = false
    this.channels.close()
    this.#ends.closed()
  }
}

/** A turn of the event loop. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

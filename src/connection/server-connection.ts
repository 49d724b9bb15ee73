/** A server connection: signalling, peer connections, and restoring both when they are lost. */
import { setTimeout as delay } from 'node:timers/promises'
import type { SignalResponse, SignalTarget, TrickleRequest } from '@livekit/protocol'
import { withDeadline } from '../base/abort'
import { checkConnectOptions } from './connect-options'
import type { CheckedConnectOptions, ConnectOptions } from './connect-options'
import { environment } from '../native/environment'
import { DataTrackConnectionError } from '../base/errors'
import { disconnectReason, disconnectReasonNumber } from './disconnect-reason'
import type { DisconnectReason } from './disconnect-reason'
import type { NativeSession } from '../native/native'
import type { ConnectableRoom, LastWords, RoomConnection } from './contract'
import { ConnectionTotals } from './stats'
import type { ConnectionStats } from './stats'
import type { ScenarioSteps } from './scenarios'
import { sessionOptions } from '../session/session-options'
import { serverUrl } from './address'
import type { PeerConnectionMode } from './address'
import { LossPace } from './backoff'
import { Retries } from './reconnect-policy'
import { checkToken, Tokens } from './tokens'
import type { ConnectToken } from './tokens'
import type { MessageChannels } from '../data-packet/channels'
import { SignalClient } from './signal-client'
import { isObject } from '../base/arguments'
import type { RoomSignalRequest, SignalResponseLike } from '../signal/messages'
import { FormerRoom } from './former-room'
import { PeerConnections } from './peer-connections'
import { PublicationRequests } from './publication-requests'
import { SubscriptionPacer } from './subscription-pacer'
import { isCloudHost, Regions } from './regions'
import type { LocalDescription, PeerTarget } from './peer-connections'
import { guarded } from '../base/guard'
import { loadProtocol, loadWebSocket } from '../base/lazy'
import { log } from '../base/logging'

/**
 * ms to wait before restoring a lost path. A server that removes a participant ends the path first, and says so by
 * signalling a moment later. A participant that reconnected in between would remove the new owner of its identity.
 */
const LEAVE_GRACE = 300

/**
 * ms to wait at most, after the server has ended a path, until all that it said by signalling is handled. A busy machine
 * takes longer than {@link LEAVE_GRACE} for it.
 */
const CATCH_UP = 2000

/**
 * Bytes in memory that may be held while the peer connections of a new session are set up: updates, and packets of
 * participants that were faster.
 */
export const MAX_HELD_BYTES = 67_108_864
/** Overhead of each of them, in bytes, besides its content. */
const HELD_ENTRY_BYTES = 256

/** The local participant's identity, and the server's `join` message. */
interface Joined {
  readonly identity: string
  readonly response: SignalResponseLike
}

/** The result of an attempt to resume. */
type Resumed = 'resumed' | 'rebuild'

/** @throws `TypeError` or `RangeError` that names the argument; the signal's `reason` */
export function checkConnectArguments(
  url: string | URL,
  token: ConnectToken,
  given: ConnectOptions,
): { readonly server: URL; readonly token: ConnectToken; readonly options: CheckedConnectOptions } {
  const server = serverUrl(url)
  const checkedToken = checkToken('token', token)
  const options = checkConnectOptions(given)
  options.signal?.throwIfAborted()
  return { server, token: checkedToken, options }
}

/**
 * Connects a room, and resolves when data can flow. See `Room.connect`. `stop`: aborts when the room gives up.
 * `hasRegions`: tells which hosts have regions.
 */
export async function connectRoom(
  room: ConnectableRoom,
  url: string | URL,
  token: ConnectToken,
  given: ConnectOptions,
  stop: AbortSignal,
  hasRegions: (server: URL) => boolean = isCloudHost,
): Promise<void> {
  const { server, token: checkedToken, options } = checkConnectArguments(url, token, given)
  const signal = options.signal === undefined ? stop : AbortSignal.any([options.signal, stop])
  const regions = hasRegions(server) ? new Regions(server, options) : undefined
  const connection = new ServerConnection(room, server, checkedToken, { ...options, signal }, regions)
  await connection.open()
}

class ServerConnection implements RoomConnection {
  readonly native: NativeSession
  #room: ConnectableRoom
  /** Set when the room has left. It is `#room`, too. */
  #former: FormerRoom | undefined
  /** The server that the application named, and (`#server`) the current one, which may be a region of it. */
  readonly #home: URL
  #server: URL
  readonly #regions: Regions | undefined
  readonly #options: CheckedConnectOptions
  readonly #closing = new AbortController()
  readonly #tokens: Tokens
  #mode: PeerConnectionMode
  #participantSid = ''
  #client: SignalClient | undefined
  #transport: PeerConnections | undefined
  readonly #totals = new ConnectionTotals()
  readonly #pace = new LossPace()
  #state: 'connecting' | 'connected' | 'reconnecting' = 'connecting'
  /** Replaces a wait for an attempt, or a running attempt, by a new attempt. */
  #hurry = new AbortController()
  /** Fails the running attempt, if there is one, because signalling was lost in its middle. */
  #attempt: AbortController | undefined
  #failNext = false
  #ref = true
  #rebuild = false
  /** Whether the server ended a path. The reason may be on its way by signalling. */
  #pathEnded = false
  /** Calls to the room that wait until it is ready. */
  #held: (() => void)[] | null = null
  #heldBytes = 0
  /** Why the server ended the first connection while it was being set up. */
  #sentAway: DataTrackConnectionError | undefined
  readonly #subscriptions = new SubscriptionPacer((updates) => {
    this.#client?.send({ case: 'updateDataSubscription', value: { updates } })
    // The server's time to answer begins now.
    this.native.handleSubscriptionsSent(
      updates.filter(({ subscribe }) => subscribe).map(({ trackSid }) => trackSid),
    )
  })
  readonly #publications = new PublicationRequests(
    () => this.#transport?.linger(false),
    (request) => this.#sendNow(request),
  )
  /** Requests that must not be lost with a connection, because no other code repeats them. */
  #unsent: RoomSignalRequest[] = []

  constructor(
    room: ConnectableRoom,
    server: URL,
    token: ConnectToken,
    options: CheckedConnectOptions,
    regions: Regions | undefined,
  ) {
    this.#room = room
    this.#home = server
    this.#server = server
    this.#regions = regions
    this.#tokens = new Tokens(token, (fresh) => {
      this.#tell(() => this.#room.tokenRefreshed(fresh), fresh.length)
    })
    this.#options = options
    this.#mode = options.mode === 'dual' ? 'dual' : 'single'
    this.native = environment().binding.createServerSession(sessionOptions(room.encryption, true))
  }

  /** Opens the first connection. The caller gets the errors. */
  async open(): Promise<void> {
    try {
      if (this.#regions !== undefined) {
        const token = await this.#tokens.ready(this.#attemptSignal(this.#options.signal))
        this.#regions.prefetch(token, this.#closing.signal)
      }
      const { identity, response } = await this.#joinAtLast(this.#options.signal)
      this.#attempt = undefined
      this.#state = 'connected'
      this.#room.attach(this, identity)
      this.#room.receive(response)
      this.#releaseHeld()
      // A listener may have disconnected the room.
      this.#options.signal?.throwIfAborted()
      this.#closing.signal.throwIfAborted()
    } catch (error) {
      if (this.#former === undefined) this.close()
      throw this.#options.signal?.aborted === true
        ? this.#options.signal.reason
        : (this.#sentAway ?? timedOut(error))
    }
  }

  /** The channels of the current peer connections. A room uses them only while it is connected. */
  get channels(): MessageChannels {
    if (this.#transport === undefined) throw new DataTrackConnectionError('internal')
    return this.#transport
  }

  sendRequest(request: RoomSignalRequest): void {
    switch (request.case) {
      case 'updateDataSubscription':
        this.#subscriptions.push(request.value.updates)
        return
      case 'publishDataTrackRequest':
      case 'unpublishDataTrackRequest':
        this.#publications.push(request)
        return
      default:
        this.#sendNow(request)
    }
  }

  #sendNow(request: RoomSignalRequest): void {
    if (this.#state === 'reconnecting' && request.case === 'unpublishDataTrackRequest')
      this.#unsent.push(request)
    else this.#client?.send(request)
  }

  async leave(words: LastWords): Promise<void> {
    const former = new FormerRoom(
      words,
      async () => await this.#transport?.linger(true),
      () => {
        this.#client?.send({ case: 'leave', value: { reason: disconnectReasonNumber('clientInitiated') } })
        this.close()
      },
    )
    this.#former = former
    this.#room = former
    this.setRef(true)
    if (this.#state !== 'connected') former.end()
    await former.gone
  }

  setRef(ref: boolean): void {
    this.#ref = ref
    this.#client?.setRef(ref)
  }

  stats(): ConnectionStats | undefined {
    const stats = this.#transport?.stats()
    return stats && this.#totals.with(stats, this.#client?.rtt)
  }

  reconnectNow(): void {
    this.#pace.reset()
    if (this.#state === 'reconnecting') this.#hurry.abort()
    else this.#lost(false)
  }

  simulate({ ask, failNext = false, lose }: ScenarioSteps): void {
    if (ask !== undefined) this.#client?.send({ case: 'simulate', value: { scenario: ask } })
    this.#failNext = failNext
    this.#pace.reset()
    if (lose !== undefined) this.#lost(lose === 'session')
  }

  close(): void {
    if (this.#closing.signal.aborted) return
    this.#closing.abort()
    this.#subscriptions.clear()
    this.native.close()
    this.#transport?.close()
    this.#client?.close()
  }

  /** Joins, for the first time. While the server cannot be reached, tries again as often as the caller wants. */
  async #joinAtLast(given: AbortSignal | undefined): Promise<Joined> {
    const retries = this.#retries(this.#options.maxRetries ?? 0)
    for (let failures = 1; ; failures++) {
      try {
        return await this.#joinSomewhere(given)
      } catch (error) {
        const over = given?.aborted === true || this.#closing.signal.aborted || this.#sentAway !== undefined
        if (over || !isUnreachable(error)) throw error
        const wait = retries.next(failures, performance.now(), error)
        if (wait === null) throw error
        log('info', 'signal', `connecting failed; trying again in ${wait} ms`)
        this.#client?.close()
        await delay(wait, undefined, { ...(given !== undefined && { signal: given }) })
      }
    }
  }

  #retries(most: number | undefined): Retries {
    return new Retries(this.#room.reconnectPolicy, most, this.#home.href, performance.now())
  }

  /** Joins at the current server. If that fails and there are regions, joins at the next one that works. */
  async #joinSomewhere(given: AbortSignal | undefined): Promise<Joined> {
    this.#regions?.reset(this.#server)
    for (;;) {
      const signal = this.#attemptSignal(given)
      try {
        const joined = await this.#join(signal)
        // Messages may arrive, and the caller may act, between a promise's resolution and the code that awaits it.
        signal.throwIfAborted()
        return joined
      } catch (error) {
        const region = await this.#nextRegion(error, given)
        if (region === undefined) {
          this.#server = this.#home
          throw error
        }
        log('info', 'signal', 'connecting failed; trying another region')
        this.#client?.close()
        this.#server = region
      }
    }
  }

  async #nextRegion(error: unknown, given: AbortSignal | undefined): Promise<URL | undefined> {
    const signals = [this.#closing.signal, ...(given === undefined ? [] : [given])]
    // A token that one region refuses is refused by all. A 403 concerns only the region itself.
    const everywhere =
      error instanceof DataTrackConnectionError &&
      ((error.reason === 'notAllowed' && error.status !== 403) || error.reason === 'tokenUnavailable')
    if (everywhere || this.#sentAway !== undefined || signals.some(({ aborted }) => aborted)) return undefined
    return await this.#regions?.next(this.#tokens.current, AbortSignal.any(signals))
  }

  /** Opens signalling and peer connections for a new session. The room is not told yet, and its messages are held. */
  async #join(signal: AbortSignal): Promise<Joined> {
    for (;;) {
      const transport = this.#newTransport()
      try {
        const offer = this.#mode === 'single' ? transport.offer(signal) : undefined
        // While it is made: the first time in a process, both take some 50 ms.
        loadProtocol()
        loadWebSocket()
        const publisherOffer = await offer
        const { client, first, address } = await this.#connectSignal({ publisherOffer }, signal)
        if (first.message.case !== 'join') {
          client.close()
          if (isFinalLeave(first)) this.#endByServer(first)
          throw refused(first)
        }
        const { participant } = first.message.value
        this.#participantSid = participant?.sid ?? ''
        this.#held = []
        transport.serverAt(address)
        this.#heldBytes = 0
        client.start()
        this.#room.signalConnected()
        if (this.#mode === 'dual') transport.negotiate()
        await transport.connected(signal)
        return { identity: participant?.identity ?? '', response: first }
      } catch (error) {
        transport.close()
        const older = error instanceof DataTrackConnectionError && error.reason === 'notFound'
        if (!older || this.#mode === 'dual' || this.#options.mode === 'single') throw error
        this.#mode = 'dual'
      }
    }
  }

  #newTransport(): PeerConnections {
    if (this.#transport !== undefined) this.#totals.add(this.#transport.stats())
    this.#transport?.close()
    const transport: PeerConnections = new PeerConnections(
      environment(),
      this.native,
      {
        mode: this.#mode,
        iceTransports: this.#options.iceTransports,
        nextSession: this.#state === 'reconnecting',
      },
      {
        description: (kind, description) => this.#describe(kind, description),
        candidate: (target, candidate) => this.#trickle(target, candidate),
        pathEnded: () => {
          if (this.#transport === transport) this.#pathEnded = true
        },
        transportLost: (rebuild) => {
          if (this.#transport === transport) this.#lost(rebuild, LEAVE_GRACE)
        },
        message: (channel, data) => this.#tell(() => this.#room.receiveMessage(channel, data), data.length),
        bufferedAmountLow: () => this.#tell(() => this.#room.bufferedAmountLow(), 0),
        failed: () => this.#failed(),
      },
    )
    this.#transport = transport
    return transport
  }

  async #connectSignal(
    request: { readonly participantSid?: string; readonly publisherOffer?: LocalDescription | undefined },
    signal: AbortSignal,
  ): ReturnType<typeof SignalClient.connect> {
    const connected = await SignalClient.connect(
      this.#server,
      await this.#tokens.ready(signal),
      { mode: this.#mode, participantSid: request.participantSid, publisherOffer: request.publisherOffer },
      { ...this.#options, signal },
      {
        message: (response, weight) => this.#received(response, weight),
        lost: () => this.#signalLost(),
        failed: () => this.#failed(),
      },
    )
    const { client } = connected
    if (signal.aborted) client.close()
    signal.throwIfAborted()
    this.#tokens.accepted()
    this.#client = client
    client.setRef(this.#ref)
    return connected
  }

  #describe(kind: 'offer' | 'answer', { sdp, id }: LocalDescription): void {
    this.#client?.send({ case: kind, value: { type: kind, sdp, id } })
  }

  #trickle(target: PeerTarget, candidate: string): void {
    const { SignalTarget } = loadProtocol()
    this.#client?.send({
      case: 'trickle',
      value: {
        target: target === 'subscriber' ? SignalTarget.SUBSCRIBER : SignalTarget.PUBLISHER,
        candidateInit: JSON.stringify({ candidate, sdpMLineIndex: 0 }),
      },
    })
  }

  #received({ message }: Pick<SignalResponse, 'message'>, weight: number): void {
    switch (message.case) {
      case 'answer':
        this.#transport?.answered(message.value)
        return
      case 'offer':
        this.#transport?.offered(message.value)
        return
      case 'trickle':
        this.#trickled(message.value)
        return
      case 'refreshToken':
        this.#tokens.take(message.value)
        return
      case 'leave': {
        const { action, regions } = message.value
        this.#regions?.report(regions)
        if (isFinalLeave({ message })) {
          this.#endByServer({ message })
        } else {
          this.#attempt?.abort(refused({ message }))
          this.#lost(action === loadProtocol().LeaveRequest_Action.RECONNECT)
        }
        return
      }
      case 'roomMoved': {
        // Later attempts to reconnect use this server.
        const { token, participant } = message.value
        if (token !== '') this.#tokens.take(token)
        this.#participantSid = participant?.sid ?? this.#participantSid
        this.#tell(() => this.#room.receive({ message }), weight)
        return
      }
      default:
        this.#tell(() => this.#room.receive({ message }), weight)
    }
  }

  /**
   * The server ends this participant's session for good, at any time. A running attempt ends with it, and no other
   * follows. The message may come from an older session; the room is told the same.
   */
  #endByServer(response: Pick<SignalResponse, 'message'>): void {
    if (this.#state !== 'connecting') {
      this.#room.receive(response)
      return
    }
    this.#sentAway = refused(response)
    this.#attempt?.abort(this.#sentAway)
  }

  /** The room is ready for the messages that were held. */
  #releaseHeld(): void {
    const held = this.#held ?? []
    this.#held = null
    for (const tell of held) {
      // A listener may disconnect the room, and connect it again.
      if (this.#closing.signal.aborted) return
      tell()
    }
  }

  /** Calls the room now, or when it is ready. */
  #tell(tell: () => void, weight: number): void {
    if (this.#held === null) {
      tell()
      return
    }
    this.#held.push(tell)
    this.#heldBytes += weight + HELD_ENTRY_BYTES
    if (this.#heldBytes <= MAX_HELD_BYTES) return
    this.#held = []
    const detail = 'the server sent too much before the connection was made'
    this.#attempt?.abort(new DataTrackConnectionError('internal', { detail }))
  }

  /** Handling a message failed, so the state of the connection is unknown. */
  #failed(): void {
    this.#attempt?.abort(
      new DataTrackConnectionError('internal', { detail: 'a message could not be handled' }),
    )
    if (this.#state !== 'connected' || this.#held !== null) return
    guarded(
      'signal',
      'the end of the room',
      () => this.#room.receive(leave('stateMismatch')),
      () => {},
    )
    this.close()
  }

  /** Handles a candidate in the JSON form of a browser's `RTCIceCandidateInit`. An invalid one is ignored. */
  #trickled({ target, candidateInit }: TrickleRequest): void {
    let init: unknown
    try {
      init = JSON.parse(candidateInit)
    } catch {
      return
    }
    const candidate = isObject(init) ? init['candidate'] : undefined
    if (typeof candidate !== 'string' || candidate === '') return
    this.#transport?.candidate(this.#targetOf(target), candidate)
  }

  #targetOf(target: SignalTarget): PeerTarget {
    return this.#mode === 'dual' && target === loadProtocol().SignalTarget.SUBSCRIBER
      ? 'subscriber'
      : 'publisher'
  }

  #signalLost(): void {
    this.#attempt?.abort(new DataTrackConnectionError('serverUnreachable'))
    this.#lost(false)
  }

  /** The connection is lost. `rebuild`: the server wants a new session. */
  #lost(rebuild: boolean, grace = 0): void {
    if (this.#closing.signal.aborted) return
    if (this.#former !== undefined) {
      this.#former.end()
      return
    }
    // After an ICE restart over TCP, livekit-server 1.13.5 silently forwards no more packets.
    this.#rebuild ||= rebuild || this.#transport?.stats().overTcp === true
    // While the first connection is set up, the code that waits for it reports the loss.
    if (this.#state !== 'connected') return
    this.#state = 'reconnecting'
    this.#subscriptions.clear()
    this.#transport?.stopLingers()
    this.#room.connectionLost()
    // With a grace period, the event comes with the attempt: if the server meanwhile ends the session with a reason,
    // there is no reconnect.
    if (grace === 0) this.#room.connectionReconnecting(!this.#rebuild)
    void this.#reconnect(grace)
  }

  async #reconnect(grace: number): Promise<void> {
    let failures = 0
    let first: number | undefined = Math.max(grace, this.#pace.lost(performance.now()))
    let retries = this.#retries(this.#options.maxRetries)
    let reason: unknown
    for (let attempt = 0; ; attempt++) {
      const hurry = new AbortController()
      this.#hurry = hurry
      try {
        const asked = retries.next(attempt, performance.now(), reason)
        if (asked === null) break
        const wait = attempt > 0 ? asked : first === undefined ? 0 : Math.max(first, asked)
        const stop = AbortSignal.any([this.#closing.signal, hurry.signal])
        await delay(wait, undefined, { ref: this.#ref, signal: stop })
        if (this.#pathEnded) await this.#client?.caughtUp(CATCH_UP, stop)
        this.#pathEnded = false
        stop.throwIfAborted()
        this.#room.connectionReconnecting(!this.#rebuild)
        // A listener may have disconnected the room.
        this.#closing.signal.throwIfAborted()
        const signal = this.#attemptSignal(hurry.signal)
        this.#failIfAsked()
        if (!this.#rebuild && (await this.#resume(signal)) === 'resumed') return
        await this.#restart(hurry.signal)
        return
      } catch (error) {
        if (this.#closing.signal.aborted) return
        if (hurry.signal.aborted) {
          // The network has changed, so earlier failures do not count.
          first = undefined
          retries = this.#retries(this.#options.maxRetries)
          attempt = -1
          continue
        }
        failures += 1
        reason = error
        // A resume that failed twice would fail a third time.
        if (failures > 1) this.#rebuild = true
        const refused = error instanceof DataTrackConnectionError && error.reason === 'notAllowed'
        if (refused && !this.#tokens.refuse()) break
      } finally {
        this.#attempt = undefined
      }
    }
    this.#room.receive(leave('signalClose'))
  }

  /** For tests: {@link simulate}. */
  #failIfAsked(): void {
    if (!this.#failNext) return
    this.#failNext = false
    throw new DataTrackConnectionError('internal', { detail: 'simulated' })
  }

  /** Resumes the session over a new signalling connection. The peer connections find a new path. */
  async #resume(signal: AbortSignal): Promise<Resumed> {
    this.#client?.close()
    const { client, first } = await this.#connectSignal({ participantSid: this.#participantSid }, signal)
    if (first.message.case !== 'reconnect') {
      client.close()
      if (!isFinalLeave(first)) return 'rebuild'
      this.#endByServer(first)
      throw refused(first)
    }
    client.start()
    this.#room.signalConnected()
    const transport = this.#transport
    if (transport === undefined) return 'rebuild'
    transport.negotiate()
    await transport.connected(signal)
    signal.throwIfAborted()
    this.#reconnected()
    this.#room.connectionResumed(first.message.value.lastMessageSeq)
    this.#flush()
    return 'resumed'
  }

  /** Rebuilds the connection: new server session, new SIDs, new handles, new peer connections. */
  async #restart(given: AbortSignal): Promise<void> {
    this.#client?.close()
    // Tracks to be unpublished do not exist in the new session.
    this.#unsent = []
    this.#rebuild = true
    const { response } = await this.#joinSomewhere(given)
    this.#reconnected()
    this.#room.connectionRebuilt(response)
    this.#releaseHeld()
  }

  #reconnected(): void {
    this.#state = 'connected'
    this.#rebuild = false
  }

  #flush(): void {
    const requests = this.#unsent
    this.#unsent = []
    for (const request of requests) this.#client?.send(request)
  }

  /**
   * The signal of a new attempt. It aborts on timeout, when signalling is lost, when the connection is closed, or with
   * the caller's signal.
   */
  #attemptSignal(signal: AbortSignal | undefined): AbortSignal {
    const attempt = new AbortController()
    this.#attempt = attempt
    return withDeadline(this.#options.timeoutMs, attempt.signal, this.#closing.signal, signal)
  }
}

/** Whether the server ends the session for good and does not want a reconnect. */
function isFinalLeave({ message }: Pick<SignalResponse, 'message'>): boolean {
  const { LeaveRequest_Action } = loadProtocol()
  return message.case === 'leave' && message.value.action === LeaveRequest_Action.DISCONNECT
}

/** The error for a first message that is not a welcome. */
function refused({ message }: Pick<SignalResponse, 'message'>): DataTrackConnectionError {
  if (message.case !== 'leave') return new DataTrackConnectionError('internal')
  return new DataTrackConnectionError('leaveRequest', { detail: disconnectReason(message.value.reason) })
}

function isTimeout(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'TimeoutError'
}

function timedOut(error: unknown): unknown {
  return isTimeout(error) ? new DataTrackConnectionError('timeout') : error
}

/** Whether the same may work later without a change of anything. */
function isUnreachable(error: unknown): boolean {
  const reasons: readonly string[] = ['serverUnreachable', 'timeout', 'transportFailed', 'tokenUnavailable']
  return isTimeout(error) || (error instanceof DataTrackConnectionError && reasons.includes(error.reason))
}

/** A leave message, as a server would send it. */
function leave(reason: DisconnectReason): SignalResponseLike {
  return { message: { case: 'leave', value: { reason: disconnectReasonNumber(reason) } } }
}

/** A server connection: signalling, peer connections, and restoring both when they are lost. */
import { setTimeout as delay } from 'node:timers/promises'
import type { JoinResponse, SignalResponse } from '@livekit/protocol'
import { withDeadline } from '../base/abort'
import { DataTrackConnectionError } from '../base/errors'
import { guarded } from '../base/guard'
import { loadProtocol, loadWebSocket } from '../base/lazy'
import { log } from '../base/logging'
import type { MessageChannels } from '../data-packet/channels'
import { environment } from '../native/environment'
import { MAX_AUDIO_SECTIONS } from '../native/native'
import type { NativeSession } from '../native/native'
import { sessionOptions } from '../session/session-options'
import type { RoomSignalRequest, SignalResponseLike } from '../signal/messages'
import { serverUrl } from './address'
import type { PeerConnectionMode, SignalRequestOptions } from './address'
import { LossPace } from './backoff'
import { isNotFound, isRefusedEverywhere, isTokenRefused, isUnreachable, timedOut } from './connect-errors'
import { checkConnectOptions } from './connect-options'
import type { CheckedConnectOptions, ConnectOptions } from './connect-options'
import type { ConnectableRoom, ConnectionCredentials, LastWords, RoomConnection } from './contract'
import { disconnectReasonNumber } from './disconnect-reason'
import { FormerRoom } from './former-room'
import { HeldCalls } from './held-calls'
import { authoritiesFor, relaysOf } from './ice-servers'
import { isFinalLeave, leaveMessage, refusal } from './leave-message'
import { PeerConnections } from './peer-connections'
import type { LocalDescription, PeerTarget } from './peer-connections'
import { proxyTo, tunnelProxy } from './proxy'
import { PublicationRequests } from './publication-requests'
import { Reconnection } from './reconnection'
import { Retries } from './reconnect-policy'
import { reconnectReason } from './reconnect-reason'
import type { Loss } from './reconnect-reason'
import { isCloudHost, Regions } from './regions'
import type { ScenarioSteps } from './scenarios'
import { ServerChoice } from './server-choice'
import { SignalClient } from './signal-client'
import { ConnectionTotals } from './stats'
import type { ConnectionStats } from './stats'
import { SubscriptionPacer } from './subscription-pacer'
import { checkToken, Tokens } from './tokens'
import type { ConnectToken } from './tokens'
import { candidateIn, targetOf, trickleRequest } from './trickle'

/**
 * ms to wait before restoring a lost path. A server that removes a participant ends the path first, and says so by
 * signalling a moment later. A participant that reconnected in between would remove the new owner of its identity. If
 * the server was silent, there was more time than that already.
 */
const LEAVE_GRACE = 300

/**
 * ms to wait at most, after the server has ended a path or signalling was resumed, until all that it said by signalling
 * is handled. A busy machine takes longer than {@link LEAVE_GRACE} for it.
 */
const CATCH_UP = 2000

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
  const servers = new ServerChoice(server, hasRegions(server) ? new Regions(server, options) : undefined)
  const connection = new ServerConnection(room, servers, checkedToken, { ...options, signal })
  await connection.open()
}

class ServerConnection implements RoomConnection {
  readonly native: NativeSession
  #room: ConnectableRoom
  /** Set when the room has left. It is `#room`, too. */
  #former: FormerRoom | undefined
  readonly #servers: ServerChoice
  readonly #options: CheckedConnectOptions
  readonly #closing = new AbortController()
  joinedTracks: readonly string[] = []
  readonly #tokens: Tokens
  #mode: PeerConnectionMode
  #participantSid = ''
  #client: SignalClient | undefined
  #transport: PeerConnections | undefined
  /** Whether the last description of the server named tracks. */
  #carriesTracks = false
  readonly #totals = new ConnectionTotals()
  readonly #pace = new LossPace()
  #state: 'connecting' | 'connected' | 'reconnecting' = 'connecting'
  /** Fails the running attempt, if there is one, because signalling was lost in its middle. */
  #attempt: AbortController | undefined
  #failNext = false
  #ref = true
  #rebuild = false
  /** Whether the server ended a path. The reason may be on its way by signalling. */
  #pathEnded = false
  /** What the last loss of the connection was. */
  #loss: Loss = 'nothing'
  /** Whether an attempt to come back after it has failed. */
  #attemptFailed = false
  /** Whether there is no signalling: it is being connected, or the last attempt failed at it. */
  #signalling = false
  readonly #held = new HeldCalls(() => {
    const detail = 'the server sent too much before the connection was made'
    this.#attempt?.abort(new DataTrackConnectionError('internal', { detail }))
  })
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
  readonly #reconnection = new Reconnection({
    closing: this.#closing.signal,
    retries: () => this.#retries(this.#options.maxRetries),
    ref: () => this.#ref,
    caughtUp: async (stop) => {
      if (this.#pathEnded) await this.#client?.caughtUp(CATCH_UP, stop)
      this.#pathEnded = false
    },
    attempt: (hurry) => this.#reconnect(hurry),
    failed: (error, failures) => {
      this.#attemptFailed = true
      // A resume that failed twice would fail a third time.
      if (failures > 1) this.#rebuild = true
      return !isTokenRefused(error) || this.#tokens.refuse()
    },
  })
  /** Requests that must not be lost with a connection, because no other code repeats them. */
  #unsent: RoomSignalRequest[] = []

  constructor(
    room: ConnectableRoom,
    servers: ServerChoice,
    token: ConnectToken,
    options: CheckedConnectOptions,
  ) {
    this.#room = room
    this.#servers = servers
    this.#tokens = new Tokens(token, (fresh) => {
      this.#held.tell(() => this.#room.tokenRefreshed(fresh), fresh.length)
    })
    this.#options = options
    this.#mode = options.mode === 'dual' ? 'dual' : 'single'
    this.native = environment().binding.createServerSession(sessionOptions(room.encryption, true))
  }

  /** Opens the first connection. The caller gets the errors. */
  async open(): Promise<void> {
    try {
      if (this.#servers.hasRegions) {
        const token = await this.#tokens.ready(this.#attemptSignal(this.#options.signal))
        this.#servers.prefetch(token, this.#closing.signal)
      }
      const { identity, response } = await this.#joinAtLast(this.#options.signal)
      this.#attempt = undefined
      this.#state = 'connected'
      this.#room.attach(this, identity)
      this.#room.receive(response)
      this.#held.release(this.#closing.signal)
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

  get autoSubscribe(): boolean {
    return this.#options.autoSubscribe
  }

  get credentials(): ConnectionCredentials {
    return { url: this.#servers.current.href, token: this.#tokens.current }
  }

  recoverSections(missing: number): void {
    // With two peer connections, the server makes the offers.
    if (this.#mode === 'single') this.#transport?.recoverSections(missing)
  }

  setSending(cids: readonly string[]): void {
    this.#transport?.setSending(cids)
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
    if (this.#loss === 'signal') this.#loss = 'nothing'
    if (this.#state === 'reconnecting') this.#reconnection.hurry()
    else this.#lost('nothing', false)
  }

  simulate({ ask, failNext = false, lose }: ScenarioSteps): void {
    if (ask !== undefined) this.#client?.send({ case: 'simulate', value: { scenario: ask } })
    this.#failNext = failNext
    this.#pace.reset()
    if (lose !== undefined) this.#lost('signal', lose === 'session')
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
    return new Retries(this.#room.reconnectPolicy, most, this.#servers.home.href, performance.now())
  }

  /** Joins at the current server. If that fails and there are regions, joins at the next one that works. */
  async #joinSomewhere(given: AbortSignal | undefined): Promise<Joined> {
    this.#servers.begin()
    for (;;) {
      const signal = this.#attemptSignal(given)
      try {
        const joined = await this.#join(signal)
        // Messages may arrive, and the caller may act, between a promise's resolution and the code that awaits it.
        signal.throwIfAborted()
        return joined
      } catch (error) {
        if (!(await this.#tryNextRegion(error, given))) throw error
        this.#client?.close()
      }
    }
  }

  async #tryNextRegion(error: unknown, given: AbortSignal | undefined): Promise<boolean> {
    const stop = AbortSignal.any([this.#closing.signal, ...(given === undefined ? [] : [given])])
    if (!isRefusedEverywhere(error) && this.#sentAway === undefined && !stop.aborted)
      return await this.#servers.next(this.#tokens.current, stop)
    this.#servers.giveUp()
    return false
  }

  /** Opens signalling and peer connections for a new session. The room is not told yet, and its messages are held. */
  async #join(signal: AbortSignal): Promise<Joined> {
    for (;;) {
      const transport = this.#newTransport()
      try {
        const addTracks = this.#mode === 'single' ? this.#room.joining(this.native) : []
        this.joinedTracks = addTracks.map(({ cid }) => cid)
        if (addTracks.length > 0) transport.setSending(this.joinedTracks)
        const offer = this.#mode === 'single' ? transport.offer(signal) : undefined
        // While it is made: the first time in a process, both take some 50 ms.
        loadProtocol()
        loadWebSocket()
        const publisherOffer = await offer
        const { client, first, address } = await this.#connectSignal({ publisherOffer, addTracks }, signal)
        if (first.message.case !== 'join') {
          client.close()
          if (isFinalLeave(first)) this.#endByServer(first)
          throw refusal(first)
        }
        const { participant } = first.message.value
        this.#participantSid = participant?.sid ?? ''
        this.#held.hold()
        transport.serverAt(address)
        if (this.#usesProxy) transport.useProxy(proxyTo(this.#servers.current))
        this.#useRelays(transport, first.message.value)
        client.start()
        this.#room.signalConnected()
        if (this.#mode === 'dual') transport.negotiate()
        await transport.connected(signal)
        return { identity: participant?.identity ?? '', response: first }
      } catch (error) {
        transport.close()
        if (!isNotFound(error) || this.#mode === 'dual' || this.#options.mode === 'single') throw error
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
        candidate: (target, candidate) => this.#client?.send(trickleRequest(target, candidate)),
        pathEnded: () => {
          if (this.#transport === transport) this.#pathEnded = true
        },
        transportLost: ({ target, rebuild, silent }) => {
          if (this.#transport === transport) this.#lost(target, rebuild, silent ? 0 : LEAVE_GRACE)
        },
        pathAlive: () => {
          if (this.#transport === transport) this.#pathAlive()
        },
        message: (channel, data) =>
          this.#held.tell(() => this.#room.receiveMessage(channel, data), data.length),
        bufferedAmountLow: () => this.#held.tell(() => this.#room.bufferedAmountLow(), 0),
        failed: () => this.#failed(),
      },
    )
    this.#transport = transport
    return transport
  }

  /** Whether TCP connections of the data path go through the environment's proxy. An agent replaces that proxy. */
  get #usesProxy(): boolean {
    return this.#options.proxy && this.#options.agent === undefined
  }

  /**
   * Sets the relays that the server names, unless the caller names others.
   *
   * @throws `DataTrackConnectionError` (`noRelay`)
   */
  #useRelays(
    transport: PeerConnections,
    { iceServers, clientConfiguration }: Pick<JoinResponse, 'iceServers' | 'clientConfiguration'>,
  ): void {
    const { iceTransports, relays, ca } = this.#options
    if (iceTransports === 'udp' || iceTransports === 'tcp') return
    const servers = (relays ?? relaysOf(iceServers)).map((relay) =>
      this.#usesProxy && relay.transport !== 'udp'
        ? { ...relay, proxy: tunnelProxy(relay.host, relay.port) }
        : relay,
    )
    const { ENABLED } = loadProtocol().ClientConfigSetting
    const forced = clientConfiguration?.forceRelay === ENABLED && servers.length > 0
    const only = forced || iceTransports === 'relay'
    if (only && servers.length === 0) throw new DataTrackConnectionError('noRelay')
    const anywhere = relays !== undefined
    if (servers.length > 0) transport.useRelays({ servers, only, anywhere, ca: authoritiesFor(servers, ca) })
  }

  async #connectSignal(
    request: Pick<SignalRequestOptions, 'participantSid' | 'publisherOffer' | 'addTracks'>,
    signal: AbortSignal,
  ): ReturnType<typeof SignalClient.connect> {
    const { participantSid } = request
    const reason = participantSid === undefined ? undefined : reconnectReason(this.#loss, this.#attemptFailed)
    this.#signalling = true
    const connected = await SignalClient.connect(
      this.#servers.current,
      await this.#tokens.ready(signal),
      { ...request, mode: this.#mode, reconnectReason: reason },
      { ...this.#options, signal },
      {
        message: (response, weight) => this.#received(response, weight),
        lost: () => this.#signalLost(),
        failed: () => this.#failed(),
      },
    )
    this.#signalling = false
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

  #received({ message }: Pick<SignalResponse, 'message'>, weight: number): void {
    switch (message.case) {
      case 'answer':
        this.#carries('publisher', message.value.midToTrackId)
        this.#transport?.answered(message.value)
        return
      case 'offer':
        this.#carries('subscriber', message.value.midToTrackId)
        this.#transport?.offered(message.value)
        return
      case 'mediaSectionsRequirement': {
        const { numAudios, numVideos } = message.value
        this.#transport?.requireSections(numAudios, numVideos)
        return
      }
      case 'trickle': {
        const candidate = candidateIn(message.value.candidateInit)
        if (candidate !== undefined)
          this.#transport?.candidate(targetOf(message.value.target, this.#mode), candidate)
        return
      }
      case 'refreshToken':
        this.#tokens.take(message.value)
        return
      case 'leave': {
        const { action, regions } = message.value
        this.#servers.report(regions)
        if (isFinalLeave({ message })) {
          this.#endByServer({ message })
        } else {
          this.#attempt?.abort(refusal({ message }))
          this.#lost('nothing', action === loadProtocol().LeaveRequest_Action.RECONNECT)
        }
        return
      }
      case 'roomMoved': {
        // Later attempts to reconnect use this server.
        const { token, participant } = message.value
        if (token !== '') this.#tokens.take(token)
        this.#participantSid = participant?.sid ?? this.#participantSid
        this.#held.tell(() => this.#room.receive({ message }), weight)
        return
      }
      default:
        this.#held.tell(() => this.#room.receive({ message }), weight)
    }
  }

  /** A description names the tracks that the server sends by it, and the sections that they are in. */
  #carries(target: PeerTarget, tracks: Readonly<Record<string, string>>): void {
    // An answer of the publisher connection says nothing of what the other one carries.
    if (this.#mode === 'dual' && target === 'publisher') return
    const sids = new Set(Object.values(tracks).slice(0, MAX_AUDIO_SECTIONS))
    if (sids.size === 0 && !this.#carriesTracks) return
    this.#carriesTracks = sids.size > 0
    this.#transport?.carries(target, tracks)
    this.#held.tell(() => this.#room.tracksSent(sids), 0)
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
    this.#sentAway = refusal(response)
    this.#attempt?.abort(this.#sentAway)
  }

  /** Handling a message failed, so the state of the connection is unknown. */
  #failed(): void {
    this.#attempt?.abort(
      new DataTrackConnectionError('internal', { detail: 'a message could not be handled' }),
    )
    if (this.#state !== 'connected' || this.#held.isHolding) return
    guarded(
      'signal',
      'the end of the room',
      () => this.#room.receive(leaveMessage('stateMismatch')),
      () => {},
    )
    this.close()
  }

  #signalLost(): void {
    this.#attempt?.abort(new DataTrackConnectionError('serverUnreachable'))
    this.#lost('signal', false)
  }

  /**
   * A path that was silent carries data again. An attempt to connect signalling that began before waits for the
   * operating system to repeat a lost packet, which takes up to several seconds. So another attempt takes its place.
   */
  #pathAlive(): void {
    if (this.#state === 'reconnecting' && this.#signalling) this.#reconnection.hurry()
  }

  /** The connection is lost. `rebuild`: the server wants a new session. */
  #lost(loss: Loss, rebuild: boolean, grace = 0): void {
    if (this.#closing.signal.aborted) return
    if (this.#former !== undefined) {
      this.#former.end()
      return
    }
    // A path that is lost while the room reconnects counts, too.
    if (this.#state === 'connected' || loss !== 'signal') this.#loss = loss
    this.#rebuild ||= rebuild || this.#losesPath
    // While the first connection is set up, the code that waits for it reports the loss.
    if (this.#state !== 'connected') return
    this.#state = 'reconnecting'
    this.#attemptFailed = false
    this.#subscriptions.clear()
    this.#transport?.stopLingers()
    this.#room.connectionLost()
    // With a grace period, the event comes with the attempt: if the server meanwhile ends the session with a reason,
    // there is no reconnect.
    if (grace === 0) this.#room.connectionReconnecting(!this.#rebuild)
    void this.#comeBack(grace)
  }

  /**
   * Whether a resume restarts ICE. With one peer connection, only signalling may be lost: then the path stays as it is,
   * and so no frame is lost. With two, the server restarts ICE in any case. If an offer was lost with signalling, or its
   * answer, another one has to take its place.
   */
  get #restartsIce(): boolean {
    if (this.#mode === 'dual' || this.#loss !== 'signal') return true
    return this.#transport?.isConnected !== true || this.#transport.isOffering
  }

  /**
   * Whether a restart of ICE would end the session, because the path is a TCP connection. When such a connection ends,
   * livekit-server 1.13.5 closes its data channels as soon as it sends a packet, and tells its clients nothing. A
   * restart ends the connection a moment before the server notices that it has no path. So the more the server sends,
   * the more often the channels are closed. On a silent path, the server hardly sends any more. With two peer
   * connections, that does not help.
   */
  get #losesPath(): boolean {
    const transport = this.#transport
    if (!this.#restartsIce || transport?.stats().path !== 'tcp') return false
    // A path that was silent may carry data again.
    const wasSilent = transport.isSilent || (this.#loss === 'publisher' && transport.isConnected)
    return this.#mode === 'dual' || !wasSilent
  }

  async #comeBack(grace: number): Promise<void> {
    const delay = Math.max(grace, this.#pace.lost(performance.now()))
    if (!(await this.#reconnection.run(delay))) this.#room.receive(leaveMessage('signalClose'))
  }

  async #reconnect(hurry: AbortSignal): Promise<void> {
    try {
      this.#room.connectionReconnecting(!this.#rebuild)
      // A listener may have disconnected the room.
      this.#closing.signal.throwIfAborted()
      const signal = this.#attemptSignal(hurry)
      this.#failIfAsked()
      if (this.#rebuild || (await this.#resume(signal)) !== 'resumed') await this.#restart(hurry)
    } finally {
      this.#attempt = undefined
    }
  }

  /** For tests: {@link simulate}. */
  #failIfAsked(): void {
    if (!this.#failNext) return
    this.#failNext = false
    throw new DataTrackConnectionError('internal', { detail: 'simulated' })
  }

  /** Resumes the session over a new signalling connection. If the path may be lost, ICE finds a new one. */
  async #resume(signal: AbortSignal): Promise<Resumed> {
    this.#client?.close()
    const { client, first } = await this.#connectSignal({ participantSid: this.#participantSid }, signal)
    if (first.message.case !== 'reconnect') {
      client.close()
      if (!isFinalLeave(first)) return 'rebuild'
      this.#endByServer(first)
      throw refusal(first)
    }
    client.start()
    this.#room.signalConnected()
    // Without an ICE restart, nothing else shows that the new connection for signalling holds.
    if (!this.#restartsIce) await client.caughtUp(CATCH_UP, signal)
    signal.throwIfAborted()
    const transport = this.#transport
    if (transport === undefined || this.#losesPath) return 'rebuild'
    this.#useRelays(transport, first.message.value)
    if (this.#restartsIce) transport.negotiate()
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
    this.#held.release(this.#closing.signal)
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

/** The peer connections of a room with promises: for an offer, and for a working path. */
import { Deferred } from '../base/abort'
import type { Environment, EventSink } from '../native/environment'
import { DataTrackConnectionError } from '../base/errors'
import { MAX_MESSAGE_SIZE } from '../data-packet/channels'
import type { MessageChannels } from '../data-packet/channels'
import { MessageIntake } from '../data-packet/intake'
import { entryOf } from '../base/map-keys'
import { MAX_AUDIO_SECTIONS } from '../native/native'
import type {
  NativeChannel,
  NativeConnection,
  NativeEvent,
  NativeProxy,
  NativeRelays,
  NativeSession,
} from '../native/native'
import type { IceTransports } from './connect-options'
import type { PeerConnectionMode } from './address'

/** Which of the two peer connections. */
export type PeerTarget = 'publisher' | 'subscriber'

/** A description to be sent to the server. */
export interface LocalDescription {
  readonly sdp: string
  readonly id: number
}

/** Options of the peer connections. */
export interface PeerConnectionsOptions {
  readonly mode: PeerConnectionMode
  readonly iceTransports: IceTransports
  /** Whether they belong to the session of a rebuilt connection. */
  readonly nextSession: boolean
}

/** The loss of a peer connection. */
export interface TransportLoss {
  readonly target: PeerTarget
  /** Whether only a new one helps. */
  readonly rebuild: boolean
  /** Whether the server stopped answering on the path. If not, the server or this side ended the path. */
  readonly silent: boolean
}

/** The owner of the peer connections, which is told what happens. */
export interface PeerConnectionsOwner {
  /** An offer of this side, or an answer to the server's offer. */
  description(kind: 'offer' | 'answer', description: LocalDescription): void
  /** A candidate of this side. */
  candidate(target: PeerTarget, candidate: string): void
  /** The other side ended a path. */
  pathEnded(): void
  /** A peer connection was lost. */
  transportLost(loss: TransportLoss): void
  /** A path that was {@link TransportLoss.silent} carries data again, by itself. */
  pathAlive(): void
  /** A message arrived on a channel. */
  message(channel: NativeChannel, data: Uint8Array): void
  /** The bytes buffered for the reliable channel fell to the watched level. */
  bufferedAmountLow(): void
  /** Handling an event failed. */
  failed(): void
}

/** The peer connections to a server, over the native ones. */
export class PeerConnections implements EventSink, MessageChannels {
  readonly #environment: Environment
  readonly #native: NativeConnection
  readonly #owner: PeerConnectionsOwner
  readonly #targets: readonly PeerTarget[]
  readonly #connected = new Set<PeerTarget>()
  readonly #silent = new Set<PeerTarget>()
  readonly #intake: MessageIntake
  #firstOffer: Deferred<LocalDescription> | undefined
  #waiting: Deferred<void> | undefined
  /** Set when no peer connection can come up any more. */
  #unusable: DataTrackConnectionError | undefined
  /** Why relays cannot be used, since the last offer: that a relay answers with an error says more than no answer. */
  #relayError: DataTrackConnectionError | undefined
  #closed = false
  #isOffering = false
  #lastOffer = 0
  #lingers = new Map<number, () => void>()
  #lastLinger = 0
  #maxMessageSize = MAX_MESSAGE_SIZE

  constructor(
    environment: Environment,
    session: NativeSession,
    { mode, iceTransports, nextSession }: PeerConnectionsOptions,
    owner: PeerConnectionsOwner,
  ) {
    this.#environment = environment
    this.#native = session.connect({
      mode,
      nextSession,
      udp: iceTransports === 'all' || iceTransports === 'udp',
      tcp: iceTransports === 'all' || iceTransports === 'tcp',
      relay: iceTransports === 'all' || iceTransports === 'relay',
    })
    this.#owner = owner
    this.#targets = mode === 'single' ? ['publisher'] : ['publisher', 'subscriber']
    this.#intake = new MessageIntake(
      () => (this.#closed ? [] : this.#native.pollMessages()),
      ({ channel, data }) => this.#owner.message(channel, data),
    )
    environment.addSession(this.#native.id, this, false)
  }

  /** Whether an offer of this side has no answer yet. */
  get isOffering(): boolean {
    return this.#isOffering
  }

  /** Whether all peer connections are connected. */
  get isConnected(): boolean {
    return this.#targets.every((target) => this.#connected.has(target))
  }

  /** Whether the server has stopped answering on a path, and has not ended it. */
  get isSilent(): boolean {
    return this.#silent.size > 0
  }

  /** Creates the first offer. In single mode it is sent with the join request. */
  offer(signal: AbortSignal): Promise<LocalDescription> {
    const offer = new Deferred<LocalDescription>().abortWith(signal, () => {
      this.#firstOffer = undefined
    })
    this.#firstOffer = offer
    this.#call(() => this.#native.createOffer())
    return offer.promise
  }

  /** Sends an offer: the first one in dual mode, or one that restarts ICE. */
  negotiate(): void {
    this.#connected.delete('publisher')
    this.#unusable = undefined
    this.#relayError = undefined
    this.#call(() => this.#native.createOffer())
  }

  answered({ sdp, id }: LocalDescription): void {
    const announced = Number(/^a=max-message-size:(\d+)/m.exec(sdp)?.[1] ?? 0)
    // 0 means no limit.
    if (announced > 0) this.#maxMessageSize = Math.min(announced, MAX_MESSAGE_SIZE)
    if (id === 0 || id === this.#lastOffer) this.#isOffering = false
    this.#call(() => this.#native.handleAnswer(sdp, id))
  }

  offered({ sdp, id }: LocalDescription): void {
    this.#call(() => this.#native.handleOffer(sdp, id))
  }

  /** The server needs an offer with so many new sections; see {@link NativeConnection.requireSections}. */
  requireSections(audios: number, videos: number): void {
    this.#call(() => this.#native.requireSections(audios, videos))
  }

  /** See {@link NativeConnection.recoverSections}. */
  recoverSections(missing: number): void {
    this.#call(() => this.#native.recoverSections(missing))
  }

  /** See {@link NativeConnection.setSending}. */
  setSending(cids: readonly string[]): void {
    this.#call(() => this.#native.setSending([...cids]))
  }

  /** Sets the track of each section, by the section's `mid`. The description that says so comes next. */
  carries(target: PeerTarget, tracks: Readonly<Record<string, string>>): void {
    const mids = Object.keys(tracks).slice(0, MAX_AUDIO_SECTIONS)
    const sids = mids.map((mid) => entryOf(tracks, mid) ?? '')
    this.#call(() => this.#native.setTracks(target, mids, sids))
  }

  candidate(target: PeerTarget, candidate: string): void {
    this.#call(() => this.#native.addRemoteCandidate(target, candidate))
  }

  /**
   * Sets the address at which signalling reached the server. Candidates of this machine are only tried if the server is
   * there.
   */
  serverAt(address: string | undefined): void {
    this.#call(() => this.#native.setServerAddress(address ?? ''))
  }

  /** Sets the proxy for TCP connections to the server, before descriptions that may need it. */
  useProxy(proxy: NativeProxy | null): void {
    this.#call(() => this.#native.setProxy(proxy))
  }

  /** Sets the relays, before descriptions that may need them. */
  useRelays(relays: NativeRelays): void {
    this.#call(() => this.#native.setRelays(relays))
  }

  /**
   * Waits until all peer connections are connected.
   *
   * @throws `DataTrackConnectionError` (`transportFailed`, `noUdpSocket`, those of relays); the signal's `reason`
   */
  async connected(signal: AbortSignal): Promise<void> {
    if (this.isConnected) return
    signal.throwIfAborted()
    if (this.#unusable !== undefined) throw this.#unusable
    const waiting = new Deferred<void>().abortWith(signal, () => {
      this.#waiting = undefined
    })
    this.#waiting = waiting
    await waiting.promise
  }

  get maxMessageSize(): number {
    return this.#maxMessageSize
  }

  send(channel: NativeChannel, message: Uint8Array, more = false): number {
    return this.#native.send(channel, message, more)
  }

  flush(): void {
    this.#native.flush()
  }

  bufferedAmount(channel: NativeChannel): number {
    return this.#native.bufferedAmount(channel)
  }

  reliableLimit(): number {
    return this.#native.reliableLimit()
  }

  watchBuffered(channel: NativeChannel, bytes: number): void {
    this.#native.watchBuffered(channel, bytes)
  }

  /**
   * Resolves when the server has the data-track packets sent so far, or `everything` that was accepted. Resolves after
   * 1 s at the latest, and at once without a path or after {@link stopLingers}.
   */
  linger(everything: boolean): Promise<void> {
    if (this.#closed || !this.isConnected) return Promise.resolve()
    const id = ++this.#lastLinger
    return new Promise((resolve) => {
      this.#lingers.set(id, resolve)
      this.#native.linger(id, everything)
    })
  }

  /** Ends all lingers, because no more data can arrive. */
  stopLingers(): void {
    const lingers = [...this.#lingers.values()]
    this.#lingers.clear()
    for (const resolve of lingers) resolve()
  }

  stats(): ReturnType<NativeConnection['stats']> {
    return this.#native.stats()
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#environment.removeSession(this.#native.id)
    this.#intake.close()
    this.#native.close()
    this.stopLingers()
    this.#waiting?.reject(new DataTrackConnectionError('transportFailed'))
    this.#waiting = undefined
  }

  /** @internal */
  readonly handleFault = (): void => this.#owner.failed()

  /** @internal */
  handleEvent(event: NativeEvent): void {
    if (this.#closed) return
    switch (event.type) {
      case 'localDescription': {
        const description = { sdp: event.sdp, id: event.id }
        if (event.kind === 'offer') {
          this.#isOffering = true
          this.#lastOffer = event.id
        }
        if (event.kind === 'offer' && this.#firstOffer !== undefined) {
          this.#firstOffer.resolve(description)
          this.#firstOffer = undefined
        } else {
          this.#owner.description(event.kind === 'offer' ? 'offer' : 'answer', description)
        }
        return
      }
      case 'localCandidate':
        this.#owner.candidate(targetOf(event), event.candidate)
        return
      case 'peerState':
        this.#state(targetOf(event), event.state)
        return
      case 'relayFailed':
        this.#relayFailed(event)
        return
      case 'messages':
        this.#intake.wake()
        return
      case 'channelBufferedAmountLow':
        if (event.channel === 'reliable') this.#owner.bufferedAmountLow()
        return
      case 'lingered':
        this.#lingers.get(event.id)?.()
        this.#lingers.delete(event.id)
        return
      case 'descriptionRejected':
        this.#fail(event.message, { target: targetOf(event), rebuild: false, silent: false })
        return
      default:
    }
  }

  #state(target: PeerTarget, state: string): void {
    const wasSilent = this.#silent.delete(target)
    if (state === 'connected') {
      this.#connected.add(target)
      if (wasSilent) this.#owner.pathAlive()
      if (!this.isConnected) return
      this.#waiting?.resolve()
      this.#waiting = undefined
    } else if (state !== 'connecting') {
      this.#connected.delete(target)
      this.stopLingers()
      const silent = state === 'silent'
      if (silent) this.#silent.add(target)
      // While `connected()` waits, a lost path may still come back by itself.
      if ((silent || state === 'disconnected') && this.#waiting !== undefined) return
      if (state === 'noUdpSocket') {
        this.#giveUp(new DataTrackConnectionError('noUdpSocket'))
        return
      }
      if (state === 'failed' || state === 'closed') this.#owner.pathEnded()
      const loss = { target, rebuild: state === 'failed', silent }
      this.#fail(`the ${target} connection is ${state}`, loss)
    }
  }

  #relayFailed({ reason, message, last }: Extract<NativeEvent, { type: 'relayFailed' }>): void {
    const known = this.#relayError
    const error =
      known === undefined || known.reason === 'relayUnreachable'
        ? new DataTrackConnectionError(reason, { detail: message })
        : known
    this.#relayError = error
    if (last && !this.isConnected) this.#giveUp(error)
  }

  /** No path can be found any more. */
  #giveUp(error: DataTrackConnectionError): void {
    this.#unusable = error
    this.#waiting?.reject(error)
    this.#waiting = undefined
  }

  #fail(detail: string, loss: TransportLoss): void {
    const waiting = this.#waiting
    this.#waiting = undefined
    const error = new DataTrackConnectionError('transportFailed', { detail })
    // A failure may be told within the call that negotiates, before anything waits for the result.
    if (loss.rebuild) this.#unusable = error
    if (waiting === undefined || loss.rebuild) this.#owner.transportLost(loss)
    waiting?.reject(error)
  }

  #call(body: () => void): void {
    if (this.#closed) return
    body()
    this.#environment.pump()
  }
}

function targetOf({ target }: { readonly target: string }): PeerTarget {
  return target === 'subscriber' ? 'subscriber' : 'publisher'
}

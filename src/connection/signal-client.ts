/** The signalling WebSocket of a room: messages in both directions, and timely detection of a lost connection. */
import { lookup } from 'node:dns/promises'
import type { Agent, IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { SignalResponse } from '@livekit/protocol'
import type { WebSocket, RawData } from 'ws'
import { Deferred } from '../base/abort'
import { DataTrackConnectionError } from '../base/errors'
import { guarded } from '../base/guard'
import { loadProtocol, loadWebSocket } from '../base/lazy'
import { log } from '../base/logging'
import { MAX_MESSAGE_BYTES } from '../signal/limits'
import type { SignalPart } from '../signal/parts'
import type { UpdateMetadataMessage } from '../signal/messages'
import { bareHost, isAccessToken, signalUrl } from './address'
import type { SignalRequestOptions } from './address'
import { Inbox } from './inbox'
import { Pings } from './pings'
import { takePrepared } from './prepare'
import { proxyAgent, ProxyError } from './proxy'

/** Options of the signalling socket. */
export interface SignalSocketOptions {
  /** The agent for connections, as for `http.request`, instead of the environment's proxy. */
  readonly agent?: Agent | undefined
  /** Whether the environment's proxy is used. */
  readonly proxy: boolean
  /** Certificate authorities in PEM, instead of the system's. */
  readonly ca?: string | Buffer | readonly (string | Buffer)[] | undefined
  /** Timeout of the first message in ms. Default: 15,000. */
  readonly timeoutMs: number
  readonly signal: AbortSignal | undefined
}

/** The owner of a signalling connection, which is told what happens. */
export interface SignalClientOwner {
  /** Any message after the first one, except pongs. `weight`: the bytes that it takes in memory, approximately. */
  message(response: Pick<SignalResponse, 'message'>, weight: number): void
  /** The connection was lost, and not closed by {@link SignalClient.close}. */
  lost(why: string): void
  /** Handling a message failed, so its effects are unknown. The connection is closed, and the error was logged. */
  failed(): void
}

/** A signalling connection, the server's first message, and the server's address. */
interface ConnectedSignal {
  readonly client: SignalClient
  readonly first: Pick<SignalResponse, 'message'>
  readonly address: string | undefined
}

/**
 * Bytes of messages that the server has not read. Beyond it the connection counts as lost. As much as a server's message
 * may have: the sync state of a resumed session names all publications.
 */
export const MAX_UNSENT_BYTES = 67_108_864

/** What `ws` calls a message above `maxPayload`. */
const TOO_LARGE = 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH'

/** What the WebSocket runs over; it has no public name. */
function streamOf(socket: WebSocket): Socket | undefined {
  return (socket as unknown as { _socket?: Socket })._socket
}

/** An open signalling connection. */
export class SignalClient {
  readonly #socket: WebSocket
  readonly #owner: SignalClientOwner
  readonly #inbox: Inbox
  #pings = new Pings(undefined)
  #pingTimer: NodeJS.Timeout | undefined
  /** By the timestamp of its ping: called when the answer has come, or the connection has ended. */
  readonly #caughtUp = new Map<bigint, () => void>()
  #heardAt = 0
  #closed = false

  private constructor(socket: WebSocket, owner: SignalClientOwner) {
    this.#socket = socket
    this.#owner = owner
    this.#inbox = new Inbox({
      handle: (part) => this.#guard('a message of the server', () => this.#handle(part)),
      setFlowing: (flowing) => {
        if (flowing) socket.resume()
        else socket.pause()
      },
    })
  }

  /** Round trip of the last ping that came back, ms; `undefined` before the first one did. */
  get rtt(): number | undefined {
    return this.#pings.rtt
  }

  /**
   * Opens a connection and waits for the server's first message: `join`, `reconnect` or `leave`.
   *
   * @throws `DataTrackConnectionError`; the signal's `reason`
   */
  static async connect(
    server: URL,
    token: string,
    request: SignalRequestOptions,
    options: SignalSocketOptions,
    owner: SignalClientOwner,
  ): Promise<ConnectedSignal> {
    options.signal?.throwIfAborted()
    const prepared = options.agent === undefined ? takePrepared(server, options.ca) : undefined
    if (prepared !== undefined) {
      try {
        return await SignalClient.#open(server, token, request, options, owner, prepared)
      } catch (error) {
        // The server may have closed it a moment ago.
        const gone = error instanceof DataTrackConnectionError && error.reason === 'serverUnreachable'
        if (!gone || error.status !== undefined) throw error
      }
    }
    return await SignalClient.#open(server, token, request, options, owner, undefined)
  }

  /** `prepared`: an open connection to be used. */
  static async #open(
    server: URL,
    token: string,
    request: SignalRequestOptions,
    options: SignalSocketOptions,
    owner: SignalClientOwner,
    prepared: Socket | undefined,
  ): Promise<ConnectedSignal> {
    const { WebSocket } = loadWebSocket()
    // Ends a connection to a proxy that has not answered; the socket does not exist yet.
    const attempt = new AbortController()
    const proxied = options.proxy && prepared === undefined
    const agent = options.agent ?? (proxied ? agentFor(server, attempt.signal) : undefined)
    const socket = new WebSocket(signalUrl(server, request), {
      headers: { authorization: `Bearer ${token}` },
      agent,
      ...(options.ca !== undefined && { ca: options.ca as string }),
      ...(prepared !== undefined && { createConnection: () => prepared }),
      perMessageDeflate: false,
      maxPayload: MAX_MESSAGE_BYTES,
    })
    socket.binaryType = 'nodebuffer'
    const client = new SignalClient(socket, owner)
    const first = await client.#first(options, token, attempt)
    return { client, first, address: await client.#address(server, agent) }
  }

  /**
   * The IP address at which the server was reached. With an agent, which may be a proxy's, the address of the URL's
   * host.
   */
  async #address(server: URL, agent: Agent | undefined): Promise<string | undefined> {
    if (agent === undefined) return streamOf(this.#socket)?.remoteAddress
    const host = bareHost(server)
    // A name that only the proxy can resolve is not this machine's.
    return await lookup(host).then(
      ({ address }) => address,
      () => undefined,
    )
  }

  /** Passes on the messages that arrived since the first one, and from now on every message. */
  start(): void {
    this.#inbox.open()
  }

  /** Sends a message. Does nothing if the connection is lost: requests are sent again after it is back. */
  send(message: { readonly case: string; readonly value: unknown }): void {
    if (this.#closed || this.#socket.readyState !== this.#socket.OPEN) return
    const { SignalRequest } = loadProtocol()
    const request = new SignalRequest({ message: message as never })
    // The constructor assigns entry by entry, and so loses one of the key `__proto__`.
    if (message.case === 'updateMetadata' && request.message.case === 'updateMetadata') {
      request.message.value.attributes = { ...(message.value as UpdateMetadataMessage).attributes }
    }
    this.#socket.send(request.toBinary())
    if (this.#socket.bufferedAmount > MAX_UNSENT_BYTES) this.#giveUp()
  }

  /** The server does not read. Its owner learns it a little later, not in the middle of what it sends. */
  #giveUp(): void {
    this.#socket.terminate()
    setImmediate(() => this.#lost('the server did not read what was sent to it'))
  }

  /**
   * Resolves when all messages that the server has sent so far are handled: they come before the answer to a ping.
   * Resolves also when the connection ends, when the signal aborts, and after `limit` ms.
   */
  async caughtUp(limit: number, signal: AbortSignal): Promise<void> {
    if (this.#closed) return
    const answered = new AbortController()
    const timestamp = this.#ping()
    this.#caughtUp.set(timestamp, () => answered.abort())
    const stop = AbortSignal.any([answered.signal, signal])
    await delay(limit, undefined, { signal: stop }).catch(() => undefined)
    this.#caughtUp.delete(timestamp)
  }

  /** Closes the connection; its owner is told nothing more. Idempotent. */
  close(): void {
    if (this.#closed) return
    this.#end()
    this.#socket.close(1000)
    // A server that does not answer the closing handshake must not keep the process alive.
    setTimeout(() => this.#socket.terminate(), 1000).unref()
  }

  /** Whether the connection keeps the process alive. */
  setRef(ref: boolean): void {
    const stream = streamOf(this.#socket)
    if (ref) stream?.ref()
    else stream?.unref()
  }

  #first(
    { signal, timeoutMs }: SignalSocketOptions,
    token: string,
    attempt: AbortController,
  ): Promise<SignalPart> {
    const socket = this.#socket
    const stop = (): void => {
      clearTimeout(timer)
      socket.removeAllListeners()
      // After the result is known, errors do not matter. But an `error` event without a listener would end the process.
      socket.on('error', () => {})
    }
    const abandon = (): void => {
      stop()
      this.#closed = true
      socket.terminate()
      attempt.abort()
    }
    const first = new Deferred<SignalPart>().abortWith(signal, abandon)
    const fail = (error: DataTrackConnectionError): void => {
      abandon()
      first.reject(error)
    }
    const timer = setTimeout(() => fail(new DataTrackConnectionError('timeout')), timeoutMs)
    socket.once('unexpected-response', (_request, response) => {
      void refusal(response, token).then(fail, () => fail(new DataTrackConnectionError('serverUnreachable')))
    })
    socket.once('error', (cause) => fail(unreachable(cause)))
    socket.once('close', () => fail(new DataTrackConnectionError('serverUnreachable')))
    socket.once('message', (data: RawData) => {
      const response = this.#inbox.first(data as Buffer)
      if (response === undefined) {
        fail(new DataTrackConnectionError('internal', { detail: "the first message is none of LiveKit's" }))
        return
      }
      stop()
      // Synchronously, not after the promise: the next message may already be here.
      this.#listen(response.message)
      first.resolve(response)
    })
    return first.promise
  }

  #listen(first: SignalPart['message']): void {
    const socket = this.#socket
    socket.removeAllListeners()
    socket.on('message', (data: RawData) =>
      this.#guard('what the server sent', () => {
        this.#heard()
        this.#inbox.push(data as Buffer)
      }),
    )
    socket.on('close', (code: number) =>
      this.#inbox.end(() => this.#lost(`the server closed the signalling connection (code ${code})`)),
    )
    socket.on('error', (cause: Error & { code?: string }) => {
      const tooLarge = cause.code === TOO_LARGE
      if (tooLarge) log('warn', 'signal', `the server sent a message of more than ${MAX_MESSAGE_BYTES} bytes`)
      this.#inbox.end(() =>
        this.#lost(tooLarge ? 'a message of the server was too large' : 'the signalling connection broke'),
      )
    })
    this.#pings = new Pings(first.case === 'join' ? first.value : undefined)
    const ping = (): void => this.#guard('a ping', () => void this.#ping())
    this.#pingTimer = setInterval(ping, this.#pings.intervalMs).unref()
    this.#heard()
    // The first ping is sent at once, so that the round trip time is known early.
    ping()
  }

  #handle({ message, weight }: SignalPart): void {
    switch (message.case) {
      case 'pong':
        return
      case 'pongResp':
        this.#pings.answered(message.value.lastPingTimestamp)
        this.#caughtUp.get(message.value.lastPingTimestamp)?.()
        return
      case 'refreshToken':
        // The current token may still be valid.
        if (isAccessToken(message.value)) break
        log('warn', 'signal', 'the server sent a token that is none; the one before it stays')
        return
      default:
    }
    this.#owner.message({ message }, weight)
  }

  #ping(): bigint {
    this.#checkSilence()
    const { timestamp, rtt } = this.#pings.next()
    this.send({ case: 'ping', value: timestamp })
    this.send({ case: 'pingReq', value: { timestamp, rtt } })
    return timestamp
  }

  /** A message arrived, so the server is alive. */
  #heard(): void {
    this.#heardAt = performance.now()
  }

  /**
   * Called when a ping is due. If the thread was blocked, messages that arrived meanwhile are unread, because timers
   * run before sockets. So it checks once more after the sockets had their turn.
   */
  #checkSilence(): void {
    if (!this.#isSilent) return
    setImmediate(() => {
      if (this.#closed || !this.#isSilent) return
      this.#socket.terminate()
      this.#lost('the server was silent for too long')
    })
  }

  get #isSilent(): boolean {
    return performance.now() - this.#heardAt >= this.#pings.silenceMs
  }

  #lost(why: string): void {
    if (this.#closed) return
    this.#end()
    this.#guard('the loss of signalling', () => this.#owner.lost(why))
  }

  /** Runs code that handles external events. An exception ends the connection instead of the process. */
  #guard(what: string, body: () => void): void {
    guarded('signal', what, body, () => {
      if (!this.#closed) {
        this.#end()
        this.#socket.terminate()
      }
      this.#owner.failed()
    })
  }

  #end(): void {
    this.#closed = true
    this.#inbox.close()
    clearInterval(this.#pingTimer)
    for (const resolve of this.#caughtUp.values()) resolve()
    this.#socket.removeAllListeners()
    this.#socket.on('error', () => {})
  }
}

/** What an HTTP answer instead of a WebSocket means. */
async function refusal(response: IncomingMessage, token: string): Promise<DataTrackConnectionError> {
  const status = response.statusCode ?? 0
  let text = ''
  response.setEncoding('utf8')
  for await (const chunk of response) {
    text += String(chunk)
    if (text.length > 1000 + token.length) break
  }
  // livekit-server repeats a refused token before the reason.
  const said = text.replaceAll(token, '…').trim().slice(0, 200)
  const options = { detail: `HTTP status ${status}, ${said}`, status }
  if (status === 401 || status === 403) return new DataTrackConnectionError('notAllowed', options)
  if (status === 404) return new DataTrackConnectionError('notFound', options)
  return new DataTrackConnectionError(status >= 500 ? 'serverUnreachable' : 'internal', options)
}

/** The agent of the environment's proxy. A proxy that cannot be used counts as an unreachable server. */
function agentFor(server: URL, signal: AbortSignal): Agent | undefined {
  try {
    return proxyAgent(server, signal)
  } catch (cause) {
    throw unreachable(cause as Error)
  }
}

/** Node's network errors contain the peer's address. Only their code is passed on. */
function unreachable(cause: Error & { code?: string }): DataTrackConnectionError {
  if (cause.code === TOO_LARGE) {
    return new DataTrackConnectionError('messageTooLarge', { detail: `more than ${MAX_MESSAGE_BYTES} bytes` })
  }
  return new DataTrackConnectionError('serverUnreachable', {
    detail: cause instanceof ProxyError ? cause.message : cause.code,
  })
}

/** The signalling WebSocket of a room: messages both ways, and knowing in time that the other end is gone. */
import { lookup } from 'node:dns/promises'
import type { Agent, IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { SignalResponse } from '@livekit/protocol'
import type { WebSocket, RawData } from 'ws'
import { Deferred } from '../base/abort'
import { DataTrackConnectionError } from '../base/errors'
import { loadProtocol, loadWebSocket } from '../base/lazy'
import { withAllKeys } from '../base/map-keys'
import type { UpdateMetadataMessage } from '../signal/messages'
import { signalUrl } from './address'
import type { SignalRequestOptions } from './address'
import { proxyAgent, ProxyError } from './proxy'

/** How the signalling socket is opened. */
export interface SignalSocketOptions {
  /** What makes connections, as for `http.request`, instead of the environment's proxy. */
  readonly agent?: Agent | undefined
  /** Whether the environment's proxy is used. */
  readonly proxy: boolean
  /** Certificate authorities in PEM, instead of the system's. */
  readonly ca?: string | Buffer | readonly (string | Buffer)[] | undefined
  /** How long the first message may take, ms. Default: 15,000. */
  readonly timeoutMs: number
  readonly signal: AbortSignal | undefined
}

/** What a signalling connection tells its owner. */
export interface SignalClientOwner {
  /** Any message after the first one, pongs excepted. */
  message(response: SignalResponse): void
  /** The connection is gone, and not by {@link SignalClient.close}. */
  lost(why: string): void
}

/** A server that does not answer pings for so long is gone, s; what a join response says counts more. */
const PING_TIMEOUT_S = 15
const PING_INTERVAL_S = 5
/** A message of a server is far below it, bytes. */
const MAX_MESSAGE = 16 << 20

/** What the WebSocket runs over; it has no public name. */
function streamOf(socket: WebSocket): Socket | undefined {
  return (socket as unknown as { _socket?: Socket })._socket
}

/** An open signalling connection. */
export class SignalClient {
  readonly #socket: WebSocket
  readonly #owner: SignalClientOwner
  #pingTimer: NodeJS.Timeout | undefined
  #heardAt = 0
  #silenceMs = PING_TIMEOUT_S * 1000
  #closed = false
  /** Messages that came before {@link start}. */
  #waiting: SignalResponse[] | null = []
  /** Round trip of the last ping, ms; `undefined` before the first one came back. */
  rtt: number | undefined

  private constructor(socket: WebSocket, owner: SignalClientOwner) {
    this.#socket = socket
    this.#owner = owner
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
  ): Promise<{ client: SignalClient; first: SignalResponse; address: string | undefined }> {
    options.signal?.throwIfAborted()
    const { WebSocket } = loadWebSocket()
    // Ends a connection to a proxy that has not answered: the socket does not know of it yet.
    const attempt = new AbortController()
    const agent = options.agent ?? (options.proxy ? agentFor(server, attempt.signal) : undefined)
    const socket = new WebSocket(signalUrl(server, request), {
      headers: { authorization: `Bearer ${token}` },
      agent,
      ...(options.ca !== undefined && { ca: options.ca as string }),
      perMessageDeflate: false,
      maxPayload: MAX_MESSAGE,
    })
    socket.binaryType = 'nodebuffer'
    const client = new SignalClient(socket, owner)
    const first = await client.#first(options, token, attempt)
    return { client, first, address: await client.#address(server, agent) }
  }

  /** The IP address at which the server was reached. Behind an agent, which may be a proxy's, that of the URL's host. */
  async #address(server: URL, agent: Agent | undefined): Promise<string | undefined> {
    if (agent === undefined) return streamOf(this.#socket)?.remoteAddress
    const host = server.hostname.replace(/^\[|\]$/g, '')
    // A name that only the proxy knows is none of this machine.
    return await lookup(host).then(
      ({ address }) => address,
      () => undefined,
    )
  }

  /** Hands out what came since the first message, and from now on each message as it comes. */
  start(): void {
    const waiting = this.#waiting ?? []
    this.#waiting = null
    for (const response of waiting) this.#owner.message(response)
  }

  /** Sends a message; silently nothing when the connection is gone: what was lost is asked for again after it is back. */
  send(message: { readonly case: string; readonly value: unknown }): void {
    if (this.#closed || this.#socket.readyState !== this.#socket.OPEN) return
    const { SignalRequest } = loadProtocol()
    const request = new SignalRequest({ message: message as never })
    // The constructor assigns entry by entry, and so loses one of the key `__proto__`.
    if (message.case === 'updateMetadata' && request.message.case === 'updateMetadata') {
      request.message.value.attributes = { ...(message.value as UpdateMetadataMessage).attributes }
    }
    this.#socket.send(request.toBinary())
  }

  /** Closes the connection; nothing is told any more. Idempotent. */
  close(): void {
    if (this.#closed) return
    this.#end()
    this.#socket.close(1000)
    // A server that does not answer the closing handshake must not keep the process.
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
  ): Promise<SignalResponse> {
    const socket = this.#socket
    const stop = (): void => {
      clearTimeout(timer)
      socket.removeAllListeners()
      // What comes after the verdict is of no interest, but an error without a listener ends the process.
      socket.on('error', () => {})
    }
    const abandon = (): void => {
      stop()
      this.#closed = true
      socket.terminate()
      attempt.abort()
    }
    const first = new Deferred<SignalResponse>().abortWith(signal, abandon)
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
      const response = this.#decode(data)
      if (response === undefined) {
        fail(new DataTrackConnectionError('internal', { detail: "the first message is none of LiveKit's" }))
        return
      }
      stop()
      // Now, and not when the promise is seen: the next message may be here already.
      this.#listen(response)
      first.resolve(response)
    })
    return first.promise
  }

  #listen(first: SignalResponse): void {
    const socket = this.#socket
    socket.removeAllListeners()
    socket.on('message', (data: RawData) => this.#received(data))
    socket.on('close', (code: number) =>
      this.#lost(`the server closed the signalling connection (code ${code})`),
    )
    socket.on('error', () => this.#lost('the signalling connection broke'))
    const join = first.message.case === 'join' ? first.message.value : undefined
    // 0 stands for a server that says nothing of it.
    const interval = join?.pingInterval || PING_INTERVAL_S
    this.#silenceMs = (join?.pingTimeout || PING_TIMEOUT_S) * 1000
    this.#pingTimer = setInterval(() => this.#ping(), interval * 1000).unref()
    this.#heard()
    // The first one at once: the round trip is known early.
    this.#ping()
  }

  #received(data: RawData): void {
    this.#heard()
    const response = this.#decode(data)
    // A message that cannot be decoded is left out; the next one may be fine.
    if (response === undefined) return
    const { case: kind, value } = response.message
    if (kind === 'pong') return
    if (kind === 'pongResp') {
      this.rtt = Math.max(0, Date.now() - Number(value.lastPingTimestamp))
      return
    }
    if (this.#waiting === null) this.#owner.message(response)
    else this.#waiting.push(response)
  }

  #decode(data: RawData): SignalResponse | undefined {
    try {
      const { SignalResponse } = loadProtocol()
      return withAllKeys(SignalResponse, data as Buffer, SignalResponse.fromBinary(data as Buffer))
    } catch {
      return undefined
    }
  }

  #ping(): void {
    this.#checkSilence()
    const timestamp = BigInt(Date.now())
    this.send({ case: 'ping', value: timestamp })
    this.send({ case: 'pingReq', value: { timestamp, rtt: BigInt(this.rtt ?? 0) } })
  }

  /** A message came: the server is there. */
  #heard(): void {
    this.#heardAt = performance.now()
  }

  /**
   * Looked at when a ping is due. A thread that was blocked has not read what came meanwhile: timers come before sockets,
   * so it is looked at once more after the sockets had their turn.
   */
  #checkSilence(): void {
    if (performance.now() - this.#heardAt < this.#silenceMs) return
    setImmediate(() => {
      if (this.#closed || performance.now() - this.#heardAt < this.#silenceMs) return
      this.#socket.terminate()
      this.#lost('the server was silent for too long')
    })
  }

  #lost(why: string): void {
    if (this.#closed) return
    this.#end()
    this.#owner.lost(why)
  }

  #end(): void {
    this.#closed = true
    clearInterval(this.#pingTimer)
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
  // livekit-server repeats a token that it refuses, before it says why.
  const said = text.replaceAll(token, '…').trim().slice(0, 200)
  const options = { detail: `HTTP status ${status}, ${said}`, status }
  if (status === 401 || status === 403) return new DataTrackConnectionError('notAllowed', options)
  if (status === 404) return new DataTrackConnectionError('notFound', options)
  return new DataTrackConnectionError(status >= 500 ? 'serverUnreachable' : 'internal', options)
}

/** The agent of the environment's proxy; one that cannot be used is as good as a server that is not there. */
function agentFor(server: URL, signal: AbortSignal): Agent | undefined {
  try {
    return proxyAgent(server, signal)
  } catch (cause) {
    throw unreachable(cause as Error)
  }
}

/** Node's network errors name the peer's address; what is told further has their code only. */
function unreachable(cause: Error & { code?: string }): DataTrackConnectionError {
  return new DataTrackConnectionError('serverUnreachable', {
    detail: cause instanceof ProxyError ? cause.message : cause.code,
  })
}

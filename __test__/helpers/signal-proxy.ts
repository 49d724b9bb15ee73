/**
 * A proxy for signalling that decodes the messages. A test can see each message, keep single ones back, and send
 * messages in the name of the server.
 */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingMessage, Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { LeaveRequest, SignalRequest, SignalResponse, UpdateParticipantMetadata } from '@livekit/protocol'
import { WebSocket, WebSocketServer } from 'ws'
import type { RawData } from 'ws'
import type { DisconnectReason } from '../../index'
import { disconnectReasonNumber } from '../../src/connection/disconnect-reason'
import { learnFromSdp, learnSecret } from './secrets'

/** The kinds of messages of the server: the case of `message`. */
export type ResponseCase = NonNullable<SignalResponse['message']['case']>

/** The same for the messages of clients. */
export type RequestCase = NonNullable<SignalRequest['message']['case']>

/** The proxy's own requests have numbers from this one on. Those of clients are small. */
const OWN_REQUESTS = 2 ** 31

/** Resolves when these listeners are told of a message of that kind. */
function nextOf<Message extends SignalRequest | SignalResponse>(
  listeners: Set<(message: Message) => void>,
  kind: Message['message']['case'],
): Promise<void> {
  return new Promise((resolve) => {
    const listener = ({ message }: Message): void => {
      if (message.case !== kind) return
      listeners.delete(listener)
      resolve()
    }
    listeners.add(listener)
  })
}

/** The connection of one client, and the proxy's connection to the server for it. */
interface Pair {
  readonly client: WebSocket
  readonly upstream: WebSocket
}

export class SignalProxy {
  readonly #server: Server
  readonly #target: string
  readonly #sockets = new WebSocketServer({ noServer: true })
  readonly #pairs = new Set<Pair>()
  readonly #listeners = new Set<(response: SignalResponse) => void>()
  readonly #requests = new Set<(request: SignalRequest) => void>()
  readonly #kept: ResponseCase[] = []
  readonly #allKept = new Set<ResponseCase>()
  /** How often the proxy has asked the server by itself, and what waits for the answers. */
  #asked = 0
  readonly #refusals = new Map<number, () => void>()
  #only: ResponseCase | undefined
  #change: ((response: SignalResponse) => void) | undefined
  /** The paths and queries of the clients' requests, in order. */
  readonly asked: string[] = []

  private constructor(target: string) {
    this.#target = target
    this.#server = createServer()
    this.#server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      this.#upgrade(request, socket, head)
    })
  }

  /** Starts a proxy in front of the server at that URL. */
  static async start(target: string): Promise<SignalProxy> {
    const proxy = new SignalProxy(target)
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  /** The URL for `room.connect()`. */
  get url(): string {
    return `ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Adds a listener for all messages of the server, including those that the proxy keeps back. */
  onResponse(listener: (response: SignalResponse) => void): void {
    this.#listeners.add(listener)
  }

  /** Adds a listener for all messages of the clients. */
  onRequest(listener: (request: SignalRequest) => void): void {
    this.#requests.add(listener)
  }

  /** How many sections for audio each offer and each answer of a client has, from now on. The array grows. */
  audioSections(): readonly number[] {
    return this.#countInDescriptions(/^m=audio/gm)
  }

  /** How many SSRCs each offer and each answer of a client names, from now on. The array grows. */
  ssrcs(): readonly number[] {
    return this.#countInDescriptions(/^a=ssrc:\d+ cname/gm)
  }

  #countInDescriptions(what: RegExp): readonly number[] {
    const counts: number[] = []
    this.onRequest(({ message }) => {
      if (message.case === 'offer' || message.case === 'answer')
        counts.push(message.value.sdp.match(what)?.length ?? 0)
    })
    return counts
  }

  /** Resolves when the server has sent a message of that kind. */
  next(kind: ResponseCase): Promise<void> {
    return nextOf(this.#listeners, kind)
  }

  /** Resolves when a client has sent a message of that kind. */
  nextRequest(kind: RequestCase): Promise<void> {
    return nextOf(this.#requests, kind)
  }

  /**
   * Resolves when the server's room has handled all messages that have come from the newest client so far. The proxy
   * asks for a change that the client's token does not allow, and waits for the refusal.
   */
  async handled(): Promise<void> {
    const pair = [...this.#pairs].at(-1)
    if (pair === undefined) throw new Error('there is no client')
    const requestId = OWN_REQUESTS + this.#asked++
    const refused = new Promise<void>((resolve) => this.#refusals.set(requestId, resolve))
    const value = new UpdateParticipantMetadata({ requestId })
    pair.upstream.send(new SignalRequest({ message: { case: 'updateMetadata', value } }).toBinary())
    await refused
  }

  /** Keeps the server's next message of that kind back. Resolves when the server has sent that message. */
  keepBack(kind: ResponseCase): Promise<void> {
    this.#kept.push(kind)
    return this.next(kind)
  }

  /** Keeps all of the server's messages of that kind back, until the returned function is called. */
  keepAllBack(kind: ResponseCase): () => void {
    this.#allKept.add(kind)
    return () => this.#allKept.delete(kind)
  }

  /** From now on, the clients get the server's messages as `change` leaves them. */
  rewrite(change: (response: SignalResponse) => void): void {
    this.#change = change
  }

  /** From now on, only messages of that kind reach the clients. */
  passOnly(only: ResponseCase): void {
    this.#only = only
  }

  /**
   * Sends all clients a `leave`. They shall return to their server session (`resume`), return in a new one
   * (`reconnect`), or stay away for that reason (`disconnect`).
   */
  sendAway(action: 'resume' | 'reconnect'): void
  sendAway(action: 'disconnect', reason: DisconnectReason): void
  sendAway(action: 'resume' | 'reconnect' | 'disconnect', reason: DisconnectReason = 'unknownReason'): void {
    const value = { action: action.toUpperCase(), reason: disconnectReasonNumber(reason) }
    this.say({ case: 'leave', value: LeaveRequest.fromJson(value) })
  }

  /** Sends a message to all clients in the name of the server. */
  say(message: SignalResponse['message']): void {
    this.sayBytes(new SignalResponse({ message }).toBinary())
  }

  /** The same for bytes, because the tests' copy of the protocol does not have all messages. */
  sayBytes(response: Uint8Array): void {
    for (const { client } of this.#pairs) client.send(response)
  }

  /** Sends a request to the server in the name of all clients. */
  ask(message: NonNullable<NonNullable<ConstructorParameters<typeof SignalRequest>[0]>['message']>): void {
    const request = new SignalRequest({ message })
    for (const { upstream } of this.#pairs) upstream.send(request.toBinary())
  }

  /** Breaks all open connections. New connections work. */
  cut(): void {
    for (const { client, upstream } of [...this.#pairs]) {
      client.terminate()
      upstream.terminate()
    }
  }

  async close(): Promise<void> {
    this.cut()
    this.#sockets.close()
    this.#server.close()
    await once(this.#server, 'close')
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => {})
    this.asked.push(request.url ?? '')
    const upstream = new WebSocket(`${this.#target}${request.url ?? ''}`, {
      headers: { authorization: request.headers.authorization },
      perMessageDeflate: false,
    })
    upstream.binaryType = 'nodebuffer'
    // Messages of the server from before the client is connected.
    const early: RawData[] = []
    const hold = (data: RawData): void => void early.push(data)
    upstream.on('message', hold)
    upstream.on('error', () => socket.destroy())
    upstream.on('unexpected-response', (_request, { statusCode = 502 }) => {
      socket.end(`HTTP/1.1 ${statusCode} Refused\r\nContent-Length: 0\r\n\r\n`)
      upstream.terminate()
    })
    upstream.on('open', () => {
      this.#sockets.handleUpgrade(request, socket, head, (client) => {
        upstream.off('message', hold)
        this.#join({ client, upstream })
        for (const data of early) this.#respond(client, data)
      })
    })
  }

  #join(pair: Pair): void {
    const { client, upstream } = pair
    this.#pairs.add(pair)
    client.on('message', (data: Buffer) => {
      const request = SignalRequest.fromBinary(data)
      learn(request)
      for (const listener of [...this.#requests]) listener(request)
      if (upstream.readyState === WebSocket.OPEN) upstream.send(data)
    })
    upstream.on('message', (data) => this.#respond(client, data))
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      socket.on('error', () => {})
      socket.on('close', (code, reason) => {
        this.#pairs.delete(pair)
        // Code 1006 stands for a broken connection. It must not be sent in a close frame.
        if (code === 1006 || code === 1005) other.terminate()
        else other.close(code, reason)
      })
    }
  }

  #respond(client: WebSocket, data: RawData): void {
    const response = SignalResponse.fromBinary(data as Buffer)
    learn(response)
    if (this.#isOwn(response)) return
    for (const listener of [...this.#listeners]) listener(response)
    const at = this.#kept.findIndex((kind) => kind === response.message.case)
    if (at >= 0) this.#kept.splice(at, 1)
    else if (response.message.case !== undefined && this.#allKept.has(response.message.case)) return
    else if (this.#only !== undefined && this.#only !== response.message.case) return
    else if (client.readyState === WebSocket.OPEN) client.send(this.#changed(response) ?? data)
  }

  /** Whether this answers a request of the proxy itself. */
  #isOwn({ message }: SignalResponse): boolean {
    if (message.case !== 'requestResponse') return false
    const { requestId } = message.value
    this.#refusals.get(requestId)?.()
    return this.#refusals.delete(requestId)
  }

  #changed(response: SignalResponse): Uint8Array | undefined {
    if (this.#change === undefined) return undefined
    this.#change(response)
    return response.toBinary()
  }
}

/** Adds the secrets in the messages of client and server. */
function learn({ message }: SignalRequest | SignalResponse): void {
  if (message.case === 'offer' || message.case === 'answer') learnFromSdp(message.value.sdp)
  else if (message.case === 'trickle') learnFromSdp(message.value.candidateInit)
  else if (message.case === 'refreshToken') learnSecret('token', message.value)
  else if (message.case === 'join') {
    for (const { credential } of message.value.iceServers) learnSecret('TURN credential', credential)
  }
}

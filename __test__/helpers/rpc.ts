/** Managers of RPC without a room. The test decides what happens to each message between them. */
import { RpcClientManager } from '../../src/rpc/client-manager'
import { RpcServerManager } from '../../src/rpc/server-manager'
import { DataStreamError } from '../../src/base/errors'
import type { SentPacket } from '../../src/data-packet/sender'
import { MAX_V1_PAYLOAD_BYTES, REQUEST_TOPIC } from '../../src/rpc/transport'
import type { OutgoingText } from '../../src/data-stream/outgoing'
import type { IncomingText, RpcPacket, RpcTransport } from '../../src/rpc/transport'

/** What happens to one message. */
export interface Fate {
  /** Copies that arrive. 0: the message is lost. A stream arrives once at most. */
  readonly copies: number
  /** ms until the message arrives. */
  readonly delay: number
  /** ms from the beginning of a stream to its end. `Infinity`: the stream does not end. Default: 0. */
  readonly duration?: number
  /** Whether a stream fails at its end instead of closing. Default: `false`. */
  readonly breaks?: boolean
}

/** A message that was sent. */
export type Sent = { readonly from: string; readonly to: string } & (
  | { readonly kind: RpcPacket['case']; readonly packet: RpcPacket }
  | { readonly kind: 'text'; readonly text: OutgoingText }
)

export interface Peer {
  readonly identity: string
  /** The client protocol that the other peers see. `undefined`: they do not see this peer. */
  clientProtocol: number | undefined
  connected: boolean
  allowed: boolean
  serverVersion: string | undefined
  /** Which messages this peer fails to send. */
  failing: 'nothing' | 'texts' | 'all'
  readonly client: RpcClientManager
  readonly server: RpcServerManager
}

const soon: Fate = { copies: 1, delay: 0 }

/** Connects peers. `fate` decides what happens to each message. By default it arrives at once. */
export class Wire {
  readonly sent: Sent[] = []
  readonly #peers = new Map<string, Peer>()
  readonly #fate: (sent: Sent) => Fate | undefined

  constructor(fate: (sent: Sent) => Fate | undefined = () => undefined) {
    this.#fate = fate
  }

  /** Adds a participant. */
  peer(identity: string, clientProtocol = 0): Peer {
    const peer: Peer = {
      identity,
      clientProtocol,
      connected: true,
      allowed: true,
      serverVersion: undefined,
      failing: 'nothing',
      ...this.#managers(identity),
    }
    this.#peers.set(identity, peer)
    return peer
  }

  /** Removes a participant and informs the others. */
  leave(identity: string): void {
    this.#peers.delete(identity)
    for (const { client, server } of this.#peers.values()) {
      client.handleParticipantDisconnected(identity)
      server.handleParticipantDisconnected(identity)
    }
  }

  /** Hands a packet to a participant as if `from` had sent it. */
  deliver(from: string, to: string, packet: RpcPacket): void {
    const peer = this.#peers.get(to)
    const envelope = { senderIdentity: from, senderSid: '', channel: 'reliable', encrypted: false } as const
    switch (packet.case) {
      case 'rpcRequest':
        peer?.server.handleRequest({ value: packet.value, ...envelope })
        return
      case 'rpcAck':
        peer?.client.handleAck({ value: packet.value, ...envelope })
        return
      case 'rpcResponse':
        peer?.client.handleResponse({ value: packet.value, ...envelope })
    }
  }

  /** Hands a text stream to a participant as if `from` had sent it. */
  deliverText(
    from: string,
    to: string,
    { topic, attributes, text }: OutgoingText,
    fate: Fate = soon,
  ): ScriptedText {
    const reader = new ScriptedText(attributes, text, fate)
    const peer = this.#peers.get(to)
    if (topic === REQUEST_TOPIC) void peer?.server.handleRequestStream(reader, from)
    else void peer?.client.handleResponseStream(reader, from)
    return reader
  }

  #managers(identity: string): { client: RpcClientManager; server: RpcServerManager } {
    const self = (): Peer => this.#peers.get(identity) as Peer
    const send = (sent: Sent, deliver: (fate: Fate) => void): Promise<void> => {
      const { failing = 'nothing' } = this.#peers.get(identity) ?? {}
      if (failing === 'all' || (failing === 'texts' && sent.kind === 'text')) {
        return Promise.reject(new Error('cannot send'))
      }
      this.sent.push(sent)
      const fate = this.#fate(sent) ?? soon
      for (let copy = 0; copy < fate.copies; copy++) setTimeout(() => deliver(fate), fate.delay)
      return Promise.resolve()
    }
    const packet = (sending: Promise<void>): SentPacket => {
      sending.catch(() => undefined)
      return { sent: sending, acknowledged: sending, withdraw: () => undefined }
    }
    const sendText = (text: OutgoingText, to: string): Promise<void> =>
      send({ from: identity, to, kind: 'text', text }, (fate) => this.deliverText(identity, to, text, fate))
    const transport: RpcTransport = {
      connected: () => self().connected,
      allowed: () => self().allowed,
      serverVersion: () => self().serverVersion,
      clientProtocol: (other: string) => this.#peers.get(other)?.clientProtocol,
      sendPacket: (value, to) =>
        packet(
          send({ from: identity, to, kind: value.case, packet: value }, () =>
            this.deliver(identity, to, value),
          ),
        ),
      sendShortText: (text, to) =>
        text.text.length > MAX_V1_PAYLOAD_BYTES ? undefined : packet(sendText(text, to)),
      sendText: (text, to) => packet(sendText(text, to)),
    }
    return { client: new RpcClientManager(transport), server: new RpcServerManager(transport) }
  }
}

/** An incoming text stream that begins and ends as its fate says. */
export class ScriptedText implements IncomingText {
  readonly info: { readonly attributes: Readonly<Record<string, string>> }
  cancelled = false
  readonly #text: string
  readonly #fate: Fate

  constructor(attributes: Readonly<Record<string, string>>, text: string, fate: Fate) {
    this.info = { attributes }
    this.#text = text
    this.#fate = fate
  }

  readAtOnce(): undefined {
    return undefined
  }

  readAll({
    signal,
    maxLength = Infinity,
  }: {
    readonly signal: AbortSignal
    readonly maxLength?: number
  }): Promise<string> {
    const { duration = 0, breaks = false } = this.#fate
    return new Promise((resolve, reject) => {
      if (Buffer.byteLength(this.#text) > maxLength) reject(new DataStreamError('payloadTooLarge'))
      if (signal.aborted) reject(signal.reason as Error)
      const end = (): void => (breaks ? reject(new Error('broken off')) : resolve(this.#text))
      const timer = duration === Infinity ? undefined : setTimeout(end, duration)
      signal.addEventListener('abort', () => {
        clearTimeout(timer)
        reject(signal.reason as Error)
      })
    })
  }

  cancel(): void {
    this.cancelled = true
  }
}

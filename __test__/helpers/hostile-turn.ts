/** A TURN server that answers as a test wants it to, over UDP or TCP. It forwards nothing. */
import { createHash, createHmac } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import type { TurnServer } from './livekit-server'

const MAGIC = 0x2112a442
const HEADER = 20
const LOGIN = { username: 'participant', credential: 'open sesame' }
const REALM = 'example.test'

/** What a request asks for. The numbers are those of STUN's methods. */
const METHODS = { 0x003: 'allocate', 0x004: 'refresh', 0x008: 'permit', 0x009: 'bind' } as const
type Method = (typeof METHODS)[keyof typeof METHODS]

export interface TurnRequest {
  readonly method: Method
  /** Whether the client has signed it with its credentials. */
  readonly signed: boolean
  /** How many requests came before it. */
  readonly number: number
}

/** The answer to a request. */
export type TurnAnswer =
  | 'nothing'
  /** As a TURN server should. */
  | 'success'
  /** A success that is signed with other credentials. */
  | 'forged'
  | { readonly error: number; readonly realm?: string; readonly elsewhere?: number }
  | Buffer

/** Answers as a TURN server should: 401 to what is not signed, success to the rest. */
export const politely = ({ signed }: TurnRequest): TurnAnswer => (signed ? 'success' : { error: 401 })

export class HostileTurn {
  readonly #answer: (request: TurnRequest) => TurnAnswer
  readonly #protocol: 'udp' | 'tcp'
  #port = 0
  #close: () => void = () => {}
  #requests = 0
  readonly #ids = new Set<string>()
  /** Bytes that are sent after each answer to a request to bind a channel. */
  flood: Buffer | undefined

  private constructor(protocol: 'udp' | 'tcp', answer: (request: TurnRequest) => TurnAnswer) {
    this.#protocol = protocol
    this.#answer = answer
  }

  static async start(
    protocol: 'udp' | 'tcp',
    answer: (request: TurnRequest) => TurnAnswer,
  ): Promise<HostileTurn> {
    const turn = new HostileTurn(protocol, answer)
    await (protocol === 'udp' ? turn.#listenUdp() : turn.#listenTcp())
    return turn
  }

  /** How many requests came. */
  get requests(): number {
    return this.#requests
  }

  /** How many different requests came. A request over UDP is repeated if its answer takes longer than half a second. */
  get different(): number {
    return this.#ids.size
  }

  get server(): TurnServer {
    return { host: '127.0.0.1', port: this.#port, protocol: this.#protocol, ...LOGIN }
  }

  close(): void {
    this.#close()
  }

  async #listenUdp(): Promise<void> {
    const socket = createSocket('udp4')
    socket.on('message', (message, { port, address }) => {
      const reply = this.#reply(message)
      if (reply !== undefined) socket.send(reply, port, address)
    })
    socket.bind(0, '127.0.0.1')
    await once(socket, 'listening')
    this.#port = socket.address().port
    this.#close = () => socket.close()
  }

  async #listenTcp(): Promise<void> {
    const sockets = new Set<Socket>()
    const server = createServer((socket) => {
      sockets.add(socket)
      let received = Buffer.alloc(0)
      socket.on('error', () => {})
      socket.on('data', (data) => {
        received = Buffer.concat([received, data])
        while (received.length >= HEADER) {
          const isData = (received[0] ?? 0) >= 0x40
          const length = (isData ? 4 : HEADER) + received.readUInt16BE(2)
          const padded = length + ((4 - (length % 4)) % 4)
          if (received.length < padded) return
          const reply = isData ? undefined : this.#reply(received.subarray(0, length))
          received = received.subarray(padded)
          if (reply !== undefined) socket.write(reply)
        }
      })
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    this.#port = (server.address() as AddressInfo).port
    this.#close = () => {
      server.close()
      for (const socket of sockets) socket.destroy()
    }
  }

  #reply(message: Buffer): Buffer | undefined {
    if (message.length < HEADER || message.readUInt32BE(4) !== MAGIC) return undefined
    const kind = message.readUInt16BE(0)
    const method = METHODS[kind as keyof typeof METHODS] as Method | undefined
    if (method === undefined) return undefined
    this.#ids.add(message.toString('hex', 8, HEADER))
    // MESSAGE-INTEGRITY is the last attribute, with 20 bytes behind its header.
    const signed = message.length >= HEADER + 24 && message.readUInt16BE(message.length - 24) === 0x0008
    const answer = this.#answer({ method, signed, number: this.#requests++ })
    if (answer === 'nothing') return undefined
    if (Buffer.isBuffer(answer)) return answer
    const id = message.subarray(8, HEADER)
    const reply =
      typeof answer === 'string'
        ? success(kind, id, method, answer === 'forged' ? 'another' : LOGIN.credential)
        : failure(kind, id, answer)
    return method === 'bind' && this.flood !== undefined ? Buffer.concat([reply, this.flood]) : reply
  }
}

function attribute(type: number, value: Buffer): Buffer {
  const header = Buffer.alloc(4)
  header.writeUInt16BE(type, 0)
  header.writeUInt16BE(value.length, 2)
  return Buffer.concat([header, value, Buffer.alloc((4 - (value.length % 4)) % 4)])
}

/** `extra`: bytes that follow later and count already. */
function build(kind: number, id: Buffer, attributes: readonly Buffer[], extra = 0): Buffer {
  const body = Buffer.concat(attributes)
  const header = Buffer.alloc(8)
  header.writeUInt16BE(kind, 0)
  header.writeUInt16BE(body.length + extra, 2)
  header.writeUInt32BE(MAGIC, 4)
  return Buffer.concat([header, id, body])
}

/** An address of this machine, as XOR-… attributes have it. */
function here(port: number): Buffer {
  const value = Buffer.alloc(8)
  value.writeUInt8(1, 1)
  value.writeUInt16BE(port ^ (MAGIC >>> 16), 2)
  value.writeUInt32BE((0x7f000001 ^ MAGIC) >>> 0, 4)
  return value
}

function success(kind: number, id: Buffer, method: Method, credential: string): Buffer {
  const lifetime = Buffer.from([0, 0, 2, 88])
  const attributes = [
    ...(method === 'allocate' ? [attribute(0x0016, here(9)), attribute(0x0020, here(9))] : []),
    ...(method === 'allocate' || method === 'refresh' ? [attribute(0x000d, lifetime)] : []),
  ]
  const key = createHash('md5').update(`${LOGIN.username}:${REALM}:${credential}`).digest()
  const unsigned = build(kind | 0x0100, id, attributes, 24)
  const integrity = createHmac('sha1', key).update(unsigned).digest()
  return build(kind | 0x0100, id, [...attributes, attribute(0x0008, integrity)])
}

function failure(
  kind: number,
  id: Buffer,
  { error, realm = REALM, elsewhere }: { error: number; realm?: string; elsewhere?: number },
): Buffer {
  const code = Buffer.from([0, 0, Math.floor(error / 100), error % 100])
  const alternate = Buffer.from([0, 1, 0, 0, 127, 0, 0, 1])
  if (elsewhere !== undefined) alternate.writeUInt16BE(elsewhere, 2)
  return build(kind | 0x0110, id, [
    attribute(0x0009, code),
    attribute(0x0014, Buffer.from(realm)),
    attribute(0x0015, Buffer.from(`nonce${Math.random()}`)),
    ...(elsewhere === undefined ? [] : [attribute(0x8023, alternate)]),
  ])
}

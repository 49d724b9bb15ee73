/** A signalling server that sends only the messages that the test gives it. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { SignalRequest, SignalResponse } from '@livekit/protocol'
import { WebSocketServer } from 'ws'
import type { WebSocket } from 'ws'

/** The content of a `SignalResponse`. */
export type ResponseContent = NonNullable<
  NonNullable<ConstructorParameters<typeof SignalResponse>[0]>['message']
>

export class HostileServer {
  readonly #server: Server = createServer()
  readonly #sockets = new WebSocketServer({ server: this.#server })
  readonly #clients: WebSocket[] = []
  readonly #requests: SignalRequest[] = []
  #accepted = 0
  readonly #waiting = new Set<() => void>()

  static async start(): Promise<HostileServer> {
    const hostile = new HostileServer()
    hostile.#sockets.on('connection', (socket) => {
      hostile.#clients.push(socket)
      socket.on('error', () => {})
      socket.on('message', (data: Buffer) => {
        hostile.#requests.push(SignalRequest.fromBinary(data))
        hostile.#wake()
      })
      socket.on('close', () => hostile.#wake())
      hostile.#wake()
    })
    hostile.#server.listen(0, '127.0.0.1')
    await once(hostile.#server, 'listening')
    return hostile
  }

  get url(): URL {
    return new URL(`ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}`)
  }

  /** Waits for the next client. From then on, messages go to this client. */
  async accept(): Promise<WebSocket> {
    await this.#until(() => this.#clients.length > this.#accepted)
    this.#accepted += 1
    return this.client
  }

  /** The client that was accepted last. */
  get client(): WebSocket {
    return this.#clients[this.#accepted - 1] as WebSocket
  }

  /** Sends a message to the client. */
  say(message: ResponseContent): void {
    this.client.send(encoded(message))
  }

  sayBytes(bytes: Uint8Array): void {
    this.client.send(bytes)
  }

  /** The first request of that kind that no earlier call returned. Waits for it if it has not come yet. */
  async request(kind: SignalRequest['message']['case']): Promise<SignalRequest['message']> {
    const find = (): number => this.#requests.findIndex(({ message }) => message.case === kind)
    await this.#until(() => find() >= 0)
    return (this.#requests.splice(find(), 1)[0] as SignalRequest).message
  }

  async close(): Promise<void> {
    for (const client of this.#clients) client.terminate()
    this.#sockets.close()
    this.#server.close()
    await once(this.#server, 'close')
  }

  #wake(): void {
    for (const wake of [...this.#waiting]) wake()
  }

  async #until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          this.#waiting.delete(wake)
          resolve()
        }
        this.#waiting.add(wake)
      })
    }
  }
}

export function encoded(message: ResponseContent): Uint8Array {
  return new SignalResponse({ message }).toBinary()
}

/** A length-delimited field of a protobuf message: its tag, its length and its bytes. */
export function bytesField(number: number, content: Uint8Array): Buffer {
  return Buffer.concat([varint(number * 8 + 2), varint(content.length), content])
}

/** A repeated field with so many empty messages. */
export function emptyMessages(number: number, count: number): Buffer {
  const one = bytesField(number, new Uint8Array(0))
  return Buffer.alloc(one.length * count, one)
}

function varint(value: number): Buffer {
  const bytes = []
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) | 128)
  return Buffer.from([...bytes, value])
}

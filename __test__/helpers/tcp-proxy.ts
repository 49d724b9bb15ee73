/** A TCP proxy whose connections a test can cut. Signalling is then lost although the server is well. */
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'

export class TcpProxy {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #refusing = false
  #silent = false
  #strange = false

  private constructor(target: number) {
    this.#server = createServer((client) => {
      if (this.#refusing) {
        client.on('error', () => {})
        client.destroy()
        return
      }
      if (this.#silent) {
        this.#sockets.add(client)
        client.on('error', () => {})
        client.on('close', () => this.#sockets.delete(client))
        return
      }
      const upstream = connect(target, '127.0.0.1')
      for (const [socket, other] of [
        [client, upstream],
        [upstream, client],
      ] as const) {
        this.#sockets.add(socket)
        socket.on('error', () => {})
        socket.on('close', () => {
          this.#sockets.delete(socket)
          other.destroy()
        })
        socket.on('data', (chunk) => other.write(socket === client ? this.#rewritten(chunk) : chunk))
      }
    })
  }

  /** Starts a proxy in front of that port of 127.0.0.1. */
  static async start(target: number): Promise<TcpProxy> {
    const proxy = new TcpProxy(target)
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  /** The URL for `room.connect()`. */
  get url(): string {
    return `ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Breaks all open connections. New connections work. */
  cut(): void {
    for (const socket of [...this.#sockets]) socket.destroy()
  }

  /** Sets whether new connections are broken at once. */
  refuse(refusing: boolean): void {
    this.#refusing = refusing
  }

  /** Sets whether new connections are accepted, but get no answer. */
  silence(silent: boolean): void {
    this.#silent = silent
  }

  /** Resolves with the next connection to the proxy, even if the proxy breaks it. */
  async connected(): Promise<void> {
    await once(this.#server, 'connection')
  }

  /**
   * Sets whether the proxy turns requests to resume into requests for a new server session, so that resuming fails.
   * This works with two peer connections only: their request is plain text.
   */
  forgetSessions(strange: boolean): void {
    this.#strange = strange
  }

  async close(): Promise<void> {
    this.cut()
    this.#server.close()
    await once(this.#server, 'close')
  }

  #rewritten(chunk: Buffer): Buffer {
    if (!this.#strange || !chunk.subarray(0, 4).equals(Buffer.from('GET '))) return chunk
    return Buffer.from(chunk.toString('latin1').replace('reconnect=1', 'reconnect=0'), 'latin1')
  }
}

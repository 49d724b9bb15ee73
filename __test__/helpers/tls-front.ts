/** TLS in front of a server. Its certificate comes from an authority that openssl makes for this run. */
import { once } from 'node:events'
import { connect } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { createServer } from 'node:tls'
import type { Server } from 'node:tls'
import { makeCertificates } from './certificates'
import type { Certificates } from './certificates'

export class TlsFront {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  /** The certificate of the authority. */
  readonly ca: Buffer

  private constructor(target: number, { ca, key, cert }: Certificates) {
    this.ca = ca
    this.#server = createServer({ key, cert }, (client) => {
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
        socket.pipe(other)
      }
    })
  }

  /** Starts TLS in front of that port of 127.0.0.1. The certificate is for the name `localhost`. */
  static async start(target: number): Promise<TlsFront> {
    const front = new TlsFront(target, makeCertificates())
    front.#server.listen(0, '127.0.0.1')
    await once(front.#server, 'listening')
    return front
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get url(): string {
    return `wss://localhost:${this.port}`
  }

  async close(): Promise<void> {
    for (const socket of [...this.#sockets]) socket.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }
}

/** An HTTP proxy that supports `CONNECT`, and agents that connect through it. */
import { once } from 'node:events'
import { Agent, createServer, request } from 'node:http'
import type { ClientRequestArgs, Server } from 'node:http'
import { connect } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { PassThrough } from 'node:stream'
import type { Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import type { ConnectionOptions } from 'node:tls'

export class ConnectProxy {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  /** The targets that clients asked the proxy to connect to, in order. */
  readonly asked: string[] = []
  /** Whether the proxy answers all requests with status 403. */
  forbids = false
  /** Whether the proxy answers no request at all. */
  silent = false
  /** Whether the proxy answers all requests with a page, as a portal does that wants a login. */
  portal = false
  /** The ends of the tunnels. */
  readonly #tunnels = new Set<Socket>()
  /** The `user:password` that the proxy requires. It answers requests without them with status 407. */
  credentials: string | undefined

  private constructor() {
    this.#server = createServer((_request, response) => response.writeHead(405).end())
    this.#server.on('connect', ({ url = '', headers }, client: Socket) => {
      this.asked.push(url)
      client.on('error', () => {})
      this.#sockets.add(client)
      client.on('close', () => this.#sockets.delete(client))
      if (this.silent) {
        client.resume().on('end', () => client.end())
        return
      }
      const basic = Buffer.from(this.credentials ?? '').toString('base64')
      if (this.credentials !== undefined && headers['proxy-authorization'] !== `Basic ${basic}`) {
        client.end('HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n')
        return
      }
      if (this.portal) {
        client.end('HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>Who are you?</html>')
        return
      }
      if (this.forbids) {
        client.end('HTTP/1.1 403 Forbidden\r\n\r\n')
        return
      }
      const { hostname, port } = new URL(`http://${url}`)
      const upstream = connect(Number(port), isHere(hostname) ? '127.0.0.1' : hostname, () =>
        client.write('HTTP/1.1 200 Connection established\r\n\r\n'),
      )
      for (const [socket, other] of [
        [client, upstream],
        [upstream, client],
      ] as const) {
        this.#sockets.add(socket)
        this.#tunnels.add(socket)
        socket.on('error', () => {})
        socket.on('close', () => {
          this.#sockets.delete(socket)
          this.#tunnels.delete(socket)
          other.destroy()
        })
        socket.pipe(other)
      }
    })
  }

  static async start(): Promise<ConnectProxy> {
    const proxy = new ConnectProxy()
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  /** The URL of the proxy, as environment variables name it. */
  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** How many connections to or through the proxy are open. */
  get open(): number {
    return this.#sockets.size
  }

  /** Carries nothing more through the tunnels that are open now, and closes none of them. */
  freeze(): void {
    for (const socket of this.#tunnels) socket.unpipe().pause()
  }

  /** An agent that connects to `ws:` URLs through the proxy. */
  get agent(): Agent {
    return new TunnelAgent((this.#server.address() as AddressInfo).port)
  }

  /**
   * An agent that connects to `wss:` URLs through the proxy. TLS is between the client and the server behind the proxy.
   */
  get secureAgent(): Agent {
    return Object.assign(this.agent, { protocol: 'https:' })
  }

  async close(): Promise<void> {
    for (const socket of [...this.#sockets]) socket.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }
}

/** Names that the proxy knows. This machine does not know those that end in `.test`. */
function isHere(hostname: string): boolean {
  return hostname === 'localhost' || hostname.endsWith('.test')
}

class TunnelAgent extends Agent {
  readonly #port: number

  constructor(port: number) {
    super()
    this.#port = port
  }

  override createConnection(
    options: ClientRequestArgs & ConnectionOptions,
    done?: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    const path = `${options.host ?? ''}:${String(options.port)}`
    const fail = (error: Error, socket: Duplex): void => done?.(error, socket)
    const asking = request({ host: '127.0.0.1', port: this.#port, method: 'CONNECT', path })
    asking
      .once('connect', ({ statusCode }, socket: Socket) => {
        if (statusCode !== 200) {
          fail(Object.assign(new Error('the proxy refused'), { code: 'EPROXY' }), socket.destroy())
        } else if (options.ca === undefined) {
          done?.(null, socket)
        } else {
          done?.(null, connectTls({ ca: options.ca, servername: options.host ?? '', socket }))
        }
      })
      .once('error', (error) => fail(error, new PassThrough()))
      .end()
    return undefined
  }
}

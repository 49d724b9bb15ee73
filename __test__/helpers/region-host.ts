/** A stand-in for the host of a LiveKit Cloud project. It refuses all clients, and tells them the regions. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Server } from 'node:http'

export class RegionHost {
  readonly #server: Server
  /** The answer to a request for regions. `undefined`: status 500. */
  answer: string | undefined
  maxAge: number | undefined = 60
  /** The HTTP status with which the host refuses clients. */
  refusal = 503
  /** The `Authorization` headers of the requests for regions, in order. */
  readonly asked: (string | undefined)[] = []
  /** How many attempts to connect the host has refused. */
  refused = 0

  private constructor() {
    this.#server = createServer((request, response) => {
      if (request.url !== '/settings/regions') {
        this.refused += 1
        response.writeHead(this.refusal).end()
        return
      }
      this.asked.push(request.headers.authorization)
      if (this.answer === undefined) response.writeHead(500).end()
      else {
        const headers = this.maxAge === undefined ? {} : { 'cache-control': `public, max-age=${this.maxAge}` }
        response.writeHead(200, headers).end(this.answer)
      }
    })
    // WebSockets arrive as upgrade requests.
    this.#server.on('upgrade', (_request, socket) => {
      this.refused += 1
      socket.on('error', () => {})
      socket.end(`HTTP/1.1 ${this.refusal} No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`)
    })
  }

  static async start(): Promise<RegionHost> {
    const host = new RegionHost()
    host.#server.listen(0, '127.0.0.1')
    await once(host.#server, 'listening')
    return host
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Sets the regions of the answer, the nearest first. */
  regions(...urls: readonly string[]): void {
    const regions = urls.map((url, index) => ({ region: `r${index}`, url, distance: String(index) }))
    this.answer = JSON.stringify({ regions })
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }
}

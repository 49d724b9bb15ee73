/** TLS in front of a server. Its certificate comes from an authority that openssl makes for this run. */
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer } from 'node:tls'
import type { Server } from 'node:tls'

interface Certificates {
  readonly ca: Buffer
  readonly key: Buffer
  readonly cert: Buffer
}

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

function makeCertificates(): Certificates {
  const folder = mkdtempSync(join(tmpdir(), 'datatrack-tls-'))
  try {
    const path = (name: string): string => join(folder, name)
    const openssl = (...args: string[]): void => {
      execFileSync('openssl', args, { stdio: 'pipe' })
    }
    const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
    openssl(
      'req',
      '-x509',
      ...newKey,
      '-keyout',
      path('ca.key'),
      '-out',
      path('ca.pem'),
      '-subj',
      '/CN=Test authority',
    )
    openssl(
      'req',
      ...newKey,
      '-keyout',
      path('key.pem'),
      '-out',
      path('request.pem'),
      '-subj',
      '/CN=localhost',
    )
    writeFileSync(path('names'), 'subjectAltName=DNS:localhost,IP:127.0.0.1\n')
    const signed = [
      '-CA',
      path('ca.pem'),
      '-CAkey',
      path('ca.key'),
      '-CAcreateserial',
      '-extfile',
      path('names'),
    ]
    openssl('x509', '-req', '-in', path('request.pem'), ...signed, '-out', path('cert.pem'))
    const read = (name: string): Buffer => readFileSync(path(name))
    return { ca: read('ca.pem'), key: read('key.pem'), cert: read('cert.pem') }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

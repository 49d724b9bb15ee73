/** A LiveKit server with relays, at the far end of a bad network. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BadNetwork } from '../../scripts/lib/bad-network.cjs'
import { makeCertificates } from './certificates'
import { LivekitServer } from './livekit-server'

/** The server's port for ICE over TCP, in its namespace. */
export const ICE_TCP = 7881

export class FarServer {
  readonly network: BadNetwork
  readonly server: LivekitServer
  /** The authority of the certificate of its relay over TLS, in PEM. */
  readonly ca: string
  readonly #folder: string

  private constructor(network: BadNetwork, server: LivekitServer, ca: string, folder: string) {
    this.network = network
    this.server = server
    this.ca = ca
    this.#folder = folder
  }

  static async start(): Promise<FarServer> {
    const network = await BadNetwork.start()
    const folder = mkdtempSync(join(tmpdir(), 'datatrack-far-server-'))
    const certificates = makeCertificates(`IP:${network.far.address}`)
    const tls = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') }
    writeFileSync(tls.cert, certificates.cert)
    writeFileSync(tls.key, certificates.key)
    const server = await LivekitServer.start({ namespace: network.far, turn: { tls } })
    return new FarServer(network, server, certificates.ca.toString(), folder)
  }

  async stop(): Promise<void> {
    await this.server.stop()
    await this.network.close()
    rmSync(this.#folder, { recursive: true })
  }
}

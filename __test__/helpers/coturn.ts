/** A coturn: Debian's `turnserver` on free ports of 127.0.0.1, over UDP, TCP and TLS. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { createHmac, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Certificates } from './certificates'
import { freePort } from './livekit-server'
import type { TurnServer } from './livekit-server'
import { learnSecret } from './secrets'

/** Interval at which the starting server is asked whether it answers, ms. */
const POLL = 20

export class Coturn {
  readonly #folder = mkdtempSync(join(tmpdir(), 'datatrack-coturn-'))
  readonly #port: number
  readonly #tlsPort: number
  /** The password, or the secret that passwords are made with. */
  readonly #credential = randomBytes(12).toString('hex')
  readonly #expiring: boolean
  readonly #host: string
  #process: ChildProcess | undefined

  private constructor(port: number, tlsPort: number, expiring: boolean, host: string) {
    this.#expiring = expiring
    this.#host = host
    this.#port = port
    this.#tlsPort = tlsPort
    learnSecret('TURN credential', this.#credential)
  }

  /**
   * Starts a coturn and waits until it accepts connections. `expiring`: its credentials expire. `host`: the address at
   * which clients reach it. `relays`: the addresses that it relays from.
   */
  static async start(
    { key, cert }: Certificates,
    { expiring = false, host = '127.0.0.1', relays = ['127.0.0.1'] } = {},
  ): Promise<Coturn> {
    const coturn = new Coturn(await freePort(), await freePort(), expiring, host)
    const file = (name: string): string => join(coturn.#folder, name)
    writeFileSync(file('key.pem'), key)
    writeFileSync(file('cert.pem'), cert)
    const config = [
      `listening-ip=${host}`,
      ...relays.map((relay) => `relay-ip=${relay}`),
      `listening-port=${coturn.#port}`,
      `tls-listening-port=${coturn.#tlsPort}`,
      `cert=${file('cert.pem')}`,
      `pkey=${file('key.pem')}`,
      ...(expiring
        ? ['use-auth-secret', `static-auth-secret=${coturn.#credential}`]
        : ['lt-cred-mech', `user=participant:${coturn.#credential}`]),
      'realm=example.test',
      'allow-loopback-peers',
      'no-cli',
      'no-dtls',
      'log-file=stdout',
      `pidfile=${file('pid')}`,
      `userdb=${file('db')}`,
    ]
    // On a command line, other users could read the password.
    writeFileSync(file('turnserver.conf'), config.join('\n'), { mode: 0o600 })
    await coturn.launch()
    return coturn
  }

  /** The server as a LiveKit server names it to clients. `lifetime`: seconds until the credentials expire, if they do. */
  server(protocol: TurnServer['protocol'], lifetime = 600): TurnServer {
    const port = protocol === 'tls' ? this.#tlsPort : this.#port
    const host = this.#host.includes(':') ? `[${this.#host}]` : this.#host
    const server = { host, port, protocol }
    if (!this.#expiring) return { ...server, username: 'participant', credential: this.#credential }
    const username = `${Math.floor(Date.now() / 1000) + lifetime}:participant`
    const credential = createHmac('sha1', this.#credential).update(username).digest('base64')
    learnSecret('TURN credential', credential)
    return { ...server, username, credential }
  }

  /** Stops it without ending it: its connections stay open, but it does not answer. */
  pause(): void {
    this.#process?.kill('SIGSTOP')
  }

  /** Undoes {@link pause}. */
  resume(): void {
    this.#process?.kill('SIGCONT')
  }

  /** Starts it on the same ports. */
  async launch(): Promise<void> {
    const child = spawn('turnserver', ['-c', join(this.#folder, 'turnserver.conf')], { stdio: 'ignore' })
    const kill = (): void => void child.kill('SIGKILL')
    process.once('exit', kill)
    child.once('close', () => process.removeListener('exit', kill))
    this.#process = child
    let failed: Error | undefined
    child.once('error', (error) => (failed = error))
    child.once('exit', () => (failed ??= new Error('turnserver ended early')))
    while (!(await accepts(this.#host, this.#port)) || !(await accepts(this.#host, this.#tlsPort))) {
      if (failed !== undefined) throw failed
      await delay(POLL)
    }
  }

  /** Kills it. */
  async kill(): Promise<void> {
    const child = this.#process
    this.#process = undefined
    if (child === undefined) return
    const closed = once(child, 'close')
    if (child.kill('SIGKILL')) await closed
  }

  async stop(): Promise<void> {
    await this.kill()
    rmSync(this.#folder, { recursive: true })
  }
}

async function accepts(host: string, port: number): Promise<boolean> {
  const socket = connect(port, host)
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

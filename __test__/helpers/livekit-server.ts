/**
 * A real LiveKit server for the end-to-end tests. It is built once, started on free ports of 127.0.0.1, and stopped by
 * its pid.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { randomBytes, randomInt } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { AccessToken, RoomServiceClient } from 'livekit-server-sdk'
import type { VideoGrant } from 'livekit-server-sdk'
import type { Namespace } from '../../scripts/lib/bad-network.cjs'
import { learnSecret } from './secrets'
import { overflowsAtPort } from './udp-overflows'

const folder = resolve('__test__/livekit-server')
const built = join(folder, 'bin', 'livekit-server')
const logs = resolve('.cache/livekit-server')

/** Time limit for the start of a server, ms. It usually takes less than one second. */
const STARTS = 20_000
/** Interval at which the starting server is asked whether it answers, ms. */
const POLL = 20
/** How often a start is tried with other ports. Another program may take a free port before the server binds it. */
const TRIES = 3

/** Builds the server if it is not built yet. `LIVEKIT_SERVER_BIN` names one that is built already. */
export async function buildServer(): Promise<void> {
  if (process.env['LIVEKIT_SERVER_BIN'] !== undefined) return
  const child = spawn(process.execPath, ['scripts/livekit-server.mjs'], {
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  const [code] = (await once(child, 'close')) as [number | null]
  if (code !== 0) throw new Error(`building livekit-server ended with ${String(code)}`)
}

interface Ports {
  readonly http: number
  readonly tcp: number
  readonly udp: number
  readonly turnUdp: number
  readonly turnTcp: number
}

/** The ports in a network namespace, where all of them are free. Clients are always told port 443 for TURN over TLS. */
const PORTS_IN_NAMESPACE: Ports = { http: 7880, tcp: 7881, udp: 7882, turnUdp: 3478, turnTcp: 443 }

/** The grants of a token, and how it is made. */
export interface TokenOptions {
  readonly grant?: VideoGrant
  /** Lifetime as in `AccessToken`: seconds, or a text like '10m'. A negative number makes an expired token. */
  readonly ttl?: number | string
  /** Whether the token is signed with a wrong secret. */
  readonly forged?: boolean
  /** The kind of the participant, `agent` for example. Default: `standard`. */
  readonly kind?: string
}

/** The settings that all nodes of a cluster share. */
export interface Cluster {
  /** Host and port of the Redis. */
  readonly redis: string
  /** The API secret with which tokens are signed. */
  readonly secret: string
}

/** How a server is started. */
export interface ServerOptions {
  /** Whether clients can connect to it over UDP. Default: `true`. */
  readonly udp?: boolean
  /** The network namespace in which the server runs. Default: the machine's own network. */
  readonly namespace?: Namespace
  /** The cluster of which the server is a node. Default: none. */
  readonly cluster?: Cluster
  /** Its own TURN server. Default: none. */
  readonly turn?: OwnTurn
  /** The TURN servers that it names to clients besides. Default: none. */
  readonly turnServers?: readonly TurnServer[]
}

/** A LiveKit server's own TURN server, over UDP and over a stream. */
export interface OwnTurn {
  /** Paths of the certificate and its key. `undefined`: TCP without TLS, as behind a load balancer. */
  readonly tls?: { readonly cert: string; readonly key: string }
  /** Whether it lets clients reach the addresses of this machine. Default: `true`. */
  readonly allowLoopback?: boolean
}

/** A TURN server with the credentials for it. */
export interface TurnServer {
  readonly host: string
  readonly port: number
  readonly protocol: 'udp' | 'tcp' | 'tls'
  readonly username: string
  readonly credential: string
}

/** A running server. */
export class LivekitServer {
  readonly #options: ServerOptions
  readonly #secret: string
  #ports: Ports | undefined
  #process: ChildProcess | undefined

  /** A server that {@link start} starts. */
  constructor(options: ServerOptions = {}) {
    this.#options = options
    this.#secret = options.cluster?.secret ?? randomBytes(24).toString('hex')
    learnSecret('API secret', this.#secret)
  }

  /** Starts a server that the test stops by itself. {@link withServer} starts and stops one for all tests of a file. */
  static async start(options: ServerOptions = {}): Promise<LivekitServer> {
    const server = new LivekitServer(options)
    await server.start()
    return server
  }

  /** Starts the server on free ports and waits until it answers. */
  async start(): Promise<void> {
    for (let left = TRIES; ; left--) {
      this.#ports = this.#options.namespace === undefined ? await freePorts() : PORTS_IN_NAMESPACE
      try {
        await this.#launch()
        return
      } catch (error) {
        if (left === 1) throw error
      }
    }
  }

  /** The port of signalling. */
  get port(): number {
    return this.#known.http
  }

  /** The port of ICE over TCP. */
  get tcpPort(): number {
    return this.#known.tcp
  }

  /** The URL for `room.connect()`. */
  get url(): string {
    return `ws://${this.#host}:${this.port}`
  }

  /** The ports of its own TURN server. */
  get turnPorts(): { readonly udp: number; readonly tcp: number } {
    return { udp: this.#known.turnUdp, tcp: this.#known.turnTcp }
  }

  /** The path of the log. All servers that have used these ports write into the same file. */
  get log(): string {
    return join(logs, `${this.#options.namespace?.name ?? this.port}.log`)
  }

  /**
   * Datagrams that the kernel has dropped so far because the receive buffer of the server's UDP socket was full. Linux
   * counts them for each socket. On other systems 0.
   */
  get overflows(): number {
    return overflowsAtPort(this.#known.udp)
  }

  /** Packets of the tracks of that name that the server has dropped so far, as its log says, by subscriber identity. */
  droppedPackets(track: string): Map<string, number> {
    const drops = new Map<string, number>()
    for (const line of readFileSync(this.log, 'utf8').split('\n')) {
      if (!line.includes('could not send data track message') || !line.includes(`"name": "${track}"`))
        continue
      const identity = /"participant": "([^"]*)"/.exec(line)?.[1]
      if (identity !== undefined) drops.set(identity, (drops.get(identity) ?? 0) + 1)
    }
    return drops
  }

  /**
   * Whether the server has closed its data channels to that participant by itself, as its log says.
   *
   * With two peer connections, the server restarts ICE on its own one with each resume. pion/ice 4.4.0
   * (`Agent.Restart`) closes its sockets a moment before it gives up the path through them. A packet that the server
   * sends in that moment fails, and pion/sctp then closes the association for good. The server tells the participant
   * nothing, and drops all later packets to it. On a busy machine this happened in 1 of 1,000 resumes under traffic.
   */
  hasClosedChannels(room: string, identity: string): boolean {
    const signs = [`"room": "${room}"`, `"participant": "${identity}"`, 'non-established state: state=Closed']
    return readFileSync(this.log, 'utf8')
      .split('\n')
      .some((line) => signs.every((sign) => line.includes(sign)))
  }

  /**
   * Packets of a track that the server had received when the track ended, as its log says. 0 while the track has not
   * ended.
   */
  receivedPackets(trackSid: string): number {
    const lines = readFileSync(this.log, 'utf8').split('\n')
    const line = lines.find(
      (line) => line.includes('data track stats') && line.includes(`"trackID": "${trackSid}"`),
    )
    return Number(/"numPackets": (\d+)/.exec(line ?? '')?.[1] ?? 0)
  }

  /** The API key and secret of the server. */
  get key(): { readonly apiKey: string; readonly apiSecret: string } {
    return { apiKey: 'devkey', apiSecret: this.#secret }
  }

  /** The server's room service, with which an administrator changes rooms and participants. */
  get admin(): RoomServiceClient {
    return new RoomServiceClient(`http://127.0.0.1:${this.port}`, 'devkey', this.#secret)
  }

  /** An access token for the room. */
  async token(
    room: string,
    identity: string,
    { grant = {}, ttl = '1h', forged = false, kind }: TokenOptions = {},
  ): Promise<string> {
    const token = new AccessToken('devkey', forged ? 'x'.repeat(48) : this.#secret, { identity, ttl })
    if (kind !== undefined) token.kind = kind
    token.addGrant({
      roomJoin: true,
      room,
      canPublish: true,
      canPublishData: true,
      canSubscribe: true,
      ...grant,
    })
    const jwt = await token.toJwt()
    learnSecret('token', jwt)
    return jwt
  }

  /** Kills the server, which ends its rooms. Idempotent. */
  async stop(): Promise<void> {
    const child = this.#process
    this.#process = undefined
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const closed = once(child, 'close')
    child.kill('SIGKILL')
    await closed
  }

  /** Kills the server and starts another on the same ports. */
  async restart(): Promise<void> {
    await this.stop()
    await this.#launch()
  }

  /** Stops all threads of the server. Connections stay open, but the server does not answer. */
  pause(): void {
    const pid = this.#process?.pid
    if (pid === undefined) return
    process.kill(pid, 'SIGSTOP')
    // A thread on another processor runs for a moment longer, and could still answer. The loop waits until it has
    // stopped.
    while (existsSync(`/proc/${pid}/task`) && !isStopped(pid));
  }

  /** Undoes {@link pause}. */
  resume(): void {
    this.#process?.kill('SIGCONT')
  }

  async #launch(): Promise<void> {
    mkdirSync(logs, { recursive: true })
    const output = openSync(this.log, 'a')
    const binary = process.env['LIVEKIT_SERVER_BIN'] ?? built
    const [command, args] = this.#options.namespace?.command(binary) ?? [binary, []]
    const child = spawn(command, args, {
      // The configuration contains the API secret. On a command line, other users could read it.
      env: { ...process.env, LIVEKIT_CONFIG: this.#config() },
      stdio: ['ignore', output, output],
    })
    closeSync(output)
    this.#process = child
    // If the test run is aborted, the server must not go on running.
    const kill = (): void => void child.kill('SIGKILL')
    process.once('exit', kill)
    child.once('close', () => process.removeListener('exit', kill))
    const gone = new AbortController()
    child.once('error', (error) => gone.abort(error))
    child.once('exit', () => gone.abort(new Error(`livekit-server ended early: see ${this.log}`)))
    try {
      const signal = AbortSignal.any([gone.signal, AbortSignal.timeout(STARTS)])
      const url = this.url.replace('ws:', 'http:')
      if (this.#options.namespace === undefined) await answers(url, signal)
      else await answersIn(this.#options.namespace, url, signal)
    } catch (error) {
      await this.stop()
      throw gone.signal.aborted ? gone.signal.reason : error
    }
  }

  get #known(): Ports {
    if (this.#ports === undefined) throw new Error('the server has no ports before it is started')
    return this.#ports
  }

  get #host(): string {
    return this.#options.namespace?.address ?? '127.0.0.1'
  }

  #config(): string {
    const values: Readonly<Record<string, string | number>> = {
      ...this.#known,
      host: this.#host,
      interface: this.#options.namespace === undefined ? 'lo' : 'link0',
      secret: this.#secret,
      forceTcp: String(this.#options.udp === false),
    }
    const template = readFileSync(join(folder, 'livekit.yaml'), 'utf8')
    const config = template.replace(
      /\$(http|tcp|udp|host|interface|secret|forceTcp)\b/g,
      (_all, name: string) => String(values[name]),
    )
    const { cluster, turn, turnServers = [] } = this.#options
    const sections = [config.replace(/^rtc:$/m, `rtc:\n  turn_servers: ${JSON.stringify(turnServers)}`)]
    if (turn !== undefined) sections.push(this.#turnConfig(turn))
    if (cluster !== undefined) sections.push(`redis:\n  address: ${cluster.redis}\n`)
    return sections.join('')
  }

  #turnConfig({ tls, allowLoopback = true }: OwnTurn): string {
    const config = {
      enabled: true,
      domain: this.#host,
      udp_port: this.#known.turnUdp,
      tls_port: this.#known.turnTcp,
      bind_addresses: [this.#host],
      relay_range_start: 30_000,
      relay_range_end: 40_000,
      ...(tls === undefined ? { external_tls: true } : { cert_file: tls.cert, key_file: tls.key }),
      ...(allowLoopback && { allow_restricted_peer_cidrs: [`${this.#host}/32`] }),
    }
    return `turn: ${JSON.stringify(config)}\n`
  }
}

/** Whether all threads of a process are stopped, as /proc says. Linux only. */
function isStopped(pid: number): boolean {
  return readdirSync(`/proc/${pid}/task`).every((thread) => {
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'latin1')
    // The state follows the name of the thread. The name is in parentheses, and may contain parentheses itself.
    return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3) === 'T'
  })
}

async function answers(url: string, signal: AbortSignal): Promise<void> {
  for (;;) {
    signal.throwIfAborted()
    try {
      if ((await fetch(url, { signal })).ok) return
    } catch {
      // The server does not listen yet.
    }
    await delay(POLL)
  }
}

/** The same for a server in a namespace. Only a process within the namespace can reach it. */
async function answersIn(namespace: Namespace, url: string, signal: AbortSignal): Promise<void> {
  const source = `(async () => {
    while (!(await fetch(${JSON.stringify(url)}).catch(() => undefined))?.ok) {
      await new Promise((resolve) => setTimeout(resolve, ${POLL}))
    }
  })()`
  const child = spawn(...namespace.command(process.execPath, ['-e', source]), {
    signal,
    killSignal: 'SIGKILL',
    stdio: 'inherit',
  })
  await once(child, 'close', { signal })
}

async function freePorts(): Promise<Ports> {
  return {
    http: await freePort(),
    tcp: await freePort(),
    udp: await freeUdpPort(),
    turnUdp: await freeUdpPort(),
    turnTcp: await freePort(),
  }
}

/**
 * The ports that are looked at: from the first one, so many. The system gives out those from 32,768 on, to each
 * connection and to each socket without a port of its own. Such a port would be free only for a moment: another program
 * could get it before a server uses it, or while a server restarts.
 */
const PORTS = { first: 12_000, count: 18_000 }

/** A TCP port of 127.0.0.1 that is free. Only a test that asks for one at the same time may get it, too. */
export function freePort(): Promise<number> {
  return freeFor(async (port) => {
    const server = createServer().listen(port, '127.0.0.1')
    await once(server, 'listening')
    server.close()
    await once(server, 'close')
  })
}

function freeUdpPort(): Promise<number> {
  return freeFor(async (port) => {
    const socket = createSocket('udp4').bind(port, '127.0.0.1')
    await once(socket, 'listening')
    socket.close()
    await once(socket, 'close')
  })
}

/** A port that could be used. */
async function freeFor(use: (port: number) => Promise<void>): Promise<number> {
  for (;;) {
    const port = PORTS.first + randomInt(PORTS.count)
    try {
      await use(port)
      return port
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    }
  }
}

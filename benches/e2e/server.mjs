// A LiveKit server on free ports of 127.0.0.1 or in its own network namespace, and tokens for it.
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { on, once } from 'node:events'
import { mkdirSync, openSync } from 'node:fs'
import { createServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { SignalResponse } from '@livekit/protocol'
import { AccessToken } from 'livekit-server-sdk'
import { WebSocket } from 'ws'
import { buildLivekitServer } from '../../scripts/lib/livekit-server.mjs'
import { fromRoot, StepError } from '../../scripts/lib/steps.mjs'
import { cpuTimes } from './processes.mjs'

const STARTS = 20_000

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return port
}

async function freeUdpPort() {
  const socket = createSocket('udp4').bind(0, '127.0.0.1')
  await once(socket, 'listening')
  const { port } = socket.address()
  socket.close()
  await once(socket, 'close')
  return port
}

export class LivekitServer {
  #secret = randomBytes(24).toString('hex')
  #process
  #port

  #namespace
  #relay

  /** `relay`: the paths of the certificate and its key for the server's own TURN server. Default: it has none. */
  static async start(namespace, relay) {
    const server = new LivekitServer()
    server.#namespace = namespace
    if (relay !== undefined) server.#relay = { ...relay, udp: await freeUdpPort(), tls: await freePort() }
    await server.#launch(await buildLivekitServer())
    return server
  }

  get #host() {
    return this.#namespace?.address ?? '127.0.0.1'
  }

  get url() {
    return `ws://${this.#host}:${this.#port}`
  }

  /** The ports of its own TURN server. It tells clients another one for TLS. */
  get relayPorts() {
    const { udp, tls } = this.#relay
    return { udp, tls }
  }

  /** The credentials for its own TURN server, as a participant gets them. They are valid for some minutes. */
  async relayCredentials() {
    const token = await this.token('credentials', 'credentials')
    const socket = new WebSocket(`${this.url}/rtc?access_token=${token}&protocol=16&sdk=js`)
    try {
      for await (const [data] of on(socket, 'message')) {
        const { message } = SignalResponse.fromBinary(data)
        const named =
          message.case === 'join' && message.value.iceServers.find((each) => each.credential !== '')
        if (named) return { username: named.username, credential: named.credential }
      }
    } finally {
      socket.close()
    }
  }

  /** CPU seconds that the server has used, counted as for an agent. */
  cpu() {
    return cpuTimes([this.#process.pid])
  }

  token(room, identity, more = {}) {
    const token = new AccessToken('devkey', this.#secret, { identity, ttl: '6h' })
    const usual = { canPublish: true, canPublishData: true, canSubscribe: true }
    token.addGrant({ roomJoin: true, room, ...usual, ...more })
    return token.toJwt()
  }

  async #launch(binary) {
    this.#port = await freePort()
    const config = {
      port: this.#port,
      bind_addresses: [this.#host],
      rtc: {
        tcp_port: await freePort(),
        udp_port: await freeUdpPort(),
        use_external_ip: false,
        node_ip: this.#host,
        enable_loopback_candidate: this.#namespace === undefined,
        interfaces: { includes: [this.#namespace === undefined ? 'lo' : 'link0'] },
      },
      keys: { devkey: this.#secret },
      logging: { level: 'info' },
      ...(this.#relay !== undefined && {
        turn: {
          enabled: true,
          domain: this.#host,
          udp_port: this.#relay.udp,
          tls_port: this.#relay.tls,
          bind_addresses: [this.#host],
          relay_range_start: 30_000,
          relay_range_end: 40_000,
          cert_file: this.#relay.cert,
          key_file: this.#relay.key,
          allow_restricted_peer_cidrs: [`${this.#host}/32`],
        },
      }),
    }
    mkdirSync(fromRoot('.cache/bench-e2e'), { recursive: true })
    // The server of the other rows keeps running meanwhile.
    const which = this.#relay !== undefined ? '-relay' : this.#namespace !== undefined ? '-far' : ''
    const name = `.cache/bench-e2e/livekit-server${which}.log`
    const log = openSync(fromRoot(name), 'w')
    const [program, args] = this.#namespace?.command(binary) ?? [binary, []]
    this.#process = spawn(program, args, {
      env: { ...process.env, LIVEKIT_CONFIG: JSON.stringify(config) },
      stdio: ['ignore', log, log],
    })
    // Writing log lines is part of the server's cost, for all peers alike. They go to a file, as a service's would.
    process.once('exit', () => this.#process.kill('SIGKILL'))
    const deadline = performance.now() + STARTS
    while (!(await this.#answers())) {
      if (this.#process.exitCode !== null || performance.now() > deadline) {
        throw new StepError(`livekit-server does not answer: see ${name}`)
      }
      await delay(20)
    }
  }

  async #answers() {
    const url = `http://${this.#host}:${this.#port}`
    if (this.#namespace !== undefined) {
      // Only a process inside of the namespace sees its network.
      const source = `fetch('${url}').then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))`
      const [code] = await once(spawn(...this.#namespace.command(process.execPath, ['-e', source])), 'close')
      return code === 0
    }
    try {
      return (await globalThis.fetch(url)).ok
    } catch {
      return false
    }
  }

  async stop() {
    if (this.#process.exitCode !== null) return
    const closed = once(this.#process, 'close')
    this.#process.kill('SIGKILL')
    await closed
  }
}

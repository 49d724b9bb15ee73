// Participants in processes of their own: started, given commands, measured from outside, stopped.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdirSync, openSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fromRoot } from '../../scripts/lib/steps.mjs'
import { peers } from './peers.mjs'
import { cpuBetween, cpuTimes, descendants, memory, threads } from './processes.mjs'

/** Seconds that a command may take beyond its known duration. */
const PATIENCE = 30
const ENDS = 5_000

export class Agent {
  #child
  #inChildren
  #next = 0
  #pending = new Map()

  /** `namespace`: the network namespace in which it runs. Without it, the machine's own network. */
  constructor(kind, namespace) {
    const { command, inChildren = false } = peers[kind]
    const [program, args] = namespace?.command(...split(command)) ?? split(command)
    mkdirSync(fromRoot('.cache/bench-e2e'), { recursive: true })
    const log = openSync(fromRoot('.cache/bench-e2e', `${kind}.log`), 'a')
    this.#inChildren = inChildren
    this.started = performance.now()
    this.#child = spawn(program, args, { stdio: ['pipe', 'pipe', log], cwd: fromRoot(), env })
    closeSync(log)
    this.#child.stdin.on('error', () => {})
    process.once('exit', this.#kill)
    this.#child.once('close', () => {
      process.removeListener('exit', this.#kill)
      for (const { reject } of this.#pending.values())
        reject(new Error(`${kind} ended: see .cache/bench-e2e/${kind}.log`))
    })
    createInterface(this.#child.stdout).on('line', (line) => {
      const { id, result, error } = JSON.parse(line)
      const { resolve, reject } = this.#pending.get(id) ?? {}
      this.#pending.delete(id)
      if (error === undefined) resolve?.(result)
      else reject?.(new Error(error))
    })
  }

  #kill = () => {
    // Chromium's child processes do not end when the process that started them is killed.
    for (const pid of this.#inChildren ? descendants(this.#child.pid) : []) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // The process has ended meanwhile.
      }
    }
    this.#child.kill('SIGKILL')
  }

  /** Runs a command. `takes` is its known duration in seconds. */
  ask(op, args = {}, takes = 0) {
    const id = ++this.#next
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => {
          this.#pending.delete(id)
          reject(new Error(`no answer to ${op} in ${takes + PATIENCE} s`))
        },
        (takes + PATIENCE) * 1000,
      )
      const settle = (by) => (value) => {
        clearTimeout(timer)
        by(value)
      }
      this.#pending.set(id, { resolve: settle(resolve), reject: settle(reject) })
      this.#child.stdin.write(`${JSON.stringify({ id, op, ...args })}\n`)
    })
  }

  /** The processes in which the library runs. */
  get pids() {
    const children = this.#inChildren ? descendants(this.#child.pid) : []
    return this.#inChildren ? children : [this.#child.pid]
  }

  cpu() {
    return cpuTimes(this.pids)
  }

  memory() {
    return memory(this.pids)
  }

  threads() {
    return threads(this.pids)
  }

  /** Lets the agent disconnect. Kills it if it does not end. */
  async stop() {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const closed = once(this.#child, 'close')
    this.#child.stdin.end()
    const timer = setTimeout(this.#kill, ENDS)
    await closed
    clearTimeout(timer)
  }
}

const split = ([program, ...args]) => [program, args]

/** No process here needs more certificates, and Node.js takes some 30 ms to read a bundle of them when it starts. */
export const env = { ...process.env, NODE_EXTRA_CA_CERTS: undefined }

let rooms = 0

/**
 * Connects agents to a new room. `op` may be `room`, for one more room in the same process. `options`: how this package
 * connects.
 */
export function joiner(server, options) {
  const room = `bench-${process.pid}-${++rooms}`
  return async (agent, identity, op = 'connect') =>
    agent.ask(op, { url: server.url, token: await server.token(room, identity), options })
}

/**
 * Runs `use` with a connected publisher and subscriber of the same kind, in a new room. `places`: their networks.
 * `options`: how this package connects.
 */
export async function withPair(server, kind, use, names = ['track'], places = {}, options = undefined) {
  const join = joiner(server, options)
  const publisher = new Agent(kind, places.publisher)
  const subscriber = new Agent(kind, places.subscriber)
  try {
    await Promise.all([join(publisher, 'publisher'), join(subscriber, 'subscriber')])
    const pair = new Pair(publisher, subscriber, names)
    await pair.open()
    return await use(pair)
  } finally {
    await Promise.all([publisher.stop(), subscriber.stop()])
  }
}

/** A publisher, a subscriber, and tracks from one to the other. */
export class Pair {
  #phase = 0

  constructor(publisher, subscriber, names) {
    this.publisher = publisher
    this.subscriber = subscriber
    this.names = names
  }

  /** Publishes, subscribes, and waits until frames flow, since no event tells when a subscription takes effect. */
  async open() {
    if (this.names.length === 0) return
    const { names } = this
    const subscribed = this.subscriber.ask('subscribe', { names })
    await this.publisher.ask('publish', { names })
    await subscribed
    const phase = ++this.#phase
    const flowing = this.subscriber.ask('flowing', { phase, names })
    await this.publisher.ask('probe', { phase })
    await flowing
    await this.publisher.ask('stop')
    await this.subscriber.ask('collect', { phase })
  }

  /** The result of `use`, and the CPU seconds of publisher, subscriber and server meanwhile. */
  async spending(server, use) {
    const all = [this.publisher, this.subscriber, server]
    const before = all.map((each) => each.cpu())
    const result = await use()
    return [result, all.map((each, at) => cpuBetween(before[at], each.cpu()))]
  }

  /** Offers frames. Returns what happened to them, their cost, and the server's CPU time. */
  async offer({ size, rate, seconds, warm = 0.5 }, server) {
    const phase = ++this.#phase
    const [offered, [publisherCpu, subscriberCpu, serverCpu]] = await this.spending(server, () =>
      this.publisher.ask('offer', { phase, size, rate, seconds, warm }, warm + seconds),
    )
    const { received, ...arrived } = await this.subscriber.ask('collect', { phase })
    return {
      size,
      rate,
      seconds,
      ...offered,
      ...arrived,
      received,
      share: received / offered.offered,
      // Frames that arrive after the end were sent before it. Measured by time, they belong to a longer span.
      perSecond: received / Math.max(seconds, arrived.span / 1000),
      publisherCpu,
      subscriberCpu,
      serverCpu,
    }
  }

  /** CPU seconds that the publisher's loop needs for the same without a library. */
  async pace({ size, rate, seconds, warm }) {
    const before = this.publisher.cpu()
    await this.publisher.ask('pace', { phase: ++this.#phase, size, rate, seconds, warm }, warm + seconds)
    return cpuBetween(before, this.publisher.cpu())
  }
}

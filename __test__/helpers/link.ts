/**
 * Two network namespaces with a bad network between them: `near`, where the participant under test is, and `far`, where
 * the server is. Needs Linux, root and iproute2; `scripts/test.mjs` says so where they are missing.
 */
import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { resolve } from 'node:path'
import { createInterface } from 'node:readline'
import type { Interface } from 'node:readline'

const program = resolve('.cache/link/datatrack-test-link')
const namespaces = '/var/run/netns'
/** The device of either end. */
const DEVICE = 'link0'
/** What the ends are called; namespaces do not see each other's, nor the machine's. */
const ADDRESSES = { near: '10.77.0.1', far: '10.77.0.2' } as const
/** Packets that the device holds before the link has read them: a burst of a second must fit. */
const DEVICE_QUEUE = 10_000

/** What the link does to packets, of both directions unless told; what is not named stays as it is. */
export interface LinkChange {
  /** `up`: from near to far. */
  readonly direction?: 'up' | 'down'
  readonly delayMs?: number
  /** Up to so much more, by chance. */
  readonly jitterMs?: number
  /** Shares of the packets, 0 to 1. */
  readonly loss?: number
  readonly duplicate?: number
  readonly reorder?: number
  readonly reorderMs?: number
  /** 0: no limit. */
  readonly bytesPerSecond?: number
  /** What waits for its turn, or for the end of a stall, at most. Default: 256 KiB. */
  readonly queueBytes?: number
  /** Nothing arrives; what is sent waits in the queue. */
  readonly stall?: boolean
  /** Nothing arrives; what is sent is dropped. */
  readonly cut?: boolean
}

/** What happened to the packets of a direction. */
export interface LinkCounters {
  readonly received: number
  readonly receivedBytes: number
  readonly delivered: number
  readonly deliveredBytes: number
  readonly duplicated: number
  readonly reordered: number
  readonly lost: number
  readonly dropped: number
  readonly queued: number
  readonly queuedBytes: number
}

/** A network of its own. */
export class Namespace {
  readonly name: string
  /** Its end of the link. */
  readonly address: string

  constructor(name: string, address: string) {
    this.name = name
    this.address = address
  }

  /** The command line that runs another one in here. The process keeps its id: it can be killed by it. */
  command(command: string, args: readonly string[] = []): readonly [string, string[]] {
    return ['ip', ['netns', 'exec', this.name, command, ...args]]
  }

  /** Configures it: what comes behind `ip -n <name>`. */
  ip(...args: string[]): void {
    ip('-n', this.name, ...args)
  }

  /** Whether UDP packets that are sent from here go nowhere. */
  blockUdp(blocked: boolean): void {
    this.ip('rule', blocked ? 'add' : 'del', 'ipproto', 'udp', 'priority', '1', 'blackhole')
  }
}

/** A running link with its two namespaces. */
export class BadNetwork {
  readonly near: Namespace
  readonly far: Namespace
  #child: ChildProcess | undefined
  #lines: Interface | undefined
  /** Commands are answered one after the other. */
  #last: Promise<unknown> = Promise.resolve()
  readonly #remove: () => void

  private constructor() {
    const name = `dt-${process.pid}-${++made}`
    this.near = new Namespace(`${name}-near`, ADDRESSES.near)
    this.far = new Namespace(`${name}-far`, ADDRESSES.far)
    this.#remove = () => {
      this.#child?.kill('SIGKILL')
      for (const namespace of [this.near, this.far]) spawnSync('ip', ['netns', 'del', namespace.name])
    }
  }

  /** Runs `use` with a link, which does nothing to packets yet, and takes everything down afterwards. */
  static async with(use: (network: BadNetwork) => Promise<void>, seed = 1): Promise<void> {
    const network = await BadNetwork.start(seed)
    try {
      await use(network)
    } finally {
      await network.close()
    }
  }

  static async start(seed = 1): Promise<BadNetwork> {
    if (!existsSync(program)) throw new Error(`${program} is missing: run node scripts/link.mjs`)
    sweep()
    const network = new BadNetwork()
    process.once('exit', network.#remove)
    try {
      await network.#open(seed)
    } catch (error) {
      await network.close()
      throw error
    }
    return network
  }

  /** Changes what the link does, from now on. Resolves, when it does, with the counters. */
  set(change: LinkChange): Promise<{ up: LinkCounters; down: LinkCounters }> {
    const answer = this.#last.then(async () => {
      this.#child?.stdin?.write(`${JSON.stringify(change)}\n`)
      return this.#answer()
    })
    this.#last = answer.catch(() => {})
    return answer
  }

  /** What happened to the packets so far. */
  counters(): Promise<{ up: LinkCounters; down: LinkCounters }> {
    return this.set({})
  }

  /** Ends the link and removes the namespaces. What runs in them should be over. Idempotent. */
  async close(): Promise<void> {
    process.removeListener('exit', this.#remove)
    const child = this.#child
    this.#child = undefined
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      const closed = once(child, 'close')
      child.stdin?.end()
      await closed
    }
    this.#remove()
  }

  async #open(seed: number): Promise<void> {
    for (const namespace of [this.near, this.far]) {
      ip('netns', 'add', namespace.name)
      namespace.ip('link', 'set', 'lo', 'up')
    }
    const ends = [this.near, this.far].map(({ name }) => `${name}:${DEVICE}`)
    const child = spawn(program, [String(seed), ...ends], { stdio: ['pipe', 'pipe', 'inherit'] })
    // Writing to one that has ended fails there; the missing answer tells.
    child.stdin.on('error', () => {})
    this.#child = child
    this.#lines = createInterface(child.stdout)
    await this.#answer()
    for (const namespace of [this.near, this.far]) {
      namespace.ip('address', 'add', `${namespace.address}/24`, 'dev', DEVICE)
      // No packets of the kernel's own, which looks for IPv6 neighbours otherwise.
      namespace.ip('link', 'set', DEVICE, 'addrgenmode', 'none')
      namespace.ip('link', 'set', DEVICE, 'txqueuelen', String(DEVICE_QUEUE), 'up')
    }
  }

  async #answer(): Promise<{ up: LinkCounters; down: LinkCounters }> {
    const lines = this.#lines!
    const ended = new AbortController()
    const line = once(lines, 'line', { signal: ended.signal }) as Promise<[string]>
    const abort = (): void => ended.abort(new Error('the link has ended'))
    lines.once('close', abort)
    try {
      const answer = JSON.parse((await line)[0]) as { error?: string; up: LinkCounters; down: LinkCounters }
      if (answer.error !== undefined) throw new Error(answer.error)
      return answer
    } finally {
      lines.removeListener('close', abort)
    }
  }
}

let made = 0

function ip(...args: string[]): void {
  const { status, stderr } = spawnSync('ip', args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${stderr.trim()}`)
}

/** Removes what processes that were killed left behind. */
function sweep(): void {
  if (!existsSync(namespaces)) return
  for (const name of readdirSync(namespaces)) {
    const pid = /^dt-(\d+)-/.exec(name)?.[1]
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) spawnSync('ip', ['netns', 'del', name])
  }
}

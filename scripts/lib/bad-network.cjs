// Two network namespaces with a bad network between them. The participant under test is in `near`, the server is in
// `far`. It needs what `lacksNetworks` checks for, and a call of `buildBadNetwork` before. Types: bad-network.d.cts.
// It is CommonJS because the tests are.
const { spawn, spawnSync } = require('node:child_process')
const { once } = require('node:events')
const { existsSync, readdirSync } = require('node:fs')
const { createInterface } = require('node:readline')
const { join } = require('node:path')

/** Where `buildBadNetwork` puts the program that carries the packets. */
const programPath = join(__dirname, '../../.cache/bad-network/datatrack-bad-network')
const namespaces = '/var/run/netns'
/** The device at each end. */
const DEVICE = 'link0'
/** The names of the ends. A namespace sees neither other namespaces' devices nor the machine's. */
const ADDRESSES = { near: '10.77.0.1', far: '10.77.0.2' }
/** Packets that the device holds until the link has read them. A burst of one second must fit. */
const DEVICE_QUEUE = 10_000

class Namespace {
  constructor(name, address) {
    this.name = name
    this.address = address
  }

  command(command, args = []) {
    return ['ip', ['netns', 'exec', this.name, command, ...args]]
  }

  ip(...args) {
    ip('-n', this.name, ...args)
  }

  blockUdp(blocked) {
    this.ip('rule', blocked ? 'add' : 'del', 'ipproto', 'udp', 'priority', '1', 'blackhole')
  }

  /** Drops what is sent to that TCP port. */
  blockTcp(port) {
    this.ip('rule', 'add', 'ipproto', 'tcp', 'dport', String(port), 'priority', '1', 'blackhole')
  }

  /** Drops what is sent to all other TCP ports. */
  allowTcpOnly(port) {
    this.ip('rule', 'add', 'ipproto', 'tcp', 'dport', String(port), 'priority', '1', 'lookup', 'main')
    this.ip('rule', 'add', 'ipproto', 'tcp', 'priority', '2', 'blackhole')
  }
}

class BadNetwork {
  #child
  #lines
  /** Commands are answered one after the other. */
  #last = Promise.resolve()
  #remove

  constructor() {
    const name = `dt-${process.pid}-${++made}`
    this.near = new Namespace(`${name}-near`, ADDRESSES.near)
    this.far = new Namespace(`${name}-far`, ADDRESSES.far)
    this.#remove = () => {
      this.#child?.kill('SIGKILL')
      for (const namespace of [this.near, this.far]) spawnSync('ip', ['netns', 'del', namespace.name])
    }
  }

  static async with(use, seed = 1) {
    const network = await BadNetwork.start(seed)
    try {
      return await use(network)
    } finally {
      await network.close()
    }
  }

  static async start(seed = 1) {
    if (!existsSync(programPath))
      throw new Error(`${programPath} is missing: run node scripts/bad-network.mjs`)
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

  set(change) {
    const answer = this.#last.then(async () => {
      this.#child?.stdin?.write(`${JSON.stringify(change)}\n`)
      return this.#answer()
    })
    this.#last = answer.catch(() => {})
    return answer
  }

  counters() {
    return this.set({})
  }

  async close() {
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

  async #open(seed) {
    for (const namespace of [this.near, this.far]) {
      ip('netns', 'add', namespace.name)
      namespace.ip('link', 'set', 'lo', 'up')
    }
    const ends = [this.near, this.far].map(({ name }) => `${name}:${DEVICE}`)
    const child = spawn(programPath, [String(seed), ...ends], { stdio: ['pipe', 'pipe', 'inherit'] })
    // Writing to a process that has ended fails there. The missing answer reports it.
    child.stdin.on('error', () => {})
    this.#child = child
    this.#lines = createInterface(child.stdout)
    await this.#answer()
    for (const namespace of [this.near, this.far]) {
      namespace.ip('address', 'add', `${namespace.address}/24`, 'dev', DEVICE)
      // The kernel sends no packets of its own here. It would look for IPv6 neighbours otherwise.
      namespace.ip('link', 'set', DEVICE, 'addrgenmode', 'none')
      namespace.ip('link', 'set', DEVICE, 'txqueuelen', String(DEVICE_QUEUE), 'up')
    }
  }

  async #answer() {
    const ended = new AbortController()
    const line = once(this.#lines, 'line', { signal: ended.signal })
    const abort = () => ended.abort(new Error('the link has ended'))
    this.#lines.once('close', abort)
    try {
      const answer = JSON.parse((await line)[0])
      if (answer.error !== undefined) throw new Error(answer.error)
      return answer
    } finally {
      this.#lines.removeListener('close', abort)
    }
  }
}

let made = 0

function ip(...args) {
  const { status, stderr } = spawnSync('ip', args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${stderr.trim()}`)
}

/** Removes what killed processes left behind. */
function sweep() {
  if (!existsSync(namespaces)) return
  for (const name of readdirSync(namespaces)) {
    const pid = /^dt-(\d+)-/.exec(name)?.[1]
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) spawnSync('ip', ['netns', 'del', name])
  }
}

module.exports = { BadNetwork, Namespace, programPath }

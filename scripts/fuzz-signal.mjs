// Fuzzes what a server can send by signalling: random and mutated messages, in any order, into a room over a connection
// that carries nothing.
//
//     node --expose-gc scripts/fuzz-signal.mjs --seconds=600 --seed=1
//
// It needs a build (`npm run build:dev`). It ends with exit code 1 and the number of the sequence in three cases: an
// exception leaves the room, a part of a message costs more than 50 ms each time that it is handled, or memory grows.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { setImmediate as turn } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { compiled } from './lib/bundle.mjs'
import { fromRoot, say } from './lib/steps.mjs'
import { Dice, mutate, mutateBytes, randomMessage } from './lib/signal-mutations.mjs'

const require = createRequire(import.meta.url)
const protocol = require('@livekit/protocol')
const { Room, RoomEvent, setLogLevel } = require(compiled('index.js'))
const { environment } = require(compiled('src/native/environment.js'))
const { sessionOptions } = require(compiled('src/session/session-options.js'))
const { Inbox } = require(compiled('src/connection/inbox.js'))
const { Pings } = require(compiled('src/connection/pings.js'))
const { isAccessToken } = require(compiled('src/connection/address.js'))

const { values: options } = parseArgs({
  options: {
    seconds: { type: 'string', default: '10' },
    seed: { type: 'string', default: '1' },
    /** Runs only that sequence, and prints everything that is logged. */
    only: { type: 'string' },
  },
})

/** ms of processor time that a part may take. Processor time excludes what other programs use on this machine. */
const MAX_BLOCK = 50
/** Most bytes of heap and buffers after a collection. A room holds far less. */
const MAX_MEMORY = 400 * 2 ** 20
const seed = Number(options.seed)
const { SignalResponse } = protocol
const seeds = JSON.parse(readFileSync(fromRoot('scripts', 'lib', 'signal-seeds.json'), 'utf8')).map((text) =>
  Buffer.from(text, 'base64'),
)

setLogLevel(options.only === undefined ? 'silent' : 'debug')

const counted = { sequences: 0, messages: 0, parts: 0, refused: 0, longest: 0 }
let current = 0

function fail(why, error) {
  say(`FAILED in sequence ${current} of seed ${seed}: ${why}`)
  if (error !== undefined) say(error?.stack ?? String(error))
  say(`Again: node --expose-gc scripts/fuzz-signal.mjs --seed=${seed} --only=${current}`)
  process.exit(1)
}

process.on('uncaughtException', (error) => fail('an exception left a listener or a timer', error))
process.on('unhandledRejection', (error) => fail('unhandled rejection of a promise', error))

/** ms. */
function processorTime() {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

/** A connection that carries nothing. */
class SilentConnection {
  native = environment().binding.createServerSession(sessionOptions(undefined))
  channels = {
    maxMessageSize: 65_535,
    send: () => 0,
    flush: () => {},
    bufferedAmount: () => 0,
    reliableLimit: () => 65_536,
    watchBuffered: () => {},
  }

  sendRequest() {}
  setRef() {}
  stats() {}
  reconnectNow() {}
  simulate() {}
  leave(words) {
    words.close()
    this.close()
    return Promise.resolve()
  }

  close() {
    this.native.close()
  }
}

/** The bytes of a message: a real one, a changed real one, or a random one. */
function messageOf(dice) {
  dice.reset()
  const kind = dice.below(10)
  if (kind === 0) return dice.pick(seeds)
  if (kind <= 3) return mutateBytes(dice.pick(seeds), dice)
  if (kind <= 6) {
    const message = SignalResponse.fromBinary(dice.pick(seeds))
    for (let count = 1 + dice.below(4); count > 0; count--) mutate(message, dice)
    return message.toBinary()
  }
  return randomMessage(SignalResponse, dice).toBinary()
}

/** An encoder refuses values that do not fit its types. Then the next message is tried. */
function nextMessage(dice) {
  for (;;) {
    try {
      return messageOf(dice)
    } catch {
      counted.refused += 1
    }
  }
}

/** Handles parts as a signalling connection does, and measures each one. */
class Target {
  room = new Room()
  #connection = new SilentConnection()
  #pings = new Pings(undefined)
  #inbox
  slow = 0

  constructor() {
    for (const event of Object.values(RoomEvent)) this.room.on(event, () => {})
    this.room.engine.attach(this.#connection, 'me')
    let began = 0
    this.#inbox = new Inbox(
      {
        handle: (part) => {
          this.#handle(part)
          this.#measure(processorTime() - began)
        },
        setFlowing: () => {},
      },
      // Checked before each part.
      () => {
        began = processorTime()
        return performance.now()
      },
    )
    this.#inbox.open()
  }

  async push(bytes) {
    this.#inbox.push(bytes)
    await new Promise((resolve) => this.#inbox.end(resolve))
  }

  close() {
    this.#inbox.close()
    return this.room.disconnect()
  }

  #handle({ message }) {
    counted.parts += 1
    const { case: kind, value } = message
    if (kind === 'pongResp') this.#pings.answered(value.lastPingTimestamp)
    else if (kind === 'refreshToken') isAccessToken(value)
    else if (kind === 'reconnect') this.room.engine.connectionResumed(value.lastMessageSeq)
    else this.room.engine.receive({ message })
    const { rtt } = this.#pings.next()
    if (rtt < 0n || rtt > 600_000n) fail(`a round trip of ${rtt} ms`)
  }

  #measure(ms) {
    counted.longest = Math.max(counted.longest, ms)
    if (ms > MAX_BLOCK) this.slow += 1
  }
}

/** One room, from its start to its end. Returns how often a part took too long. */
async function sequence(number) {
  const dice = new Dice(seed * 1_000_003 + number)
  const target = new Target()
  const first = dice.chance(0.8) ? seeds.find((bytes) => bytes[0] === 0x0a) : nextMessage(dice)
  await target.push(first)
  const count = 1 + dice.below(30)
  for (let index = 0; index < count; index++) {
    counted.messages += 1
    await target.push(nextMessage(dice))
    const { room } = target
    // The connection's own events in between, in any order.
    if (dice.chance(0.05)) room.engine.connectionLost()
    if (dice.chance(0.03)) room.engine.connectionResumed(dice.below(10))
    if (dice.chance(0.03)) {
      const message = SignalResponse.fromBinary(dice.pick(seeds.filter((bytes) => bytes[0] === 0x0a)))
      mutate(message, dice)
      if (message.message.case === 'join') room.engine.connectionRebuilt(message)
    }
    if (dice.chance(0.05)) room.localParticipant.publishDataTrack({ name: `t${index}` }).catch(() => {})
    if (dice.chance(0.05)) room.localParticipant.setMetadata('m').catch(() => {})
    if (dice.chance(0.1)) for (const { dataTracks } of room.remoteParticipants.values()) subscribe(dataTracks)
    if (dice.chance(0.2)) await turn()
  }
  await target.close()
  return target.slow
}

/** Reads the first track, as long as it lasts. */
function subscribe(dataTracks) {
  const [track] = dataTracks.values()
  track
    ?.subscribe()
    .read()
    .catch(() => {})
}

const until = performance.now() + Number(options.seconds) * 1000
const began = performance.now()
for (let number = 0; performance.now() < until; number++) {
  current = options.only === undefined ? number : Number(options.only)
  let slow = await sequence(current)
  // On a busy machine a part may take long without being slow itself. Then it is not slow each time.
  for (let again = 0; slow > 0 && again < 3; again++) slow = Math.min(slow, await sequence(current))
  if (slow > 0) fail(`${slow} parts cost more than ${MAX_BLOCK} ms`)
  counted.sequences += 1
  if (options.only !== undefined) break
  if (number % 50 === 49) await checkMemory()
}
await checkMemory()

/** Finalizers free some memory only in later turns. */
async function checkMemory() {
  for (let count = 0; count < 5; count++) {
    globalThis.gc?.()
    await turn()
  }
  const { heapUsed, external } = process.memoryUsage()
  if (globalThis.gc !== undefined && heapUsed + external > MAX_MEMORY) {
    fail(`${Math.round((heapUsed + external) / 2 ** 20)} MiB are held after a collection`)
  }
}

const { heapUsed, external, rss } = process.memoryUsage()
const mib = (bytes) => Math.round(bytes / 2 ** 20)
say(
  `${counted.sequences} sequences, ${counted.messages} messages, ${counted.parts} parts in ` +
    `${Math.round((performance.now() - began) / 1000)} s; longest part ${counted.longest.toFixed(1)} ms; ` +
    `${mib(heapUsed + external)} MiB held, ${mib(rss)} MiB resident; ${counted.refused} messages could not be encoded`,
)
process.exit(0)

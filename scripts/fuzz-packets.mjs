// Fuzzes what a participant can send by data packets: whole, changed and made up ones, in any order, into a connected room
// with handlers of all kinds.
//
//     node --expose-gc --max-old-space-size=1024 scripts/fuzz-packets.mjs --seconds=600 --seed=1
//
// Needs a build (`npm run build:dev`). It ends with 1 and the number of the sequence when an exception leaves the room, the
// event loop stops for more than 50 ms each time that a sequence runs, counters do not close, or memory grows.
import { createRequire } from 'node:module'
import { setImmediate as turn } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { compiled } from './lib/bundle.mjs'
import { PacketMaker } from './lib/packet-mutations.mjs'
import { Dice } from './lib/signal-mutations.mjs'
import { say } from './lib/steps.mjs'

const require = createRequire(import.meta.url)
const protocol = require('@livekit/protocol')
const { ExternalE2EEKeyProvider, Loopback, Room, RoomEvent, setLogLevel, setLogger } = require(
  compiled('index.js'),
)
const { MessageIntake } = require(compiled('src/data-packet/intake.js'))

const { values: options } = parseArgs({
  options: {
    seconds: { type: 'string', default: '10' },
    /** So many sequences, however long they take. */
    sequences: { type: 'string' },
    seed: { type: 'string', default: '1' },
    /** Only that sequence, with all that is logged. */
    only: { type: 'string' },
    /** The room throws in that sequence, to see that it is noticed. */
    'fail-at': { type: 'string' },
  },
})

/** ms for which the event loop may stop. */
const MAX_BLOCK = 50
/** Bytes that may be held more after a collection than after the first sequences. */
const MAX_GROWTH = 64 * 2 ** 20
/** Sequences after which memory is looked at. */
const MEMORY_EVERY = 25
/** Bytes that are held of streams in a room, all together: few, so that the limits are met. */
const LIMITS = { maxBufferedBytes: 500_000, maxTotalBufferedBytes: 8_000_000, maxStreamsPerSender: 20 }

const seed = Number(options.seed)
const counted = { sequences: 0, packets: 0, delivered: 0, streams: 0, calls: 0, longest: 0 }
let current = 0

function fail(why, error) {
  say(`FAILED in sequence ${current} of seed ${seed}: ${why}`)
  if (error !== undefined) say(error?.stack ?? String(error))
  say(`Again: node --expose-gc scripts/fuzz-packets.mjs --seed=${seed} --only=${current}`)
  process.exit(1)
}

process.on('uncaughtException', (error) => fail('an exception left a listener or a timer', error))
process.on('unhandledRejection', (error) => fail('a promise was rejected, and nothing handles it', error))

const nothing = () => {}
setLogger({
  ...(options.only === undefined
    ? { trace: nothing, debug: nothing, info: nothing, warn: nothing }
    : console),
  // What a handler of the room throws is caught and logged: a fault all the same.
  error: (_, message) => fail(`an error was logged: ${message}`),
})
setLogLevel(options.only === undefined ? 'error' : 'debug')

/** ms: of the clock, and of the processor, which may be with other programs meanwhile. */
function times() {
  const { user, system } = process.cpuUsage()
  return { clock: performance.now(), processor: (user + system) / 1000 }
}

/** Measures the turns of the event loop. */
class LoopWatch {
  longest = 0
  #last = times()
  #over = false

  constructor() {
    this.#tick()
  }

  stop() {
    this.#over = true
  }

  #tick() {
    const now = times()
    const { clock, processor } = this.#last
    this.longest = Math.max(this.longest, Math.min(now.clock - clock, now.processor - processor))
    this.#last = now
    if (!this.#over) setImmediate(() => this.#tick())
  }
}

/** A room that is fed with messages as a connection to a server feeds it, and shows what it sends. */
class FuzzedRoom extends Room {
  /** Messages that were handed in, and not handled yet. */
  left = 0
  #waiting = []
  #intake = new MessageIntake(
    () => this.#waiting.splice(0),
    ({ channel, data }) => {
      this.left -= 1
      this.engine.receiveMessage(channel, data)
    },
  )

  feed(messages) {
    this.left += messages.length
    this.#waiting.push(...messages)
    this.#intake.wake()
  }

  stopFeeding() {
    this.#intake.close()
  }
}

/** Handlers as programs have them: that read, that read slowly, that do not read, that throw. */
function listen(room, dice) {
  room.registerTextStreamHandler('read', (reader) => {
    counted.streams += 1
    reader.readAll().catch(nothing)
  })
  room.registerTextStreamHandler('iterate', async (reader) => {
    try {
      for await (const text of reader) if (text.length > 10_000) break
    } catch {
      // A stream that breaks off.
    }
  })
  room.registerTextStreamHandler('', nothing)
  room.registerByteStreamHandler('read', (reader) => {
    counted.streams += 1
    reader.bytes().catch(nothing)
  })
  room.registerByteStreamHandler('iterate', async (reader) => {
    try {
      for await (const piece of reader) if (piece.length === 0) await turn()
    } catch {
      // The same.
    }
  })
  room.registerByteStreamHandler('ignore', nothing)
  room.registerByteStreamHandler('__proto__', nothing)
  const answered = (answer) => () => {
    counted.calls += 1
    return answer()
  }
  room.registerRpcMethod(
    'echo',
    answered(() => 'x'.repeat(dice.pick([1, 20_000]))),
  )
  room.registerRpcMethod(
    'fail',
    answered(() => {
      throw new Error('as handlers do')
    }),
  )
  room.registerRpcMethod(
    'never',
    answered(() => new Promise(nothing)),
  )
  room.registerRpcMethod(
    '__proto__',
    answered(() => ''),
  )
  for (const event of Object.values(RoomEvent)) room.on(event, nothing)
  readTranscriptions(room).catch(nothing)
  // One that is never read.
  room.transcriptions()
}

async function readTranscriptions(room) {
  for await (const { text } of room.transcriptions()) if (typeof text !== 'string') failOnPurpose()
}

function failOnPurpose() {
  throw new Error('on purpose')
}

/** The key of encrypted rooms is derived once: that is slow on purpose. */
const keyProvider = new ExternalE2EEKeyProvider({ keyDerivation: 'HKDF', failureTolerance: 50 })
await keyProvider.setKey(Buffer.from('key'))

/** One room's life. Returns the longest stop of the event loop. */
async function sequence(number) {
  const dice = new Dice(seed * 1_000_003 + number)
  const maker = new PacketMaker(protocol, dice)
  const encryption = dice.chance(0.3) ? { keyProvider } : undefined
  const sfu = new Loopback({ seed: number })
  const room = new FuzzedRoom({ encryption, dataStreams: LIMITS, rpc: { maxRequestBytes: 100_000 } })
  const alice = new FuzzedRoom({ encryption })
  sfu.join('alice', { room: alice })
  sfu.join('mallory', { encryption })
  // What the room sends: it has the ids of calls that wait for an answer.
  alice.engine.receiveMessage = (_, data) => {
    const { value } = protocol.DataPacket.fromBinary(data)
    if (value.case === 'rpcRequest') maker.known.push(value.value.id)
    if (value.case === 'streamHeader') maker.known.push(value.value.attributes['lk.rpc_request_id'] ?? '')
  }
  sfu.join('bob', { room })
  // Handlers run when they run: they must not change what comes next.
  listen(room, new Dice(number))
  if (encryption !== undefined)
    while (alice.engine.connection.native.sealMessage(new Uint8Array(1)) === 'wait') await turn()
  const seal =
    encryption &&
    ((bytes) => {
      const { iv, keyIndex, ciphertext } = alice.engine.connection.native.sealMessage(bytes)
      return { iv, keyIndex, payload: ciphertext }
    })
  const made = []
  for (let count = 30 + dice.below(150); count > 0; count--) made.push(...maker.messages(seal))
  const batches = []
  for (let at = 0; at < made.length;) batches.push(made.slice(at, (at += 1 + dice.below(60))))
  if (options['fail-at'] === String(number)) room.engine.receiveMessage = failOnPurpose
  const watch = new LoopWatch()
  for (const batch of batches) {
    counted.packets += batch.length
    room.feed(batch)
    if (dice.chance(0.2)) call(room, dice)
    if (dice.chance(0.03)) await sfu.reconnect('bob', dice.chance(0.5) ? 'resume' : 'full')
    if (dice.chance(0.03)) await someoneElseLeaves(sfu, encryption)
    if (dice.chance(0.02)) room.unregisterRpcMethod(dice.pick(['echo', 'fail']))
    if (dice.chance(0.3)) await turn()
  }
  while (room.left > 0) await turn()
  for (let count = 0; count < 3; count++) await turn()
  watch.stop()
  counted.longest = Math.max(counted.longest, watch.longest)
  checkSums(room)
  room.stopFeeding()
  await room.disconnect()
  sfu.close()
  return watch.longest
}

function call(room, dice) {
  const destinationIdentity = dice.pick(['alice', 'mallory', 'nowhere'])
  room.localParticipant
    .performRpc({
      destinationIdentity,
      method: 'm',
      payload: 'p'.repeat(dice.pick([1, 20_000])),
      responseTimeout: 1000,
    })
    .catch(nothing)
}

async function someoneElseLeaves(sfu, encryption) {
  sfu.kick('mallory')
  await turn()
  sfu.join('mallory', { encryption })
}

const total = (counts) => Object.values(counts).reduce((sum, count) => sum + count, 0)

function checkSums(room) {
  const packets = room.dataPacketStats()
  counted.delivered += packets.delivered
  if (packets.received !== packets.delivered + total(packets.dropped) + packets.held)
    fail(`counters of data packets do not close: ${JSON.stringify(packets)}`)
  const streams = room.dataStreamStats()
  const { received, completed, failed, cancelled, open, dropped, bufferedBytes } = streams
  if (received !== completed + failed + cancelled + open + total(dropped))
    fail(`counters of data streams do not close: ${JSON.stringify(streams)}`)
  if (bufferedBytes < 0 || bufferedBytes > LIMITS.maxTotalBufferedBytes)
    fail(`${bufferedBytes} bytes of streams are said to be held`)
}

/** Bytes that are held after a collection. What finalizers free, they free in later turns. */
async function held() {
  for (let count = 0; count < 5; count++) {
    globalThis.gc?.()
    await turn()
  }
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

const mib = (bytes) => Math.round(bytes / 2 ** 20)
const began = performance.now()
const isOver = (number) =>
  options.sequences === undefined
    ? performance.now() - began > Number(options.seconds) * 1000
    : number >= Number(options.sequences)

let atFirst
async function checkMemory() {
  const now = await held()
  atFirst ??= now
  if (globalThis.gc !== undefined && now - atFirst > MAX_GROWTH)
    fail(`${mib(now)} MiB are held after a collection, and were ${mib(atFirst)} MiB at first`)
}

for (let number = 0; !isOver(number); number++) {
  current = options.only === undefined ? number : Number(options.only)
  let longest = await sequence(current)
  // A machine that does other things, too, stops a program for no reason of its own: then not each time.
  for (let again = 0; longest > MAX_BLOCK && again < 3; again++)
    longest = Math.min(longest, await sequence(current))
  if (longest > MAX_BLOCK) fail(`the event loop stopped for ${longest.toFixed(1)} ms`)
  counted.sequences += 1
  if (options.only !== undefined) break
  if (number % MEMORY_EVERY === MEMORY_EVERY - 1) await checkMemory()
}
await checkMemory()

say(
  `${counted.sequences} sequences, ${counted.packets} packets, ${counted.delivered} delivered, ${counted.streams} streams ` +
    `read, ${counted.calls} calls answered in ${Math.round((performance.now() - began) / 1000)} s; longest stop ` +
    `${counted.longest.toFixed(1)} ms; ${mib(await held())} MiB held, ${mib(process.memoryUsage().rss)} MiB resident`,
)
process.exit(0)

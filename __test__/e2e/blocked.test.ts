/** JavaScript is blocked for half a minute. The server waits less than that for a ping on signalling. */
import { setTimeout as delay } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { Child } from '../helpers/child'
import { Scene, seen } from '../helpers/scene'
import { withServer } from '../helpers/with-server'

const BLOCKED_MS = 30_000
/** Frames that are queued right before the publisher blocks. All of them fit into its queue. */
const BURST = 200

const server = withServer()

/** The beginning of both programs: a room that records its connection events. */
const joined = (token: string) => `
  const room = new datatrack.Room()
  const events = []
  for (const name of ['reconnecting', 'reconnected', 'disconnected']) room.on(name, () => events.push(name))
  await room.connect(${JSON.stringify(server.url)}, ${JSON.stringify(token)})
  const block = () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ${BLOCKED_MS})`

/** Tells the test how many packets arrived while it was blocked, and then the number of each frame. */
const subscriber = (token: string) => `${joined(token)}
  const stream = (await seen(room, 'alices')).subscribe()
  await stream.read()
  const { received } = room.packetStats()
  block()
  say(room.packetStats().received - received)
  void hear().then(() => stream.close())
  for await (const { userTimestamp } of stream) say(Number(userTimestamp))
  say([room.state, ...events])
  await room.disconnect()`

/** Queues frames and blocks in the same turn of the event loop. Then it tells the test, and goes on publishing. */
const publisher = (token: string) => `${joined(token)}
  const track = await room.localParticipant.publishDataTrack({ name: 'bobs', maxQueueAge: Infinity })
  let subscribed = false
  void hear().then(() => { subscribed = true })
  while (!subscribed) {
    await track.push({ payload: new Uint8Array(1), userTimestamp: 0n })
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  for (let number = 1; number <= ${BURST}; number++) {
    track.tryPush({ payload: new Uint8Array(1000), userTimestamp: BigInt(number) })
  }
  block()
  say('blocked')
  let over = false
  void hear().then(() => { over = true })
  for (let number = ${BURST} + 1; !over; number++) {
    await track.push({ payload: new Uint8Array(1000), userTimestamp: BigInt(number) })
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  say([room.state, ...events])
  await room.disconnect()`

/** Expects that the room has come back after each loss of the connection. */
function wentOn([state, ...events]: readonly string[]): void {
  expect(state).toBe('connected')
  expect(events.join(' ').replaceAll('reconnecting reconnected', '').trim()).toBe('')
}

// Both tests wait for half a minute, at the same time.
it.concurrent(
  'packets are acknowledged while the subscriber’s event loop is blocked, and its stream then goes on',
  () =>
    Scene.with(server, async (scene) => {
      const alice = await scene.join('alice')
      const local = await alice.localParticipant.publishDataTrack({ name: 'alices' })
      let number = 0
      const timer = setInterval(() => {
        local.tryPush({ payload: new Uint8Array(100), userTimestamp: BigInt(++number) })
      }, 10)
      try {
        await Child.with(subscriber(await scene.token('bob')), {}, async (bob) => {
          // Alice sends a packet each 10 ms. On a busy machine it may take twice as long.
          expect(await bob.next<number>()).toBeGreaterThan(BLOCKED_MS / 10 / 2)
          const unblocked = number
          while ((await bob.next<number>()) <= unblocked);
          bob.tell('enough')
          let said = await bob.next<number | string[]>()
          while (!Array.isArray(said)) said = await bob.next()
          wentOn(said)
          expect(await bob.end()).toEqual({ code: 0, stderr: '' })
        })
      } finally {
        clearInterval(timer)
      }
    }),
  90_000,
)

it.concurrent(
  'frames that were queued are sent while the publisher’s event loop is blocked, and it publishes on afterwards',
  () =>
    Scene.with(server, async (scene) => {
      const alice = await scene.join('alice')
      await Child.with(publisher(await scene.token('bob')), {}, async (bob) => {
        const stream = (await seen(alice, 'bobs')).subscribe({ maxBufferAge: Infinity })
        await stream.read()
        bob.tell('go')
        let unblocked = false
        const blocked = bob.next().then(() => (unblocked = true))
        let [arrived, newest] = [0, 0]
        const reading = (async () => {
          for await (const { userTimestamp } of stream) {
            newest = Number(userTimestamp)
            if (newest > 0) arrived++
          }
        })()
        // A busy server drops packets of a burst, and says so.
        const lost = () => server.droppedPackets('bobs').get('alice') ?? 0
        while (arrived + lost() < BURST) await delay(20)
        expect(unblocked).toBe(false)
        await blocked
        while (newest < BURST + 10) await delay(20)
        stream.close()
        await reading
        bob.tell('enough')
        wentOn(await bob.next<string[]>())
        expect(await bob.end()).toEqual({ code: 0, stderr: '' })
      })
    }),
  90_000,
)

/** A link that stands still for ten seconds while ten times as much is offered as it carries. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { setTimeout as delay } from 'node:timers/promises'
import { Child } from '../helpers/child'
import { BadNetwork } from '../../scripts/lib/bad-network.cjs'
import { LivekitServer } from '../helpers/livekit-server'

const STALL_MS = 10_000
/** What the link carries, and what is offered: bytes a second. */
const CARRIED = 1_000_000
const OFFERED = 10 * CARRIED
/** ms of one way, and of the queue in front of it. */
const DELAY_MS = 20
const QUEUE_BYTES = 32 << 10
/** ms that a frame may wait at the publisher, by default. */
const QUEUE_AGE_MS = 100
/** More than the channel holds on such a path: what crates/transport/src/connection/limit.rs lets wait in it at most, `QUEUE_MOST`. */
const CHANNEL_LIMIT = 128 << 10
const FRAME_BYTES = 5000
/** What the publisher may grow by meanwhile: its queue has 1 MiB, and the collector is not in a hurry. */
const GROWTH = 16 << 20

let network: BadNetwork
let server: LivekitServer
beforeAll(async () => {
  network = await BadNetwork.start()
  server = await LivekitServer.start({ namespace: network.far })
})
afterAll(async () => {
  await server.stop()
  await network.close()
})

/** Pushes frames at the rate of {@link OFFERED}, each with the time in microseconds. */
const publisher = (token: string) => `
  const room = await datatrack.connect(${JSON.stringify(server.url)}, ${JSON.stringify(token)})
  const track = await room.localParticipant.publishDataTrack({ name: 'track' })
  const payload = new Uint8Array(${FRAME_BYTES})
  const now = () => Math.round((performance.timeOrigin + performance.now()) * 1000)
  const start = now()
  let pushed = 0
  const timer = setInterval(() => {
    while (pushed * ${FRAME_BYTES} < ((now() - start) * ${OFFERED}) / 1e6) {
      pushed++
      try {
        track.tryPush({ payload, userTimestamp: BigInt(now()) })
      } catch (error) {
        if (error.reason !== 'reconnecting') throw error
      }
    }
  }, 5)
  say('publishes')
  await hear()
  clearInterval(timer)
  say({ state: room.state, stats: track.stats() })
  await room.disconnect()`

/** Notes when each frame came and how old it was, ms, and says that once a second of frames came after it was told. */
const subscriber = (token: string) => `
  const room = await datatrack.connect(${JSON.stringify(server.url)}, ${JSON.stringify(token)})
  const stream = (await seen(room, 'track')).subscribe()
  const now = () => performance.timeOrigin + performance.now()
  const arrivals = []
  let say_at = Infinity
  void hear().then(() => { say_at = arrivals.length + ${(5 * CARRIED) / FRAME_BYTES / 2} })
  for await (const { userTimestamp } of stream) {
    if (arrivals.length === 0) say('flows')
    const at = now()
    arrivals.push([at, at - Number(userTimestamp) / 1000])
    if (arrivals.length > say_at) break
  }
  say(arrivals)
  await room.disconnect()`

it('a link that stalls keeps the publisher’s memory bounded; then the channel’s content arrives, and only fresh frames', async () => {
  await network.set({ delayMs: DELAY_MS, bytesPerSecond: CARRIED, queueBytes: QUEUE_BYTES })
  const room = `room-${process.pid}`
  await Child.with(
    publisher(await server.token(room, 'alice')),
    { namespace: network.near },
    async (alice) => {
      expect(await alice.next()).toBe('publishes')
      await Child.with(
        subscriber(await server.token(room, 'bob')),
        { namespace: network.far },
        async (bob) => {
          expect(await bob.next()).toBe('flows')
          // What is tested is time itself: the limit of the channel follows the path, and then the path stands still.
          await delay(3000)
          const before = alice.residentBytes
          await network.set({ stall: true })
          await delay(STALL_MS)
          const after = alice.residentBytes
          const released = Date.now()
          await network.set({ stall: false })
          bob.tell('enough')
          const arrivals = (await bob.next<[number, number][]>()).filter(([at]) => at >= released)
          // Of frames that were too old for the queue when the link went on, only those arrive that the channel held. How
          // long later frames take depends on how busy the machine is.
          const stale = arrivals.filter(([at, age]) => at - age < released - QUEUE_AGE_MS)
          expect(stale.length * FRAME_BYTES).toBeLessThanOrEqual(CHANNEL_LIMIT)
          // Those come first.
          expect(arrivals.slice(arrivals.length / 2).filter((arrival) => stale.includes(arrival))).toEqual([])
          expect(after - before).toBeLessThan(GROWTH)
          alice.tell('enough')
          const { state } = await alice.next<{ state: string }>()
          expect(state).toBe('connected')
        },
      )
    },
  )
}, 120_000)

/**
 * Bursts of frames with pauses between them, through a real server: no frame is lost. Another test checks on the
 * driver's own clock that no frame is late (`crates/transport/src/connection/pump/tests/bursts.rs`).
 */
import { setTimeout as delay } from 'node:timers/promises'
import { expect, it } from 'vitest'
import type { ConnectOptions, LocalDataTrack, RemoteDataTrack, Room } from '../../index'
import { flowing, lostByServer, publish, Scene, sum } from '../helpers/scene'
import { withServer } from '../helpers/with-server'

const server = withServer()

/** The bursts: the number of frames, and their rate in frames a second. */
const BURSTS = [1, 2, 3, 10, 150].flatMap((count) => [100, 500, 2000].map((rate) => ({ count, rate })))

/**
 * `pause`: seconds between two bursts. `each`: only every so many-th burst is sent, so that long pauses do not take too
 * long. Each pause has its own publisher, and all publish at the same time. The test waits for real because it tests
 * the pause itself.
 */
const PAUSES = [
  { pause: 0.3, each: 1 },
  { pause: 1, each: 1 },
  { pause: 3, each: 2 },
  { pause: 10, each: 4 },
]

/** ms between two messages of `_reliable`. */
const MESSAGES = 613

const FRAME = new Uint8Array(256)

/** Frames of that size that livekit-server puts into one datagram of 1,200 bytes at most. */
const FRAMES_PER_DATAGRAM = 4

interface Flow {
  readonly label: string
  readonly alice: Room
  readonly bob: Room
  readonly local: LocalDataTrack
  readonly remote: RemoteDataTrack
}

/** Sends a burst. Each frame is sent when it is due, or as soon as the event loop has time after that. */
async function burst(local: LocalDataTrack, count: number, rate: number): Promise<void> {
  const start = performance.now()
  for (let sent = 0; sent < count;) {
    const due = Math.min(count, 1 + Math.floor(((performance.now() - start) * rate) / 1000))
    for (; sent < due; sent++) local.tryPush(FRAME)
    if (sent < count) await delay(1)
  }
}

async function messages(room: Room, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await room.localParticipant.publishData(FRAME, { reliable: true })
    await delay(MESSAGES, undefined, { signal }).catch(() => {})
  }
}

/** Waits until each pushed frame has arrived or is among the losses of the server. The publisher must drop none. */
async function check({ label, bob, local, remote }: Flow, before: number): Promise<void> {
  await local.flush()
  const { pushed, sent, dropped } = local.stats()
  expect({ label, sent, dropped: sum(dropped) }).toEqual({ label, sent: pushed, dropped: 0 })
  const way = { servers: [server], local, to: bob }
  const known = (): number => remote.stats().completed - before + lostByServer(way, FRAMES_PER_DATAGRAM)
  await expect.poll(known, { message: label }).toBeGreaterThanOrEqual(pushed)
}

const modes = (['single', 'dual'] as const).flatMap((peerConnections) =>
  (['udp', 'tcp'] as const).flatMap((iceTransports) =>
    [false, true].map((reliable) => ({ connect: { peerConnections, iceTransports }, reliable })),
  ),
)

async function flows(scene: Scene, connect: ConnectOptions, prefix: string): Promise<Flow[]> {
  const bob = await scene.join('bob', { connect })
  return Promise.all(
    PAUSES.map(async ({ pause }) => {
      const alice = await scene.join(`alice-${pause}`, { connect })
      const label = `${prefix}, ${pause} s`
      return { label, alice, bob, ...(await publish(alice, bob, { name: label })) }
    }),
  )
}

// All modes run at the same time, because they wait most of the time.
it('a burst of frames after a pause arrives without a loss', { timeout: 120_000 }, async () => {
  await Promise.all(
    modes.map(({ connect, reliable }) =>
      Scene.with(server, async (scene) => {
        const prefix = `${connect.peerConnections} ${connect.iceTransports}${reliable ? ' with messages' : ''}`
        await Promise.all(
          (await flows(scene, connect, prefix)).map(async (flow, index) => {
            const { alice, local, remote } = flow
            const { pause, each } = PAUSES[index]!
            const stream = remote.subscribe()
            await flowing(local, stream)
            // Frames count from here on. Probes before the first that arrived may have been lost.
            await local.flush()
            const before = remote.stats().completed - local.stats().pushed
            const done = new AbortController()
            const talking = reliable ? messages(alice, done.signal) : undefined
            // It is awaited below. If something else fails before that, the room ends, and this rejection must not be
            // unhandled.
            talking?.catch(() => {})
            try {
              for (const [at, { count, rate }] of BURSTS.entries()) {
                if ((at + index) % each !== 0) continue
                await delay(pause * 1_000)
                await burst(local, count, rate)
              }
            } finally {
              done.abort()
              await talking
            }
            await check(flow, before)
            stream.close()
          }),
        )
      }),
    ),
  )
})

/** Frames and messages that were accepted before an end arrive. The end does not cut them off. */
import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { connect } from '../../index'
import type { ConnectOptions, DataTrackStream, LocalDataTrack, Room } from '../../index'
import { Child } from '../helpers/child'
import { event, flowing, next, publish, Scene, seen } from '../helpers/scene'
import { withServer } from '../helpers/with-server'

const server = withServer()

/** How often each kind of end is tried. */
const ROUNDS = Number(process.env['DATATRACK_ROUNDS'] ?? 8)
/** Participants that leave at the same time. */
const AT_ONCE = 8
/** ms. Each group of rounds takes 3 s, because livekit-server announces participants without media only every 3 s. */
const timeout = 60_000 + Math.ceil(ROUNDS / AT_ONCE) * 5_000

const bytes = (text: string): Uint8Array => Buffer.from(text)

/**
 * The outcome of a round. `complete`: all data arrived. `unsent`: livekit-server had received all of it, but not all
 * arrived; or a lossy message did not arrive, of which the server says nothing. `late`: not all arrived, and the end took
 * all the time that it may take, as on a busy machine. `lost`: not all arrived, for another reason.
 */
type Outcome = 'complete' | 'unsent' | 'late' | 'lost'

/** ms that `disconnect()` waits at most until accepted data has reached the server. */
const LINGER_TIMEOUT = 1000

/** Datagrams so far that did not come to a room. It notices that when a later one comes. */
const unsentTo = (room: Room): number => room.stats().connection?.datagramsLost ?? 0

let others = 0

/** Lets another participant send something to bob, and waits until it is there. */
async function another(scene: Scene, bob: Room): Promise<void> {
  const name = `another-${++others}`
  const carol = await scene.join(name)
  const arrived = message(bob, name)
  await carol.localParticipant.publishData(bytes('later'), { reliable: true, topic: name })
  await arrived
}

/** Disconnects a room. Returns whether that took all the time that it may take. */
async function leave(room: Room): Promise<boolean> {
  const start = performance.now()
  await room.disconnect()
  return performance.now() - start >= LINGER_TIMEOUT
}

/**
 * Runs rounds, some at a time, and returns how many of them lost data. Now and then livekit-server encrypts a datagram
 * and does not send it. On a busy machine, it puts what several participants sent into one datagram. So each of these
 * datagrams can explain as many `unsent` rounds as there are at once, and no more.
 *
 * The end of a track comes by signalling, and may overtake its last packets. Bob counts these as `unknownHandle` or
 * `unsubscribed`.
 */
async function lost(
  scene: Scene,
  bob: Room,
  what: string,
  round: (name: string) => Promise<Outcome>,
): Promise<number> {
  const overtaken = (): number => {
    const { unknownHandle = 0, unsubscribed = 0 } = bob.packetStats().dropped
    return unknownHandle + unsubscribed
  }
  const before = [unsentTo(bob), overtaken()] as const
  const outcomes: Outcome[] = []
  for (let at = 0; at < ROUNDS; at += AT_ONCE) {
    const names = Array.from(
      { length: Math.min(AT_ONCE, ROUNDS - at) },
      (_, index) => `${what}-${at + index}`,
    )
    outcomes.push(...(await Promise.all(names.map(round))))
  }
  const count = (outcome: Outcome): number => outcomes.filter((each) => each === outcome).length
  if (count('unsent') > 0) {
    await another(scene, bob)
    // A packet without a track waits a moment for the server to name that track.
    while (bob.packetStats().held > 0) await delay(20)
  }
  const byServer = unsentTo(bob) - before[0]
  const late = overtaken() - before[1]
  if (ROUNDS >= 100) {
    const counts = (['complete', 'unsent', 'late', 'lost'] as const).map(
      (outcome) => `${outcome} ${count(outcome)}`,
    )
    console.log(
      `${what}: ${counts.join(', ')}; datagrams that did not come: ${byServer}, overtaken packets: ${late}`,
    )
  }
  // Even on a busy machine, most rounds must end in time.
  expect(count('late')).toBeLessThanOrEqual(ROUNDS / 2)
  return count('lost') + Math.max(0, count('unsent') - AT_ONCE * byServer - late)
}

/** The outcome for a message. livekit-server keeps a reliable one until the subscriber has it. */
function outcome(arrived: boolean, late: boolean, otherwise: 'lost' | 'unsent' = 'lost'): Outcome {
  if (arrived) return 'complete'
  return late ? 'late' : otherwise
}

/** Frames that are pushed before an end. */
const FRAMES = 5

/** On a busy machine, frames may wait longer than the default age. The test is not about frames dropped for that. */
const patient = { maxQueueAge: Infinity }

/**
 * Bytes of a frame. Frames are small because livekit-server sends at most 8 KiB ahead. All of them fit into one
 * datagram.
 */
const FRAME_BYTES = 100

function push(track: LocalDataTrack): void {
  for (let frame = 0; frame < FRAMES; frame++) track.tryPush({ payload: new Uint8Array(FRAME_BYTES) })
}

/** The outcome for frames: whether all arrived before the end of the track, or had reached the server by then. */
async function framesOf(local: LocalDataTrack, stream: DataTrackStream, late = false): Promise<Outcome> {
  let frames = 0
  while ((await next(stream).catch(() => undefined)) !== undefined) frames++
  if (frames === FRAMES) return 'complete'
  const { pushed, packetsSent } = local.stats()
  // The server logs how many packets it has received when the track has ended.
  while (server.receivedPackets(local.info.sid) === 0) await delay(20)
  if (ROUNDS >= 100) console.log(local.name, frames, local.stats(), server.receivedPackets(local.info.sid))
  const had = packetsSent === pushed && server.receivedPackets(local.info.sid) === packetsSent
  if (had) return 'unsent'
  return late ? 'late' : 'lost'
}

/** ms in which a message arrives although signalling has told before that its sender has left. */
const OVERTAKEN = 2000

/** Whether a message of that topic arrives. It is not waited for when its sender has left. */
function message(room: Room, sender: string, wanted = sender): Promise<boolean> {
  return new Promise((resolve) => {
    const stop = (arrived: boolean): void => {
      room.off('dataReceived', received)
      room.off('participantDisconnected', left)
      resolve(arrived)
    }
    const received = (_: Uint8Array, __: unknown, ___: unknown, topic?: string): void => {
      if (topic === wanted) stop(true)
    }
    const left = ({ identity }: { identity: string }): void => {
      if (identity === sender) setTimeout(stop, OVERTAKEN, false)
    }
    room.on('dataReceived', received)
    room.on('participantDisconnected', left)
  })
}

/** Resolves when a room knows a participant. Only then will the room be told that the participant has left. */
async function knows(room: Room, identity: string): Promise<void> {
  while (!room.remoteParticipants.has(identity)) await event(room, 'participantConnected')
}

// The tests run concurrently, because livekit-server announces participants without media only every 3 s.
describe.concurrent.each(['single', 'dual'] as const)(
  'with peer connections: %s',
  { timeout },
  (peerConnections) => {
    const options: ConnectOptions = { peerConnections }
    const withBob = (use: (scene: Scene, bob: Room) => Promise<void>) => () =>
      Scene.with(server, async (scene) => {
        const before = (room: Room): void => void room.setMaxListeners(4 * AT_ONCE)
        await use(scene, await scene.join('bob', { connect: options, before }))
      })

    it(
      'lossy data before disconnect() arrives',
      withBob(async (scene, bob) => {
        const failed = await lost(scene, bob, `lossy-${peerConnections}`, async (name) => {
          const told = message(bob, name)
          const alice = await scene.join(name, { connect: options })
          await knows(bob, name)
          await alice.localParticipant.publishData(bytes('last'), { topic: name })
          const late = await leave(alice)
          return outcome(await told, late, 'unsent')
        })
        expect(failed).toBe(0)
      }),
    )

    it(
      'reliable data before disconnect() arrives, awaited or not',
      withBob(async (scene, bob) => {
        const failed = await lost(scene, bob, `reliable-${peerConnections}`, async (name) => {
          const both = Promise.all([message(bob, name), message(bob, name, `${name}-last`)])
          const alice = await scene.join(name, { connect: options })
          await knows(bob, name)
          await alice.localParticipant.publishData(bytes('first'), { reliable: true, topic: name })
          const last = alice.localParticipant.publishData(bytes('last'), {
            reliable: true,
            topic: `${name}-last`,
          })
          const sent = last.then(() => true).catch(() => false)
          const late = await leave(alice)
          return outcome((await sent) && (await both).every(Boolean), late)
        })
        expect(failed).toBe(0)
      }),
    )

    it(
      'a text before disconnect() arrives',
      withBob(async (scene, bob) => {
        const texts = new Map<string, string>()
        bob.registerTextStreamHandler('last', async (reader, { identity }) => {
          texts.set(identity, await reader.readAll())
        })
        const failed = await lost(scene, bob, `text-${peerConnections}`, async (name) => {
          const left = gone(bob, name)
          const alice = await scene.join(name, { connect: options })
          await knows(bob, name)
          await alice.localParticipant.sendText('goodbye', { topic: 'last' })
          const late = await leave(alice)
          await left
          return outcome(texts.get(name) === 'goodbye', late)
        })
        expect(failed).toBe(0)
      }),
    )

    const frames = (what: string, end: (alice: Room, local: LocalDataTrack) => Promise<boolean>) =>
      withBob(async (scene, bob) => {
        const failed = await lost(scene, bob, `${what}-${peerConnections}`, async (name) => {
          const alice = await scene.join(name, { connect: options })
          const { local, remote } = await publish(alice, bob, { name, ...patient })
          const stream = remote.subscribe()
          await flowing(local, stream)
          push(local)
          const left = end(alice, local)
          return await framesOf(local, stream, await left)
        })
        expect(failed).toBe(0)
      })

    it(
      'frames before flush() and disconnect() arrive',
      frames('disconnect', async (alice, local) => {
        await local.flush()
        return await leave(alice)
      }),
    )

    it(
      'frames before disconnect() without flush() arrive',
      frames('unflushed', (alice) => leave(alice)),
    )

    it(
      'frames arrive before withDataTrack() ends, before writable({ unpublish: true }) ends, and before flush() and unpublish()',
      withBob(async (scene, bob) => {
        const alice = await scene.join('alice', { connect: options })
        const ready = async (track: LocalDataTrack): Promise<DataTrackStream> => {
          const stream = (await seen(bob, track.name)).subscribe()
          await flowing(track, stream)
          return stream
        }
        const scoped = await lost(scene, bob, `scoped-${peerConnections}`, async (name) => {
          let [local, stream]: [LocalDataTrack?, DataTrackStream?] = []
          await alice.localParticipant.withDataTrack({ name, ...patient }, async (track) => {
            ;[local, stream] = [track, await ready(track)]
            push(track)
          })
          return await framesOf(local!, stream!)
        })
        const written = await lost(scene, bob, `written-${peerConnections}`, async (name) => {
          const track = await alice.localParticipant.publishDataTrack({ name, ...patient })
          const stream = await ready(track)
          const writer = track.writable({ unpublish: true }).getWriter()
          for (let frame = 0; frame < FRAMES; frame++)
            void writer.write({ payload: new Uint8Array(FRAME_BYTES) })
          await writer.close()
          return await framesOf(track, stream)
        })
        const flushed = await lost(scene, bob, `flushed-${peerConnections}`, async (name) => {
          const track = await alice.localParticipant.publishDataTrack({ name, ...patient })
          const stream = await ready(track)
          push(track)
          await track.flush()
          await track.unpublish()
          return await framesOf(track, stream)
        })
        expect({ scoped, written, flushed }).toEqual({ scoped: 0, written: 0, flushed: 0 })
      }),
    )

    it(
      'data before the end of `await using` arrives',
      withBob(async (scene, bob) => {
        const failed = await lost(scene, bob, `using-${peerConnections}`, async (name) => {
          const told = message(bob, name)
          const token = await scene.token(name)
          let start: number
          {
            await using alice = await connect(server.url, token, options)
            await knows(bob, name)
            await alice.localParticipant.publishData(bytes('last'), { topic: name })
            start = performance.now()
          }
          return outcome(await told, performance.now() - start >= LINGER_TIMEOUT, 'unsent')
        })
        expect(failed).toBe(0)
      }),
    )
  },
)

describe.concurrent('a program that publishes and disconnects', () => {
  const end = (words: string) => () =>
    Scene.with(server, async (scene) => {
      const bob = await scene.join('bob')
      const token = await scene.token('alice')
      const source = `
        const room = await datatrack.connect(${JSON.stringify(server.url)}, ${JSON.stringify(token)})
        await hear()
        ${words}`
      const before = unsentTo(bob)
      const told = message(bob, 'alice')
      await Child.with(source, {}, async (child) => {
        await knows(bob, 'alice')
        child.tell('now')
        expect(await child.end()).toMatchObject({ code: 0, stderr: '' })
      })
      if (await told) return
      // As above, livekit-server may not have sent it.
      await another(scene, bob)
      expect(unsentTo(bob)).toBeGreaterThan(before)
    })
  const publish = `await room.localParticipant.publishData(Buffer.from('last'), { topic: 'alice' })`

  it('exits once its data has arrived', end(`${publish}; await room.disconnect()`))
  it('exits once its data has arrived, even if it does not wait', end(`${publish}; void room.disconnect()`))
  it(
    'exits once its data has arrived, with an unreferenced room',
    end(`room.unref(); ${publish}; void room.disconnect()`),
  )
})

function gone(room: Room, identity: string): Promise<void> {
  return new Promise((resolve) => {
    const left = (participant: { identity: string }): void => {
      if (participant.identity !== identity) return
      room.off('participantDisconnected', left)
      resolve()
    }
    room.on('participantDisconnected', left)
  })
}

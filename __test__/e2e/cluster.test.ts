import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { RoomEvent } from '../../index'
import type { ConnectOptions, Room } from '../../index'
import { LivekitServer } from '../helpers/livekit-server'
import { Redis } from '../helpers/redis'
import { carried, event, flowing, lossesOf, pattern, publish, Scene, sum } from '../helpers/scene'

let redis: Redis
let nodes: [LivekitServer, LivekitServer]
// For each test: a node that was killed stays in the Redis for a while, and may be chosen for a room.
beforeEach(async () => {
  redis = await Redis.start()
  const cluster = { redis: redis.address, secret: randomBytes(24).toString('hex') }
  nodes = [await LivekitServer.start({ cluster }), await LivekitServer.start({ cluster })]
})
afterEach(async () => {
  for (const node of nodes) await node.stop()
  await redis.stop()
})

/** Who has a session in the room at that node, as its log says. */
function sessionsAt(node: LivekitServer, room: string): string[] {
  return readFileSync(node.log, 'utf8')
    .split('\n')
    .filter((line) => line.includes('starting RTC session') && line.includes(`"room": "${room}"`))
    .map((line) => /"participant": "([^"]*)"/.exec(line)![1]!)
}

/** Frames of all sizes from one to the other: none is lost but by a server that says so, none is changed. */
async function frames(from: Room, to: Room, name: string): Promise<void> {
  const { local, remote } = await publish(from, to, { name })
  const stream = remote.subscribe()
  await flowing(local, stream)
  let losses = 0
  for (const size of [0, 1, 256, 15_900, 16_100, 100_000]) {
    const frame = { payload: pattern(size), userTimestamp: BigInt(size) }
    losses += await lossesOf({ servers: nodes, local, to, remote, stream }, frame)
  }
  expect([sum(local.stats().dropped), sum(remote.stats().dropped)]).toEqual([0, losses])
  stream.close()
  await local.unpublish()
}

describe.each(['single', 'dual'] as const)(
  'two nodes with a Redis, peer connections: %s',
  (peerConnections) => {
    const connect: ConnectOptions = { peerConnections }

    it.each([0, 1])('who enters through different ones meet, the first through node %i', async (first) => {
      const [here, there] = [nodes[first]!, nodes[1 - first]!]
      await Scene.with(here, async (scene) => {
        const alice = await scene.join('alice', { connect })
        const bob = await scene.join('bob', { connect, url: there.url })
        await frames(alice, bob, 'to bob')
        await frames(bob, alice, 'to alice')
        // The room is at one node; so one of the two came there by way of the other.
        const sessions = nodes.map((node) => sessionsAt(node, scene.name).sort())
        expect(sessions.sort((left, right) => left.length - right.length)).toEqual([[], ['alice', 'bob']])
      })
    })

    it('a node that only passes signalling on can be restarted: track and stream go on', async () => {
      await Scene.with(nodes[0], async (scene) => {
        const alice = await scene.join('alice', { connect })
        const [host, entry] = sessionsAt(nodes[0], scene.name).length > 0 ? nodes : nodes.toReversed()
        const bob = await scene.join('bob', { connect, url: entry!.url })
        expect([sessionsAt(host!, scene.name), sessionsAt(entry!, scene.name)]).toEqual([
          ['alice', 'bob'],
          [],
        ])
        const { local, remote } = await publish(bob, alice)
        const stream = remote.subscribe()
        await flowing(local, stream)
        // Alice came in there as well, unless the room happens to be where she did.
        const cut = entry === nodes[0] ? [alice, bob] : [bob]
        const back = Promise.all(cut.map((room) => event(room, RoomEvent.Reconnected)))
        await entry!.restart()
        // Resumed or rebuilt: that depends on how many attempts came before the node was there again.
        await back
        await flowing(local, stream)
        expect(await carried(local, stream, { payload: pattern(256), userTimestamp: 1n })).toBe(true)
      })
    })
  },
)

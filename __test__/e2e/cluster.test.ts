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
// Each test has its own cluster. A killed node stays in the Redis for a while, and could be chosen for a room.
beforeEach(async () => {
  redis = await Redis.start()
  const cluster = { redis: redis.address, secret: randomBytes(24).toString('hex') }
  nodes = [await LivekitServer.start({ cluster }), await LivekitServer.start({ cluster })]
})
afterEach(async () => {
  for (const node of nodes) await node.stop()
  await redis.stop()
})

/** Identities of the participants whose session in the room is on this node, as its log says. */
function sessionsAt(node: LivekitServer, room: string): string[] {
  return readFileSync(node.log, 'utf8')
    .split('\n')
    .filter((line) => line.includes('starting RTC session') && line.includes(`"room": "${room}"`))
    .map((line) => /"participant": "([^"]*)"/.exec(line)![1]!)
}

/** Sends frames of all sizes from one room to the other. None is changed, and only the server may lose some. */
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

    it.each([0, 1])('participants who join through different nodes meet, first node %i', async (first) => {
      const [here, there] = [nodes[first]!, nodes[1 - first]!]
      await Scene.with(here, async (scene) => {
        const alice = await scene.join('alice', { connect })
        const bob = await scene.join('bob', { connect, url: there.url })
        await frames(alice, bob, 'to bob')
        await frames(bob, alice, 'to alice')
        // A room is on one node, so one of the two participants is there through the other node.
        const sessions = nodes.map((node) => sessionsAt(node, scene.name).sort())
        expect(sessions.sort((left, right) => left.length - right.length)).toEqual([[], ['alice', 'bob']])
      })
    })

    it('track and stream survive the restart of a node that only passes signalling on', async () => {
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
        // Alice entered through nodes[0]. If the room is on the other node, the restart cuts her connection, too.
        const cut = entry === nodes[0] ? [alice, bob] : [bob]
        const back = Promise.all(cut.map((room) => event(room, RoomEvent.Reconnected)))
        await entry!.restart()
        // The room is resumed or rebuilt. That depends on how many attempts fail before the node is back.
        await back
        await flowing(local, stream)
        expect(await carried(local, stream, { payload: pattern(256), userTimestamp: 1n })).toBe(true)
      })
    })
  },
)

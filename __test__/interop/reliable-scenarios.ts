/** The reliable side of a room with an SDK: the tests of the files that bring one. The campaign has more of the same. */
import { randomBytes } from 'node:crypto'
import { afterEach, beforeAll, beforeEach, expect, it } from 'vitest'
import { setLogLevel } from '../../index'
import type { Room } from '../../index'
import { receiveText } from '../helpers/data-streams'
import { call, outcome, speakVersion } from '../helpers/rpc-rooms'
import { withServer } from '../helpers/with-server'
import type { PeerSdk, ReliablePeer } from './peers/reliable-peer'
import * as reliable from './reliable'
import { LIMIT, PEER, withPeer } from './reliable'

const CALL_SIZES = [0, 100, LIMIT, LIMIT + 1, 1_000_000]
const STREAM_SIZES = [0, 1, 15_000, 15_001, 1_000_000]
const CONCURRENT = 200

/** The tests with the SDK of today, and with one from before RPC over data streams. */
export function describeReliable(sdk: PeerSdk, old?: PeerSdk): void {
  const server = withServer()
  beforeAll(() => {
    sdk.install()
    old?.install()
  }, 300_000)
  beforeEach(() => setLogLevel('silent'))
  afterEach(() => setLogLevel('warn'))

  // Much of their time is the server's, which tells of those who come and go some seconds later: few rooms.
  it.each([null, 'correct horse'])(
    `with ${sdk.name}, passphrase: %s, calls, data streams and packets work in both directions`,
    (passphrase) =>
      withPeer(server, sdk, passphrase, async (room, peer) => {
        expect(room.remoteParticipants.get(PEER)!.clientProtocol).toBeGreaterThanOrEqual(1)
        await streamsAndPackets(room, peer, sdk, passphrase !== null)
        await calls(room, peer)
        const hanging = outcome(call(room, PEER, 'hang', '', { responseTimeout: 60_000 }))
        expect(await call(room, PEER, 'echo', 'both are there')).toBe('both are there')
        await peer.close()
        expect((await hanging).code).toBe(1503)
      }),
    60_000,
  )

  it(
    `with ${sdk.name}, data streams and packets work in both directions with a single peer connection of ours`,
    () =>
      withPeer(server, sdk, null, (room, peer) => streamsAndPackets(room, peer, sdk, false), {
        peerConnections: 'single',
      }),
    60_000,
  )

  if (old === undefined) return
  it(
    `with ${old.name}, which has no RPC over data streams, version 1 works in both directions within its limits`,
    () =>
      withPeer(server, old, null, async (room, peer) => {
        expect(room.remoteParticipants.get(PEER)!.clientProtocol).toBe(0)
        for (const size of CALL_SIZES) {
          await reliable.ourCall(room, size, true)
          await reliable.theirCall(peer, size, true)
        }
        await reliable.ourErrors(room, true)
        await reliable.theirErrors(peer, true)
        await reliable.ourTimeouts(room, peer)
        await reliable.theirTimeout(peer, true)
        await reliable.ourConcurrentCalls(room, CONCURRENT)
        for (const size of [0, 15_001, 100_000]) {
          await reliable.ourBytes(room, size)
          await reliable.theirBytes(room, peer, size)
          await reliable.ourText(room, size)
          await reliable.theirText(room, peer, size)
        }
        for (const isReliable of [true, false]) {
          await reliable.ourPacket(room, 1000, isReliable)
          await reliable.theirPacket(room, peer, 1000, isReliable)
        }
      }),
    60_000,
  )
}

/** Calls of the other SDK's, and of ours in both versions. */
async function calls(room: Room, peer: ReliablePeer): Promise<void> {
  for (const size of CALL_SIZES) await reliable.theirCall(peer, size, false)
  await reliable.theirErrors(peer, false)
  await reliable.theirTimeout(peer, false)
  await reliable.theirConcurrentCalls(peer, CONCURRENT)
  for (const version of [2, 1] as const) {
    speakVersion(version, room)
    for (const size of CALL_SIZES) await reliable.ourCall(room, size, version === 1)
    await reliable.ourErrors(room, false)
    await reliable.ourConcurrentCalls(room, CONCURRENT)
  }
  await reliable.ourTimeouts(room, peer)
}

/** Bytes and texts there and back, written at once and in pieces, and packets. */
async function streamsAndPackets(
  room: Room,
  peer: ReliablePeer,
  sdk: PeerSdk,
  encrypted: boolean,
): Promise<void> {
  for (const size of STREAM_SIZES) {
    for (const content of [randomBytes(size), Buffer.alloc(size, 'compressible ')]) {
      for (const how of sdk.hows) await reliable.bytesThereAndBack(room, content, how, encrypted)
    }
    await reliable.textThereAndBack(room, randomBytes(size).toString('base64').slice(0, size))
    await reliable.textThereAndBack(room, 'ä三😀'.repeat(size / 9))
  }
  const pieces = ['one ', 'zwölf ', '三', '😀'.repeat(10_000)]
  const arriving = receiveText(room, 'echoed')
  const writer = await room.localParticipant.streamText({ topic: 'echo' })
  for (const piece of pieces) await writer.write(piece)
  await writer.close()
  expect((await arriving).text === pieces.join('')).toBe(true)

  const lossy = encrypted ? sdk.takesSealedLossyFor : 'lossy'
  for (const isReliable of [true, false]) {
    for (const size of [1, 1000, 15_000]) {
      await reliable.ourPacket(room, size, isReliable, lossy)
      await reliable.theirPacket(room, peer, size, isReliable)
    }
  }
}

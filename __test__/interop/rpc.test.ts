import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { ExternalE2EEKeyProvider, RoomEvent, RpcError, setLogLevel } from '../../index'
import type { Room } from '../../index'
import { LivekitServer } from '../helpers/livekit-server'
import { installPython, OLD_VERSION } from '../helpers/python'
import { rejection } from '../helpers/rooms'
import { withChromiumRpc } from '../helpers/rpc-chromium'
import { withPythonRpc } from '../helpers/rpc-python'
import type { PeerCall } from '../helpers/rpc-python'
import { call, outcome, speakVersion } from '../helpers/rpc-rooms'
import { event, Scene } from '../helpers/scene'

let server: LivekitServer
beforeAll(async () => {
  installPython()
  installPython(OLD_VERSION)
  server = await LivekitServer.start()
})
afterAll(() => server.stop())
beforeEach(() => setLogLevel('silent'))
afterEach(() => setLogLevel('warn'))

interface Case {
  readonly name: string
  readonly withPeer: typeof withPythonRpc
  readonly version?: string
}

/** Runs `use` in a room with the other SDK, and handlers of the same names at both sides. */
function withPeers(
  { withPeer, version }: Case,
  passphrase: string | null,
  use: (room: Room, peer: PeerCall) => Promise<void>,
): Promise<void> {
  return Scene.with(server, async (scene) => {
    const keyProvider = new ExternalE2EEKeyProvider()
    if (passphrase !== null) await keyProvider.setKey(passphrase)
    const room = await scene.join('node', {
      ...(passphrase !== null && { room: { encryption: { keyProvider } } }),
    })
    room.registerRpcMethod('echo', ({ payload }) => payload)
    room.registerRpcMethod('make', ({ payload }) => 'x'.repeat(Number(payload)))
    room.registerRpcMethod('fail', ({ callerIdentity }) => {
      throw new RpcError(42, 'b\u00fcsy', callerIdentity)
    })
    room.registerRpcMethod('break', () => {
      throw new Error('secret')
    })
    room.registerRpcMethod('hang', () => new Promise(() => undefined))
    const token = await scene.token('peer')
    const seen = event(room, RoomEvent.ParticipantConnected)
    await withPeer({ url: server.url, token, passphrase, version }, async (peer) => {
      await seen
      await use(room, peer)
    })
  })
}

/** Calls of ours, in that version. */
async function callsOfOurs(room: Room, version: 1 | 2): Promise<void> {
  speakVersion(version, room)
  for (const size of [0, 100, 15_360]) {
    const payload = 'x'.repeat(size)
    expect(await call(room, 'peer', 'echo', payload)).toBe(payload)
  }
  for (const size of [15_361, 1_000_000]) {
    const payload = 'x'.repeat(size)
    if (version === 1) expect((await outcome(call(room, 'peer', 'echo', payload))).code).toBe(1402)
    else expect((await call(room, 'peer', 'echo', payload)) === payload).toBe(true)
  }
  const payloads = Array.from({ length: 200 }, (_, index) => `${index} ${'y'.repeat(index * 10)}`)
  expect(await Promise.all(payloads.map((payload) => call(room, 'peer', 'echo', payload)))).toEqual(payloads)
  const failed = await rejection(call(room, 'peer', 'fail'))
  expect(failed).toMatchObject({ code: 42, message: 'b\u00fcsy', data: 'node' })
  expect((await outcome(call(room, 'peer', 'break'))).code).toBe(1500)
  expect((await outcome(call(room, 'peer', 'unknown'))).code).toBe(1400)
  expect((await outcome(call(room, 'peer', 'hang', '', { responseTimeout: 500 }))).code).toBe(1502)
}

/** Calls of the other SDK's. `streams`: it speaks version 2. */
async function callsOfTheirs(peer: PeerCall, streams: boolean): Promise<void> {
  const ask = (method: string, payload = '', timeout = 10): ReturnType<PeerCall> =>
    peer({ to: 'node', method, payload, timeout })
  for (const size of [0, 100, 15_360]) {
    const payload = 'x'.repeat(size)
    expect(await ask('echo', payload)).toEqual({ answer: payload })
  }
  const [long, made] = [await ask('echo', 'x'.repeat(15_361)), await ask('make', '1000000')]
  if (streams) expect([long.answer?.length, made.answer?.length]).toEqual([15_361, 1_000_000])
  else expect([long.code, made.code]).toEqual([1402, 1504])
  expect(await ask('fail')).toEqual({ code: 42, message: 'b\u00fcsy', data: 'peer' })
  const broken = await ask('break')
  expect(broken).toMatchObject({ code: 1500 })
  expect(JSON.stringify(broken)).not.toContain('secret')
  expect(await ask('unknown')).toMatchObject({ code: 1400 })
  expect(await ask('hang', '', 1)).toMatchObject({ code: 1502 })
}

const newest: Case[] = [
  { name: "LiveKit's Python SDK", withPeer: withPythonRpc },
  { name: 'livekit-client in Chromium', withPeer: withChromiumRpc },
]
const cases = newest.flatMap((peer) => [null, 'correct horse'].map((passphrase) => ({ ...peer, passphrase })))

describe.each(cases)('with $name, passphrase: $passphrase', { timeout: 60_000 }, (peer) => {
  it('calls of ours are answered, in both versions', () =>
    withPeers(peer, peer.passphrase, async (room) => {
      expect(room.remoteParticipants.get('peer')!.clientProtocol).toBeGreaterThanOrEqual(1)
      await callsOfOurs(room, 2)
      await callsOfOurs(room, 1)
    }))

  it('calls of its own are answered by us', () =>
    withPeers(peer, peer.passphrase, (_, ask) => callsOfTheirs(ask, true)))
})

const old: Case[] = [
  { name: `LiveKit's Python SDK ${OLD_VERSION}`, withPeer: withPythonRpc, version: OLD_VERSION },
  { name: 'livekit-client 2.15 in Chromium', withPeer: withChromiumRpc, version: 'livekit-client-old' },
]

describe.each(old)('with $name, from before RPC over data streams', { timeout: 60_000 }, (peer) => {
  it('version 1 works both ways, with its limits', () =>
    withPeers(peer, null, async (room, ask) => {
      expect(room.remoteParticipants.get('peer')!.clientProtocol).toBe(0)
      await callsOfOurs(room, 1)
      await callsOfTheirs(ask, false)
    }))
})

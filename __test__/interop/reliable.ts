/** What is tried with each other SDK on the reliable side of a room, in each direction: by the short tests and by the campaign. */
import { createHash, randomBytes } from 'node:crypto'
import { expect } from 'vitest'
import { ExternalE2EEKeyProvider, RoomEvent, RpcError } from '../../index'
import type { ConnectOptions, Room } from '../../index'
import { nextBytes, nextText, receiveBytes, receiveText } from '../helpers/data-streams'
import type { LivekitServer, TokenOptions } from '../helpers/livekit-server'
import { rejection } from '../helpers/rooms'
import { call, outcome } from '../helpers/rpc-rooms'
import { event, Scene } from '../helpers/scene'
import type { PeerSdk, ReliablePeer } from './peers/reliable-peer'

/** Under which they join. */
export const OURS = 'node'
export const PEER = 'peer'

/** Bytes of the longest payload of RPC version 1. */
export const LIMIT = 15_360

export const sha256 = (content: Uint8Array | string): string =>
  createHash('sha256').update(content).digest('hex')

/** Runs `use` in a room with the other SDK, and handlers of the same names at both sides. */
export function withPeer(
  server: LivekitServer,
  sdk: PeerSdk,
  passphrase: string | null,
  use: (room: Room, peer: ReliablePeer, scene: Scene) => Promise<void>,
  connect: ConnectOptions = {},
  token: TokenOptions = {},
): Promise<void> {
  return Scene.with(server, async (scene) => {
    const keyProvider = new ExternalE2EEKeyProvider()
    if (passphrase !== null) await keyProvider.setKey(passphrase)
    const room = await scene.join(OURS, {
      connect,
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
    const seen = event(room, RoomEvent.ParticipantConnected)
    const peer = await sdk.start({ url: server.url, token: await scene.token(PEER, token), passphrase })
    try {
      await seen
      await use(room, peer, scene)
    } finally {
      await peer.close()
    }
  })
}

/** A call of ours of that size, and its answer of the same. `limited`: in version 1. */
export async function ourCall(room: Room, size: number, limited: boolean): Promise<void> {
  const payload = 'x'.repeat(size)
  if (limited && size > LIMIT) {
    expect((await outcome(call(room, PEER, 'echo', payload))).code).toBe(1402)
    return
  }
  expect((await call(room, PEER, 'echo', payload)) === payload).toBe(true)
}

/** The errors that the other SDK answers with. `limited`: it knows version 1 only. */
export async function ourErrors(room: Room, limited: boolean): Promise<void> {
  const failed = await rejection(call(room, PEER, 'fail'))
  expect(failed).toMatchObject({ code: 42, message: 'b\u00fcsy', data: OURS })
  expect((await outcome(call(room, PEER, 'break'))).code).toBe(1500)
  expect((await outcome(call(room, PEER, 'unknown'))).code).toBe(1400)
  if (limited) expect((await outcome(call(room, PEER, 'make', String(LIMIT + 1)))).code).toBe(1504)
}

/** A recipient that does not answer, and one that does not even acknowledge. */
export async function ourTimeouts(room: Room, peer: ReliablePeer): Promise<void> {
  expect((await outcome(call(room, PEER, 'hang', '', { responseTimeout: 500 }))).code).toBe(1502)
  await peer.paused(async () => {
    expect((await outcome(call(room, PEER, 'echo', '', { maxRoundTripLatency: 300 }))).code).toBe(1501)
  })
  expect(await call(room, PEER, 'echo', 'again')).toBe('again')
}

/** Different payloads, of 2 to 10,000 bytes. */
const payloadsOf = (count: number): string[] =>
  Array.from({ length: count }, (_, index) => `${index} ${'y'.repeat((index * 10) % 10_000)}`)

/** Calls of ours at the same time. */
export async function ourConcurrentCalls(room: Room, count: number): Promise<void> {
  const payloads = payloadsOf(count)
  const answers = await Promise.all(
    payloads.map((payload) =>
      call(room, PEER, 'echo', payload, { responseTimeout: 60_000, maxRoundTripLatency: 60_000 }),
    ),
  )
  expect(answers.filter((answer, index) => answer === payloads[index]).length).toBe(count)
}

/**
 * A call of the other SDK's. The old ones of Rust note a call only after they have sent it, so they miss an acknowledgement
 * that is quick, and give up: these are asked once more.
 */
async function theirs(peer: ReliablePeer, old: boolean, method: string, payload = '', timeout = 10) {
  const first = await peer.call(OURS, method, payload, timeout)
  return old && first.code === 1501 ? await peer.call(OURS, method, payload, timeout) : first
}

/** A call of the other SDK's, and its answer. */
export async function theirCall(peer: ReliablePeer, size: number, limited: boolean): Promise<void> {
  const payload = 'x'.repeat(size)
  const { answer, code } = await theirs(peer, limited, 'echo', payload)
  if (limited && size > LIMIT) expect(code).toBe(1402)
  else expect([code, answer === payload]).toEqual([undefined, true])
}

/** The errors that we answer with. */
export async function theirErrors(peer: ReliablePeer, limited: boolean): Promise<void> {
  expect(await theirs(peer, limited, 'fail')).toEqual({ code: 42, message: 'b\u00fcsy', data: PEER })
  const broken = await theirs(peer, limited, 'break')
  expect(broken).toMatchObject({ code: 1500 })
  expect(JSON.stringify(broken)).not.toContain('secret')
  expect(await theirs(peer, limited, 'unknown')).toMatchObject({ code: 1400 })
  const made = await theirs(peer, limited, 'make', String(LIMIT + 1))
  if (limited) expect(made.code).toBe(1504)
  else expect(made.answer?.length).toBe(LIMIT + 1)
}

/** We do not answer in time. */
export async function theirTimeout(peer: ReliablePeer, old: boolean): Promise<void> {
  expect(await theirs(peer, old, 'hang', '', 1)).toMatchObject({ code: 1502 })
}

/** Calls of the other SDK's at the same time. */
export async function theirConcurrentCalls(peer: ReliablePeer, count: number): Promise<void> {
  const payloads = payloadsOf(count)
  const outcomes = await peer.calls(OURS, payloads)
  const right = outcomes.filter(({ answer }, index) => answer === payloads[index])
  expect([right.length, outcomes.find(({ code }) => code !== undefined)]).toEqual([count, undefined])
}

/** Bytes to the other SDK, which says their checksum. */
export async function ourBytes(room: Room, size: number): Promise<void> {
  const content = randomBytes(size)
  const digested = receiveText(room, 'digested')
  await room.localParticipant.sendBytes(content, { topic: 'digest', name: 'x.bin' })
  expect((await digested).info.attributes).toEqual({ sha256: sha256(content) })
}

/** A text of so many bytes to the other SDK. */
export async function ourText(room: Room, size: number): Promise<void> {
  const text = 'ä三😀'.repeat(Math.floor(size / 9)) + '.'.repeat(size % 9)
  const digested = receiveText(room, 'digested')
  await room.localParticipant.sendText(text, { topic: 'digest' })
  expect((await digested).info.attributes).toEqual({ sha256: sha256(text) })
}

/** Bytes of the other SDK, with their checksum. */
export async function theirBytes(room: Room, peer: ReliablePeer, size: number): Promise<void> {
  const arriving = nextBytes(room, 'made').then(async ({ reader }) => {
    const digest = createHash('sha256')
    let length = 0
    for await (const piece of reader) {
      digest.update(piece)
      length += piece.length
    }
    return { sha256: digest.digest('hex'), length, said: reader.info.attributes }
  })
  const [made, arrived] = await Promise.all([peer.binary(size), arriving])
  expect(arrived).toEqual({ ...made, length: size, said: made })
}

/** A text of the other SDK; `piecewise`: written in pieces. */
export async function theirText(
  room: Room,
  peer: ReliablePeer,
  size: number,
  piecewise = false,
): Promise<void> {
  const arriving = nextText(room, 'made').then(async ({ reader }) => {
    const text = await reader.readAll()
    return { sha256: sha256(text), length: Buffer.byteLength(text), said: reader.info.attributes }
  })
  const [made, arrived] = await Promise.all([peer.text(size, piecewise), arriving])
  expect(arrived).toEqual({ ...made, length: size, said: made })
}

/** The same bytes there and back, with what is known of them. */
export async function bytesThereAndBack(
  room: Room,
  content: Uint8Array,
  how: string,
  encrypted: boolean,
): Promise<void> {
  const arriving = receiveBytes(room, 'echoed')
  const attributes = { how, mark: 'ä' }
  await room.localParticipant.sendBytes(content, { topic: 'echo', name: 'x.bin', attributes })
  const { bytes, info } = await arriving
  const size = content.length
  expect(info.attributes).toMatchObject({ ...attributes, sha256: sha256(content) })
  // livekit-client takes a size of 0 for none.
  expect(['undefined', String(size)].slice(size === 0 ? 0 : 1)).toContain(info.attributes['size'])
  expect(sha256(bytes)).toBe(sha256(content))
  expect([info.name, info.size ?? 0, info.encrypted]).toEqual(['x.bin', size, encrypted])
}

/** The same text there and back. */
export async function textThereAndBack(room: Room, text: string): Promise<void> {
  const arriving = receiveText(room, 'echoed')
  await room.localParticipant.sendText(text, { topic: 'echo', attributes: { mark: 'ä' } })
  const { text: back, info } = await arriving
  expect(info.attributes).toMatchObject({ mark: 'ä', sha256: sha256(text) })
  expect(back === text).toBe(true)
}

/** ms after which a lossy packet, or its echo, is taken for lost. */
const LOST = 500

/** Lets `send` run, `once` or, if what it sends may get lost, again and again, until a packet of that kind, content and topic comes. */
async function packetComes(
  room: Room,
  kind: 'lossy' | 'reliable',
  once: boolean,
  send: () => Promise<{ readonly topic: string; readonly sha256: string }>,
): Promise<void> {
  const came = new Set<string>()
  let wake = (): void => {}
  const listener = (
    payload: Uint8Array,
    participant: unknown,
    by: string,
    topic: string | undefined,
  ): void => {
    expect(participant).toBe(room.remoteParticipants.get(PEER))
    came.add(`${by} ${sha256(payload)} ${topic}`)
    wake()
  }
  room.on(RoomEvent.DataReceived, listener)
  try {
    const wanted = new Set<string>()
    const there = (): boolean => [...wanted].some((one) => came.has(one))
    while (!there()) {
      const sent = await send()
      wanted.add(`${kind} ${sent.sha256} ${sent.topic}`)
      let timer: NodeJS.Timeout | undefined
      await new Promise<void>((resolve) => {
        wake = () => there() && resolve()
        wake()
        if (!once) timer = setTimeout(resolve, LOST)
      })
      clearTimeout(timer)
    }
  } finally {
    room.off(RoomEvent.DataReceived, listener)
  }
}

/** A packet to the other SDK, which sends it back and says what came. `taken`: what it takes a lossy one for. */
export async function ourPacket(
  room: Room,
  size: number,
  reliable: boolean,
  taken: 'lossy' | 'reliable' = 'lossy',
): Promise<void> {
  const content = randomBytes(size)
  const digest = sha256(content)
  const back = reliable ? 'reliable' : taken
  await packetComes(room, back, reliable, async () => {
    await room.localParticipant.publishData(content, { reliable, topic: 'echo' })
    return { topic: `echoed ${back} ${digest}`, sha256: digest }
  })
}

/** A packet of the other SDK. */
export async function theirPacket(
  room: Room,
  peer: ReliablePeer,
  size: number,
  reliable: boolean,
): Promise<void> {
  await packetComes(room, reliable ? 'reliable' : 'lossy', reliable, async () => {
    const { sha256: digest } = await peer.packet(size, reliable)
    return { topic: `made ${digest}`, sha256: digest }
  })
}

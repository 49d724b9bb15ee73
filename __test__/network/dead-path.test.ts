/**
 * A firewall that drops UDP from one moment on, without a word: the room notices it long before ICE does, and data goes
 * on over TCP, or over a relay.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Child } from '../helpers/child'
import { FarServer, ICE_TCP } from '../helpers/far-server'
import type { BadNetwork } from '../../scripts/lib/bad-network.cjs'
import type { LivekitServer } from '../helpers/livekit-server'

/** ms of one way. */
const DELAY_MS = 20
/** ms without frames from which on they count as interrupted. */
const INTERRUPTED = 1000
/** ms: far more than an interruption takes, and far less than ICE needs to notice a dead path. */
const LONGEST = 10_000

let far: FarServer
let network: BadNetwork
let server: LivekitServer
let ca = ''
beforeAll(async () => {
  far = await FarServer.start()
  ;({ network, server, ca } = far)
  await network.set({ delayMs: DELAY_MS })
})
afterAll(() => far.stop())

const connected = (token: string, options: object) => `
  const room = await datatrack.connect(
    ${JSON.stringify(server.url)}, ${JSON.stringify(token)}, ${JSON.stringify(options)})`

/** Pushes a frame every 10 ms until it is told to end; then says its path. */
const publisher = (token: string, options: object) => `
  ${connected(token, options)}
  const track = await room.localParticipant.publishDataTrack({ name: 'track' })
  let over = false
  void hear().then(() => { over = true })
  while (!over) {
    await track.push({ payload: new Uint8Array(100) })
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  say(['path', room.stats().connection.path])
  await room.disconnect()`

/** Says that frames flow, and of each interruption of them how many ms it took and when it ended; at the end its path. */
const subscriber = (token: string, options: object) => `
  ${connected(token, options)}
  const stream = (await seen(room, 'track')).subscribe()
  void hear().then(() => stream.close())
  let last
  for await (const _frame of stream) {
    const now = performance.now()
    if (last === undefined) say(['flows'])
    else if (now - last > ${INTERRUPTED}) say(['interrupted', [now - last, performance.timeOrigin + now]])
    last = now
  }
  say(['path', room.stats().connection.path])
  await room.disconnect()`

/** The next message of that name, and its value. */
async function said<T>(child: Child, wanted: string): Promise<T> {
  for (;;) {
    const [name, value] = await child.next<[string, T]>()
    if (name === wanted) return value
  }
}

/** How many ms the interruption took that ended after that time. A busy machine may have caused one before. */
async function interruption(child: Child, since: number): Promise<number> {
  for (;;) {
    const [took, ended] = await said<[number, number]>(child, 'interrupted')
    if (ended > since) return took
  }
}

type Role = 'publisher' | 'subscriber'

/** Cuts UDP in the middle of a stream. `near`: who is behind the firewall. Returns the path of that one afterwards. */
async function cut(near: Role, options: object): Promise<string> {
  const room = `room-${Math.random()}`
  const tokens = [await server.token(room, 'alice'), await server.token(room, 'bob')] as const
  const behind = [near === 'publisher', near === 'subscriber'] as const
  const given = behind.map((isBehind) => (isBehind ? options : {}))
  const places = behind.map((isBehind) => ({ namespace: isBehind ? network.near : network.far }))
  let path = ''
  await Child.with(publisher(tokens[0], given[0] ?? {}), places[0] ?? {}, async (alice) => {
    await Child.with(subscriber(tokens[1], given[1] ?? {}), places[1] ?? {}, async (bob) => {
      await said(bob, 'flows')
      await network.set({ cutUdp: true })
      expect(await interruption(bob, Date.now())).toBeLessThan(LONGEST)
      bob.tell('enough')
      if (behind[1]) path = await said(bob, 'path')
      expect(await bob.end()).toEqual({ code: 0, stderr: '' })
      alice.tell('enough')
      if (behind[0]) path = await said(alice, 'path')
      expect(await alice.end()).toEqual({ code: 0, stderr: '' })
    })
  })
  await network.set({ cutUdp: false })
  return path
}

type Case = readonly [near: Role, peerConnections: 'single' | 'dual']

it.each<Case>([
  ['publisher', 'single'],
  ['subscriber', 'single'],
  ['subscriber', 'dual'],
])('frames from or for a %s go on over ICE-TCP (peer connections: %s)', async (near, peerConnections) => {
  expect(await cut(near, { peerConnections, iceServers: [] })).toBe('tcp')
})

/**
 * The system repeats the first packet of a TCP connection after longer and longer times. The room begins to connect
 * signalling some 2.5 s after the cut. After that, Linux repeats the packet 13.5 s after the cut at the latest, and then
 * not before the attempt ends, 17.5 s after the cut.
 */
it('a network that comes back while the room connects again is used at once', async () => {
  const room = `room-${Math.random()}`
  const [first, second] = [await server.token(room, 'alice'), await server.token(room, 'bob')]
  await Child.with(publisher(first, {}), { namespace: network.near }, async (alice) => {
    await Child.with(subscriber(second, {}), { namespace: network.far }, async (bob) => {
      await said(bob, 'flows')
      await network.set({ cut: true })
      const since = Date.now()
      await delay(14_000)
      await network.set({ cut: false })
      expect(await interruption(bob, since)).toBeLessThan(17_000)
      bob.tell('enough')
      expect(await bob.end()).toEqual({ code: 0, stderr: '' })
      alice.tell('enough')
      expect(await alice.end()).toEqual({ code: 0, stderr: '' })
    })
  })
})

describe('without ICE-TCP', () => {
  beforeAll(() => network.near.blockTcp(ICE_TCP))

  it.each<Case>([
    ['publisher', 'single'],
    ['subscriber', 'single'],
    ['publisher', 'dual'],
  ])(
    'frames from or for a %s go on over the relay over TLS (peer connections: %s)',
    async (near, peerConnections) => {
      expect(await cut(near, { peerConnections, ca })).toBe('relay/tls')
    },
  )
})

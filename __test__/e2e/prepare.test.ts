/** Connections that are prepared before they are used. */
import { once } from 'node:events'
import { connect as connectTcp, createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { Room } from '../../index'
import { MAX_PREPARED } from '../../src/connection/prepare'
import { rejection, turn, until } from '../helpers/rooms'
import { Scene } from '../helpers/scene'
import { TlsFront } from '../helpers/tls-front'
import { withServer } from '../helpers/with-server'

const server = withServer()

/** A TCP proxy in front of the server. It counts the connections. */
let front: Server
let open: Set<Socket>
let accepted: number
let url: string
beforeEach(async () => {
  open = new Set()
  accepted = 0
  front = createServer((client) => {
    accepted += 1
    open.add(client)
    const upstream = connectTcp(server.port, '127.0.0.1')
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      socket.on('error', () => undefined)
      socket.on('close', () => {
        open.delete(client)
        other.destroy()
      })
      socket.pipe(other)
    }
  }).listen(0, '127.0.0.1')
  await once(front, 'listening')
  url = `ws://127.0.0.1:${(front.address() as AddressInfo).port}`
})
afterEach(async () => {
  for (const socket of open) socket.destroy()
  front.close()
  await once(front, 'close')
})

const inScene = (use: (scene: Scene) => Promise<void>) => () => Scene.with(server, use)

it(
  'a room uses the prepared connection, and uses it once',
  inScene(async (scene) => {
    const [room, other] = [new Room(), new Room()]
    await room.prepareConnection(url)
    expect([accepted, room.state]).toEqual([1, 'disconnected'])
    await room.connect(url, await scene.token('alice'))
    expect(accepted).toBe(1)
    await other.connect(url, await scene.token('bob'))
    expect([accepted, [...other.remoteParticipants.keys()]]).toEqual([2, ['alice']])
    await Promise.all([room.disconnect(), other.disconnect()])
  }),
)

it(
  'a connection over TLS is prepared for rooms that trust the same authority',
  inScene(async (scene) => {
    const tls = await TlsFront.start(server.port)
    try {
      const room = new Room()
      await room.prepareConnection(tls.url, undefined, { ca: tls.ca })
      await room.connect(tls.url, await scene.token('alice'), { ca: tls.ca })
      expect(room.isConnected).toBe(true)
      await room.disconnect()
      // Without the authority, the prepared connection is not kept, and preparing does not fail.
      await room.prepareConnection(tls.url)
      expect((await rejection(room.connect(tls.url, await scene.token('alice')))).reason).toBe(
        'serverUnreachable',
      )
    } finally {
      await tls.close()
    }
  }),
)

it(
  'a prepared connection that was closed meanwhile is replaced by a new one',
  inScene(async (scene) => {
    const room = new Room()
    await room.prepareConnection(url)
    for (const socket of open) socket.resetAndDestroy()
    await room.connect(url, await scene.token('alice'))
    expect([accepted, room.isConnected]).toEqual([2, true])
    await room.disconnect()
  }),
)

it('at most MAX_PREPARED connections are kept, and the oldest is closed first', async () => {
  const room = new Room()
  for (let count = 0; count < MAX_PREPARED + 3; count++) await room.prepareConnection(url)
  await until(() => open.size === MAX_PREPARED)
  expect(accepted).toBe(MAX_PREPARED + 3)
  for (const socket of open) socket.destroy()
  await until(() => open.size === 0)
})

it('a connection that cannot be prepared causes no error, but wrong arguments do', async () => {
  const room = new Room()
  await room.prepareConnection('ws://127.0.0.1:1')
  await room.prepareConnection('ws://does-not-exist.invalid')
  const signal = AbortSignal.abort('enough')
  expect(await rejection(room.prepareConnection(url, undefined, { signal }))).toBe('enough')
  for (const [args, name] of [
    [['ftp://a'], 'url'],
    [[5], 'url'],
    [[url, 5], '"token"'],
    [[url, undefined, { ca: 5 }], '"options.ca"'],
    [[url, undefined, 5], '"options"'],
  ] as const) {
    const error = await rejection(room.prepareConnection(...(args as unknown as [string])))
    expect(error).toBeInstanceOf(TypeError)
    expect(error.message).toContain(name)
  }
  await turn()
  expect(accepted).toBe(0)
})

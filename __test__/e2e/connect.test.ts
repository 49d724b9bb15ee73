import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { createServer } from 'node:net'
import type { AddressInfo, Server } from 'node:net'
import { describe, expect, it } from 'vitest'
import { connect, DataTrackClosedError, DataTrackConnectionError, Room, RoomEvent } from '../../index'
import type { ConnectOptions } from '../../index'
import { Deferred } from '../../src/base/abort'
import { freePort } from '../helpers/livekit-server'
import { runProgram } from '../helpers/programs'
import { rejection, turn } from '../helpers/rooms'
import { carried, event, flowing, pattern, publish, Scene } from '../helpers/scene'
import { withServer } from '../helpers/with-server'

const server = withServer()

const inScene = (use: (scene: Scene) => Promise<void>) => () => Scene.with(server, use)

/** The error of a failed attempt to connect. Checks that the error is typed, and contains no address and no token. */
async function refused(
  url: string,
  token: string,
  options?: ConnectOptions,
): Promise<DataTrackConnectionError> {
  const error = await rejection(connect(url, token, options))
  expect(error).toBeInstanceOf(DataTrackConnectionError)
  expect(error.message).not.toMatch(/127\.0\.0\.1|localhost|:\d{4,5}/)
  // The beginning of a token is enough to recognize it.
  expect(error.message).not.toContain(token.slice(0, 20))
  return error
}

describe('connecting', () => {
  const ways: readonly [string, ConnectOptions][] = [
    ['as the server can', { peerConnections: 'auto' }],
    ['with one peer connection', { peerConnections: 'single' }],
    ['with two peer connections', { peerConnections: 'dual' }],
    ['with one over TCP', { peerConnections: 'single', iceTransports: 'tcp' }],
    ['with two over TCP', { peerConnections: 'dual', iceTransports: 'tcp' }],
    ['with one over UDP alone', { peerConnections: 'single', iceTransports: 'udp' }],
    ['with two over UDP alone', { peerConnections: 'dual', iceTransports: 'udp' }],
  ]
  it.each(ways)('%s carries data', (_way, options) =>
    Scene.with(server, async (scene) => {
      const alice = await scene.join('alice', { connect: options })
      const bob = await scene.join('bob', { connect: options })
      expect([alice.state, alice.isConnected, alice.localParticipant.identity]).toEqual([
        'connected',
        true,
        'alice',
      ])
      const { local, remote } = await publish(alice, bob)
      const stream = remote.subscribe()
      await flowing(local, stream)
      expect(await carried(local, stream, { payload: pattern(256), userTimestamp: 1n })).toBe(true)
    }),
  )

  it(
    'takes http URLs and URL objects',
    inScene(async (scene) => {
      const room = new Room()
      await room.connect(new URL(server.url.replace('ws:', 'http:')), await scene.token('alice'))
      expect(room.state).toBe('connected')
      await room.disconnect()
    }),
  )

  it(
    'reports existing participants and tracks to listeners from before connect()',
    inScene(async (scene) => {
      const alice = await scene.join('alice')
      await alice.localParticipant.publishDataTrack({ name: 'imu' })
      const heard: string[] = []
      const published = new Deferred<void>()
      await scene.join('bob', {
        before: (room) => {
          room.on(RoomEvent.ConnectionStateChanged, (state) => heard.push(state))
          room.on(RoomEvent.Connected, () => heard.push('Connected'))
          room.on(RoomEvent.ParticipantConnected, ({ identity }) => heard.push(`came ${identity}`))
          room.on(RoomEvent.DataTrackPublished, (track) => {
            heard.push(`published ${track.publisherIdentity} ${track.name}`)
            published.resolve()
          })
        },
      })
      await published.promise
      expect(heard).toEqual(['connecting', 'connected', 'Connected', 'came alice', 'published alice imu'])
    }),
  )

  it(
    'emits events when participants join and leave',
    inScene(async (scene) => {
      const alice = await scene.join('alice')
      const came = event(alice, RoomEvent.ParticipantConnected)
      const bob = await scene.join('bob')
      // The server announces participants that publish at once. It announces the others only every three seconds.
      await bob.localParticipant.publishDataTrack({ name: 'imu' })
      expect((await came)[0].identity).toBe('bob')
      const left = event(alice, RoomEvent.ParticipantDisconnected)
      await bob.disconnect()
      expect((await left)[0].identity).toBe('bob')
      expect(alice.remoteParticipants.size).toBe(0)
    }),
  )
})

describe('connecting fails', () => {
  it(
    'with notAllowed if the token has another secret, has expired, lacks roomJoin, or is missing',
    inScene(async (scene) => {
      const tokens = [
        await scene.token('alice', { forged: true }),
        await scene.token('alice', { ttl: -60 }),
        await scene.token('alice', { grant: { roomJoin: false } }),
        'no token',
      ]
      for (const token of tokens) {
        for (const peerConnections of ['single', 'dual'] as const) {
          expect((await refused(server.url, token, { peerConnections })).reason).toBe('notAllowed')
        }
      }
    }),
  )

  it(
    'with the server’s message about the token, but without the token itself',
    inScene(async (scene) => {
      const error = await refused(server.url, await scene.token('alice', { ttl: -600 }))
      // livekit-server 1.13.5 repeats the token, 1.13.11 does not.
      expect(error.message).toMatch(/HTTP status 401, invalid (token: …|authorization token: ).*expired/)
    }),
  )

  it(
    'with serverUnreachable if nothing listens at the port',
    inScene(async (scene) => {
      const error = await refused(`ws://127.0.0.1:${await freePort()}`, await scene.token('alice'))
      expect(error.reason).toBe('serverUnreachable')
      expect(error.message).toContain('ECONNREFUSED')
    }),
  )

  it(
    'with notFound at an HTTP server that is not LiveKit’s',
    inScene(async (scene) => {
      const other = createHttpServer((_request, response) => response.writeHead(404).end())
      await listening(other, async (url) => {
        expect((await refused(url, await scene.token('alice'))).reason).toBe('notFound')
      })
      expect((await refused(`${server.url}/elsewhere`, await scene.token('alice'))).reason).toBe('notFound')
    }),
  )

  it(
    'with serverUnreachable if the server closes the connection',
    inScene(async (scene) => {
      await listening(
        createServer((socket) => socket.on('error', () => {}).destroy()),
        async (url) => {
          expect((await refused(url, await scene.token('alice'))).reason).toBe('serverUnreachable')
        },
      )
    }),
  )

  it(
    'with timeout if nothing answers within connectTimeout',
    inScene(async (scene) => {
      await silent(async (url) => {
        expect((await refused(url, await scene.token('alice'), { connectTimeout: 50 })).reason).toBe(
          'timeout',
        )
      })
    }),
  )

  it(
    'with the signal’s reason if the signal aborts before or during connect()',
    inScene(async (scene) => {
      const token = await scene.token('alice')
      const reason = new Error('enough')
      expect(await rejection(connect(server.url, token, { signal: AbortSignal.abort(reason) }))).toBe(reason)
      await silent(async (url, connected) => {
        const controller = new AbortController()
        const room = new Room()
        const connecting = rejection(room.connect(url, token, { signal: controller.signal }))
        await connected
        controller.abort(reason)
        expect(await connecting).toBe(reason)
        expect(room.state).toBe('disconnected')
        // The room can connect as if it were new.
        await room.connect(server.url, token)
        await room.disconnect()
      })
    }),
  )

  it(
    'with the signal’s reason at whatever moment the signal aborts',
    inScene(async (scene) => {
      const token = await scene.token('alice')
      // Turns of the event loop between the call and the abort. They cover all steps of connecting.
      for (const turns of [0, 1, 2, 3, 5, 8, 13, 21, 34, 55]) {
        const controller = new AbortController()
        const room = new Room()
        const connecting = room.connect(server.url, token, { signal: controller.signal })
        const ending = connecting.then(
          () => 'connected',
          (reason: unknown) => reason,
        )
        for (let passed = 0; passed < turns; passed++) await turn()
        // With many turns, the room may be connected before the abort.
        const before = room.state !== 'connected'
        controller.abort('enough')
        if (before) expect([await ending, room.state]).toEqual(['enough', 'disconnected'])
        else expect([await ending, room.state]).toEqual(['connected', 'connected'])
        await room.disconnect()
      }
    }),
  )

  it(
    'if the room is connected or connecting, and does not affect that connection',
    inScene(async (scene) => {
      const room = new Room()
      const token = await scene.token('alice')
      const first = room.connect(server.url, token)
      for (const before of [undefined, first]) {
        await before
        const error = await rejection(room.connect(server.url, token))
        expect(error).toBeInstanceOf(DataTrackClosedError)
        expect(error.reason).toBe('alreadyConnected')
      }
      expect(room.state).toBe('connected')
      await room.disconnect()
    }),
  )
})

describe('disconnecting', () => {
  it(
    'can be repeated, and emits one event with its reason',
    inScene(async (scene) => {
      const alice = await scene.join('alice')
      const reasons: string[] = []
      alice.on(RoomEvent.Disconnected, (reason) => reasons.push(reason))
      await Promise.all([alice.disconnect(), alice.disconnect()])
      await alice.disconnect()
      expect(reasons).toEqual(['clientInitiated'])
      expect(alice.state).toBe('disconnected')
    }),
  )

  it(
    'allows the room to connect again',
    inScene(async (scene) => {
      const bob = await scene.join('bob')
      const alice = await scene.join('alice')
      for (let round = 0; round < 3; round++) {
        const { local, remote } = await publish(alice, bob)
        const stream = remote.subscribe()
        await flowing(local, stream)
        const left = event(bob, RoomEvent.ParticipantDisconnected)
        await alice.disconnect()
        await left
        await alice.connect(server.url, await scene.token('alice'))
      }
    }),
  )

  it(
    'aborts an attempt to connect',
    inScene(async (scene) => {
      const token = await scene.token('alice')
      await silent(async (url, connected) => {
        const room = new Room()
        const connecting = rejection(room.connect(url, token))
        await connected
        await room.disconnect()
        const error = await connecting
        expect(error).toBeInstanceOf(DataTrackClosedError)
        expect(error.reason).toBe('closed')
      })
    }),
  )

  it(
    'happens when another participant joins with the same identity',
    inScene(async (scene) => {
      const first = await scene.join('alice')
      const reasons: string[] = []
      first.on(RoomEvent.Disconnected, (reason) => reasons.push(reason))
      const gone = event(first, RoomEvent.Disconnected)
      const second = await scene.join('alice')
      await gone
      expect(reasons).toEqual(['duplicateIdentity'])
      expect(second.state).toBe('connected')
    }),
  )

  it(
    'lets the process exit by itself, also in the middle of traffic',
    inScene(async (scene) => {
      const program = `
        const url = ${JSON.stringify(server.url)}
        const alice = await datatrack.connect(url, ${JSON.stringify(await scene.token('alice'))})
        const bob = await datatrack.connect(url, ${JSON.stringify(await scene.token('bob'))})
        const local = await alice.localParticipant.publishDataTrack({ name: 'track' })
        for await (const remote of bob.dataTracks()) {
          const stream = remote.subscribe()
          const probing = setInterval(() => local.tryPush(new Uint8Array(100)), 10)
          await stream.read()
          clearInterval(probing)
          break
        }
        await alice.disconnect()
        await bob.disconnect()
        console.log('over')
      `
      expect(await runProgram(program)).toEqual({ code: 0, signal: null, stdout: 'over\n', stderr: '' })
    }),
  )
})

describe('a room with unref()', () => {
  const again = 'await room.disconnect(); await room.connect(url, token)'

  it.each([
    ['before it is connected', 'room.unref(); await room.connect(url, token)'],
    ['before it is connected, and connected again', `room.unref(); await room.connect(url, token); ${again}`],
    ['while it is connected, and connected again', `await room.connect(url, token); room.unref(); ${again}`],
  ])('does not keep the process alive: %s', (_when, steps) =>
    Scene.with(server, async (scene) => {
      const program = `
        const url = ${JSON.stringify(server.url)}
        const token = ${JSON.stringify(await scene.token('alice'))}
        const room = new datatrack.Room()
        ${steps}
        globalThis.kept = room
        console.log(room.state)
      `
      expect(await runProgram(program)).toEqual({ code: 0, signal: null, stdout: 'connected\n', stderr: '' })
    }),
  )
})

/** Lets the server listen while `use` runs. */
async function listening(other: Server, use: (url: string) => Promise<void>): Promise<void> {
  other.listen(0, '127.0.0.1')
  await once(other, 'listening')
  try {
    await use(`ws://127.0.0.1:${(other.address() as AddressInfo).port}`)
  } finally {
    other.close()
  }
}

/** A server that accepts connections and never answers. `connected` resolves when it has accepted one. */
async function silent(use: (url: string, connected: Promise<void>) => Promise<void>): Promise<void> {
  const connected = new Deferred<void>()
  const other = createServer((socket) => {
    socket.on('error', () => {})
    connected.resolve()
  })
  await listening(other, (url) => use(url, connected.promise))
}

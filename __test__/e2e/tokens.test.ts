/** Tokens from functions and token sources, new tokens for a rebuilt connection, and rooms that never give up. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, it } from 'vitest'
import { Room, RoomEvent, TokenSource } from '../../index'
import type { ConnectOptions, ConnectToken, ReconnectContext, RoomOptions } from '../../index'
import { LivekitServer } from '../helpers/livekit-server'
import { rejection } from '../helpers/rooms'
import { event, flowing, publish, Scene } from '../helpers/scene'
import { SignalProxy } from '../helpers/signal-proxy'
import { withServer } from '../helpers/with-server'

const server = withServer()

const inScene = (use: (scene: Scene) => Promise<void>) => () => Scene.with(server, use)

/** Connects a room with the token while `use` runs. */
async function withRoom(
  url: string,
  token: ConnectToken,
  options: RoomOptions & ConnectOptions,
  use: (room: Room, events: string[]) => Promise<void>,
): Promise<void> {
  const room = new Room(options)
  const events: string[] = []
  for (const name of ['Reconnected', 'Disconnected', 'TokenRefreshed'] as const)
    room.on(RoomEvent[name], () => events.push(name))
  try {
    await room.connect(url, token, options)
    await use(room, events)
  } finally {
    await room.disconnect()
  }
}

async function withProxy(use: (proxy: SignalProxy) => Promise<void>): Promise<void> {
  const proxy = await SignalProxy.start(server.url)
  try {
    await use(proxy)
  } finally {
    await proxy.close()
  }
}

describe('a function that gives tokens', () => {
  it(
    'is called once while its token is valid',
    inScene(async (scene) => {
      let asked = 0
      const token = () => {
        asked += 1
        return scene.token('alice')
      }
      await withProxy(async (proxy) => {
        await withRoom(proxy.url, token, {}, async (room, events) => {
          const back = event(room, RoomEvent.Reconnected)
          proxy.sendAway('reconnect')
          await back
          expect([room.localParticipant.identity, asked]).toEqual(['alice', 1])
          expect(events.filter((name) => name === 'Reconnected')).toHaveLength(1)
        })
      })
    }),
  )

  it.each(['resume', 'reconnect'] as const)(
    'is called again for a reconnect (%s) after its token has expired; tracks go on',
    (way) =>
      Scene.with(server, async (scene) => {
        const bob = await scene.join('bob')
        // The first token is still valid for the server, which allows for clocks that differ. For the room it is too
        // close to its expiry to connect with it again.
        const lives = ['5s', '1h']
        const token = () => scene.token('alice', { ttl: lives.shift() ?? '1h' })
        await withProxy(async (proxy) => {
          await withRoom(proxy.url, token, {}, async (room) => {
            const { local, remote } = await publish(room, bob)
            const stream = remote.subscribe()
            await flowing(local, stream)
            // The server may have renewed the token. This message replaces that token with one that is close to its
            // expiry, too.
            proxy.say({ case: 'refreshToken', value: await scene.token('alice', { ttl: '6s' }) })
            await event(room, RoomEvent.TokenRefreshed)
            const fresh = event(room, RoomEvent.TokenRefreshed)
            const back = event(room, RoomEvent.Reconnected)
            if (way === 'resume') proxy.cut()
            else proxy.sendAway('reconnect')
            const [refreshed] = await fresh
            await back
            expect(lives).toEqual([])
            expect(refreshed.split('.')).toHaveLength(3)
            await flowing(local, stream)
            stream.close()
          })
        })
      }),
  )

  it(
    'is called again if the server refuses the token that the room has',
    inScene(async (scene) => {
      await withProxy(async (proxy) => {
        const token = () => scene.token('alice')
        await withRoom(proxy.url, token, {}, async (room, events) => {
          const told = event(room, RoomEvent.TokenRefreshed)
          proxy.say({ case: 'refreshToken', value: await scene.token('alice', { forged: true }) })
          await told
          const back = event(room, RoomEvent.Reconnected)
          proxy.sendAway('reconnect')
          await back
          expect(events.filter((name) => name === 'Disconnected')).toEqual([])
        })
      })
    }),
  )

  it(
    'is not called again if the server refuses its new token, and the error says so',
    inScene(async (scene) => {
      let asked = 0
      const token = () => {
        asked += 1
        return scene.token('alice', { forged: true })
      }
      const error = await rejection(new Room().connect(server.url, token, { maxRetries: Infinity }))
      expect([error.reason, error.status, asked]).toEqual(['notAllowed', 401, 1])
    }),
  )

  it(
    'that never answers is given up after connectTimeout, and when the room disconnects',
    inScene(async () => {
      const never = () => new Promise<string>(() => undefined)
      const error = await rejection(new Room().connect(server.url, never, { connectTimeout: 50 }))
      expect(error.reason).toBe('timeout')
      const room = new Room()
      const connecting = rejection(room.connect(server.url, never))
      await room.disconnect()
      expect((await connecting).reason).toBe('closed')
    }),
  )
})

it(
  'a room connects with a token source that asks an endpoint',
  inScene(async (scene) => {
    const endpoint = createServer((request, response) => {
      let body = ''
      request.on('data', (chunk) => (body += String(chunk)))
      request.on('end', () => {
        const { participant_identity: identity } = JSON.parse(body) as { participant_identity?: string }
        void scene.token(identity ?? 'nobody').then((token) => {
          response.end(JSON.stringify({ server_url: server.url, participant_token: token }))
        })
      })
    }).listen(0, '127.0.0.1')
    await once(endpoint, 'listening')
    try {
      const { port } = endpoint.address() as AddressInfo
      const source = TokenSource.endpoint(`http://127.0.0.1:${port}`)
      await withRoom(server.url, source, {}, (room) => {
        expect(room.localParticipant.identity).toBe('nobody')
        return Promise.resolve()
      })
      const asked = () => source.fetch({ participantIdentity: 'alice' })
      const { serverUrl } = await asked()
      await withRoom(serverUrl, asked, {}, (room) => {
        expect(room.localParticipant.identity).toBe('alice')
        return Promise.resolve()
      })
    } finally {
      endpoint.close()
    }
  }),
)

describe('a server that is unreachable', () => {
  it('is tried until it returns if the room never gives up, when connecting and when reconnecting', async () => {
    const own = await LivekitServer.start()
    try {
      const token = await own.token('lab', 'robot')
      await own.stop()
      const once = await rejection(new Room().connect(own.url, token))
      expect(once.reason).toBe('serverUnreachable')
      const asked: ReconnectContext[] = []
      let stopped = Promise.resolve()
      let restarted = Promise.resolve()
      // The policy retries after 5 ms, so that the test does not have to wait.
      const reconnectPolicy = {
        nextRetryDelayInMs: (context: ReconnectContext) => {
          asked.push(context)
          // A server that is still about to end cannot be started again.
          if (asked.length === 3) restarted = stopped.then(() => own.restart())
          return 5
        },
      }
      await withRoom(own.url, token, { reconnectPolicy, maxRetries: Infinity }, async (room) => {
        expect(asked[0]).toMatchObject({ retryCount: 1, serverUrl: `${own.url}/` })
        expect(asked[0]!.retryReason).toMatchObject({ reason: 'serverUnreachable' })
        asked.length = 0
        // The room may be connected before the helper has seen that the server answers.
        await restarted
        const back = event(room, RoomEvent.Reconnected)
        stopped = own.stop()
        await back
        await restarted
        expect(asked.map(({ retryCount }) => retryCount).slice(0, 4)).toEqual([0, 1, 2, 3])
      })
    } finally {
      await own.stop()
    }
  })

  it('ends the room when the policy or the limit says so', async () => {
    const own = await LivekitServer.start()
    try {
      const options = [
        { reconnectPolicy: { nextRetryDelayInMs: () => null } },
        { maxRetries: 0 },
        { reconnectPolicy: { nextRetryDelayInMs: () => 0 }, maxRetries: 2 },
      ]
      const rooms = await Promise.all(
        options.map(async (each, index) => {
          const room = new Room(each)
          await room.connect(own.url, await own.token('lab', `robot ${index}`), each)
          return room
        }),
      )
      const ends = rooms.map((room) => event(room, RoomEvent.Disconnected))
      await own.stop()
      expect(await Promise.all(ends)).toEqual([['signalClose'], ['signalClose'], ['signalClose']])
    } finally {
      await own.stop()
    }
  })

  it('is not tried any more when the signal aborts', async () => {
    const stop = new AbortController()
    const reconnectPolicy = {
      nextRetryDelayInMs: () => {
        queueMicrotask(() => stop.abort('enough'))
        return 60_000
      },
    }
    const room = new Room({ reconnectPolicy })
    const options = { maxRetries: Infinity, signal: stop.signal }
    const token = await server.token('lab', 'robot')
    expect(await rejection(room.connect('ws://127.0.0.1:1', token, options))).toBe('enough')
    expect(room.state).toBe('disconnected')
  })
})

/** The state of a room while it connects, and when connecting is given up at any moment. */
import { describe, expect, it } from 'vitest'
import { DataTrackClosedError, Room, RoomEvent } from '../../index'
import { rejection, turn } from '../helpers/rooms'
import { event, Scene } from '../helpers/scene'
import { SignalProxy } from '../helpers/signal-proxy'
import { withServer } from '../helpers/with-server'

const server = withServer()

const inScene = (use: (scene: Scene) => Promise<void>) => () => Scene.with(server, use)

/** Turns of the event loop. They cover all steps of connecting. */
const moments = [0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89]

async function turns(count: number): Promise<void> {
  for (let passed = 0; passed < count; passed++) await turn()
}

describe('the state of a room', () => {
  it(
    'is connecting during connect(), and disconnected after it fails',
    inScene(async (scene) => {
      const room = new Room()
      const states: string[] = []
      room.on(RoomEvent.ConnectionStateChanged, (state) => states.push(state))
      const token = await scene.token('alice', { forged: true })
      const failing = rejection(room.connect(server.url, token))
      expect([room.state, room.isConnected]).toEqual(['connecting', false])
      expect((await failing).reason).toBe('notAllowed')
      expect([room.state, states]).toEqual(['disconnected', ['connecting', 'disconnected']])
      // An invalid argument does not change the state.
      expect(await rejection(room.connect(server.url, ''))).toBeInstanceOf(RangeError)
      expect(states).toHaveLength(2)
      await room.connect(server.url, await scene.token('alice'))
      expect(states.slice(2)).toEqual(['connecting', 'connected'])
      await room.disconnect()
    }),
  )
})

describe('a room whose attempt to connect was aborted can connect again at once', () => {
  it.each(['disconnect, not awaited', 'disconnect', 'the signal'] as const)('after %s', (way) =>
    Scene.with(server, async (scene) => {
      const bob = await scene.join('bob')
      const token = await scene.token('alice')
      const room = new Room()
      for (const moment of moments) {
        const controller = new AbortController()
        const first = room.connect(server.url, token, { signal: controller.signal }).then(
          () => 'connected',
          (error: unknown) => error,
        )
        await turns(moment)
        const over = room.state === 'connected'
        if (way === 'the signal') controller.abort('enough')
        else if (way === 'disconnect') await room.disconnect()
        else void room.disconnect()
        // The signal has no effect on a room that is connected already.
        if (way === 'the signal' && over) await room.disconnect()
        expect(room.state).toBe('disconnected')
        const states: string[] = []
        room.on(RoomEvent.ConnectionStateChanged, (state) => states.push(state))
        await room.connect(server.url, token)
        expect(states).toEqual(['connecting', 'connected'])
        expect([...room.remoteParticipants.keys()]).toEqual(['bob'])
        const outcome = await first
        if (over) expect(outcome).toBe('connected')
        else if (way === 'the signal') expect(outcome).toBe('enough')
        else expect(outcome).toBeInstanceOf(DataTrackClosedError)
        room.removeAllListeners()
        await room.disconnect()
      }
      expect(bob.state).toBe('connected')
    }),
  )
})

describe('a listener that disconnects its room', () => {
  const early = ['connectionStateChanged', 'connected', 'participantConnected'] as const

  it.each(early)('in %s makes a running connect() fail, and hears nothing afterwards', (name) =>
    Scene.with(server, async (scene) => {
      await scene.join('bob')
      const room = new Room()
      const told: string[] = []
      for (const each of Object.values(RoomEvent)) room.on(each, () => told.push(each))
      room.prependOnceListener(name, () => void room.disconnect())
      const error = await rejection(room.connect(server.url, await scene.token('alice')))
      expect([error.reason, room.state, room.remoteParticipants.size]).toEqual(['closed', 'disconnected', 0])
      // A room that was given up before it was connected does not emit `disconnected`.
      const last = name === 'connectionStateChanged' ? 'connectionStateChanged' : 'disconnected'
      expect([told.at(-1), told.filter((each) => each === 'disconnected').length]).toEqual([
        last,
        name === 'connectionStateChanged' ? 0 : 1,
      ])
    }),
  )

  it.each([...early, 'reconnecting', 'reconnected'] as const)(
    'and connects it again in %s gets the second connection',
    (name) =>
      Scene.with(server, async (scene) => {
        const proxy = await SignalProxy.start(server.url)
        try {
          await scene.join('bob')
          const other = new Scene(server)
          const dave = await other.join('dave')
          const room = new Room()
          const token = await other.token('alice')
          const again = new Promise<void>((resolve, reject) => {
            room.once(name, () => {
              void room.disconnect()
              room.connect(server.url, token).then(resolve, reject)
            })
          })
          const first = room.connect(proxy.url, await scene.token('alice')).catch(() => undefined)
          await first
          if (name.startsWith('reconnect')) {
            const left = event(room, RoomEvent.Disconnected)
            proxy.sendAway('reconnect')
            await left
          }
          await again
          expect([room.state, room.name]).toEqual(['connected', other.name])
          expect([...room.remoteParticipants.keys()]).toEqual(['dave'])
          await Promise.all([room.disconnect(), dave.disconnect()])
        } finally {
          await proxy.close()
        }
      }),
  )
})

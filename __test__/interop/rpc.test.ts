import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { ExternalE2EEKeyProvider, RoomEvent, RpcError, setLogLevel } from '../../index'
import type { Room } from '../../index'
import { LivekitServer } from '../helpers/livekit-server'
import { installPython, OLD_VERSION } from '../helpers/python'
import { rejection } from '../helpers/rooms'
import { withPythonRpc } from '../helpers/rpc-python'
import type { PythonCall } from '../helpers/rpc-python'
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

/** A room with Python in it, and an echo and failures at ours. */
function withPython(
  passphrase: string | null,
  use: (room: Room, python: PythonCall) => Promise<void>,
  version?: string,
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
    const token = await scene.token('python')
    const seen = event(room, RoomEvent.ParticipantConnected)
    await withPythonRpc({ url: server.url, token, passphrase, version }, async (python) => {
      await seen
      await use(room, python)
    })
  })
}

describe.each([null, 'correct horse'])("with LiveKit's Python SDK, passphrase: %s", (passphrase) => {
  it('calls of ours are answered', () =>
    withPython(passphrase, async (room) => {
      const { clientProtocol } = room.remoteParticipants.get('python')!
      for (const version of clientProtocol >= 1 ? ([2, 1] as const) : ([1] as const)) {
        speakVersion(version, room)
        for (const size of [0, 100, 15_360]) {
          const payload = 'x'.repeat(size)
          expect(await call(room, 'python', 'echo', payload)).toBe(payload)
        }
        for (const size of [15_361, 1_000_000]) {
          const payload = 'x'.repeat(size)
          if (version === 1) expect((await outcome(call(room, 'python', 'echo', payload))).code).toBe(1402)
          else expect((await call(room, 'python', 'echo', payload)) === payload).toBe(true)
        }
        const payloads = Array.from({ length: 200 }, (_, index) => `${index} ${'y'.repeat(index * 10)}`)
        expect(await Promise.all(payloads.map((payload) => call(room, 'python', 'echo', payload)))).toEqual(
          payloads,
        )
        expect(await rejection(call(room, 'python', 'fail'))).toMatchObject({
          code: 42,
          message: 'b\u00fcsy',
          data: 'node',
        })
        expect((await outcome(call(room, 'python', 'break'))).code).toBe(1500)
        expect((await outcome(call(room, 'python', 'unknown'))).code).toBe(1400)
        expect((await outcome(call(room, 'python', 'hang', '', { responseTimeout: 500 }))).code).toBe(1502)
      }
      const { answer, code } = await outcome(call(room, 'python', 'make', '20000'))
      // Python answers in the version in which it is asked, or in the one that it knows us to speak.
      if (code === undefined) expect(answer).toBe('x'.repeat(20_000))
      else expect(code).toBe(1504)
    }))

  it('calls of its own are answered by us', () =>
    withPython(passphrase, async (_, python) => {
      const ask = (method: string, payload = '', timeout = 10): ReturnType<PythonCall> =>
        python({ to: 'node', method, payload, timeout })
      for (const size of [0, 100, 15_360]) {
        const payload = 'x'.repeat(size)
        expect(await ask('echo', payload)).toEqual({ answer: payload })
      }
      const long = await ask('echo', 'x'.repeat(15_361))
      const made = await ask('make', '1000000')
      expect([long.answer?.length, made.answer?.length]).toEqual([15_361, 1_000_000])
      expect(await ask('fail')).toEqual({ code: 42, message: 'b\u00fcsy', data: 'python' })
      expect(await ask('break')).toMatchObject({ code: 1500 })
      expect(JSON.stringify(await ask('break'))).not.toContain('secret')
      expect(await ask('unknown')).toMatchObject({ code: 1400 })
      expect(await ask('hang', '', 1)).toMatchObject({ code: 1502 })
    }))
})

describe('with an SDK from before RPC over data streams', () => {
  it('version 1 works both ways, with its limits', () =>
    withPython(
      null,
      async (room, python) => {
        expect(room.remoteParticipants.get('python')!.clientProtocol).toBe(0)
        const ask = (method: string, payload = ''): ReturnType<PythonCall> =>
          python({ to: 'node', method, payload, timeout: 10 })
        for (const size of [0, 100, 15_360]) {
          const payload = 'x'.repeat(size)
          expect(await call(room, 'python', 'echo', payload)).toBe(payload)
          expect(await ask('echo', payload)).toEqual({ answer: payload })
        }
        expect((await outcome(call(room, 'python', 'echo', 'x'.repeat(15_361)))).code).toBe(1402)
        expect((await outcome(call(room, 'python', 'make', '15361'))).code).toBe(1504)
        expect((await outcome(call(room, 'python', 'unknown'))).code).toBe(1400)
        expect(await rejection(call(room, 'python', 'fail'))).toMatchObject({ code: 42, data: 'node' })
        expect((await ask('echo', 'x'.repeat(15_361))).code).toBe(1402)
        expect((await ask('make', '15361')).code).toBe(1504)
        expect((await ask('unknown')).code).toBe(1400)
        expect(await ask('fail')).toEqual({ code: 42, message: 'b\u00fcsy', data: 'python' })
      },
      OLD_VERSION,
    ))
})

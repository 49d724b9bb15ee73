import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ExternalE2EEKeyProvider, RoomEvent, RpcError, setLogLevel } from '../../index'
import type { Room } from '../../index'
import { nextText } from '../helpers/data-streams'
import { rejection } from '../helpers/rooms'
import { call, outcome, settlesWithin, speakVersion } from '../helpers/rpc-rooms'
import { event, Scene } from '../helpers/scene'
import type { JoinOptions } from '../helpers/scene'
import { TcpProxy } from '../helpers/tcp-proxy'
import { withServer } from '../helpers/with-server'

const server = withServer()
let proxy: TcpProxy
beforeEach(async () => {
  setLogLevel('silent')
  proxy = await TcpProxy.start(server.port)
})
afterEach(async () => {
  setLogLevel('warn')
  await proxy.close()
})

/** Alice and bob, who know each other. Bob has the method `echo`. */
function withPair(
  version: 1 | 2,
  use: (alice: Room, bob: Room, scene: Scene) => Promise<void>,
  options: JoinOptions = {},
): Promise<void> {
  return Scene.with(server, async (scene) => {
    const echo = (room: Room): void => room.registerRpcMethod('echo', ({ payload }) => payload)
    const alice = await scene.join('alice', options)
    const seen = event(alice, RoomEvent.ParticipantConnected)
    const bob = await scene.join('bob', { ...options, before: echo })
    await seen
    speakVersion(version, alice, bob)
    await use(alice, bob, scene)
  })
}

/** Resolves when the participant answers again. While it gets a new session, others may see it leave for a moment. */
async function answers(room: Room, other: string): Promise<void> {
  for (;;) {
    if (!room.remoteParticipants.has(other)) await event(room, RoomEvent.ParticipantConnected)
    if ((await outcome(call(room, other, 'echo', 'anew'))).answer === 'anew') return
  }
}

/** A text of so many bytes that does not compress well. */
function textOf(bytes: number): string {
  let state = bytes
  let text = ''
  while (text.length < bytes) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    text += state.toString(36)
  }
  return text.slice(0, bytes)
}

describe.each([1, 2] as const)('RPC of version %s', (version) => {
  // All sizes are in one test, because the server takes three seconds to announce a new participant.
  it('carries payloads of up to 15,360 bytes, and longer ones in version 2', () =>
    withPair(version, async (alice, bob) => {
      bob.registerRpcMethod('make', ({ payload }) => textOf(Number(payload)))
      for (const size of [0, 100, 15_360, 15_361, 1_000_000]) {
        const payload = textOf(size)
        const there = await outcome(call(alice, 'bob', 'echo', payload))
        const back = await outcome(call(alice, 'bob', 'make', String(size)))
        if (version === 1 && size > 15_360) expect([there.code, back.code]).toEqual([1402, 1504])
        else expect([there.answer === payload, back.answer === payload]).toEqual([true, true])
      }
    }))

  it('carries 1,000 calls at once in both directions', () =>
    withPair(version, async (alice, bob) => {
      alice.registerRpcMethod('echo', ({ payload }) => payload)
      const payloads = Array.from({ length: 1000 }, (_, index) => textOf(index))
      // A busy machine may take long for all of them.
      const patient = { responseTimeout: 25_000, maxRoundTripLatency: 25_000 }
      const [there, back] = await Promise.all([
        Promise.all(payloads.map((payload) => call(alice, 'bob', 'echo', payload, patient))),
        Promise.all(payloads.map((payload) => call(bob, 'alice', 'echo', payload, patient))),
      ])
      expect(there).toEqual(payloads)
      expect(back).toEqual(payloads)
    }))

  it('fails with the right code', () =>
    withPair(version, async (alice, bob) => {
      const codeOf = async (...rest: Parameters<typeof call>): Promise<number | undefined> =>
        (await outcome(call(...rest))).code
      bob.registerRpcMethod('broken', () => {
        throw new Error('secret')
      })
      let called: () => void = () => undefined
      const hanging = new Promise<void>((resolve) => (called = resolve))
      bob.registerRpcMethod('hang', () => {
        called()
        return new Promise(() => undefined)
      })
      expect(await codeOf(alice, 'bob', 'unknown')).toBe(1400)
      expect(await codeOf(alice, 'nobody', 'echo', '', { maxRoundTripLatency: 300 })).toBe(1401)
      expect(await codeOf(alice, 'bob', 'broken')).toBe(1500)
      expect(await codeOf(alice, 'bob', 'hang', '', { responseTimeout: 300 })).toBe(1502)
      await hanging
      const left = codeOf(alice, 'bob', 'hang')
      await bob.disconnect()
      expect(await left).toBe(1503)
      await alice.disconnect()
      expect(await codeOf(alice, 'bob', 'echo')).toBe(1505)
    }))

  it(
    'every call is answered while both connections are resumed again and again',
    () =>
      withPair(
        version,
        async (alice, bob) => {
          alice.registerRpcMethod('echo', ({ payload }) => payload)
          const made: ReturnType<typeof outcome>[] = []
          for (let round = 0; round < 5; round++) {
            for (let index = 0; index < 40; index++) {
              made.push(outcome(call(alice, 'bob', 'echo', textOf(index))))
              made.push(outcome(call(bob, 'alice', 'echo', textOf(index))))
            }
            const back = Promise.all([alice, bob].map((room) => event(room, RoomEvent.Reconnected)))
            proxy.cut()
            await back
            speakVersion(version, alice, bob)
          }
          const outcomes = await Promise.all(made)
          // A resume loses no packet. Packets that were under way arrive, or are sent again.
          expect(outcomes.filter(({ answer }) => answer === undefined)).toEqual([])
          expect(await call(alice, 'bob', 'echo', 'still')).toBe('still')
        },
        { url: proxy.url },
      ),
    60_000,
  )

  it(
    'calls in a session that the server does not resume settle by their deadline, and later ones work',
    () =>
      withPair(
        version,
        async (alice, bob) => {
          alice.registerRpcMethod('echo', ({ payload }) => payload)
          // The first call loads what calls need.
          expect(await call(alice, 'bob', 'echo', 'first')).toBe('first')
          proxy.forgetSessions(true)
          const options = { responseTimeout: 6000, maxRoundTripLatency: 3000 }
          const inTime = (settling: ReturnType<typeof outcome>) => settlesWithin(6000 + 2000, settling)
          for (let round = 0; round < 2; round++) {
            const back = event(alice, RoomEvent.Reconnected)
            const made = Array.from({ length: 40 }, (_, index) => [
              inTime(outcome(call(alice, 'bob', 'echo', textOf(index), options))),
              inTime(outcome(call(bob, 'alice', 'echo', textOf(index), options))),
            ]).flat()
            proxy.cut()
            const during = inTime(outcome(call(alice, 'bob', 'echo', 'during', options)))
            await back
            expect(await Promise.all([...made, during])).not.toContain(false)
            speakVersion(version, alice, bob)
          }
          await answers(alice, 'bob')
          await answers(bob, 'alice')
        },
        { url: proxy.url, connect: { peerConnections: 'dual' } },
      ),
    60_000,
  )

  it('works with end-to-end encryption, and ends in a timeout with a wrong key', async () => {
    const [right, wrong] = [new ExternalE2EEKeyProvider(), new ExternalE2EEKeyProvider()]
    await Promise.all([right.setKey('correct horse'), wrong.setKey('battery staple')])
    await withPair(
      version,
      async (alice, _, scene) => {
        const payload = textOf(10_000)
        expect(await call(alice, 'bob', 'echo', payload)).toBe(payload)
        expect((await outcome(call(alice, 'bob', 'unknown'))).code).toBe(1400)
        const seen = event(alice, RoomEvent.ParticipantConnected)
        await scene.join('eve', { room: { encryption: { keyProvider: wrong } } })
        await seen
        const options = { responseTimeout: 3000, maxRoundTripLatency: 500 }
        expect(await rejection(call(alice, 'eve', 'echo', 'x', options))).toMatchObject({
          code: 1501,
          timeout: 500,
        })
      },
      { room: { encryption: { keyProvider: right } } },
    )
  })
})

describe('a hidden participant', () => {
  it('can be called in one packet and as a stream, also with an error, and can send streams', () =>
    Scene.with(server, async (scene) => {
      const alice = await scene.join('alice')
      const bob = await scene.join('bob', {
        grant: { hidden: true },
        before: (room) => {
          room.registerRpcMethod('echo', ({ payload }) => payload)
          room.registerRpcMethod('fail', () => {
            throw new RpcError(42, 'no')
          })
        },
      })
      expect((await outcome(call(alice, 'bob', 'echo', 'hello'))).answer).toBe('hello')
      expect((await outcome(call(alice, 'bob', 'fail'))).code).toBe(42)
      expect((await outcome(call(alice, 'bob', 'unknown'))).code).toBe(1400)
      expect(alice.remoteParticipants.size).toBe(0)
      const arriving = nextText(alice, 'chat')
      await bob.localParticipant.sendText('x'.repeat(100_000), { topic: 'chat' })
      const { reader, identity } = await arriving
      expect([identity, (await reader.readAll()).length]).toEqual(['', 100_000])
    }))
})

describe('a new participant', () => {
  it('can be called back before the server has announced it, with payloads of any length', () =>
    Scene.with(server, async (scene) => {
      const alice = await scene.join('alice')
      const back = (payload: string): Promise<string> => call(alice, 'bob', 'echo', payload)
      alice.registerRpcMethod('small', () => back('small'))
      alice.registerRpcMethod('large', async () => String((await back(textOf(100_000))).length))
      const known = alice.remoteParticipants.has('bob')
      const bob = await scene.join('bob', {
        before: (room) => room.registerRpcMethod('echo', ({ payload }) => payload),
      })
      const large = call(bob, 'alice', 'large')
      expect(await call(bob, 'alice', 'small')).toBe('small')
      expect([known, await large]).toEqual([false, '100000'])
    }))
})

describe('the server’s API', () => {
  it('can call methods', () =>
    withPair(2, async (_, bob, scene) => {
      const callers: string[] = []
      bob.registerRpcMethod('who', ({ callerIdentity, payload }) => {
        callers.push(callerIdentity)
        return `you said ${payload}`
      })
      const token = await scene.token('admin', { grant: { roomAdmin: true } })
      const perform = async (method: string): Promise<unknown> => {
        const response = await fetch(`http://127.0.0.1:${server.port}/twirp/livekit.RoomService/PerformRpc`, {
          method: 'POST',
          headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
          body: JSON.stringify({ room: scene.name, destination_identity: 'bob', method, payload: 'hello' }),
        })
        return await response.json()
      }
      expect(await perform('who')).toEqual({ payload: 'you said hello' })
      expect(callers).toHaveLength(1)
      expect(bob.remoteParticipants.has(callers[0]!)).toBe(false)
      expect(JSON.stringify(await perform('unknown'))).toContain('Method not supported')
    }))
})

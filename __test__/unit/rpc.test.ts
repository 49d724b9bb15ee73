import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ExternalE2EEKeyProvider, Loopback, Room, RpcError, setLogLevel } from '../../index'
import type { Pair } from '../helpers/rooms'
import { rejection, turn, until, withPair } from '../helpers/rooms'
import { call, outcome, settlesWithin, speakVersion } from '../helpers/rpc-rooms'

beforeEach(() => setLogLevel('silent'))
afterEach(() => setLogLevel('warn'))

describe.each([1, 2] as const)('RPC of version %s', (version) => {
  const withVersion = (
    use: (pair: Pair) => Promise<void>,
    ...rest: [Parameters<typeof withPair>[1]?, Parameters<typeof withPair>[2]?]
  ): Promise<void> =>
    withPair(
      async (pair) => {
        await until(() => pair.alice.remoteParticipants.has('bob'))
        speakVersion(version, pair.alice, pair.bob)
        await use(pair)
      },
      ...rest,
    )

  it.each([0, 1, 100, 15_360])('carries %s bytes to the recipient and back', (size) =>
    withVersion(async ({ alice, bob }) => {
      bob.registerRpcMethod('echo', ({ payload, callerIdentity }) => `${callerIdentity} ${payload}`.slice(6))
      const payload = 'x'.repeat(size)
      expect(await call(alice, 'bob', 'echo', payload)).toBe(payload)
    }),
  )

  it.each([15_361, 1_000_000])(
    version === 1 ? 'refuses %s bytes, either way' : 'carries %s bytes, either way',
    (size) =>
      withVersion(async ({ alice, bob }) => {
        bob.registerRpcMethod('length', ({ payload }) => String(payload.length))
        bob.registerRpcMethod('make', ({ payload }) => '\u00e4'.repeat(Number(payload)))
        const there = await outcome(call(alice, 'bob', 'length', 'x'.repeat(size)))
        const back = await outcome(call(alice, 'bob', 'make', String(size)))
        if (version === 1) expect([there.code, back.code]).toEqual([1402, 1504])
        else expect([there.answer, back.answer?.length]).toEqual([String(size), size])
      }),
  )

  it('carries 1,000 calls at once, each with its own response', () =>
    withVersion(async ({ alice, bob }) => {
      let running = 0
      let all: () => void = () => undefined
      const together = new Promise<void>((resolve) => (all = resolve))
      bob.registerRpcMethod('echo', async ({ payload }) => {
        if (++running === 1000) all()
        await together
        return payload
      })
      const payloads = Array.from({ length: 1000 }, (_, index) => `${index} ${'x'.repeat(index)}`)
      expect(await Promise.all(payloads.map((payload) => call(alice, 'bob', 'echo', payload)))).toEqual(
        payloads,
      )
    }))

  it('carries calls in both directions, also from within a handler', () =>
    withVersion(async ({ alice, bob }) => {
      alice.registerRpcMethod('name', () => 'alice')
      bob.localParticipant.registerRpcMethod('greet', async ({ callerIdentity }) => {
        return `hello ${await call(bob, callerIdentity, 'name')}`
      })
      expect(await call(alice, 'bob', 'greet')).toBe('hello alice')
      bob.localParticipant.unregisterRpcMethod('greet')
      expect((await outcome(call(alice, 'bob', 'greet'))).code).toBe(RpcError.ErrorCode.UNSUPPORTED_METHOD)
    }))

  it('an RpcError of the handler arrives unchanged', () =>
    withVersion(async ({ alice, bob }) => {
      bob.registerRpcMethod('busy', () => {
        throw new RpcError(42, 'b\u00fcsy', 'x'.repeat(20_000))
      })
      const error = await rejection(call(alice, 'bob', 'busy'))
      expect(error).toBeInstanceOf(RpcError)
      expect(error).toMatchObject({ code: 42, message: 'b\u00fcsy', data: 'x'.repeat(15_360) })
    }))

  it('calls fail when their recipient leaves or is removed', () =>
    withVersion(async ({ sfu, alice, bob }) => {
      let calls = 0
      const aborted: unknown[] = []
      const hang = (room: Room): void =>
        room.registerRpcMethod('hang', ({ signal }) => {
          calls++
          signal.addEventListener('abort', () => aborted.push(signal.reason))
          return new Promise(() => undefined)
        })
      hang(bob)
      const left = rejection(call(alice, 'bob', 'hang'))
      await until(() => calls === 1)
      await bob.disconnect()
      // The handler learns, too, and at once.
      expect(aborted).toMatchObject([{ reason: 'closed' }])
      const carol = sfu.join('carol')
      hang(carol)
      await until(() => alice.remoteParticipants.has('carol'))
      speakVersion(version, alice, carol)
      const kicked = rejection(call(alice, 'carol', 'hang'))
      await until(() => calls === 2)
      sfu.kick('carol')
      const gone = await left
      expect([gone.code, 'cause' in gone]).toEqual([1503, false])
      expect(await kicked).toMatchObject({ code: 1503 })
      const options = { maxRoundTripLatency: 50 }
      expect((await outcome(call(alice, 'carol', 'hang', '', options))).code).toBe(1401)
    }))

  it('calls settle at once when the caller disconnects, and their handlers’ signals abort', () =>
    withVersion(async ({ alice, bob }) => {
      const aborted: unknown[] = []
      let calls = 0
      bob.registerRpcMethod('hang', ({ signal }) => {
        calls++
        signal.addEventListener('abort', () => aborted.push(signal.reason))
        return new Promise(() => undefined)
      })
      const failed = rejection(call(alice, 'bob', 'hang'))
      await until(() => calls === 1)
      await alice.disconnect()
      expect(await failed).toMatchObject({ code: 1503, cause: { reason: 'closed' } })
      await until(() => aborted.length === 1)
      expect(aborted).toMatchObject([{ code: 1503 }])
      expect(await rejection(call(alice, 'bob', 'hang'))).toMatchObject({
        code: 1505,
        cause: { name: 'PublishDataError', reason: 'disconnected' },
      })
    }))

  it.each(['resume', 'full'] as const)('handlers and calls survive a reconnect: %s', (kind) =>
    withVersion(async ({ sfu, alice, bob }) => {
      let release: ((answer: string) => void) | undefined
      bob.registerRpcMethod('wait', () => new Promise((resolve) => (release = resolve)))
      bob.registerRpcMethod('echo', ({ payload }) => payload)
      for (const who of ['alice', 'bob']) {
        release = undefined
        const waiting = call(alice, 'bob', 'wait')
        await until(() => release !== undefined)
        await sfu.reconnect(who, kind)
        await until(() => alice.isConnected && bob.isConnected)
        release!('at last')
        expect(await waiting).toBe('at last')
        expect(await call(alice, 'bob', 'echo', who)).toBe(who)
      }
    }),
  )

  it('a call that is made while the connection is lost is sent when it is back', () =>
    withVersion(async ({ sfu, alice, bob }) => {
      bob.registerRpcMethod('echo', ({ payload }) => payload)
      const back = sfu.reconnect('alice', 'resume')
      expect(alice.state).toBe('reconnecting')
      const answer = call(alice, 'bob', 'echo', 'patience')
      await back
      expect(await answer).toBe('patience')
    }))

  it('a call that times out while it waits for the connection is never sent', () =>
    withVersion(
      async ({ sfu, alice, bob }) => {
        const got: string[] = []
        bob.registerRpcMethod('note', ({ payload }) => {
          got.push(payload)
          return ''
        })
        // So much is on its way that what comes now waits here.
        const bulk = Array.from({ length: 10 }, () =>
          alice.localParticipant
            .publishData(new Uint8Array(60_000), { reliable: true })
            .catch(() => undefined),
        )
        const stop = new AbortController()
        const aborted = rejection(call(alice, 'bob', 'note', 'aborted', { signal: stop.signal }))
        const late = await outcome(call(alice, 'bob', 'note', 'late', { responseTimeout: 30 }))
        expect(late.code).toBe(1502)
        stop.abort(new Error('enough'))
        expect((await aborted).message).toBe('enough')
        sfu.setNetwork({ bandwidth: 0 })
        const after = call(alice, 'bob', 'note', 'after')
        await Promise.all(bulk)
        await after
        expect(got).toEqual(['after'])
      },
      { bandwidth: 100_000 },
    ))

  it.each([1, 2, 3])('every call settles by its deadline across reconnects, seed %s', (seed) =>
    withVersion(
      async ({ sfu, alice, bob }) => {
        let state = seed * 7919
        const random = (below: number): number => {
          state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
          return state % below
        }
        const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
        for (const room of [alice, bob]) {
          room.registerRpcMethod('work', async ({ payload }) => {
            const ms = random(400)
            if (ms < 350) await pause(ms)
            if (ms > 390) throw new Error('bad luck')
            return payload
          })
        }
        let going = true
        const stopped = (): boolean => !going
        const disturbing = (async () => {
          while (!stopped()) {
            await pause(random(60))
            await sfu.reconnect(random(2) === 0 ? 'alice' : 'bob', random(3) === 0 ? 'full' : 'resume')
            speakVersion(version, alice, bob)
          }
        })()
        const made: Promise<boolean>[] = []
        const outcomes = { answers: 0, errors: new Set<number>() }
        // On a busy machine a reconnect may outlast the deadlines of all these: calls go on until one is answered.
        for (let index = 0; index < 300 || outcomes.answers === 0; index++) {
          const [room, other] = random(2) === 0 ? [alice, 'bob'] : [bob, 'alice']
          const responseTimeout = random(600)
          const payload = 'x'.repeat(random(3000))
          const made1 = outcome(
            call(room, other, 'work', payload, { responseTimeout, maxRoundTripLatency: 300 }),
          )
          const settled = made1.then(({ answer, code }) => {
            if (code === undefined) {
              expect(answer).toBe(payload)
              outcomes.answers++
            } else outcomes.errors.add(code)
          })
          made.push(settlesWithin(responseTimeout + 5000, settled))
          if (index % 10 === 0) await pause(random(20))
        }
        // A call must not stay.
        expect(await Promise.all(made)).not.toContain(false)
        going = false
        await disturbing
        expect([...outcomes.errors]).toContain(1502)
        // And it goes on as if nothing had been.
        bob.registerRpcMethod('echo', ({ payload }) => payload)
        expect(await call(alice, 'bob', 'echo', 'fine')).toBe('fine')
      },
      { delay: 5, jitter: 20, seed },
    ),
  )

  it('works with end-to-end encryption', async () => {
    const keyProvider = new ExternalE2EEKeyProvider()
    await keyProvider.setKey('correct horse')
    const encryption = { keyProvider }
    await withVersion(
      async ({ alice, bob }) => {
        bob.registerRpcMethod('echo', ({ payload }) => payload)
        expect(await call(alice, 'bob', 'echo', 'secret')).toBe('secret')
        expect((await outcome(call(alice, 'bob', 'unknown'))).code).toBe(1400)
      },
      {},
      { alice: { encryption }, bob: { encryption } },
    )
  })

  it('settles with a typed error if the keys differ or are missing, or if only one side encrypts', async () => {
    const providers = await Promise.all(
      ['correct horse', 'battery staple'].map(async (passphrase) => {
        const keyProvider = new ExternalE2EEKeyProvider()
        await keyProvider.setKey(passphrase)
        return { encryption: { keyProvider } }
      }),
    )
    const [right, wrong] = providers
    let runs = 0
    const fails = (alice: object | undefined, bob: object | undefined, expected: object): Promise<void> =>
      withVersion(
        async (pair) => {
          pair.bob.registerRpcMethod('echo', () => String(++runs))
          const options = { responseTimeout: 200, maxRoundTripLatency: 100 }
          expect(await rejection(call(pair.alice, 'bob', 'echo', 'x', options))).toMatchObject(expected)
        },
        {},
        { ...(alice && { alice }), ...(bob && { bob }) },
      )
    await fails(right, wrong, { code: 1501 })
    await fails(right, undefined, { code: 1501 })
    await fails(undefined, right, { code: 1501 })
    const keyless = { encryption: { keyProvider: new ExternalE2EEKeyProvider() } }
    await fails(keyless, right, { code: 1505, cause: { reason: 'missingKey' } })
    const custom = { encryption: { provider: { encrypt: () => null, decrypt: () => null } } }
    await fails(custom, custom, { code: 1505, cause: { reason: 'unsupported' } })
    expect(runs).toBe(0)
  })
})

describe('handlers', () => {
  it('may be registered before the room connects, and stay registered for later connections', async () => {
    const room = new Room()
    room.registerRpcMethod('echo', ({ payload }) => payload)
    expect(() => room.localParticipant.registerRpcMethod('echo', () => '')).toThrow(RangeError)
    for (let time = 0; time < 2; time++) {
      const sfu = new Loopback()
      sfu.join('bob', { room })
      const alice = sfu.join('alice')
      await until(() => alice.remoteParticipants.has('bob'))
      expect(await call(alice, 'bob', 'echo', 'here')).toBe('here')
      sfu.close()
      expect(room.state).toBe('disconnected')
    }
  })

  it('get the caller’s timeout', () =>
    withPair(async ({ alice, bob }) => {
      await until(() => alice.remoteParticipants.has('bob'))
      const told: number[] = []
      bob.registerRpcMethod('note', ({ responseTimeout }) => {
        told.push(responseTimeout)
        return ''
      })
      for (const responseTimeout of [undefined, 500, 2 ** 31, 2 ** 40, Infinity]) {
        await call(alice, 'bob', 'note', '', { ...(responseTimeout !== undefined && { responseTimeout }) })
      }
      expect(told).toEqual([15_000, 500, 2 ** 31, 2 ** 32 - 1, 2 ** 32 - 1])
    }))
})

describe('the LiveKit server', () => {
  /** Each room that joins is told that version of the server. */
  const refusedBy = async (join: object): Promise<number | undefined> => {
    const sfu = new Loopback()
    const alice = sfu.join('alice')
    sfu.join('bob').registerRpcMethod('echo', () => 'x')
    await turn()
    const participant = { identity: 'alice', sid: alice.localParticipant.sid, state: 2 }
    const others = [...alice.remoteParticipants.values()].map(({ identity, sid }) => ({
      identity,
      sid,
      state: 2,
    }))
    alice.engine.receive({
      message: { case: 'join', value: { participant, otherParticipants: others, ...join } },
    })
    const { code } = await outcome(call(alice, 'bob', 'echo'))
    sfu.close()
    return code
  }

  it('must have version 1.8.0 or newer for RPC', async () => {
    expect(await refusedBy({ serverVersion: '1.7.2' })).toBe(1403)
    expect(await refusedBy({ serverInfo: { version: '1.7.2' } })).toBe(1403)
    expect(await refusedBy({ serverInfo: { version: '1.13.5' }, serverVersion: '1.7.2' })).toBeUndefined()
    expect(await refusedBy({ serverInfo: { version: '' }, serverVersion: '1.7.2' })).toBe(1403)
    expect(await refusedBy({ serverInfo: 7, serverVersion: 7 })).toBeUndefined()
  })
})

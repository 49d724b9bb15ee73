import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { RpcError, setLogLevel } from '../../index'
import type { Room, RpcInterceptor } from '../../index'
import { rejection, thrown, until, withPair } from '../helpers/rooms'
import type { Pair } from '../helpers/rooms'
import { call, outcome } from '../helpers/rpc-rooms'

beforeEach(() => setLogLevel('silent'))
afterEach(() => setLogLevel('warn'))

/** Alice calls, bob answers. */
const calling = (use: (pair: Pair) => Promise<void>): Promise<void> =>
  withPair(async (pair) => {
    await until(() => pair.alice.remoteParticipants.has('bob'))
    pair.bob.registerRpcMethod('echo', ({ payload }) => payload)
    await use(pair)
  })

/** Notes when it is in and out of a call, in both directions. */
const noting = (name: string, notes: string[]): RpcInterceptor => ({
  async interceptOutgoing(made, next) {
    notes.push(`${name} calls ${made.method}`)
    const answer = await next(made)
    notes.push(`${name} has ${answer}`)
    return answer
  },
  async interceptIncoming(invocation, next) {
    notes.push(`${name} handles ${invocation.method} of ${invocation.callerIdentity}`)
    const answer = await next(invocation)
    notes.push(`${name} answers ${answer}`)
    return answer
  },
})

const add = (room: Room, ...interceptors: RpcInterceptor[]): void =>
  interceptors.forEach((one) => room.localParticipant.addRpcInterceptor(one))

describe('interceptors', () => {
  it('surround calls on both sides once, the first one outermost', () =>
    calling(async ({ alice, bob }) => {
      const notes: string[] = []
      const [a, b] = [noting('a', notes), noting('b', notes)]
      add(alice, a, b, a)
      add(bob, noting('c', notes), {})
      expect(await call(alice, 'bob', 'echo', 'x')).toBe('x')
      expect(notes).toEqual([
        'a calls echo',
        'b calls echo',
        'c handles echo of alice',
        'c answers x',
        'b has x',
        'a has x',
      ])
      alice.localParticipant.removeRpcInterceptor(a)
      notes.length = 0
      await alice.rpc.call('bob', 'echo', 7)
      expect(notes).toEqual(['b calls echo', 'c handles echo of alice', 'c answers 7', 'b has 7'])
    }))

  it('may change the call, its answer, and the method', () =>
    calling(async ({ alice, bob }) => {
      bob.registerRpcMethod('upper', ({ payload, method }) => `${method} ${payload.toUpperCase()}`)
      add(alice, {
        interceptOutgoing: async (made, next) => `<${await next({ ...made, payload: `${made.payload}!` })}>`,
      })
      add(bob, { interceptIncoming: (invocation, next) => next({ ...invocation, method: 'upper' }) })
      expect(await call(alice, 'bob', 'echo', 'x')).toBe('<upper X!>')
      add(bob, { interceptIncoming: (invocation, next) => next({ ...invocation, method: 'unknown' }) })
      expect((await outcome(call(alice, 'bob', 'echo'))).code).toBe(1400)
    }))

  it('may answer without calling the next one, on either side', () =>
    calling(async ({ alice, bob }) => {
      let handled = 0
      bob.registerRpcMethod('count', () => String(++handled))
      add(bob, { interceptIncoming: () => 'refused' })
      expect(await call(alice, 'bob', 'count')).toBe('refused')
      add(alice, { interceptOutgoing: () => 'cached' })
      expect(await call(alice, 'bob', 'count')).toBe('cached')
      expect(handled).toBe(0)
    }))

  it('see errors unchanged, and their own errors count as the handler’s', () =>
    calling(async ({ alice, bob }) => {
      const seen: unknown[] = []
      const watching: RpcInterceptor = {
        interceptIncoming: (invocation, next) =>
          next(invocation).catch((error: unknown) => {
            seen.push(error)
            throw error
          }),
        interceptOutgoing: (made, next) =>
          next(made).catch((error: unknown) => {
            seen.push(error)
            throw error
          }),
      }
      bob.registerRpcMethod('fail', ({ payload }) => {
        throw payload === '' ? new Error('secret') : new RpcError(42, payload)
      })
      add(bob, watching)
      add(alice, watching)
      expect(await rejection(call(alice, 'bob', 'fail', 'busy'))).toMatchObject({ code: 42, message: 'busy' })
      expect(seen).toMatchObject([
        { code: 42, message: 'busy' },
        { code: 42, message: 'busy' },
      ])
      seen.length = 0
      expect((await outcome(call(alice, 'bob', 'fail'))).code).toBe(1500)
      expect(seen).toMatchObject([{ message: 'secret' }, { code: 1500, data: undefined }])
      add(bob, {
        interceptIncoming() {
          throw new RpcError(403, 'not allowed')
        },
      })
      expect((await outcome(call(alice, 'bob', 'echo'))).code).toBe(403)
    }))

  it('stay in effect for running calls after their removal', () =>
    calling(async ({ alice, bob }) => {
      const notes: string[] = []
      const one = noting('a', notes)
      let answer: (text: string) => void = () => undefined
      bob.registerRpcMethod('wait', () => new Promise<string>((resolve) => (answer = resolve)))
      add(alice, one)
      add(bob, one)
      const called = call(alice, 'bob', 'wait')
      await until(() => notes.length === 2)
      alice.localParticipant.removeRpcInterceptor(one)
      bob.localParticipant.removeRpcInterceptor(one)
      answer('late')
      expect(await called).toBe('late')
      expect(notes).toEqual(['a calls wait', 'a handles wait of alice', 'a answers late', 'a has late'])
    }))

  it('that hang on the recipient’s side delay the caller no longer than its timeout', () =>
    calling(async ({ alice, bob }) => {
      const aborted: unknown[] = []
      add(bob, {
        interceptIncoming: ({ signal }) =>
          new Promise(() => signal.addEventListener('abort', () => aborted.push(signal.reason))),
      })
      expect((await outcome(call(alice, 'bob', 'echo', '', { responseTimeout: 50 }))).code).toBe(1502)
      await until(() => aborted.length === 1)
      expect(aborted).toMatchObject([{ code: 1502 }])
    }))

  it('cause a TypeError if they are not functions or do not return a string', () =>
    calling(async ({ alice, bob }) => {
      const { localParticipant } = alice
      for (const bad of [undefined, null, 'text', 1]) {
        expect(thrown(() => localParticipant.addRpcInterceptor(bad as never)).message).toContain(
          '"interceptor"',
        )
        expect(thrown(() => localParticipant.removeRpcInterceptor(bad as never))).toBeInstanceOf(TypeError)
      }
      const notCallable = { interceptOutgoing: 'x' } as never
      expect(thrown(() => localParticipant.addRpcInterceptor(notCallable)).message).toContain(
        '"interceptor.interceptOutgoing"',
      )
      const noText = { interceptOutgoing: () => 7, interceptIncoming: () => 7 } as never
      localParticipant.addRpcInterceptor(noText)
      expect((await rejection(call(alice, 'bob', 'echo'))).message).toContain('interceptOutgoing')
      localParticipant.removeRpcInterceptor(noText)
      bob.localParticipant.addRpcInterceptor(noText)
      expect((await outcome(call(alice, 'bob', 'echo'))).code).toBe(1500)
      add(alice, noting('a', []))
      const wrong = { destinationIdentity: 'bob', method: 'echo', payload: 7 } as never
      expect((await rejection(localParticipant.performRpc(wrong))).message).toContain('"params.payload"')
    }))
})

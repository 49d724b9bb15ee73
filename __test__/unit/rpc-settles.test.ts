/** Every call settles by its deadline, on a clock that the test moves. */
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { RpcError, setLogLevel } from '../../index'
import { Alarm } from '../../src/rpc/timeouts'
import { Wire } from '../helpers/rpc'
import type { Fate } from '../helpers/rpc'

beforeEach(() => {
  vi.useFakeTimers()
  setLogLevel('silent')
})
afterEach(() => {
  vi.useRealTimers()
  setLogLevel('warn')
})

/** Around the places where timers of JavaScript wrap, and everything else. */
const timeouts = fc.oneof(
  fc.constantFrom(
    0,
    1,
    6_999,
    7_000,
    7_001,
    2 ** 31 - 2,
    2 ** 31 - 1,
    2 ** 31,
    2 ** 31 + 1,
    2 ** 32,
    2 ** 33 + 5,
  ),
  fc.nat(60_000),
  fc.integer({ min: 0, max: 2 ** 31 }),
)

const fate: fc.Arbitrary<Fate> = fc.record({
  copies: fc.constantFrom(0, 1, 1, 1, 2),
  delay: fc.oneof(fc.nat(50), fc.nat(20_000)),
  duration: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, fc.nat(20_000), fc.constant(Infinity)),
  breaks: fc.constantFrom(false, false, false, true),
})

describe('timers', () => {
  it('fire once at their time, also after more than 2³¹ ms', async () => {
    await fc.assert(
      fc.asyncProperty(timeouts, async (ms) => {
        const rang: number[] = []
        const begun = Date.now()
        const alarm = new Alarm(ms, () => rang.push(Date.now() - begun))
        if (ms > 1) await vi.advanceTimersByTimeAsync(ms - 1)
        expect(rang).toEqual([])
        await vi.advanceTimersByTimeAsync(2)
        expect(rang).toHaveLength(1)
        expect(Math.abs((rang[0] ?? 0) - ms)).toBeLessThanOrEqual(1)
        alarm.cancel()
        expect(vi.getTimerCount()).toBe(0)
      }),
    )
  })

  it('do not fire after they were cancelled, in any part of a long wait', async () => {
    for (const after of [0, 5, 2 ** 31 - 1, 2 ** 31 + 5]) {
      let rang = false
      const alarm = new Alarm(2 ** 33, () => (rang = true))
      await vi.advanceTimersByTimeAsync(after)
      alarm.cancel()
      await vi.advanceTimersByTimeAsync(2 ** 33)
      expect(rang).toBe(false)
      expect(vi.getTimerCount()).toBe(0)
    }
  })

  it('with Infinity never fire, and set no system timer', () => {
    new Alarm(Infinity, () => undefined)
    expect(vi.getTimerCount()).toBe(0)
  })
})

describe('performRpc', () => {
  it('times out exactly at the timeout if no packet comes back', async () => {
    await fc.assert(
      fc.asyncProperty(
        timeouts,
        timeouts,
        fc.constantFrom(0, 1, 2),
        async (responseTimeout, latency, protocol) => {
          const wire = new Wire(() => ({ copies: 0, delay: 0 }))
          const alice = wire.peer('alice', protocol)
          wire.peer('bob', protocol)
          const begun = Date.now()
          let settledAt = -1
          const call = alice.client
            .performRpc({
              destinationIdentity: 'bob',
              method: 'm',
              payload: '',
              responseTimeout,
              maxRoundTripLatency: latency,
            })
            .catch((error: unknown) => {
              settledAt = Date.now() - begun
              return error
            })
          const deadline = Math.min(responseTimeout, latency)
          await vi.advanceTimersByTimeAsync(deadline + 100)
          const error = await call
          expect(Math.abs(settledAt - deadline)).toBeLessThanOrEqual(1)
          expect(error).toBeInstanceOf(RpcError)
          expect(error).toMatchObject(
            latency < responseTimeout
              ? { code: 1501, timeout: latency }
              : { code: 1502, timeout: responseTimeout },
          )
          expect([alice.client.pending, vi.getTimerCount()]).toEqual([0, 0])
        },
      ),
    )
  })

  it('settles by its deadline under any sequence of faults, and leaves nothing behind', async () => {
    const script = fc.record({
      fates: fc.array(fate, { minLength: 1, maxLength: 8 }),
      protocol: fc.constantFrom(0, 1, 2),
      hidden: fc.constantFrom(false, false, false, true),
      responseTimeout: timeouts,
      // What the handler does, and after how long.
      work: fc.record({ ms: fc.nat(20_000), how: fc.constantFrom('return', 'throw', 'hang') }),
      // What happens besides, and when.
      event: fc.record({
        ms: fc.oneof(fc.nat(200), fc.nat(30_000)),
        what: fc.constantFrom('nothing', 'leave', 'close', 'abort', 'stranger', 'sendFails'),
      }),
    })
    const codes = new Set<unknown>()
    await fc.assert(
      fc.asyncProperty(script, async ({ fates, protocol, hidden, responseTimeout, work, event }) => {
        let next = 0
        const wire = new Wire(() => fates[next++ % fates.length])
        const [alice, bob] = [wire.peer('alice', protocol), wire.peer('bob', protocol)]
        if (hidden) bob.clientProtocol = undefined
        bob.server.registerRpcMethod('work', async () => {
          await new Promise<void>((resolve) => {
            if (work.how !== 'hang') setTimeout(resolve, work.ms)
          })
          if (work.how === 'throw') throw new RpcError(7, 'no')
          return 'answer'
        })
        const stop = new AbortController()
        const abortReason = new Error('enough')
        const begun = Date.now()
        let settledAt: number | undefined
        const call = alice.client
          .performRpc({
            destinationIdentity: 'bob',
            method: 'work',
            payload: 'request',
            responseTimeout,
            signal: stop.signal,
          })
          .then(
            (answer) => expect(answer).toBe('answer'),
            (error: unknown) => {
              if (error !== abortReason) expect(error).toBeInstanceOf(RpcError)
              codes.add(error === abortReason ? 'aborted' : (error as RpcError).code)
            },
          )
          .finally(() => (settledAt = Date.now() - begun))
        const happen = setTimeout(() => {
          if (event.what === 'leave') wire.leave('bob')
          if (event.what === 'close') alice.client.close()
          if (event.what === 'abort') stop.abort(abortReason)
          if (event.what === 'sendFails') bob.failing = 'texts'
          if (event.what === 'stranger') {
            for (const sent of [...wire.sent]) {
              if (sent.kind === 'rpcAck' || sent.kind === 'rpcResponse')
                wire.deliver('eve', 'alice', sent.packet)
            }
          }
        }, event.ms)
        await vi.advanceTimersByTimeAsync(responseTimeout + 100)
        expect(settledAt).toBeDefined()
        await call
        clearTimeout(happen)
        expect(alice.client.pending).toBe(0)
        // Later packets find no call, and the recipient ends its calls when it leaves.
        await vi.advanceTimersByTimeAsync(100_000)
        bob.server.close()
        expect([bob.server.running, vi.getTimerCount()]).toEqual([0, 0])
      }),
      { numRuns: 1000, seed: 5 },
    )
    // The scripts reach what they are meant to reach.
    expect([...codes].map(String).sort()).toEqual([
      '1401',
      '1500',
      '1501',
      '1502',
      '1503',
      '1505',
      '7',
      'aborted',
    ])
  })
})

import { afterEach, beforeEach, describe, expect, expectTypeOf, it } from 'vitest'
import { bytes, json, setLogLevel, text } from '../../index'
import type { DataTrackCodec, TypedRpcInvocation } from '../../index'
import { rejection, thrown, until, withPair } from '../helpers/rooms'
import type { Pair } from '../helpers/rooms'
import { call } from '../helpers/rpc-rooms'

beforeEach(() => setLogLevel('silent'))
afterEach(() => setLogLevel('warn'))

interface Move {
  readonly x: number
  readonly y: number
}
interface Pose {
  readonly at: string
}

const withRooms = (use: (pair: Pair) => Promise<void>): Promise<void> =>
  withPair(async (pair) => {
    await until(() => pair.alice.remoteParticipants.has('bob'))
    await use(pair)
  })

describe('room.rpc', () => {
  it('sends and returns values as JSON', () =>
    withRooms(async ({ alice, bob }) => {
      const seen: TypedRpcInvocation[] = []
      bob.rpc.handle<Move, Pose>('move', ({ x, y }, invocation) => {
        seen.push(invocation)
        return { at: `${x}/${y}` }
      })
      const pose = await alice.rpc.call<Move, Pose>('bob', 'move', { x: 1, y: 2 }, { responseTimeout: 5000 })
      expectTypeOf(pose).toEqualTypeOf<Pose>()
      expect(pose).toEqual({ at: '1/2' })
      expect(seen).toMatchObject([{ callerIdentity: 'alice', responseTimeout: 5000 }])
      expect(Object.keys(seen[0]!).sort()).toEqual([
        'callerIdentity',
        'method',
        'requestId',
        'responseTimeout',
        'signal',
      ])
      // A participant without codecs gets the text.
      expect(await call(alice, 'bob', 'move', '{"x":3,"y":4}')).toBe('{"at":"3/4"}')
      bob.registerRpcMethod('plain', ({ payload }) => `[${payload}]`)
      expect(await alice.rpc.call('bob', 'plain', { a: 1 })).toEqual([{ a: 1 }])
    }))

  it('sends undefined as an empty payload', () =>
    withRooms(async ({ alice, bob }) => {
      const got: unknown[] = []
      bob.rpc.handle('stop', (request) => void got.push(request))
      expect(await alice.rpc.call('bob', 'stop', undefined)).toBeUndefined()
      expect(await alice.rpc.call('bob', 'stop', null)).toBeUndefined()
      expect(await call(alice, 'bob', 'stop')).toBe('')
      expect(got).toEqual([undefined, null, undefined])
    }))

  it('uses other codecs: texts are sent unchanged, other payloads as base64', () =>
    withRooms(async ({ alice, bob }) => {
      const number: DataTrackCodec<number> = {
        encode: (value) => Uint8Array.of(value >> 8, value & 0xff),
        decode: ([high = 0, low = 0]) => (high << 8) | low,
      }
      bob.rpc.handle('length', (request: string) => request.length, {
        requestCodec: text(),
        responseCodec: number,
      })
      const options = { requestCodec: text(), responseCodec: number }
      expect(await alice.rpc.call('bob', 'length', '\u00e4'.repeat(500), options)).toBe(500)
      expect(await call(alice, 'bob', 'length', 'four')).toBe('AAQ=')
      bob.rpc.handle('echo', (request: Uint8Array) => request, {
        requestCodec: bytes(),
        responseCodec: bytes(),
      })
      const all = Uint8Array.from({ length: 256 }, (_, index) => index)
      const raw = { requestCodec: bytes(), responseCodec: bytes() }
      expect(Buffer.compare(await alice.rpc.call('bob', 'echo', all, raw), all)).toBe(0)
      expect(await alice.rpc.call('bob', 'length', '', options)).toBe(0)
    }))

  it('reports whether the caller’s or the recipient’s codec failed', () =>
    withRooms(async ({ alice, bob }) => {
      bob.rpc.handle('json', () => 1)
      bob.rpc.handle('unencodable', () => 1n as unknown as number)
      bob.registerRpcMethod('plain', () => 'no JSON')
      // One's own request is one's own mistake.
      expect(await rejection(alice.rpc.call('bob', 'json', () => 1))).toBeInstanceOf(TypeError)
      const undecodable = await rejection(alice.rpc.call('bob', 'plain', 1))
      expect(undecodable).toMatchObject({
        name: 'DataTrackDecodeError',
        reason: 'undecodableResponse',
        frame: 'no JSON',
      })
      expect(undecodable.cause).toBeInstanceOf(SyntaxError)
      expect(await rejection(call(alice, 'bob', 'json', 'no JSON'))).toMatchObject({
        code: 1500,
        data: 'the request cannot be decoded',
      })
      expect(await rejection(alice.rpc.call('bob', 'unencodable', 1))).toMatchObject({
        code: 1500,
        data: undefined,
      })
    }))

  it('removes a handler once, and never another handler of the same method', () =>
    withRooms(async ({ alice, bob }) => {
      const remove = bob.rpc.handle('m', () => 1)
      expect(thrown(() => bob.rpc.handle('m', () => 2))).toBeInstanceOf(RangeError)
      remove()
      bob.rpc.handle('m', () => 2)
      remove()
      expect(await alice.rpc.call('bob', 'm', null)).toBe(2)
    }))

  it('rejects when the signal aborts, and names wrong arguments', () =>
    withRooms(async ({ alice, bob }) => {
      let called = false
      bob.rpc.handle('hang', () => {
        called = true
        return new Promise(() => undefined)
      })
      const stop = new AbortController()
      const failed = rejection(alice.rpc.call('bob', 'hang', null, { signal: stop.signal }))
      await until(() => called)
      stop.abort(new Error('enough'))
      expect((await failed).message).toBe('enough')
      const wrong = async (options: object): Promise<string> =>
        (await rejection(alice.rpc.call('bob', 'hang', null, options))).message
      expect(await wrong({ requestCodec: {} })).toContain('"options.requestCodec')
      expect(await wrong({ responseCodec: 1 })).toContain('"options.responseCodec"')
      expect(await wrong({ responseTimeout: -1 })).toContain('responseTimeout"')
      expect(thrown(() => bob.rpc.handle('x', 1 as never)).message).toContain('"handler"')
      expect(json().isText).toBe(true)
    }))
})

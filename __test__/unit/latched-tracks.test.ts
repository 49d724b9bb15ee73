/** The last frame of a latched track, which participants fetch from its publisher. */
import { expect, it } from 'vitest'
import { DataTrackDecodeError, ExternalE2EEKeyProvider, json, RpcError } from '../../index'
import { MAX_LATCHED_BYTES, Latch } from '../../src/data-track/latch'
import { LATEST_METHOD, LatchedTracks } from '../../src/room/latched-tracks'
import { keepLogs } from '../helpers/logged'
import { publish, rejection, until, withPair } from '../helpers/rooms'

const logged = keepLogs({ debug: false })

const MEGABYTES = 2_000_000

it('a late joiner gets the last frame with its timestamp, also of 2 MB, before and after either connection was rebuilt', () =>
  withPair(async (pair) => {
    const { local, remote } = await publish(pair, { latch: true })
    expect(await remote.latest()).toBeUndefined()
    const payload = new Uint8Array(MEGABYTES).map((_, index) => index * 7)
    local.tryPush(Uint8Array.of(1))
    local.tryPush({ payload, userTimestamp: 2n ** 64n - 1n })
    const sum = payload.slice()
    payload.fill(0)
    const carol = pair.sfu.join('carol')
    const late = await carol.remoteParticipants.get('alice')!.dataTracks.getDeferred('track')
    for (const identity of ['alice', 'carol'] as const) {
      const frame = (await late.latest())!
      expect([frame.latched, frame.userTimestamp, frame.number]).toEqual([true, 2n ** 64n - 1n, 1])
      expect(Buffer.compare(frame.payload, sum)).toBe(0)
      await pair.sfu.reconnect(identity, 'full')
      await until(() => pair.alice.remoteParticipants.get('carol')?.isActive === true)
    }
    await local.push(new Uint8Array(0))
    expect((await late.latest())!.payload).toEqual(new Uint8Array(0))
    await local.unpublish()
    await until(() => !late.isPublished())
    expect(await late.latest()).toBeUndefined()
  }))

it('the last frame is decoded by the codec; a failure is a DataTrackDecodeError', () =>
  withPair(async (pair) => {
    const { local, remote } = await publish(pair, { latch: true, codec: json<{ x: number }>() })
    local.tryPush({ x: 1 })
    const frame = await remote.latest({ codec: json<{ x: number }>() })
    expect([frame!.value, frame!.latched]).toEqual([{ x: 1 }, true])
    const failing = { encode: () => new Uint8Array(), decode: () => JSON.parse('{') as unknown }
    expect(await rejection(remote.latest({ codec: failing }))).toBeInstanceOf(DataTrackDecodeError)
  }))

it('the last frame is available in an encrypted room', async () => {
  const keyProvider = new ExternalE2EEKeyProvider()
  await keyProvider.setKey('passphrase')
  const encryption = { keyProvider }
  await withPair(
    async (pair) => {
      const { local, remote } = await publish(pair, { latch: true })
      local.tryPush(Uint8Array.of(7))
      expect((await remote.latest())!.payload).toEqual(Uint8Array.of(7))
    },
    {},
    { alice: { encryption }, bob: { encryption } },
  )
})

it('latest() is undefined for a track that is not latched, and for a participant that may not subscribe to it or not publish data', () =>
  withPair(async (pair) => {
    const plain = await publish(pair, { name: 'plain' })
    plain.local.tryPush(Uint8Array.of(1))
    expect(await plain.remote.latest()).toBeUndefined()
    const { local, remote } = await publish(pair, { name: 'secret', latch: true })
    local.tryPush(Uint8Array.of(1))
    expect(await remote.latest()).toBeDefined()
    pair.alice.localParticipant.setTrackSubscriptionPermissions(false)
    expect(await remote.latest()).toBeUndefined()
    pair.sfu.updateParticipant('bob', { permission: { canPublishData: false } })
    await until(() => pair.bob.localParticipant.permissions?.canPublishData === false)
    expect(await remote.latest()).toBeUndefined()
  }))

it('latest() names the option that is wrong, and rejects with the reason of the signal', () =>
  withPair(async (pair) => {
    expect(await rejection(publish(pair, { latch: 1 as never }))).toBeInstanceOf(TypeError)
    const { remote } = await publish(pair)
    for (const [options, name] of [
      [7, 'options'],
      [{ signal: 7 }, 'options.signal'],
      [{ codec: 7 }, 'options.codec'],
    ] as const) {
      const error = await rejection(remote.latest(options as never))
      expect(error).toBeInstanceOf(TypeError)
      expect(error.message).toContain(`"${name}`)
    }
    const mine = new Error('mine')
    expect(await rejection(remote.latest({ signal: AbortSignal.abort(mine) }))).toBe(mine)
  }))

it('a frame above MAX_LATCHED_BYTES is not kept, and the frame before it is forgotten', () => {
  const latch = new Latch()
  latch.keep(Uint8Array.of(1), 5n)
  expect(latch.frame).toEqual({ payload: Uint8Array.of(1), userTimestamp: 5n })
  latch.keep(new Uint8Array(MAX_LATCHED_BYTES), undefined)
  expect(latch.frame?.payload).toHaveLength(MAX_LATCHED_BYTES)
  latch.keep(new Uint8Array(MAX_LATCHED_BYTES + 1), undefined)
  expect(latch.frame).toBeUndefined()
})

it('an invalid request or answer changes nothing, and is logged once', async () => {
  let answer: string | Error = ''
  let asked: ((data: never) => unknown) | undefined
  const rpc = {
    client: {
      performRpc: () => (typeof answer === 'string' ? Promise.resolve(answer) : Promise.reject(answer)),
    },
    server: { registerReserved: (_method: string, handler: (data: never) => unknown) => (asked = handler) },
  }
  const fetching = new LatchedTracks(
    rpc as never,
    () => undefined as never,
    new Map(),
    () => undefined,
  )
  const malformed = ['', 'null', '7', '{"payload":7}', '{"payload":"*"}', '{"payload":"AA=="}']
  const frame = { payload: '', number: 0, timestamp: 0 }
  for (const wrong of [
    { userTimestamp: 5 },
    { userTimestamp: '18446744073709551616' },
    { userTimestamp: '-1' },
    { number: 65_536 },
    { number: -1 },
    { number: 0.5 },
    { number: '1' },
    { timestamp: 2 ** 32 },
    { timestamp: undefined },
  ]) {
    malformed.push(JSON.stringify({ ...frame, ...wrong }))
  }
  for (answer of malformed) expect(await fetching.fetch('a', 1, undefined)).toBeUndefined()
  expect(logged.filter((text) => text.includes(LATEST_METHOD))).toHaveLength(1)
  for (const code of ['UNSUPPORTED_METHOD', 'CONNECTION_TIMEOUT', 'APPLICATION_ERROR'] as const) {
    answer = RpcError.builtIn(code)
    expect(await fetching.fetch('a', 1, undefined)).toBeUndefined()
  }
  answer = RpcError.builtIn('RECIPIENT_DISCONNECTED')
  expect(await rejection(fetching.fetch('a', 1, undefined))).toBe(answer)
  for (const payload of ['', 'null', '{"handle":0}', '{"handle":"1"}', '{"handle":65536}']) {
    expect(() => asked!({ callerIdentity: 'x', payload } as never)).toThrow(RpcError)
  }
  expect(asked!({ callerIdentity: 'x', payload: '{"handle":1}' } as never)).toBe('{}')
})

it('frames of a stream are not kept as the last frame', () =>
  withPair(async (pair) => {
    const { local, remote } = await publish(pair, { latch: true })
    const stream = remote.subscribe()
    await stream.ready
    local.tryPush(Uint8Array.of(1))
    expect((await stream.read())!.latched).toBe(false)
  }))

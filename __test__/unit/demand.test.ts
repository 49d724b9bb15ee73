/** Whether a track has subscribers: `stream.ready`, what a server says, and what rooms of this package tell each other. */
import { getEventListeners } from 'node:events'
import { SignalResponse } from '@livekit/protocol'
import { describe, expect, it } from 'vitest'
import { DataTrackSubscribeError, DataTrackUnpublishedError, Room, RoomEvent } from '../../index'
import { ASK_ATTEMPTS, DemandAsker, MAX_ANNOUNCED, MAX_ASKS } from '../../src/room/demand/asker'
import { ASK, DEMAND_METHOD, parseDemand } from '../../src/room/demand/messages'
import type { DemandParticipant } from '../../src/room/demand/participants'
import { RoomDemand } from '../../src/room/demand/room-demand'
import { RpcError } from '../../src/rpc/rpc-error'
import type { RpcMethodHandler } from '../../src/rpc/invocation'
import { MAX_TRACKS_OF_PARTICIPANT } from '../../src/signal/limits'
import { signalParts } from '../../src/signal/parts'
import { keepLogs } from '../helpers/logged'
import { fakeRoom } from '../helpers/fake-connection'
import { collectedWhen, publish, rejection, thrown, turn, until, withPair } from '../helpers/rooms'

const logged = keepLogs({ debug: false })

describe('stream.ready', () => {
  it('resolves when the SFU forwards frames: a frame that is pushed afterwards arrives', () =>
    withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      for (let index = 0; index < 50; index++) {
        const stream = remote.subscribe()
        await stream.ready
        local.tryPush(Uint8Array.of(index))
        expect((await stream.read())!.payload[0]).toBe(index)
        await stream.ready
        stream.close()
        await stream.ready
      }
    }))

  it('rejects with the same error as reading if the stream ends first: closed, aborted, unpublished, disconnected', () =>
    withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      const closed = remote.subscribe()
      const waiting = rejection(closed.ready)
      closed.close()
      for (const error of [await waiting, await rejection(closed.ready)]) {
        expect(error).toBeInstanceOf(DataTrackSubscribeError)
        expect(error.reason).toBe('cancelled')
      }
      const controller = new AbortController()
      const aborted = rejection(remote.subscribe({ signal: controller.signal }).ready)
      const mine = new Error('mine')
      controller.abort(mine)
      expect(await aborted).toBe(mine)
      expect(await rejection(remote.subscribe({ signal: controller.signal }).ready)).toBe(mine)
      const unpublished = remote.subscribe()
      const gone = rejection(unpublished.ready)
      pair.sfu.unpublish(local.info.sid)
      expect(await gone).toMatchObject({ reason: 'unpublished' })
      const left = await publish(pair, { name: 'other' })
      const cut = rejection(left.remote.subscribe().ready)
      await pair.bob.disconnect()
      expect(await cut).toMatchObject({ reason: 'disconnected' })
    }))

  it('needs no reader, and causes no unhandled rejection if the application ignores it', () =>
    withPair(async (pair) => {
      const { remote } = await publish(pair)
      const stream = remote.subscribe()
      void stream.ready
      stream.close()
      await turn()
    }))

  it('keeps its stream from being garbage-collected while the application awaits it', async () => {
    // No server answers here, so the stream waits.
    const { room } = fakeRoom()
    room.engine.receive({
      message: {
        case: 'join',
        value: {
          participant: { identity: 'me', sid: 'PA_me', state: 2 },
          otherParticipants: [
            {
              identity: 'a',
              sid: 'PA',
              state: 2,
              dataTracks: [{ pubHandle: 1, sid: 'DTR_1', name: 't', encryption: 0 }],
            },
          ],
        },
      },
    })
    const track = room.remoteParticipants.get('a')!.dataTracks.get('t')!
    const streams = [new WeakRef(track.subscribe())]
    const ready = streams[0]!.deref()!.ready
    for (let round = 0; round < 5; round++) {
      await turn()
      gc!()
    }
    room.engine.receive({
      message: { case: 'dataTrackSubscriberHandles', value: { subHandles: { 5: { trackSid: 'DTR_1' } } } },
    })
    await ready
    await collectedWhen(() => streams[0]!.deref() === undefined)
    await room.disconnect()
  })
})

describe("a server's report about subscribers", () => {
  it('sets hasSubscribers, resolves waitForSubscriber, and emits an event', () =>
    withPair(async (pair) => {
      const { alice, bob, sfu } = pair
      const told: unknown[] = []
      alice.on(RoomEvent.LocalDataTrackDemandChanged, (has, { name }) => told.push([has, name]))
      const { local, remote } = await publish(pair)
      const waiting = [local.waitForSubscriber(), local.waitForSubscriber()]
      const first = remote.subscribe()
      await Promise.all(waiting)
      expect(local.hasSubscribers).toBe(true)
      await local.waitForSubscriber()
      const carol = sfu.join('carol')
      const second = (
        await carol.remoteParticipants.get('alice')!.dataTracks.getDeferred('track')
      ).subscribe()
      await second.ready
      first.close()
      await turn()
      expect(local.hasSubscribers).toBe(true)
      await carol.disconnect()
      await until(() => local.hasSubscribers === false)
      expect(told.filter(([has]: any) => has !== undefined)).toEqual(
        expect.arrayContaining([
          [true, 'track'],
          [false, 'track'],
        ]),
      )
      await bob.disconnect()
    }))

  it('waitForSubscriber() rejects when the track ends or its signal aborts, and names a wrong option', () =>
    withPair(async (pair) => {
      const { local } = await publish(pair)
      const controller = new AbortController()
      const aborted = rejection(local.waitForSubscriber({ signal: controller.signal }))
      const mine = new Error('mine')
      controller.abort(mine)
      expect(await aborted).toBe(mine)
      expect(getEventListeners(controller.signal, 'abort')).toEqual([])
      for (const options of [7, null, { signal: 7 }]) {
        expect(await rejection(local.waitForSubscriber(options as never))).toBeInstanceOf(TypeError)
      }
      const ended = rejection(local.waitForSubscriber())
      await local.unpublish()
      for (const error of [await ended, await rejection(local.waitForSubscriber())]) {
        expect(error).toBeInstanceOf(DataTrackUnpublishedError)
        expect(error.reason).toBe('local')
      }
      expect(local.hasSubscribers).toBeUndefined()
    }))

  it('is forgotten when the connection is lost, until the server or the participants report again', () =>
    withPair(async (pair) => {
      const { alice, bob, sfu } = pair
      const { local, remote } = await publish(pair)
      const stream = remote.subscribe()
      await stream.ready
      for (const kind of ['resume', 'full'] as const) {
        await sfu.reconnect('alice', kind)
        // Bob's room answers.
        await local.waitForSubscriber()
        expect(local.hasSubscribers).toBe(true)
      }
      await sfu.reconnect('bob', 'full')
      await local.waitForSubscriber()
      stream.close()
      await until(() => local.hasSubscribers === false)
      await bob.disconnect()
      await alice.disconnect()
    }))

  it('is read from the wire beside other fields; an invalid one changes nothing and is logged once', async () => {
    const update = (...bytes: number[]) => Uint8Array.of(0x82, 0x02, bytes.length, ...bytes)
    const read = (bytes: Uint8Array) =>
      [...signalParts(bytes)].map((part) => part?.message as unknown).filter((part) => part !== undefined)
    const said = (pubHandle: number, hasSubscribers: boolean) => [
      { case: 'dataTrackDemandUpdate', value: { pubHandle, hasSubscribers } },
    ]
    expect(read(update(8, 5, 16, 1))).toEqual(said(5, true))
    expect(read(update(8, 0xff, 0xff, 3))).toEqual(said(65_535, false))
    expect(read(update())).toEqual(said(0, false))
    // A field that is not known, and one cut off in its midst.
    expect(read(update(26, 1, 7, 8, 5, 16, 1))).toEqual(said(5, true))
    expect(read(update(8, 5, 16, 1, 26, 9))).toEqual(said(5, true))
    // As a number, it is none.
    expect(read(Uint8Array.of(0x80, 0x02, 1))).toEqual([])
    // A longer message is read in another way.
    const long = Buffer.concat([new SignalResponse().toBinary(), update(8, 5, 16, 1)])
    const padded = Buffer.concat([Uint8Array.of(0xaa, 0x1f, 0xe0, 0x5d), new Uint8Array(12_000), long])
    expect(read(padded)).toEqual(said(5, true))

    const { room } = fakeRoom()
    room.engine.receive({
      message: { case: 'join', value: { participant: { identity: 'me', sid: 'PA', state: 2 } } },
    })
    const publishing = room.localParticipant.publishDataTrack({ name: 't' })
    const info = { pubHandle: 1, sid: 'DTR_1', name: 't', encryption: 0 }
    room.engine.receive({ message: { case: 'publishDataTrackResponse', value: { info } } })
    const track = await publishing
    const receive = (value: unknown) =>
      room.engine.receive({ message: { case: 'dataTrackDemandUpdate', value } })
    const bad = [
      undefined,
      7,
      {},
      { pubHandle: 0 },
      { pubHandle: 1, hasSubscribers: 1 },
      { pubHandle: 70_000 },
    ]
    for (const value of [...bad, ...bad]) receive(value)
    receive({ pubHandle: 2, hasSubscribers: true })
    expect(logged.filter((text) => text.includes('dataTrackDemandUpdate'))).toHaveLength(1)
    // The room is empty: no one but hidden participants could subscribe.
    expect(track.hasSubscribers).toBe(false)
    receive({ pubHandle: 1, hasSubscribers: true })
    expect(track.hasSubscribers).toBe(true)
    await room.disconnect()
  })
})

/** Rooms that reach each other; what one does not know, it refuses as other SDKs do. */
class Net {
  readonly calls: string[] = []
  readonly rooms = new Map<string, Side>()
  /** Called before a call is delivered. */
  before: (to: string) => Promise<void> | void = () => {}

  join(identity: string, handles: number[] = []): Side {
    const side = new Side(this, identity, handles)
    for (const other of this.rooms.values()) {
      other.add(identity)
      side.add(other.identity)
    }
    this.rooms.set(identity, side)
    return side
  }

  async call(from: string, to: string, method: string, payload: string): Promise<string> {
    this.calls.push(`${from}>${to} ${payload}`)
    await this.before(to)
    const handler = this.rooms.get(to)?.handlers.get(method)
    if (handler === undefined) throw RpcError.builtIn('UNSUPPORTED_METHOD')
    const signal = new AbortController().signal
    return await handler({
      requestId: '1',
      callerIdentity: from,
      method,
      payload,
      responseTimeout: 1,
      signal,
    })
  }
}

class Side {
  readonly participants = new Map<string, DemandParticipant>()
  readonly handlers = new Map<string, RpcMethodHandler>()
  readonly known = new Map<number, boolean | undefined>()
  readonly demand: RoomDemand
  readonly identity: string

  constructor(net: Net, identity: string, handles: number[]) {
    this.identity = identity
    const session = {
      publishedHandles: () => handles,
      announceDemand: (handle: number, has: boolean | undefined) => this.known.set(handle, has),
    }
    const rpc = {
      client: {
        performRpc: (call: { destinationIdentity: string; method: string; payload: string }) =>
          net.call(identity, call.destinationIdentity, call.method, call.payload),
      },
      server: {
        registerReserved: (method: string, handler: RpcMethodHandler) => this.handlers.set(method, handler),
      },
    }
    this.demand = new RoomDemand(
      this.participants,
      rpc as never,
      () => session as never,
      () => false,
    )
  }

  add(identity: string, sid = 'PA_1', permissions?: DemandParticipant['permissions']): void {
    this.participants.set(identity, { identity, sid, isActive: true, permissions })
    this.demand.changed(identity)
    this.demand.active(this.participants.get(identity)!)
  }

  remove(identity: string): void {
    this.participants.delete(identity)
    this.demand.changed(identity)
  }
}

const settle = async (): Promise<void> => {
  for (let turns = 0; turns < 5; turns++) await turn()
}

describe("a participant's announcement of its subscriptions", () => {
  it('goes to the participants that ask for it: at once, and after each change', async () => {
    const net = new Net()
    const [alice, bob] = [net.join('alice', [1, 2]), net.join('bob')]
    bob.demand.forwarded('alice', 1, true)
    await settle()
    expect(net.calls).toEqual([])
    alice.demand.want()
    await settle()
    expect([...alice.known]).toEqual([
      [1, true],
      [2, false],
    ])
    bob.demand.forwarded('alice', 1, false)
    bob.demand.forwarded('alice', 2, true)
    await settle()
    expect([...alice.known]).toEqual([
      [1, false],
      [2, true],
    ])
    // Both changes of the turn were told at once.
    expect(net.calls).toEqual([`alice>bob ${ASK}`, 'bob>alice {"count":2,"tracks":[2]}'])
  })

  it('leaves hasSubscribers undefined until the participant has answered', async () => {
    const net = new Net()
    const [alice, bob] = [net.join('alice', [1]), net.join('bob')]
    alice.demand.want()
    await settle()
    expect(alice.known.get(1)).toBe(false)
    // Carol's SDK is another one; dave may not send data, so that he is not even asked.
    alice.add('carol')
    alice.add('dave', 'PA', { canPublishData: false } as never)
    await settle()
    expect(alice.known.get(1)).toBeUndefined()
    bob.demand.forwarded('alice', 1, true)
    await settle()
    expect(alice.known.get(1)).toBe(true)
    alice.remove('bob')
    expect(alice.known.get(1)).toBeUndefined()
    alice.remove('carol')
    expect(alice.known.get(1)).toBeUndefined()
    alice.remove('dave')
    expect(alice.known.get(1)).toBe(false)
    expect(net.calls.filter((call) => call.startsWith('alice>'))).toEqual([
      `alice>bob ${ASK}`,
      `alice>carol ${ASK}`,
    ])
  })

  it('is requested again from a new session, and after the own connection was rebuilt', async () => {
    const net = new Net()
    const [alice, bob] = [net.join('alice', [1]), net.join('bob')]
    bob.demand.forwarded('alice', 1, true)
    alice.demand.want()
    await settle()
    alice.add('bob', 'PA_2')
    expect(alice.known.get(1)).toBeUndefined()
    await settle()
    expect(alice.known.get(1)).toBe(true)
    bob.add('alice', 'PA_2')
    alice.demand.rebuilt()
    alice.demand.rejoined()
    expect(alice.known.get(1)).toBeUndefined()
    await settle()
    expect(alice.known.get(1)).toBe(true)
    bob.demand.forwarded('alice', 1, false)
    await settle()
    expect(alice.known.get(1)).toBe(false)
    alice.demand.close()
    expect(alice.known.get(1)).toBeUndefined()
  })

  it('is ignored when it is late: an answer after a newer announcement, or one of an older session', async () => {
    const net = new Net()
    const alice = net.join('alice', [1])
    alice.add('bob')
    const heard = alice.handlers.get(DEMAND_METHOD)!
    const from = (callerIdentity: string, payload: string) => heard({ callerIdentity, payload } as never)
    let answer = (_text: string): void => {}
    net.rooms.set('bob', {
      handlers: new Map([[DEMAND_METHOD, () => new Promise<string>((resolve) => (answer = resolve))]]),
    } as never)
    alice.demand.want()
    await settle()
    await from('bob', '{"count":2,"tracks":[1]}')
    answer('{"count":1,"tracks":[]}')
    await settle()
    expect(alice.known.get(1)).toBe(true)
    alice.add('bob', 'PA_2')
    await settle()
    const late = answer
    alice.add('bob', 'PA_3')
    late('{"count":9,"tracks":[1]}')
    await settle()
    expect(alice.known.get(1)).toBeUndefined()
  })

  it('is sent again a few times if sending failed', async () => {
    const net = new Net()
    const [alice, bob] = [net.join('alice', [1]), net.join('bob')]
    alice.demand.want()
    await settle()
    net.calls.length = 0
    let failures = 2
    net.before = () => {
      if (failures-- > 0) throw RpcError.builtIn('CONNECTION_TIMEOUT')
    }
    bob.demand.forwarded('alice', 1, true)
    await settle()
    expect([net.calls.length, alice.known.get(1)]).toEqual([3, true])
    failures = Infinity
    bob.demand.forwarded('alice', 1, false)
    await settle()
    expect(net.calls).toHaveLength(6)
    // It has given up: the publisher has to ask again.
    bob.demand.forwarded('alice', 1, true)
    await settle()
    expect(net.calls).toHaveLength(6)
  })

  it('is requested again if the question or the answer was lost, a few times; not if the method is unknown', async () => {
    const net = new Net()
    const [alice, bob] = [net.join('alice', [1]), net.join('bob')]
    bob.demand.forwarded('alice', 1, true)
    let losses = 2
    const lost = ['CONNECTION_TIMEOUT', 'RESPONSE_TIMEOUT'] as const
    net.before = () => {
      if (losses-- > 0) throw RpcError.builtIn(lost[net.calls.length % 2]!)
    }
    alice.demand.want()
    await settle()
    expect([net.calls.length, alice.known.get(1)]).toEqual([3, true])
    net.calls.length = 0
    losses = Infinity
    alice.add('carol')
    await settle()
    expect(net.calls).toHaveLength(ASK_ATTEMPTS)
    // A new session is asked anew. A participant that has left meanwhile is not.
    alice.add('carol', 'PA_2')
    await settle()
    expect(net.calls).toHaveLength(2 * ASK_ATTEMPTS)
    net.before = () => {
      alice.remove('carol')
      throw RpcError.builtIn('CONNECTION_TIMEOUT')
    }
    alice.add('carol', 'PA_3')
    await settle()
    expect(net.calls).toHaveLength(2 * ASK_ATTEMPTS + 1)
    net.before = () => {}
    alice.add('carol', 'PA_4')
    await settle()
    expect(net.calls).toHaveLength(2 * ASK_ATTEMPTS + 2)
  })

  it('changes nothing if it is invalid, which is logged once', async () => {
    const net = new Net()
    const [alice] = [net.join('alice', [1]), net.join('bob')]
    alice.demand.want()
    await settle()
    const many = JSON.stringify({
      count: 9,
      tracks: Array.from({ length: MAX_TRACKS_OF_PARTICIPANT + 1 }, () => 1),
    })
    const bad = [
      '',
      'null',
      '7',
      '{',
      '[]',
      '{}',
      '{"ask":1}',
      '{"count":9}',
      '{"count":-1,"tracks":[]}',
      many,
    ]
    bad.push('{"count":9,"tracks":[0]}', '{"count":9,"tracks":["1"]}', '{"count":9,"tracks":{"length":0}}')
    bad.push('{"count":1.5,"tracks":[1]}', '{"count":9,"tracks":[65536]}', '{"__proto__":{"ask":true}}')
    for (const payload of bad) {
      expect(parseDemand(payload)).toBeUndefined()
      expect(await rejection(net.call('bob', 'alice', DEMAND_METHOD, payload))).toMatchObject({ code: 1500 })
    }
    // Neither does what comes of someone who is not in the room.
    for (const payload of [ASK, '{"count":9,"tracks":[1]}'])
      expect(await rejection(net.call('', 'alice', DEMAND_METHOD, payload))).toMatchObject({ code: 1500 })
    expect(alice.known.get(1)).toBe(false)
    expect(logged.filter((text) => text.includes(DEMAND_METHOD))).toHaveLength(1)
  })

  it('is requested from a limited number of participants at a time, and kept within a bound', async () => {
    const participants = new Map<string, DemandParticipant>()
    for (let index = 0; index < 100; index++) {
      const identity = `p${index}`
      participants.set(identity, { identity, sid: 'PA', isActive: true, permissions: undefined })
    }
    const known = new Map<number, boolean | undefined>()
    const answers: ((text: string) => void)[] = []
    const asker = new DemandAsker(
      { participants, call: () => new Promise((resolve) => answers.push(resolve)) },
      { handles: () => [1, 4096], announce: (handle, has) => known.set(handle, has) },
    )
    asker.want()
    expect(answers).toHaveLength(MAX_ASKS)
    const tracks = Array.from({ length: MAX_TRACKS_OF_PARTICIPANT }, (_, index) => index + 1)
    const text = JSON.stringify({ count: 1, tracks })
    for (let at = 0; at < 100; at++) {
      answers[at]!(text)
      await turn()
    }
    expect([known.get(1), known.get(4096)]).toEqual([true, true])
    // As many have been heard as fit; the others count as silent.
    const heard = MAX_ANNOUNCED / MAX_TRACKS_OF_PARTICIPANT
    for (let at = 0; at < 100; at++) asker.heard(`p${at}`, { count: 2, tracks: [] })
    expect(heard).toBe(64)
    expect(known.get(1)).toBe(false)
  })
})

it('RPC interceptors do not see the calls of this package itself', () =>
  withPair(async (pair) => {
    const seen: string[] = []
    for (const { localParticipant } of [pair.alice, pair.bob]) {
      localParticipant.addRpcInterceptor({
        interceptOutgoing: (call, next) => next((seen.push(call.method), call)),
        interceptIncoming: (call, next) => next((seen.push(call.method), call)),
      })
    }
    const { local } = await publish(pair)
    await until(() => local.hasSubscribers === false)
    expect(seen).toEqual([])
  }))

it('the application cannot register methods that begin with node-datatrack/', () => {
  const room = new Room()
  for (const method of [DEMAND_METHOD, 'node-datatrack/mine']) {
    const error = thrown(() => room.registerRpcMethod(method, () => ''))
    expect(error).toBeInstanceOf(RangeError)
    expect(error.message).toContain('"method"')
  }
  room.unregisterRpcMethod(DEMAND_METHOD)
})

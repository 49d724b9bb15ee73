/** What the managers of RPC make of what comes, in both versions, without a room. */
import { RpcAck, RpcRequest, RpcResponse } from '@livekit/protocol'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { PublishDataError, RpcError } from '../../index'
import { MAX_PENDING_CALLS } from '../../src/rpc/client-manager'
import { MAX_REQUEST_BYTES } from '../../src/rpc/limits'
import type { RpcInvocationData, RpcMethodHandler } from '../../src/rpc/invocation'
import {
  ANSWER_ATTEMPTS,
  CALL_BYTES,
  MAX_RUNNING_BYTES,
  MAX_RUNNING_CALLS,
  MAX_WAITING_ANSWER_BYTES,
  RpcServerManager,
} from '../../src/rpc/server-manager'
import { REQUEST_TOPIC, RESPONSE_TOPIC } from '../../src/rpc/transport'
import type { SentPacket } from '../../src/data-packet/sender'
import type { OutgoingText } from '../../src/data-stream/outgoing'
import type { RpcPacket } from '../../src/rpc/transport'
import { keepLogs } from '../helpers/logged'
import { Wire } from '../helpers/rpc'
import type { Peer, Sent } from '../helpers/rpc'
import { rejection, thrown, turn, until } from '../helpers/rooms'
import { outcome } from '../helpers/rpc-rooms'

const logs = keepLogs()

const ack = (requestId: string): RpcPacket => ({ case: 'rpcAck', value: new RpcAck({ requestId }) })
const answer = (requestId: string, payload: string): RpcPacket => ({
  case: 'rpcResponse',
  value: new RpcResponse({ requestId, value: { case: 'payload', value: payload } }),
})
const answerText = (id: string, text: string): OutgoingText => ({
  topic: RESPONSE_TOPIC,
  attributes: { 'lk.rpc_request_id': id },
  text,
})
const requestText = (attributes: Record<string, string>, text = ''): OutgoingText => ({
  topic: REQUEST_TOPIC,
  attributes: {
    'lk.rpc_request_id': 'id',
    'lk.rpc_request_method': 'echo',
    'lk.rpc_request_response_timeout_ms': '15000',
    'lk.rpc_request_version': '2',
    ...attributes,
  },
  text,
})
const kinds = (wire: Wire, from?: string): string[] =>
  wire.sent.filter((sent) => from === undefined || sent.from === from).map(({ kind }) => kind)
const idOf = (sent: Sent | undefined): string => {
  if (sent?.kind === 'text') return sent.text.attributes['lk.rpc_request_id'] ?? ''
  if (sent?.packet.case === 'rpcRequest') return sent.packet.value.id
  throw new Error('nothing was sent')
}

interface Two {
  readonly wire: Wire
  readonly alice: Peer
  readonly bob: Peer
}

/** Alice and bob, where nothing that is sent arrives unless `arrives`. */
function two(protocol: number, arrives = true): Two {
  const wire = new Wire(() => ({ copies: arrives ? 1 : 0, delay: 0 }))
  return { wire, alice: wire.peer('alice', protocol), bob: wire.peer('bob', protocol) }
}

const call = ({ alice }: Two, options: object = {}): Promise<string> =>
  alice.client.performRpc({ destinationIdentity: 'bob', method: 'echo', payload: 'hello', ...options })

describe.each([0, 1, 2])('with clients of protocol %s', (protocol) => {
  const streams = protocol > 0

  it('request, acknowledgement and response have the protocol’s form', async () => {
    const peers = two(protocol)
    const got: RpcInvocationData[] = []
    peers.bob.server.registerRpcMethod('echo', (data) => {
      got.push(data)
      return data.payload.toUpperCase()
    })
    expect(await call(peers, { responseTimeout: 3000.5 })).toBe('HELLO')
    expect(kinds(peers.wire)).toEqual(
      streams ? ['text', 'rpcAck', 'text'] : ['rpcRequest', 'rpcAck', 'rpcResponse'],
    )
    const [request, , response] = peers.wire.sent
    const id = idOf(request)
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    if (request?.kind === 'text') {
      expect(request.text).toEqual({
        topic: 'lk.rpc_request',
        text: 'hello',
        attributes: {
          'lk.rpc_request_id': id,
          'lk.rpc_request_method': 'echo',
          'lk.rpc_request_response_timeout_ms': '3001',
          'lk.rpc_request_version': '2',
        },
      })
      expect(response).toMatchObject({ text: answerText(id, 'HELLO') })
    } else {
      expect(request?.packet.value).toMatchObject({
        id,
        method: 'echo',
        payload: 'hello',
        responseTimeoutMs: 3001,
        version: 1,
      })
    }
    expect(got).toMatchObject([
      { requestId: id, callerIdentity: 'alice', payload: 'hello', responseTimeout: 3001 },
    ])
  })

  it('a response that overtakes its acknowledgement settles the call', async () => {
    const peers = two(protocol, false)
    const answered = call(peers)
    await turn()
    const id = idOf(peers.wire.sent[0])
    if (streams) peers.wire.deliverText('bob', 'alice', answerText(id, 'early'))
    else peers.wire.deliver('bob', 'alice', answer(id, 'early'))
    expect(await answered).toBe('early')
    peers.wire.deliver('bob', 'alice', ack(id))
    expect(peers.alice.client.pending).toBe(0)
  })

  it('only the called participant can acknowledge and respond', async () => {
    vi.useFakeTimers()
    try {
      const peers = two(protocol, false)
      const failed = rejection(call(peers))
      await vi.advanceTimersByTimeAsync(1)
      const id = idOf(peers.wire.sent[0])
      peers.wire.deliver('eve', 'alice', ack(id))
      peers.wire.deliver('eve', 'alice', answer(id, 'wrong'))
      expect(peers.wire.deliverText('eve', 'alice', answerText(id, 'wrong')).cancelled).toBe(true)
      expect(logs.filter((line) => line.includes('not called'))).toHaveLength(3)
      await vi.advanceTimersByTimeAsync(7000)
      // Eve's acknowledgement counts for nothing.
      expect(await failed).toMatchObject({ code: 1501, message: 'Connection timeout', timeout: 7000 })
    } finally {
      vi.useRealTimers()
    }
  })

  it('a call with an acknowledgement but no response ends at the response timeout', async () => {
    vi.useFakeTimers()
    try {
      const peers = two(protocol, false)
      const failed = rejection(call(peers))
      await vi.advanceTimersByTimeAsync(1)
      peers.wire.deliver('bob', 'alice', ack(idOf(peers.wire.sent[0])))
      await vi.advanceTimersByTimeAsync(14_998)
      expect(peers.alice.client.pending).toBe(1)
      await vi.advanceTimersByTimeAsync(1)
      expect(await failed).toMatchObject({ code: 1502, message: 'Response timeout', timeout: 15_000 })
    } finally {
      vi.useRealTimers()
    }
  })

  it('repeated and late packets do nothing', async () => {
    const peers = two(protocol)
    let runs = 0
    peers.bob.server.registerRpcMethod('echo', async () => {
      await turn()
      return String(++runs)
    })
    expect(await call(peers)).toBe('1')
    const id = idOf(peers.wire.sent[0])
    peers.wire.deliver('bob', 'alice', answer(id, 'again'))
    peers.wire.deliver('bob', 'alice', ack(id))
    expect(peers.wire.deliverText('bob', 'alice', answerText(id, 'again')).cancelled).toBe(true)
    expect(peers.alice.client.pending).toBe(0)
    // A request that comes again while the first is worked on is not worked on twice.
    const request = new RpcRequest({ id: 'same', method: 'echo', responseTimeoutMs: 1000, version: 1 })
    peers.wire.deliver('alice', 'bob', { case: 'rpcRequest', value: request })
    peers.wire.deliver('alice', 'bob', { case: 'rpcRequest', value: request })
    await until(() => peers.bob.server.running === 0)
    expect(runs).toBe(2)
  })

  it('errors of handlers arrive: an RpcError unchanged, any other error without its text', async () => {
    const peers = two(protocol)
    const secret = 'the password is swordfish'
    peers.bob.server.registerRpcMethod('busy', () => Promise.reject(new RpcError(42, 'busy', 'until noon')))
    peers.bob.server.registerRpcMethod('broken', () => {
      throw new Error(secret)
    })
    peers.bob.server.registerRpcMethod('odd', async () => {
      await turn()
      throw secret as unknown as Error
    })
    peers.bob.server.registerRpcMethod('number', () => 7 as never)
    peers.bob.server.registerRpcMethod('nothing', () => undefined as never)
    const busy = await rejection(call(peers, { method: 'busy' }))
    expect(busy).toBeInstanceOf(RpcError)
    expect(busy).toMatchObject({ code: 42, message: 'busy', data: 'until noon' })
    for (const method of ['broken', 'odd', 'number']) {
      const error = await rejection(call(peers, { method, payload: 'payload' }))
      expect(error).toMatchObject({
        code: 1500,
        message: 'Application error in method handler',
        data: undefined,
      })
    }
    // As livekit-client does it.
    expect(await call(peers, { method: 'nothing' })).toBe('')
    expect(await rejection(call(peers, { method: 'unknown' }))).toMatchObject({ code: 1400 })
    expect(JSON.stringify(peers.wire.sent)).not.toContain('swordfish')
    expect(logs.filter((line) => line.includes('APPLICATION_ERROR'))).toHaveLength(3)
    // The program's own error is in its own log, the request is not.
    expect(logs.join()).toContain(secret)
    expect(logs.join()).not.toContain('payload')
    expect(kinds(peers.wire, 'bob')).toEqual([
      ...Array.from({ length: 4 }, () => ['rpcAck', 'rpcResponse']).flat(),
      ...['rpcAck', streams ? 'text' : 'rpcResponse', 'rpcAck', 'rpcResponse'],
    ])
  })

  it('payloads may have any size, or at most 15,360 bytes, depending on the protocol', async () => {
    const peers = two(protocol)
    peers.bob.server.registerRpcMethod('echo', ({ payload }) => payload)
    peers.bob.server.registerRpcMethod('long', ({ payload }) => 'ä'.repeat(Number(payload)))
    const most = 'ä'.repeat(7680)
    expect(await call(peers, { payload: '' })).toBe('')
    expect(await call(peers, { payload: most })).toBe(most)
    expect(await call(peers, { method: 'long', payload: '7680' })).toBe(most)
    const sent = peers.wire.sent.length
    if (streams) {
      expect(await call(peers, { payload: `${most}x` })).toBe(`${most}x`)
      expect(await call(peers, { method: 'long', payload: '500000' })).toHaveLength(500_000)
    } else {
      const tooLarge = await rejection(call(peers, { payload: `${most}x` }))
      expect(tooLarge).toMatchObject({ code: 1402, message: 'Request payload too large' })
      expect(peers.wire.sent).toHaveLength(sent)
      expect(await rejection(call(peers, { method: 'long', payload: '7681' }))).toMatchObject({
        code: 1504,
        message: 'Response payload too large',
      })
    }
  })

  describe('when the recipient leaves', () => {
    beforeEach(() => void vi.useFakeTimers())
    afterEach(() => void vi.useRealTimers())

    /** A call of bob's, who leaves before anything of his has come. */
    const abandoned = async (options: object = {}) => {
      const peers = two(protocol, false)
      const answered = call(peers, options).then(
        (payload) => payload,
        (error: unknown) => error,
      )
      await vi.advanceTimersByTimeAsync(0)
      peers.wire.leave('bob')
      return { ...peers, answered, id: idOf(peers.wire.sent[0]) }
    }

    it('a response that it sent before still settles the call', async () => {
      const { wire, alice, answered, id } = await abandoned()
      await vi.advanceTimersByTimeAsync(1900)
      expect(alice.client.pending).toBe(1)
      if (streams) wire.deliverText('bob', 'alice', answerText(id, 'last words'))
      else wire.deliver('bob', 'alice', answer(id, 'last words'))
      await vi.advanceTimersByTimeAsync(0)
      expect(await answered).toBe('last words')
      expect([alice.client.pending, vi.getTimerCount()]).toEqual([0, 0])
    })

    it('its calls fail after two seconds without a response, or at their deadline', async () => {
      for (const options of [{}, { maxRoundTripLatency: 1000 }, { maxRoundTripLatency: Infinity }]) {
        const { wire, alice, answered, id } = await abandoned(options)
        await vi.advanceTimersByTimeAsync(1000)
        wire.deliver('bob', 'alice', ack(id))
        await vi.advanceTimersByTimeAsync(999)
        expect(alice.client.pending).toBe(1)
        await vi.advanceTimersByTimeAsync(1)
        expect(await answered).toMatchObject({ code: 1503, message: 'Recipient disconnected' })
      }
      const { answered } = await abandoned({ responseTimeout: 500 })
      await vi.advanceTimersByTimeAsync(500)
      expect(await answered).toMatchObject({ code: 1503, timeout: 500 })
      expect(vi.getTimerCount()).toBe(0)
    })

    const begun = 'may have begun to answer: that ends as its streams do'
    if (streams)
      it(begun, async () => {
        for (const breaks of [false, true]) {
          const { wire, alice, answered, id } = await abandoned()
          wire.deliverText('bob', 'alice', answerText(id, 'long'), {
            copies: 1,
            delay: 0,
            duration: 3000,
            breaks,
          })
          await vi.advanceTimersByTimeAsync(2900)
          expect(alice.client.pending).toBe(1)
          await vi.advanceTimersByTimeAsync(100)
          if (breaks) expect(await answered).toMatchObject({ code: 1503, cause: { message: 'broken off' } })
          else expect(await answered).toBe('long')
        }
      })

    it('calls to other participants do not fail', async () => {
      const peers = two(protocol)
      peers.wire.peer('carol', protocol).server.registerRpcMethod('echo', ({ payload }) => payload)
      const carols = call(peers, { destinationIdentity: 'carol' })
      peers.wire.leave('bob')
      await vi.advanceTimersByTimeAsync(10)
      expect(await carols).toBe('hello')
    })
  })

  it('responses of a hidden recipient, whose packets have no identity, are accepted', async () => {
    const peers = two(protocol, false)
    const answered = call(peers)
    await turn()
    const id = idOf(peers.wire.sent[0])
    const respond = (): void => {
      peers.wire.deliver('', 'alice', ack(id))
      peers.wire.deliver('', 'alice', answer(id, 'from the dark'))
    }
    // Of a recipient that is known, only what has its name counts.
    respond()
    expect(peers.alice.client.pending).toBe(1)
    peers.bob.clientProtocol = undefined
    respond()
    expect(await answered).toBe('from the dark')
  })

  it('a caller without permission to send gets an error at once, and nothing is sent', async () => {
    const peers = two(protocol)
    peers.alice.allowed = false
    const error = await rejection(call(peers))
    expect(error).toMatchObject({ code: 1505, cause: { name: 'PublishDataError', reason: 'notAllowed' } })
    expect([peers.alice.client.pending, kinds(peers.wire)]).toEqual([0, []])
  })

  it('the end of the room settles all calls', async () => {
    const peers = two(protocol)
    const failed = rejection(call(peers))
    peers.alice.client.close()
    expect(await failed).toMatchObject({
      code: 1503,
      cause: { name: 'DataTrackClosedError', reason: 'closed' },
    })
  })

  it('an aborted call leaves nothing behind', async () => {
    const peers = two(protocol)
    let release: ((answer: string) => void) | undefined
    peers.bob.server.registerRpcMethod('echo', () => new Promise((resolve) => (release = resolve)))
    const stop = new AbortController()
    const failed = rejection(call(peers, { signal: stop.signal }))
    await until(() => release !== undefined)
    stop.abort(new Error('enough'))
    expect((await failed).message).toBe('enough')
    expect(peers.alice.client.pending).toBe(0)
    release?.('late')
    await until(() => peers.bob.server.running === 0)
    expect((await rejection(call(peers, { signal: stop.signal }))).message).toBe('enough')
  })

  it('a request that cannot be sent fails with the reason; after a response that cannot be sent the handler still works', async () => {
    const peers = two(protocol)
    peers.bob.server.registerRpcMethod('echo', ({ payload }) => payload)
    peers.alice.failing = 'all'
    expect(await rejection(call(peers))).toMatchObject({ code: 1505, cause: { message: 'cannot send' } })
    peers.alice.failing = 'nothing'
    peers.bob.failing = 'all'
    const lost = rejection(call(peers, { responseTimeout: 50 }))
    expect(await lost).toMatchObject({ code: 1502 })
    peers.bob.failing = 'texts'
    // The error is a packet, and says what is the matter.
    if (streams) expect(await rejection(call(peers))).toMatchObject({ code: 1505 })
    peers.bob.failing = 'nothing'
    expect(await call(peers)).toBe('hello')
  })

  it('the handler’s signal aborts when the caller leaves, the time is over, or the room ends', async () => {
    const peers = two(protocol)
    const reasons: unknown[] = []
    let calls = 0
    peers.bob.server.registerRpcMethod('echo', ({ signal }) => {
      calls++
      return new Promise((_, reject) => {
        signal.addEventListener('abort', () => {
          reasons.push(signal.reason)
          reject(signal.reason as Error)
        })
      })
    })
    expect(await rejection(call(peers, { responseTimeout: 30 }))).toMatchObject({ code: 1502 })
    await until(() => reasons.length === 1)
    void call(peers).catch(() => undefined)
    await until(() => calls === 2)
    peers.bob.server.close()
    void call(peers).catch(() => undefined)
    await until(() => calls === 3)
    const before = peers.wire.sent.length
    peers.wire.leave('alice')
    await turn()
    expect(reasons).toMatchObject([{ code: 1502, timeout: 30 }, { reason: 'closed' }, { code: 1503 }])
    // That is no failure of the handler.
    expect(logs.filter((line) => line.includes('failed'))).toEqual([])
    // No caller is left to be answered.
    expect([peers.wire.sent.length, peers.bob.server.running]).toEqual([before, 0])
  })
})

describe('a call', () => {
  it('is refused before a packet is sent if its arguments are wrong', async () => {
    const peers = two(2)
    const refused = async (options: object = {}): Promise<unknown> => {
      const error: unknown = await rejection(call(peers, options))
      expect(peers.wire.sent).toEqual([])
      expect(peers.alice.client.pending).toBe(0)
      return error
    }
    peers.alice.connected = false
    expect(await refused()).toMatchObject({ code: 1505, cause: { reason: 'disconnected' } })
    peers.alice.connected = true
    for (const version of ['1.7.9', '0.15.3', 'v1.7.0-rc1', '1.7.99']) {
      peers.alice.serverVersion = version
      expect(await refused()).toMatchObject({ code: 1403, message: 'RPC not supported by server' })
    }
    for (const version of ['1.8.0', '1.8.0-rc1', '1.13.5', '2.0.0', '10.0.1', 'unknown', '', undefined]) {
      peers.alice.serverVersion = version
      peers.bob.server.unregisterRpcMethod('echo')
      peers.bob.server.registerRpcMethod('echo', ({ payload }) => payload)
      expect(await call(peers)).toBe('hello')
    }
  })

  it('to an unknown participant is sent, and fails if that participant is not in the room', async () => {
    const peers = two(2)
    // Newcomers, of whom the server has not told yet, and hidden ones.
    peers.bob.clientProtocol = undefined
    peers.bob.server.registerRpcMethod('echo', ({ payload }) => payload)
    expect(await call(peers)).toBe('hello')
    expect(kinds(peers.wire)).toEqual(['rpcRequest', 'rpcAck', 'text'])
    for (const options of [{ maxRoundTripLatency: 20 }, { responseTimeout: 20 }]) {
      const error = await rejection(call(peers, { destinationIdentity: 'nobody', ...options }))
      expect(error).toMatchObject({ code: 1401, message: 'Recipient not found', timeout: 20 })
    }
    // Who acknowledges is there.
    peers.bob.server.registerRpcMethod('hang', () => new Promise(() => undefined))
    expect(await rejection(call(peers, { method: 'hang', responseTimeout: 50 }))).toMatchObject({
      code: 1502,
    })
  })

  it('with a large payload waits until its recipient is known', async () => {
    const large = 'x'.repeat(15_361)
    for (const protocol of [0, 2]) {
      const peers = two(2)
      peers.bob.clientProtocol = undefined
      peers.bob.server.registerRpcMethod('echo', ({ payload }) => payload)
      const answer = outcome(call(peers, { payload: large }))
      const never = rejection(
        call(peers, { payload: large, destinationIdentity: 'nobody', responseTimeout: 20 }),
      )
      expect(await never).toMatchObject({ code: 1401 })
      expect(peers.wire.sent).toEqual([])
      peers.bob.clientProtocol = protocol
      peers.alice.client.handleParticipantConnected('bob')
      expect(await answer).toMatchObject(protocol === 0 ? { code: 1402 } : { answer: large })
      expect(peers.alice.client.pending).toBe(0)
    }
  })

  it('names the wrong argument', async () => {
    const peers = two(2)
    const wrong = async (options: object): Promise<string> => (await rejection(call(peers, options))).message
    expect(await wrong({ destinationIdentity: 1 })).toContain('"params.destinationIdentity"')
    expect(await wrong({ method: undefined })).toContain('"params.method"')
    expect(await wrong({ payload: new Uint8Array(1) })).toContain('"params.payload"')
    for (const time of [-1, NaN, '5']) {
      expect(await wrong({ responseTimeout: time })).toContain('"params.responseTimeout"')
      expect(await wrong({ maxRoundTripLatency: time })).toContain('"params.maxRoundTripLatency"')
    }
    expect(await wrong({ signal: {} })).toContain('"params.signal"')
    expect((await rejection((peers.alice.client as any).performRpc())).message).toContain('"params"')
  })

  it('is refused if too many calls are waiting', async () => {
    const peers = two(0, false)
    const waiting = Array.from({ length: MAX_PENDING_CALLS }, () => rejection(call(peers)))
    expect(await rejection(call(peers))).toMatchObject({ code: 1505, cause: { reason: 'bufferFull' } })
    peers.alice.client.close()
    expect((await Promise.all(waiting)).every(({ code }) => code === 1503)).toBe(true)
  })

  it('fails if its response is invalid or incomplete', async () => {
    const peers = two(2, false)
    const strange = rejection(call(peers))
    await turn()
    const value = new RpcResponse({ requestId: idOf(peers.wire.sent[0]) })
    peers.wire.deliver('bob', 'alice', { case: 'rpcResponse', value })
    expect(await strange).toMatchObject({ code: 1500 })
    const broken = rejection(call(peers))
    await turn()
    const text = answerText(idOf(peers.wire.sent[1]), 'x')
    peers.wire.deliverText('bob', 'alice', text, { copies: 1, delay: 0, breaks: true })
    expect(await broken).toMatchObject({ code: 1500, cause: { message: 'broken off' } })
  })

  it('may take as long for a long response as its timeout, also longer than the wait for an acknowledgement', async () => {
    vi.useFakeTimers()
    try {
      const peers = two(2, false)
      const slow = call(peers)
      await vi.advanceTimersByTimeAsync(6000)
      const reply = answerText(idOf(peers.wire.sent[0]), 'long')
      peers.wire.deliverText('bob', 'alice', reply, { copies: 1, delay: 0, duration: 8000 })
      await vi.advanceTimersByTimeAsync(8000)
      expect(await slow).toBe('long')
      const endless = rejection(call(peers))
      await vi.advanceTimersByTimeAsync(1)
      const id = idOf(peers.wire.sent[1])
      peers.wire.deliverText('bob', 'alice', answerText(id, 'x'), { copies: 1, delay: 0, duration: Infinity })
      await vi.advanceTimersByTimeAsync(15_000)
      expect(await endless).toMatchObject({ code: 1502 })
      expect(vi.getTimerCount()).toBe(0)
    } finally {
      vi.useRealTimers()
    }
  })
})

describe('a recipient', () => {
  const errors = (wire: Wire): unknown[] =>
    wire.sent.flatMap((sent) =>
      sent.kind === 'rpcResponse' && sent.packet.case === 'rpcResponse'
        ? [sent.packet.value.value.value]
        : [],
    )

  it('can register one handler per method', () => {
    const { bob } = two(2)
    bob.server.registerRpcMethod('echo', () => '')
    const error = thrown(() => bob.server.registerRpcMethod('echo', () => ''))
    expect(error).toBeInstanceOf(RangeError)
    expect(error).toMatchObject({ code: 'ERR_OUT_OF_RANGE' })
    bob.server.unregisterRpcMethod('echo')
    bob.server.unregisterRpcMethod('echo')
    bob.server.registerRpcMethod('echo', () => '')
    expect(thrown(() => bob.server.registerRpcMethod(1 as never, () => ''))).toBeInstanceOf(TypeError)
    expect(thrown(() => bob.server.registerRpcMethod('x', 'y' as never))).toBeInstanceOf(TypeError)
    expect(thrown(() => bob.server.unregisterRpcMethod(1 as never))).toBeInstanceOf(TypeError)
  })

  it('answers a request of an unknown version with an error', async () => {
    const { wire, bob } = two(2)
    bob.server.registerRpcMethod('echo', () => 'x')
    for (const version of [0, 2, 3]) {
      const request = new RpcRequest({ id: String(version), method: 'echo', version })
      wire.deliver('alice', 'bob', { case: 'rpcRequest', value: request })
    }
    for (const version of ['0', '1', '3']) {
      wire.deliverText('alice', 'bob', requestText({ 'lk.rpc_request_version': version }))
    }
    await turn()
    expect(errors(wire)).toHaveLength(6)
    for (const error of errors(wire)) expect(error).toMatchObject({ code: 1404 })
    expect(kinds(wire).filter((kind) => kind === 'rpcAck')).toHaveLength(6)
  })

  it('answers a stream without valid attributes with an error, and ignores one without a request ID', async () => {
    const { wire, bob } = two(2)
    bob.server.registerRpcMethod('echo', () => 'x')
    const broken = ['', '-1', '1e3', 'NaN', '9'.repeat(40)]
    for (const value of broken) {
      wire.deliverText('alice', 'bob', requestText({ 'lk.rpc_request_response_timeout_ms': value }))
      wire.deliverText('alice', 'bob', requestText({ 'lk.rpc_request_version': value }))
    }
    wire.deliverText('alice', 'bob', requestText({ 'lk.rpc_request_method': '' }))
    await turn()
    expect(errors(wire).map((error) => (error as { code: number }).code)).toEqual([
      ...broken.flatMap(() => [1500, 1500]),
      1400,
    ])
    const before = wire.sent.length
    expect(wire.deliverText('alice', 'bob', requestText({ 'lk.rpc_request_id': '' })).cancelled).toBe(true)
    await turn()
    expect([wire.sent.length, bob.server.running]).toEqual([before, 0])
  })

  it('answers an incomplete request with an error', async () => {
    const { wire, bob } = two(2)
    bob.server.registerRpcMethod('echo', () => 'x')
    wire.deliverText('alice', 'bob', requestText({}, 'x'), { copies: 1, delay: 0, breaks: true })
    await until(() => errors(wire).length === 1)
    expect(errors(wire)).toMatchObject([{ code: 1500, data: 'the request broke off' }])
  })

  it('responds in the version of the request, or in a newer one that the caller supports', async () => {
    const { wire, bob } = two(2)
    bob.server.registerRpcMethod('echo', () => 'x')
    // This caller is no known participant: the server's API, or a hidden one.
    wire.deliverText('unknown', 'bob', requestText({}))
    const request = new RpcRequest({ id: 'a', method: 'echo', responseTimeoutMs: 1000, version: 1 })
    wire.deliver('unknown', 'bob', { case: 'rpcRequest', value: request })
    wire.deliver('alice', 'bob', { case: 'rpcRequest', value: request })
    await until(() => wire.sent.length === 6)
    expect(wire.sent.filter(({ kind }) => kind !== 'rpcAck').map(({ to, kind }) => `${to} ${kind}`)).toEqual([
      'unknown rpcResponse',
      'alice text',
      'unknown text',
    ])
  })

  it('runs a limited number of calls at a time, shared among callers, and refuses further ones', async () => {
    const { wire, bob } = two(0)
    bob.server.registerRpcMethod('hang', () => new Promise(() => undefined))
    const call = (caller: string, id: number): void => {
      const value = new RpcRequest({ id: String(id), method: 'hang', responseTimeoutMs: 60_000, version: 1 })
      wire.deliver(caller, 'bob', { case: 'rpcRequest', value })
    }
    for (let id = 0; id <= MAX_RUNNING_CALLS / 2; id++) call('mallory', id)
    await turn()
    expect(bob.server.running).toBe(MAX_RUNNING_CALLS / 2)
    expect(errors(wire)).toMatchObject([{ code: 1500, data: 'too many calls at once' }])
    call('alice', 1)
    await turn()
    expect(bob.server.running).toBe(MAX_RUNNING_CALLS / 2 + 1)
    expect(errors(wire)).toHaveLength(1)
    bob.server.close()
    expect(bob.server.running).toBe(0)
  })

  it('frees the slot of a call after its timeout, and still sends the response later', async () => {
    const { wire, bob } = two(0)
    const handlers: (() => void)[] = []
    bob.server.registerRpcMethod(
      'slow',
      () => new Promise<string>((resolve) => handlers.push(() => resolve('late'))),
    )
    for (let id = 0; id < 10; id++) {
      const value = new RpcRequest({ id: String(id), method: 'slow', responseTimeoutMs: 1, version: 1 })
      wire.deliver('alice', 'bob', { case: 'rpcRequest', value })
    }
    expect(bob.server.running).toBe(10)
    await until(() => bob.server.running === 0)
    handlers[0]!()
    await until(() => kinds(wire, 'bob').includes('rpcResponse'))
    // The room is over: its calls are no business of the next connection's.
    bob.server.close()
    handlers[1]!()
    await turn()
    expect(kinds(wire, 'bob').filter((kind) => kind === 'rpcResponse')).toHaveLength(1)
  })

  it('keeps a bounded amount of a caller’s request IDs and payloads', async () => {
    const { wire, bob } = two(0)
    bob.server.registerRpcMethod('hang', () => new Promise(() => undefined))
    const id = (number: number): string => String(number).padEnd(50_000)
    for (let number = 0; number < 1000; number++) {
      const value = new RpcRequest({ id: id(number), method: 'hang', responseTimeoutMs: 60_000, version: 1 })
      wire.deliver('mallory', 'bob', { case: 'rpcRequest', value })
      // What waits to be sent is bounded, too.
      if (number % 10 === 0) await turn()
    }
    await turn()
    expect(bob.server.running * 50_000 * 4).toBeLessThanOrEqual(MAX_RUNNING_BYTES / 2)
    expect(errors(wire).length).toBeGreaterThan(500)
  })

  it('keeps a bounded amount of memory for calls after their timeout whose handlers still run', async () => {
    const { wire, bob } = two(0)
    let handlers = 0
    bob.server.registerRpcMethod('hang', () => {
      handlers += 1
      return new Promise(() => undefined)
    })
    const most = MAX_RUNNING_BYTES / 2 / CALL_BYTES
    for (let number = 0; number < most + 10_000; number++) {
      const value = new RpcRequest({
        id: String(number),
        method: 'hang',
        responseTimeoutMs: 0,
        version: 1,
      })
      wire.deliver('mallory', 'bob', { case: 'rpcRequest', value })
      if (number % 1000 === 0) await until(() => bob.server.running === 0)
    }
    expect(handlers).toBeLessThanOrEqual(most)
    expect(handlers).toBeGreaterThan(0.9 * most)
    bob.server.close()
  })

  it('accepts requests up to the size limit', async () => {
    const { wire, bob, alice } = two(0)
    alice.clientProtocol = 1
    bob.server.registerRpcMethod('echo', ({ payload }) => payload)
    wire.deliverText('alice', 'bob', requestText({}, 'a'.repeat(MAX_REQUEST_BYTES + 1)))
    await until(() => errors(wire).length === 1)
    expect(errors(wire)).toMatchObject([{ code: 1402 }])
    wire.deliverText('alice', 'bob', requestText({}, 'a'.repeat(MAX_REQUEST_BYTES)))
    await until(() => kinds(wire, 'bob').includes('text'))
  })

  it('sends error codes that fit the wire format, whatever code a handler chose', async () => {
    const peers = two(0)
    for (const [code, sent] of [
      [-1, 2 ** 32 - 1],
      [1.5, 1],
      [NaN, 0],
      [2 ** 32 + 3, 3],
    ] as const) {
      peers.bob.server.registerRpcMethod('echo', () => Promise.reject(new RpcError(code, 'x')))
      expect(await rejection(call(peers))).toMatchObject({ code: sent })
      peers.bob.server.unregisterRpcMethod('echo')
    }
  })
})

describe('a recipient’s responses', () => {
  /** A recipient that sends by `send`. */
  function recipient(send: (packet: RpcPacket, to: string) => Promise<void>): RpcServerManager {
    const sendPacket = (packet: RpcPacket, to: string): SentPacket => {
      const sent = send(packet, to)
      sent.catch(() => undefined)
      return { sent, acknowledged: sent, withdraw: () => undefined }
    }
    return new RpcServerManager({
      connected: () => true,
      allowed: () => true,
      serverVersion: () => undefined,
      clientProtocol: () => 1,
      sendPacket,
      sendShortText: () => undefined,
      sendText: (_text, to) => sendPacket(answer('', ''), to),
    })
  }

  const asked = (from: string, id: string, method: string) => ({
    value: new RpcRequest({ id, method, version: 1, responseTimeoutMs: 1000 }),
    ...({ senderIdentity: from, senderSid: '', channel: 'reliable', encrypted: false } as const),
  })

  it('wait up to a limit if none can be sent, and the limit is shared among callers', () => {
    const bytes = { mallory: 0, alice: 0 }
    const server = recipient((packet, to) => {
      // Text in memory: two bytes for each character.
      if (packet.case === 'rpcAck') bytes[to as 'mallory'] += 2 * packet.value.requestId.length
      return new Promise(() => undefined)
    })
    const id = 'x'.repeat(10_000)
    for (let call = 0; call < 2000; call++) server.handleRequest(asked('mallory', `${call}${id}`, 'unknown'))
    expect(bytes.mallory).toBeLessThanOrEqual(MAX_WAITING_ANSWER_BYTES / 2)
    expect(bytes.mallory).toBeGreaterThan(MAX_WAITING_ANSWER_BYTES / 8)
    server.handleRequest(asked('alice', id, 'unknown'))
    expect(bytes.alice).toBe(20_000)
  })

  it('are sent at most ANSWER_ATTEMPTS times, each time over another connection', async () => {
    let attempts = 0
    const server = recipient((packet) => {
      if (packet.case === 'rpcAck') return Promise.resolve()
      attempts += 1
      return Promise.reject(new PublishDataError('connectionLost'))
    })
    server.registerRpcMethod('echo', () => 'answer')
    server.handleRequest(asked('alice', '1', 'echo'))
    // The answer, and the error instead.
    await until(() => attempts === 2 * ANSWER_ATTEMPTS)
    await turn()
    expect(attempts).toBe(2 * ANSWER_ATTEMPTS)
  })
})

describe('a recipient’s acknowledgement of a call', () => {
  afterEach(() => {
    vi.useRealTimers()
    vi.restoreAllMocks()
  })

  /** A recipient whose packets are noted with whether they may leave later, and the handler's own doings. */
  function recipient(handler: RpcMethodHandler): { log: string[]; call: () => Promise<void> } {
    const log: string[] = []
    const sent = { sent: Promise.resolve(), acknowledged: Promise.resolve(), withdraw: () => undefined }
    const server = new RpcServerManager({
      connected: () => true,
      allowed: () => true,
      serverVersion: () => undefined,
      clientProtocol: () => 0,
      sendPacket: ({ case: kind }, _to, later = false) => {
        log.push(later ? `${kind}, later` : kind)
        return sent
      },
      sendShortText: () => sent,
      sendText: () => sent,
    })
    server.registerRpcMethod('method', (data) => {
      log.push('handler')
      return handler(data)
    })
    let calls = 0
    const call = async (): Promise<void> => {
      log.length = 0
      const value = new RpcRequest({
        id: String(++calls),
        method: 'method',
        version: 1,
        responseTimeoutMs: 1,
      })
      server.handleRequest({
        value,
        senderIdentity: 'alice',
        senderSid: '',
        channel: 'reliable',
        encrypted: false,
      })
      await turn()
    }
    return { log, call }
  }

  it('is sent before the handler runs, unless the handler was quick the last time', async () => {
    let [now, takes] = [0, 0]
    vi.spyOn(performance, 'now').mockImplementation(() => now)
    const { log, call } = recipient(() => {
      now += takes
      return ''
    })
    await call()
    expect(log).toEqual(['rpcAck', 'handler', 'rpcResponse'])
    await call()
    expect(log).toEqual(['rpcAck, later', 'handler', 'rpcResponse'])
    takes = 5
    await call()
    takes = 0
    await call()
    expect(log).toEqual(['rpcAck', 'handler', 'rpcResponse'])
  })

  it('does not delay the handler’s signal, which is created on demand and aborted if the time is over', async () => {
    let data: RpcInvocationData | undefined
    const { call } = recipient((given) => {
      data = given
      return new Promise<string>(() => undefined)
    })
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    await call()
    vi.advanceTimersByTime(2)
    const { signal } = data!
    expect(signal.aborted).toBe(true)
    expect(signal.reason).toMatchObject({ code: RpcError.ErrorCode.RESPONSE_TIMEOUT })
    expect(data!.signal).toBe(signal)
  })
})

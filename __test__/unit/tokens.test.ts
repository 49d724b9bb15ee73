/** Where the token of a connection comes from, and when the next one is asked for. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { DataTrackConnectionError, Room, TokenSource } from '../../index'
import { MAX_TOKEN_ANSWER } from '../../src/connection/token-source'
import { Tokens } from '../../src/connection/tokens'
import type { ConnectToken } from '../../src/connection/tokens'
import { rejection, thrown } from '../helpers/rooms'

const { signal } = new AbortController()
let made = 0

/** A token that is good for so many seconds; no server would take it. */
function token(life: number | undefined, identity = 'alice', room = 'lab'): string {
  const now = Math.floor(Date.now() / 1000)
  const claims = {
    ...{ sub: identity, jti: String(++made), video: { room, roomJoin: true } },
    ...(life !== undefined && { exp: now + life }),
  }
  return ['{}', JSON.stringify(claims), 'x'].map((part) => Buffer.from(part).toString('base64url')).join('.')
}

const answer = (participantToken: string) => ({ serverUrl: 'wss://a.example', participantToken })

function tokensOf(source: ConnectToken): { tokens: Tokens; refreshed: string[] } {
  const refreshed: string[] = []
  return { tokens: new Tokens(source, (fresh) => refreshed.push(fresh)), refreshed }
}

describe('the token of a connection', () => {
  it('that was given as a string is used until the server sends a new one', async () => {
    const [given, sent] = [token(-100), token(100)]
    const { tokens, refreshed } = tokensOf(given)
    expect(await tokens.ready(signal)).toBe(given)
    expect(tokens.refuse()).toBe(false)
    expect(await tokens.ready(signal)).toBe(given)
    tokens.take(sent)
    tokens.take(sent)
    expect([await tokens.ready(signal), refreshed]).toEqual([sent, [sent]])
  })

  it('is requested once, and again after it has expired', async () => {
    const given = [token(100), token(5), token(100)]
    const { tokens, refreshed } = tokensOf(() => Promise.resolve(given.shift()!))
    const first = await tokens.ready(signal)
    expect(await tokens.ready(signal)).toBe(first)
    expect([given.length, refreshed]).toEqual([2, []])
    // The server's own one may be about to expire, too.
    const old = token(9)
    tokens.take(old)
    const second = await tokens.ready(signal)
    const third = await tokens.ready(signal)
    expect(given).toEqual([])
    expect(refreshed).toEqual([old, second, third])
  })

  it('without an expiry time is requested again after a server has refused it', async () => {
    const { tokens } = tokensOf(() => token(undefined))
    const first = await tokens.ready(signal)
    // It is as good as it gets: no server has taken it.
    expect(tokens.refuse()).toBe(false)
    tokens.accepted()
    expect(await tokens.ready(signal)).toBe(first)
    expect(tokens.refuse()).toBe(true)
    const second = await tokens.ready(signal)
    expect(second).not.toBe(first)
    expect(tokens.refuse()).toBe(false)
  })

  it('may come from a function or a token source; an expired one is not taken from the source’s cache', async () => {
    const asked: unknown[][] = []
    const source = {
      fetch: (...args: unknown[]) => {
        asked.push(args)
        return Promise.resolve(answer(token(asked.length === 1 ? 0 : 100)))
      },
    }
    const { tokens } = tokensOf(source)
    await tokens.ready(signal)
    await tokens.ready(signal)
    await tokens.ready(signal)
    expect(asked).toEqual([
      [{}, false],
      [{}, true],
    ])
  })

  it.each([
    ['another participant', () => token(100, 'bob')],
    ['another room', () => token(100, 'alice', 'elsewhere')],
  ])('for %s is refused', async (_what, next) => {
    const given = [token(0), next()]
    const { tokens, refreshed } = tokensOf(() => given.shift()!)
    await tokens.ready(signal)
    const error = await rejection(tokens.ready(signal))
    expect([error.reason, refreshed]).toEqual(['tokenUnavailable', []])
    expect(error.message).toContain('another participant or room')
  })

  it('for the room into which the server has moved the participant is the one that the server gave, until it refuses it', async () => {
    const asked: unknown[] = []
    const elsewhere = (life: number) => token(life, 'alice', 'elsewhere')
    let give: () => string = () => token(100)
    const { tokens } = tokensOf(({ signal: _, ...wanted }) => {
      asked.push(wanted)
      return give()
    })
    await tokens.ready(signal)
    tokens.accepted()
    const moved = elsewhere(600)
    tokens.take(moved)
    expect([await tokens.ready(signal), asked]).toEqual([moved, [{}]])
    // By the local clock it has expired. The source does not know of the move, and the server may know better.
    const late = elsewhere(-5)
    tokens.take(late)
    expect([await tokens.ready(signal), asked.at(-1)]).toEqual([late, { roomName: 'elsewhere' }])
    expect(tokens.refuse()).toBe(true)
    expect((await rejection(tokens.ready(signal))).reason).toBe('tokenUnavailable')
    // A source that is asked for the other room can give a token for it, again and again.
    const fresh = [elsewhere(5), elsewhere(100)]
    give = () => fresh.shift()!
    const [first, second] = [await tokens.ready(signal), await tokens.ready(signal)]
    expect([first, second].map((each) => each.length > 0)).toEqual([true, true])
    expect([asked.at(-1), fresh]).toEqual([{ roomName: 'elsewhere' }, []])
  })

  it('that a source fails to give is an error with the cause; an invalid result is a TypeError for the first token', async () => {
    const cause = new Error('no')
    for (const source of [() => Promise.reject(cause), { fetch: () => Promise.reject(cause) }] as const) {
      const error = await rejection(tokensOf(source).tokens.ready(signal))
      expect(error).toBeInstanceOf(DataTrackConnectionError)
      expect([error.reason, error.cause]).toEqual(['tokenUnavailable', cause])
    }
    const thrower = () => {
      throw cause
    }
    expect((await rejection(tokensOf(thrower).tokens.ready(signal))).cause).toBe(cause)
    for (const nonsense of [5, undefined, {}, { participantToken: 5 }]) {
      const error = await rejection(tokensOf(() => nonsense as never).tokens.ready(signal))
      expect(error).toBeInstanceOf(TypeError)
      expect(error.message).toContain('the result of token()')
    }
    expect(await rejection(tokensOf(() => '').tokens.ready(signal))).toBeInstanceOf(RangeError)
    const given: unknown[] = [token(0), 5]
    const { tokens } = tokensOf(() => given.shift() as string)
    await tokens.ready(signal)
    expect((await rejection(tokens.ready(signal))).reason).toBe('tokenUnavailable')
  })

  it('that never arrives is given up when the signal aborts', async () => {
    const stop = new AbortController()
    let told: AbortSignal | undefined
    const waiting = rejection(
      tokensOf((request) => {
        told = request.signal
        return new Promise(() => undefined)
      }).tokens.ready(stop.signal),
    )
    stop.abort('enough')
    expect(await waiting).toBe('enough')
    expect(told?.aborted).toBe(true)
    expect(await rejection(tokensOf(() => token(1)).tokens.ready(stop.signal))).toBe('enough')
  })
})

describe('room.connect', () => {
  it.each([[undefined], [5], [null], [{}], [{ fetch: 1 }]])('refuses %j as a token', async (given) => {
    const error = await rejection(new Room().connect('ws://127.0.0.1:1', given as never))
    expect(error).toBeInstanceOf(TypeError)
    expect(error.message).toContain('"token"')
  })
})

describe('a literal token source', () => {
  it('is a fixed answer, or a function that is called each time', async () => {
    const given = answer(token(1))
    expect(await TokenSource.literal(given).fetch()).toBe(given)
    let count = 0
    const source = TokenSource.literal(() => Promise.resolve(answer(String(++count))))
    await source.fetch()
    expect((await source.fetch()).participantToken).toBe('2')
    expect(thrown(() => TokenSource.literal(5 as never)).message).toContain('"literal"')
  })
})

describe('a custom token source', () => {
  it('caches an answer until its token expires, the options change, or the caller forces a new one', async () => {
    const lives: (number | undefined)[] = [100, 100, 100, 59, 100, undefined, undefined]
    const asked: unknown[] = []
    const source = TokenSource.custom((options) => {
      asked.push(options)
      return answer(token(lives.shift()))
    })
    const first = await source.fetch({ roomName: 'lab', participantAttributes: { a: '1', b: '2' } })
    expect(await source.fetch({ participantAttributes: { b: '2', a: '1' }, roomName: 'lab' })).toBe(first)
    expect(await source.fetch({ roomName: 'lab' })).not.toBe(first)
    expect(await source.fetch({ roomName: 'lab' }, true)).not.toBe(first)
    // One that ends within a minute, and one that does not say when it ends, are not kept.
    await source.fetch({}, true)
    await source.fetch({})
    await source.fetch({}, true)
    await source.fetch({})
    expect([asked.length, lives]).toEqual([7, []])
  })

  it('is called once for two identical requests at the same time', async () => {
    let count = 0
    const source = TokenSource.custom(() => Promise.resolve(answer(token(100 + ++count))))
    const [first, second] = await Promise.all([source.fetch(), source.fetch()])
    expect([first === second, count]).toEqual([true, 1])
  })

  it('works again after a failure, and checks its arguments', async () => {
    let fail = true
    const source = TokenSource.custom(() => {
      if (fail) throw new Error('no')
      return answer('t')
    })
    expect((await rejection(source.fetch())).message).toBe('no')
    fail = false
    expect((await source.fetch()).participantToken).toBe('t')
    for (const [options, name] of [
      [{ roomName: 5 }, '"options.roomName"'],
      [{ participantAttributes: { a: 1 } }, '"options.participantAttributes.a"'],
      [{ participantAttributes: 'a' }, '"options.participantAttributes"'],
      [5, '"options"'],
    ] as const) {
      const error = await rejection(source.fetch(options as never))
      expect(error).toBeInstanceOf(TypeError)
      expect(error.message).toContain(name)
    }
    expect(thrown(() => TokenSource.custom('x' as never)).message).toContain('"custom"')
  })
})

describe('a token endpoint', () => {
  let server: Server
  let url: string
  let asked: { method: string | undefined; headers: NodeJS.Dict<unknown>; body: string }[]
  let reply: { status: number; text: string }
  beforeEach(async () => {
    asked = []
    reply = { status: 200, text: JSON.stringify({ server_url: 'wss://a.example', participant_token: 't' }) }
    server = createServer((request, response) => {
      let body = ''
      request.on('data', (chunk) => (body += String(chunk)))
      request.on('end', () => {
        asked.push({ method: request.method, headers: request.headers, body })
        response.writeHead(reply.status, { location: '/elsewhere' }).end(reply.text)
      })
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/token`
  })
  afterEach(async () => {
    server.close()
    await once(server, 'close')
  })

  it('is called in LiveKit’s format, with the given headers', async () => {
    const source = TokenSource.endpoint(url, { headers: { authorization: 'me' } })
    const given = await source.fetch({
      ...{ roomName: 'lab', participantIdentity: 'alice', participantName: 'A', participantMetadata: 'm' },
      ...{ participantAttributes: { a: '1' }, agentName: 'g', agentMetadata: 'gm', deployment: 'd' },
    })
    expect(given).toEqual({ serverUrl: 'wss://a.example', participantToken: 't' })
    const [request] = asked
    expect([request!.method, request!.headers['authorization'], request!.headers['content-type']]).toEqual([
      'POST',
      'me',
      'application/json',
    ])
    expect(JSON.parse(request!.body)).toEqual({
      ...{ room_name: 'lab', participant_identity: 'alice', participant_name: 'A' },
      ...{ participant_metadata: 'm', participant_attributes: { a: '1' } },
      room_config: { agents: [{ agent_name: 'g', metadata: 'gm', deployment: 'd' }] },
    })
    await source.fetch()
    expect(JSON.parse(asked[1]!.body)).toEqual({})
    await TokenSource.endpoint(url, { method: 'GET' }).fetch({ roomName: 'lab' })
    expect([asked[2]!.method, asked[2]!.body]).toEqual(['GET', ''])
  })

  it('may answer with snake_case or camelCase names', async () => {
    reply.text = JSON.stringify({ participantToken: 'u', roomName: 'r', participantName: 'p', more: 1 })
    expect(await TokenSource.endpoint(new URL(url)).fetch()).toEqual({
      ...{ serverUrl: '', participantToken: 'u', roomName: 'r', participantName: 'p' },
    })
  })

  it.each([
    [500, 'secret words', 500],
    [302, '', 302],
    [200, 'no JSON', undefined],
    [200, '{}', undefined],
    [200, '{"participantToken":5}', undefined],
    [200, 'null', undefined],
    [200, `{"participantToken":"t"}${' '.repeat(MAX_TOKEN_ANSWER)}`, undefined],
  ])('that answers %i %.20s gives no token', async (status, text, told) => {
    reply = { status, text }
    const error = await rejection(TokenSource.endpoint(url).fetch())
    expect(error).toBeInstanceOf(DataTrackConnectionError)
    expect([error.reason, error.status]).toEqual(['tokenUnavailable', told])
    expect(error.message).not.toContain('secret')
    expect(asked).toHaveLength(1)
  })

  it('that is unreachable or silent gives no token', async () => {
    expect((await rejection(TokenSource.endpoint('http://127.0.0.1:1').fetch())).reason).toBe(
      'tokenUnavailable',
    )
    const silent = createServer(() => undefined).listen(0, '127.0.0.1')
    await once(silent, 'listening')
    const { port } = silent.address() as AddressInfo
    const error = await rejection(TokenSource.endpoint(`http://127.0.0.1:${port}`, { timeout: 50 }).fetch())
    expect([error.reason, error.cause.name]).toEqual(['tokenUnavailable', 'TimeoutError'])
    silent.closeAllConnections()
    silent.close()
  })

  it.each([
    [() => TokenSource.endpoint('ws://a'), 'url'],
    [() => TokenSource.endpoint(5 as never), 'url'],
    [() => TokenSource.endpoint('http://a', { timeout: 0 }), 'options.timeout'],
    [() => TokenSource.endpoint('http://a', { method: 'PUT' as never }), 'options.method'],
    [() => TokenSource.endpoint('http://a', { headers: { a: 1 as never } }), 'options.headers.a'],
    [() => TokenSource.endpoint('http://a', { proxy: 1 as never }), 'options.proxy'],
    [() => TokenSource.endpoint('http://a', 5 as never), 'options'],
  ])('cannot be created with wrong arguments', (make, name) => {
    expect(thrown(make).message).toContain(`"${name}"`)
  })
})

/** The signalling connection, and servers that send what they should not. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { DisconnectReason } from '@livekit/protocol'
import type { SignalRequest, SignalResponse } from '@livekit/protocol'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { DataTrackConnectionError } from '../../index'
import { MAX_INBOX_BYTES } from '../../src/connection/inbox'
import { MAX_PING_INTERVAL } from '../../src/connection/pings'
import { SignalClient } from '../../src/connection/signal-client'
import { MAX_MESSAGE_BYTES } from '../../src/signal/limits'
import { keepLogs } from '../helpers/logged'
import { bytesField, emptyMessages, HostileServer } from '../helpers/hostile-server'
import type { ResponseContent } from '../helpers/hostile-server'
import { rejection, until } from '../helpers/rooms'

let server: HostileServer
const logged = keepLogs()
beforeEach(async () => {
  server = await HostileServer.start()
})
afterEach(async () => {
  await server.close()
})

const request = { mode: 'dual', participantSid: undefined, publisherOffer: undefined } as const
const options = { timeoutMs: 60_000, signal: undefined, proxy: false }

interface Owner {
  readonly messages: SignalResponse['message'][]
  readonly ends: string[]
  handle: (message: SignalResponse['message']) => void
}

function newOwner(): Owner {
  return { messages: [], ends: [], handle: () => {} }
}

function open(owner: Owner, url = server.url): ReturnType<typeof SignalClient.connect> {
  return SignalClient.connect(url, 'token', request, options, {
    message: ({ message }) => {
      owner.messages.push(message)
      owner.handle(message)
    },
    lost: (why) => owner.ends.push(why),
    failed: () => owner.ends.push('failed'),
  })
}

async function opened(
  join: object = {},
): Promise<{ client: SignalClient; owner: Owner; first: Pick<SignalResponse, 'message'> }> {
  const owner = newOwner()
  const opening = open(owner)
  await server.accept()
  server.say({ case: 'join', value: join })
  const { client, first } = await opening
  client.start()
  return { client, owner, first }
}

const update = (sid: string): ResponseContent => ({
  case: 'update',
  value: { participants: [{ identity: 'a', sid }] },
})

function timestampOf(message: SignalRequest['message']): bigint {
  if (message.case !== 'pingReq') throw new Error('no ping')
  return message.value.timestamp
}

describe('waiting until the messages that the server has sent are handled', () => {
  const never = new AbortController().signal
  const LIMIT = 60_000

  it('resolves with the answer to the ping, not with the answer to an earlier ping', async () => {
    const { client, owner } = await opened()
    const first = timestampOf(await server.request('pingReq'))
    const caughtUp = client.caughtUp(LIMIT, never).then(() => owner.messages.length)
    const second = timestampOf(await server.request('pingReq'))
    server.say({ case: 'pongResp', value: { lastPingTimestamp: first } })
    server.say(update('PA_1'))
    server.say({ case: 'pongResp', value: { lastPingTimestamp: second } })
    expect(await caughtUp).toBe(1)
    client.close()
    await client.caughtUp(LIMIT, never)
  })

  it.each([
    ['the server ends the connection', () => server.client.terminate()],
    ['the client closes it', (client: SignalClient) => client.close()],
    ['the signal aborts', (_: SignalClient, given: AbortController) => given.abort()],
  ])('ends when %s', async (_, end) => {
    const { client } = await opened()
    const given = new AbortController()
    const caughtUp = client.caughtUp(LIMIT, given.signal)
    end(client, given)
    await caughtUp
    client.close()
  })

  it('ends at the time limit', async () => {
    const { client, owner } = await opened()
    await client.caughtUp(1, never)
    expect(owner.ends).toEqual([])
    client.close()
  })
})

describe('pongs', () => {
  it('are used if they answer a ping that was sent; a timestamp of −2⁶³, 0 or tomorrow is ignored', async () => {
    const { client, owner } = await opened()
    for (const lastPingTimestamp of [
      -(2n ** 63n),
      0n,
      1n,
      BigInt(Date.now()) + 86_400_000n,
      2n ** 63n - 1n,
    ]) {
      server.say({ case: 'pongResp', value: { lastPingTimestamp } })
    }
    server.say(update('PA_1'))
    await until(() => owner.messages.length === 1)
    expect(client.rtt).toBeUndefined()
    const ping = await server.request('pingReq')
    const lastPingTimestamp = timestampOf(ping)
    server.say({ case: 'pongResp', value: { lastPingTimestamp } })
    await until(() => client.rtt !== undefined)
    expect(client.rtt).toBeGreaterThanOrEqual(0)
    client.close()
  })

  it('are measured with a clock that no setting of the system time changes', async () => {
    const { client } = await opened()
    const ping = await server.request('pingReq')
    // The wall clock is set ahead by an hour between ping and pong.
    const hour = 3_600_000
    vi.spyOn(Date, 'now').mockReturnValue(Date.now() + hour)
    try {
      const lastPingTimestamp = timestampOf(ping)
      server.say({ case: 'pongResp', value: { lastPingTimestamp } })
      await until(() => client.rtt !== undefined)
    } finally {
      vi.restoreAllMocks()
    }
    expect(client.rtt).toBeLessThan(hour)
    client.close()
  })
})

describe('a server’s message', () => {
  it('whose handling throws ends the connection, logs the error, and throws nothing', async () => {
    const { owner } = await opened()
    owner.handle = () => {
      throw new RangeError('made by the test')
    }
    server.say(update('PA_1'))
    server.say(update('PA_2'))
    await until(() => owner.ends.length > 0)
    expect(owner.ends).toEqual(['failed'])
    expect(owner.messages).toHaveLength(1)
    expect(logged.join()).toContain(
      'a message of the server could not be handled: RangeError: made by the test',
    )
  })

  it('that cannot be decoded is skipped, and the next one is handled', async () => {
    const { client, owner } = await opened()
    server.sayBytes(Buffer.from([0x2a, 0xff, 0xff]))
    server.sayBytes(Buffer.alloc(5000, 0xff))
    server.sayBytes(bytesField(5, Buffer.alloc(5000, 0xff)))
    server.say(update('PA_1'))
    await until(() => owner.messages.some(({ value }) => JSON.stringify(value).includes('PA_1')))
    client.close()
  })

  it('with an invalid token leaves the current token', async () => {
    const { client, owner } = await opened()
    for (const value of ['', 'a\r\nb: c', 'a\0.b.c', 'x'.repeat(9 << 20), 'a b.c.d', 'nothing']) {
      server.say({ case: 'refreshToken', value })
    }
    server.say({ case: 'refreshToken', value: 'aa.bb-_.cc' })
    await until(() => owner.messages.length > 0)
    expect(owner.messages.map(({ value }) => value)).toEqual(['aa.bb-_.cc'])
    client.close()
  })

  it('waits in order until the owner is ready; while too many wait, the socket is not read', async () => {
    const owner = newOwner()
    const opening = open(owner)
    const socket = await server.accept()
    server.say({ case: 'join', value: {} })
    const { client } = await opening
    const metadata = 'm'.repeat(64 << 10)
    expect(400 * metadata.length).toBeGreaterThan(20 * MAX_INBOX_BYTES)
    for (let index = 0; index < 400; index++) {
      server.say({
        case: 'update',
        value: { participants: [{ identity: 'a', sid: `PA_${index}`, metadata }] },
      })
    }
    // 26 MB do not fit into what is kept and what sockets hold: the server has to keep the rest.
    await until(() => socket.bufferedAmount > 0)
    await new Promise((resolve) => setImmediate(resolve))
    expect(socket.bufferedAmount).toBeGreaterThan(0)
    client.start()
    await until(() => owner.messages.length === 400)
    const sids = owner.messages.map((message) => (message as any).value.participants[0].sid)
    expect(sids).toEqual(Array.from({ length: 400 }, (_, index) => `PA_${index}`))
    client.close()
  })

  it('is handled if it arrived before the end of the connection, however many there were', async () => {
    const { owner } = await opened()
    const participants = Array.from({ length: 5000 }, (_, index) => ({ identity: `p${index}`, sid: 'PA' }))
    server.say({ case: 'update', value: { participants } })
    server.say({ case: 'leave', value: { reason: DisconnectReason.PARTICIPANT_REMOVED } })
    server.client.close()
    await until(() => owner.ends.length > 0)
    expect(owner.messages.at(-1)?.case).toBe('leave')
  })
})

describe('a large server message', () => {
  const metadata = 'm'.repeat(480_000)
  const participants = Array.from({ length: 40 }, (_, index) => ({
    identity: `p${index}`,
    sid: 'PA',
    metadata,
  }))

  it('may be the join response, which is handled in parts', async () => {
    const { client, owner, first } = await opened({ otherParticipants: participants, pingInterval: 7 })
    const here = (message: any) => message.value.otherParticipants ?? message.value.participants
    await until(() => [first.message, ...owner.messages].flatMap(here).length === participants.length)
    expect(first.message.case).toBe('join')
    expect([first.message, ...owner.messages].flatMap(here).map(({ identity }) => identity)).toEqual(
      participants.map(({ identity }) => identity),
    )
    client.close()
  })

  it('beyond the limit is refused by its reason, as the first message and later', async () => {
    const opening = rejection(open(newOwner()))
    await server.accept()
    server.sayBytes(Buffer.alloc(MAX_MESSAGE_BYTES + 1))
    const error = await opening
    expect(error).toBeInstanceOf(DataTrackConnectionError)
    expect(error.reason).toBe('messageTooLarge')

    const { owner } = await opened()
    server.sayBytes(Buffer.alloc(MAX_MESSAGE_BYTES + 1))
    await until(() => owner.ends.length > 0)
    expect(owner.ends).toEqual(['a message of the server was too large'])
  })

  it('with millions of empty entries is decoded up to the limits of what is kept', async () => {
    const { client, owner } = await opened()
    server.sayBytes(bytesField(5, emptyMessages(1, 8 << 20)))
    server.sayBytes(bytesField(22, bytesField(7, emptyMessages(4, 1 << 20))))
    server.say(update('PA_last'))
    await until(() => JSON.stringify(owner.messages.at(-1) ?? {}).includes('PA_last'))
    const count = owner.messages.flatMap((message: any) => message.value.participants ?? []).length
    expect(count).toBe(16_384 + 1)
    expect(owner.messages.some(({ case: kind }) => kind === 'requestResponse')).toBe(false)
    expect(logged.join()).toContain('left out a part of update of the server')
    client.close()
  })
})

it('an HTTP answer is reported without its control characters', async () => {
  const http = createServer((_request, response) => response.writeHead(500).end('\u001b[2J\u009bbad\r\nX'))
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  const url = new URL(`ws://127.0.0.1:${(http.address() as AddressInfo).port}`)
  const error = await rejection(open(newOwner(), url))
  // eslint-disable-next-line no-control-regex -- that is what is looked for
  expect(error.message).not.toMatch(/[\u001b\u009b\r]/)
  expect(error.message).toContain('\\x1b[2J')
  http.closeAllConnections()
  await new Promise((resolve) => http.close(resolve))
})

it('the server’s ping interval is clamped to a reasonable range', async () => {
  for (const [pingInterval, ms] of [
    [-1, 5000],
    [0, 5000],
    [7, 7000],
    [2 ** 31 - 1, MAX_PING_INTERVAL * 1000],
  ] as const) {
    const set = vi.spyOn(globalThis, 'setInterval')
    const { client } = await opened({ pingInterval, pingTimeout: -5 })
    expect(set.mock.calls.map(([, interval]) => interval)).toContain(ms)
    set.mockRestore()
    client.close()
  }
})

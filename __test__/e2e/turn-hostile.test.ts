/** TURN servers that refuse, lie, fall silent or send nonsense: connecting ends by its deadline, with a reason. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DataTrackConnectionError, RoomEvent } from '../../index'
import type { ConnectOptions } from '../../index'
import { makeCertificates } from '../helpers/certificates'
import { Coturn } from '../helpers/coturn'
import { HostileTurn, politely } from '../helpers/hostile-turn'
import type { TurnAnswer, TurnRequest } from '../helpers/hostile-turn'
import { LivekitServer } from '../helpers/livekit-server'
import type { TurnServer } from '../helpers/livekit-server'
import { rejection } from '../helpers/rooms'
import { event, flowing, publish, Scene } from '../helpers/scene'

let server: LivekitServer
beforeAll(async () => {
  server = await LivekitServer.start()
})
afterAll(() => server.stop())

/** Options of a connection that uses that relay alone. */
function through({ host, port, protocol, username, credential }: TurnServer): ConnectOptions {
  const urls = `turn:${host}:${port}?transport=${protocol}`
  return { iceTransports: 'relay', iceServers: [{ urls, username, credential }] }
}

/** Connects through that relay alone. Returns the error's reason and message. */
async function refused(relay: TurnServer, options: ConnectOptions = {}): Promise<readonly [string, string]> {
  let result: readonly [string, string] = ['', '']
  await Scene.with(server, async (scene) => {
    const error = await rejection(scene.join('alice', { connect: { ...through(relay), ...options } }))
    expect(error).toBeInstanceOf(DataTrackConnectionError)
    expect(error.message).not.toContain(relay.credential)
    result = [error.reason, error.message]
  })
  return result
}

/** The same with a hostile relay. Also returns how many requests that relay got, and how many different ones. */
async function refusedBy(
  protocol: 'udp' | 'tcp',
  answer: (request: TurnRequest) => TurnAnswer,
  options: ConnectOptions & { readonly flood?: Buffer } = {},
): Promise<{
  readonly reason: string
  readonly message: string
  readonly requests: number
  readonly different: number
}> {
  const { flood, ...connect } = options
  const relay = await HostileTurn.start(protocol, answer)
  relay.flood = flood
  try {
    const [reason, message] = await refused(relay.server, connect)
    return { reason, message, requests: relay.requests, different: relay.different }
  } finally {
    relay.close()
  }
}

describe.each(['udp', 'tcp'] as const)('over %s', (protocol) => {
  it('a relay that answers everything with 401 refuses the credentials', async () => {
    const same = await refusedBy(protocol, () => ({ error: 401 }))
    expect([same.reason, same.different]).toEqual(['relayUnauthorized', 2])
    const others = await refusedBy(protocol, ({ number }) => ({ error: 401, realm: `realm ${number}` }))
    expect([others.reason, others.different]).toEqual(['relayUnauthorized', 2])
  })

  it('a relay that names another host: that host is not asked', async () => {
    const other = createSocket('udp4')
    let asked = 0
    other.on('message', () => asked++)
    other.bind(0, '127.0.0.1')
    await once(other, 'listening')
    const elsewhere = other.address().port
    const first = await refusedBy(protocol, () => ({ error: 300, elsewhere }))
    expect([first.reason, first.message]).toEqual(['relayFailed', expect.stringContaining('error 300')])
    const later = await refusedBy(protocol, ({ signed }) => ({ error: signed ? 300 : 401, elsewhere }))
    expect([later.reason, asked]).toEqual(['relayFailed', 0])
    other.close()
  })

  it('a relay that lets data through, and swallows it', async () => {
    expect((await refusedBy(protocol, politely, { connectTimeout: 2000 })).reason).toBe('timeout')
  })

  it('relays that fall silent, lie or find each request stale', async () => {
    const after = (method: string, then: TurnAnswer) => (request: TurnRequest) =>
      request.signed && request.method === method ? then : politely(request)
    const answers = await Promise.all([
      refusedBy(protocol, () => 'nothing'),
      refusedBy(protocol, after('allocate', 'nothing')),
      refusedBy(protocol, after('bind', 'nothing')),
      refusedBy(protocol, after('allocate', 'forged')),
      refusedBy(protocol, after('allocate', { error: 438 })),
      refusedBy(protocol, after('bind', { error: 438 })),
    ])
    expect(answers.map(({ reason }) => reason)).toEqual(Array(6).fill('relayUnreachable'))
    // It keeps 50 ms between two requests, and gives up after 10 s.
    expect(Math.max(...answers.map(({ requests }) => requests))).toBeLessThan(400)
  })
})

describe('over tcp', () => {
  it('what is no TURN is told', async () => {
    for (const nonsense of [
      'HTTP/1.1 400 Bad Request\r\n\r\n',
      '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
    ]) {
      const { reason, message } = await refusedBy('tcp', () => Buffer.from(nonsense, 'latin1'))
      expect([reason, message]).toEqual(['relayFailed', expect.stringContaining('does not speak TURN')])
    }
  })

  it('a flood of data from nowhere and of messages without an end changes nothing', async () => {
    const channel = Buffer.alloc(65_540)
    channel.writeUInt32BE(0x40_01_ff_ff)
    const flood = Buffer.concat([...Array.from({ length: 200 }, () => channel), channel.subarray(0, 1000)])
    expect((await refusedBy('tcp', politely, { flood, connectTimeout: 2000 })).reason).toBe('timeout')
  })
})

describe('a coturn', () => {
  it('whose credentials have expired refuses them; with fresh ones it works', async () => {
    const coturn = await Coturn.start(makeCertificates(), { expiring: true })
    try {
      for (const protocol of ['udp', 'tcp'] as const)
        expect((await refused(coturn.server(protocol, -60)))[0]).toBe('relayUnauthorized')
      await Scene.with(server, async (scene) => {
        const alice = await scene.join('alice', { connect: through(coturn.server('udp', 60)) })
        expect(alice.stats().connection?.path).toBe('relay/udp')
      })
    } finally {
      await coturn.stop()
    }
  })

  it('that falls silent is noticed, and used again when it answers', async () => {
    const coturn = await Coturn.start(makeCertificates())
    try {
      await Scene.with(server, async (scene) => {
        const connect = { ...through(coturn.server('tcp')), maxRetries: Infinity }
        const [alice, bob] = [await scene.join('alice', { connect }), await scene.join('bob')]
        const { local, remote } = await publish(alice, bob)
        const stream = remote.subscribe()
        await flowing(local, stream)
        const reconnecting = event(alice, RoomEvent.Reconnecting)
        const reconnected = event(alice, RoomEvent.Reconnected)
        coturn.pause()
        await reconnecting
        coturn.resume()
        await reconnected
        await flowing(local, stream)
        expect(alice.stats().connection?.path).toBe('relay/tcp')
      })
    } finally {
      await coturn.stop()
    }
  })
})

/** Bounds of what a server can make a connection keep: each is filled beyond it, from outside. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { TrackType } from '@livekit/protocol'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Room } from '../../index'
import { Inbox, TURN_MS } from '../../src/connection/inbox'
import { MAX_PING_TIMEOUT, MAX_PINGS } from '../../src/connection/pings'
import { MAX_ANSWER, MAX_HOSTS, Regions } from '../../src/connection/regions'
import { MAX_HELD_BYTES } from '../../src/connection/held-calls'
import { MAX_UNSENT_BYTES, SignalClient } from '../../src/connection/signal-client'
import { MAX_TOKEN } from '../../src/connection/address'
import {
  MAX_ATTRIBUTES,
  MAX_AUDIO_TRACKS_OF_PARTICIPANT,
  MAX_MEDIA_TRACKS_OF_PARTICIPANT,
  MAX_PART_BYTES,
  MAX_PART_COST,
  MAX_SUBSCRIBER_HANDLES,
} from '../../src/signal/limits'
import { keepLogs } from '../helpers/logged'
import { bytesField, emptyMessages, encoded, HostileServer } from '../helpers/hostile-server'
import type { ResponseContent } from '../helpers/hostile-server'
import { RegionHost } from '../helpers/region-host'
import { rejection, turn, until } from '../helpers/rooms'

let server: HostileServer
const logged = keepLogs()
beforeEach(async () => {
  server = await HostileServer.start()
})
afterEach(async () => {
  vi.useRealTimers()
  await server.close()
})

interface Signalling {
  readonly client: SignalClient
  /** What was handed on, after the first message. */
  readonly messages: any[]
  readonly ends: string[]
}

/** Signalling without a room. */
async function opened(join: object = {}): Promise<Signalling> {
  const messages: any[] = []
  const ends: string[] = []
  const request = { mode: 'dual', participantSid: undefined, publisherOffer: undefined } as const
  const options = { timeoutMs: 60_000, signal: undefined, proxy: false }
  const opening = SignalClient.connect(server.url, 'token', request, options, {
    message: ({ message }) => void messages.push(message),
    lost: (why) => ends.push(why),
    failed: () => ends.push('failed'),
  })
  await server.accept()
  server.say({ case: 'join', value: join })
  const { client } = await opening
  client.start()
  return { client, messages, ends }
}

/** Waits until everything that the server has said is handled. */
async function handled({ messages }: Signalling): Promise<void> {
  server.say({ case: 'roomUpdate', value: { room: { name: 'last' } } })
  await until(() => messages.at(-1)?.value.room?.name === 'last')
  messages.pop()
}

describe('bounds on what a server sends', () => {
  it('at most MAX_ATTRIBUTES attributes of a participant are kept', async () => {
    const signalling = await opened()
    const attributes = Object.fromEntries(Array.from({ length: 10_000 }, (_, index) => [`key ${index}`, 'x']))
    server.say({ case: 'update', value: { participants: [{ identity: 'a', sid: 'PA', attributes }] } })
    await handled(signalling)
    const [participant] = signalling.messages[0].value.participants
    expect(Object.keys(participant.attributes)).toHaveLength(MAX_ATTRIBUTES)
    signalling.client.close()
  })

  it.each([
    ['short', 40, MAX_AUDIO_TRACKS_OF_PARTICIPANT, ''],
    ['long', 40, MAX_AUDIO_TRACKS_OF_PARTICIPANT, 'n'.repeat(1000)],
  ])('at most MAX_AUDIO_TRACKS_OF_PARTICIPANT of a %s description are kept', async (_, count, kept, name) => {
    const signalling = await opened()
    const tracks = Array.from({ length: count }, (_unused, index) => ({
      sid: `TR_${index}`,
      type: TrackType.AUDIO,
      name,
    }))
    server.say({ case: 'update', value: { participants: [{ identity: 'a', sid: 'PA', tracks }] } })
    await handled(signalling)
    const [participant] = signalling.messages[0].value.participants
    expect(participant.tracks).toHaveLength(kept)
    expect(participant.tracks[0]).toEqual({
      sid: 'TR_0',
      name,
      muted: false,
      source: 0,
      mimeType: '',
      encryption: 0,
    })
    signalling.client.close()
  })

  it('MAX_MEDIA_TRACKS_OF_PARTICIPANT of a long description are looked at, and of those the audio tracks kept', async () => {
    const signalling = await opened()
    const count = MAX_MEDIA_TRACKS_OF_PARTICIPANT
    const name = 'n'.repeat(1000)
    const video = Array.from({ length: count - 1 }, (_, index) => ({
      sid: `TR_V${index}`,
      type: TrackType.VIDEO,
      name,
    }))
    const audio = ['TR_A', 'TR_B'].map((sid) => ({ sid, type: TrackType.AUDIO, name }))
    const tracks = [...video, ...audio]
    server.say({ case: 'update', value: { participants: [{ identity: 'a', sid: 'PA', tracks }] } })
    await handled(signalling)
    const [participant] = signalling.messages[0].value.participants
    expect(participant.tracks.map(({ sid }: { sid: string }) => sid)).toEqual(['TR_A'])
    signalling.client.close()
  })

  it('at most MAX_SUBSCRIBER_HANDLES entries of the table of subscriber handles are kept', async () => {
    const signalling = await opened()
    const subHandles = Object.fromEntries(
      Array.from({ length: 60_000 }, (_, index) => [index + 1, { trackSid: `DTR_${index}` }]),
    )
    server.say({ case: 'dataTrackSubscriberHandles', value: { subHandles } })
    await handled(signalling)
    expect(Object.keys(signalling.messages[0].value.subHandles)).toHaveLength(MAX_SUBSCRIBER_HANDLES)
    signalling.client.close()
  })

  it('a part that is too large or too costly to decode is skipped, and the next one is handled', async () => {
    const signalling = await opened()
    const room = (bytes: number): ResponseContent => ({
      case: 'roomUpdate',
      value: { room: { name: 'r', metadata: 'm'.repeat(bytes) } },
    })
    server.say(room(MAX_PART_BYTES))
    server.say(room(MAX_PART_BYTES - 100))
    // Empty codecs of the room: two bytes each, and an object each.
    const costly = (count: number): Uint8Array => bytesField(11, bytesField(1, emptyMessages(7, count)))
    server.sayBytes(costly(MAX_PART_COST))
    server.sayBytes(costly(MAX_PART_COST / 8))
    await handled(signalling)
    const sizes = signalling.messages.map(({ value }) => value.room.metadata.length)
    const codecs = signalling.messages.map(({ value }) => value.room.enabledCodecs.length)
    expect(sizes[0]).toBe(MAX_PART_BYTES - 100)
    expect(codecs).toEqual([0, MAX_PART_COST / 8])
    expect(logged.filter((text) => text.includes('left out a part of roomUpdate'))).toHaveLength(2)
    signalling.client.close()
  })

  it('a refreshed token that is longer than MAX_TOKEN is ignored, and the old token stays', async () => {
    const signalling = await opened()
    server.say({ case: 'refreshToken', value: `${'a'.repeat(MAX_TOKEN)}.b.c` })
    server.say({ case: 'refreshToken', value: `${'a'.repeat(MAX_TOKEN - 4)}.b.c` })
    await handled(signalling)
    expect(signalling.messages.map(({ value }) => value.length)).toEqual([MAX_TOKEN])
    signalling.client.close()
  })

  it('handling of messages pauses after TURN_MS, so that the event loop has its turn', async () => {
    let now = 0
    let turns = 0
    const most: number[] = []
    let inThisTurn = 0
    const inbox = new Inbox(
      {
        handle: () => {
          now += 1
          inThisTurn += 1
        },
        setFlowing: () => {},
      },
      () => now,
    )
    const message = encoded({ case: 'roomUpdate', value: { room: { name: 'r' } } })
    const count = (): void => {
      most.push(inThisTurn)
      inThisTurn = 0
      turns += 1
      if (now < 1000) setImmediate(count)
    }
    for (let index = 0; index < 1000; index++) inbox.push(message)
    setImmediate(count)
    inbox.open()
    await until(() => now === 1000)
    await turn()
    expect(Math.max(...most)).toBeLessThanOrEqual(2 * TURN_MS)
    expect(turns).toBeGreaterThan(1000 / (2 * TURN_MS))
    inbox.close()
  })
})

it('a server that sends more than MAX_HELD_BYTES before data can flow is disconnected, with the reason', async () => {
  const room = new Room()
  const connecting = rejection(room.connect(server.url, 'a.b.c', { peerConnections: 'dual' }))
  await server.accept()
  const participant = { identity: 'me', sid: 'PA_me' }
  server.say({ case: 'join', value: { room: { name: 'r' }, participant } })
  // In memory each character counts twice.
  const metadata = 'm'.repeat(1 << 20)
  let said = 0
  for (; said < MAX_HELD_BYTES / (2 << 20); said++) {
    server.say({ case: 'update', value: { participants: [{ identity: `p${said}`, sid: 'PA', metadata }] } })
  }
  const error = await connecting
  expect(error).toMatchObject({ name: 'DataTrackConnectionError', reason: 'internal' })
  expect(error.message).toContain('too much before the connection was made')
  expect(room.remoteParticipants.size).toBe(0)
})

it('a connection counts as lost if the server does not read what is sent to it', async () => {
  const { client, ends } = await opened()
  server.client.pause()
  const message = { case: 'updateMetadata', value: { metadata: 'm'.repeat(1 << 20) } }
  let sent = 0
  // What the sockets hold comes on top.
  for (; sent < 1000 && ends.length === 0; sent++) {
    client.send(message)
    if (sent % 10 === 0) await turn()
  }
  expect(ends).toHaveLength(1)
  expect(sent).toBeGreaterThan(MAX_UNSENT_BYTES / (1 << 20))
  expect(sent).toBeLessThan(MAX_UNSENT_BYTES / (1 << 20) + 100)
  client.close()
})

describe('pings', () => {
  it('without answers are forgotten, except for the last MAX_PINGS', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    const { client, ends } = await opened()
    const timestamps: bigint[] = []
    const next = async (): Promise<void> => {
      const ping = await server.request('pingReq')
      if (ping.case === 'pingReq') timestamps.push(ping.value.timestamp)
    }
    await next()
    for (let count = 0; count < 3 * MAX_PINGS; count++) {
      vi.advanceTimersByTime(5000)
      await next()
    }
    const answer = (timestamp: bigint): void =>
      server.say({ case: 'pongResp', value: { lastPingTimestamp: timestamp } })
    for (const timestamp of timestamps.slice(0, -MAX_PINGS)) answer(timestamp)
    server.say({ case: 'pong', value: 1n })
    for (let turns = 0; turns < 100; turns++) await turn()
    expect(client.rtt).toBeUndefined()
    answer(timestamps.at(-MAX_PINGS)!)
    await until(() => client.rtt !== undefined)
    expect(ends).toEqual([])
    client.close()
  })

  it('end a connection after at most MAX_PING_TIMEOUT, whatever timeout the server asks for', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] })
    const { client, ends } = await opened({ pingInterval: 2 ** 31 - 1, pingTimeout: 2 ** 31 - 1 })
    vi.advanceTimersByTime(MAX_PING_TIMEOUT * 1000 - 1)
    await turn()
    expect(ends).toEqual([])
    vi.advanceTimersByTime(1)
    await until(() => ends.length > 0)
    expect(ends).toEqual(['the server was silent for too long'])
    client.close()
  })
})

describe('regions', () => {
  const direct = { agent: undefined, ca: undefined }
  const { signal } = new AbortController()

  it('are kept for at most MAX_HOSTS hosts; the oldest are forgotten', async () => {
    // Nothing listens there: what is not known is not learnt.
    const silent = createServer().listen(0, '127.0.0.1')
    await until(() => silent.listening)
    const { port } = silent.address() as AddressInfo
    await new Promise((resolve) => silent.close(resolve))
    const host = (index: number): Regions => new Regions(new URL(`ws://127.0.1.${index}:${port}`), direct)
    const hosts = MAX_HOSTS + 10
    for (let index = 1; index <= hosts; index++) {
      host(index).report({ regions: [{ region: 'r', url: `wss://r${index}.example` }] })
    }
    const known: number[] = []
    for (let index = 1; index <= hosts; index++) {
      if ((await host(index).next('token', signal)) !== undefined) known.push(index)
    }
    expect(known).toEqual(Array.from({ length: MAX_HOSTS }, (_, index) => index + 11))
  })

  it('are not read from an answer that is longer than MAX_ANSWER', async () => {
    const host = await RegionHost.start()
    try {
      host.maxAge = 0
      const answer = (bytes: number): string => {
        const regions = [{ region: 'r', url: 'wss://a.example' }]
        const rest = JSON.stringify({ regions, padding: '' }).length
        return JSON.stringify({ regions, padding: 'x'.repeat(bytes - rest) })
      }
      host.answer = answer(MAX_ANSWER + 1)
      expect(await new Regions(new URL(host.url), direct).next('token', signal)).toBeUndefined()
      host.answer = answer(MAX_ANSWER)
      expect(await new Regions(new URL(host.url), direct).next('token', signal)).toBeDefined()
    } finally {
      await host.close()
    }
  })
})

/** Each row of docs/migration-rtc-node.md, by the first name in it. */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import {
  DataStreamError,
  DataTrackE2eeError,
  ExternalE2EEKeyProvider,
  Loopback,
  Room,
  RoomEvent,
  RpcError,
} from '../../index'
import * as index from '../../index'
import type { ChatMessage, RoomEvents } from '../../index'
import { nextBytes, nextText, receiveBytes, receiveText } from '../helpers/data-streams'
import { fakeRoom } from '../helpers/fake-connection'
import { rejection, thrown, until, withPair } from '../helpers/rooms'
import type { Pair } from '../helpers/rooms'
import { call, outcome } from '../helpers/rpc-rooms'

type Tests = Record<string, () => void | Promise<void>>

/** Alice and bob, who know each other. */
const pair = (use: (rooms: Pair) => Promise<void>) => () =>
  withPair(async (rooms) => {
    await until(() => rooms.alice.remoteParticipants.has('bob') && rooms.bob.remoteParticipants.has('alice'))
    await use(rooms)
  })

const next = (room: Room, name: keyof RoomEvents): Promise<any[]> => once(room, name)

/** A room that the server has told this. */
function told(...messages: [string, unknown][]): Room {
  const { room } = fakeRoom()
  const participant = { sid: 'PA_me', identity: 'me', state: 2 }
  const join = {
    participant,
    room: { sid: 'RM_1', name: 'r', emptyTimeout: 300, departureTimeout: 20, creationTime: 5n },
  }
  for (const [kind, value] of [['join', join] as const, ...messages])
    room.engine.receive({ message: { case: kind, value } })
  return room
}

const rooms: Tests = {
  Room: () => {
    const keyProvider = new ExternalE2EEKeyProvider()
    expect(new Room({ encryption: { keyProvider }, dataStreams: {}, rpc: {} }).state).toBe('disconnected')
  },
  connect: async () => {
    const room = new Room()
    expect(await rejection(room.connect('ws://127.0.0.1:1', () => Promise.resolve('token')))).toMatchObject({
      name: 'DataTrackConnectionError',
      reason: 'serverUnreachable',
    })
    const signal = AbortSignal.abort(new Error('enough'))
    expect((await rejection(room.connect('ws://127.0.0.1:1', 'token', { signal }))).message).toBe('enough')
  },
  disconnect: pair(async ({ alice, bob }) => {
    const arrived = next(bob, 'dataReceived')
    void alice.localParticipant.publishData(Uint8Array.of(1), { reliable: true }).catch(() => undefined)
    alice.on('connected', () => undefined)
    await alice.disconnect()
    expect((await arrived)[0]).toEqual(Uint8Array.of(1))
    expect(alice.listenerCount('connected')).toBe(1)
  }),
  dispose: () => expect('dispose' in index).toBe(false),
  connectionState: pair(async ({ alice }) => expect(alice.state).toBe('connected')),
  isConnected: pair(async ({ sfu, alice }) => {
    const seen: boolean[] = []
    alice.on('reconnecting', () => seen.push(alice.isConnected))
    await sfu.reconnect('alice', 'full')
    expect([...seen, alice.isConnected]).toEqual([false, true])
  }),
  name: () => expect([new Room().name, new Room().metadata, told().name]).toEqual(['', '', 'r']),
  getSid: () => expect([new Room().sid, told().sid]).toEqual(['', 'RM_1']),
  token: () => expect(RoomEvent.TokenRefreshed).toBe('tokenRefreshed'),
  numParticipants: () => expect([told().numParticipants, told().numPublishers]).toEqual([0, 0]),
  creationTime: () =>
    expect([new Room().creationTime, told().creationTime]).toEqual([undefined, new Date(5000)]),
  isRecording: () => {
    const room = told()
    const heard: boolean[] = []
    room.on('recordingStatusChanged', (recording) => heard.push(recording))
    room.engine.receive({ message: { case: 'roomUpdate', value: { room: { activeRecording: true } } } })
    expect([heard, room.isRecording]).toEqual([[true], true])
  },
  departureTimeout: () => {
    expect([told().departureTimeout, told().emptyTimeout]).toEqual([20, 300])
    expect([new Room().departureTimeout, new Room().emptyTimeout]).toEqual([0, 0])
    const bad = { room: { departureTimeout: -1, emptyTimeout: 'long' } }
    const room = told(['roomUpdate', bad])
    expect([room.departureTimeout, room.emptyTimeout]).toEqual([0, 0])
  },
  getRtcStats: pair(async ({ alice }) => {
    expect(await alice.getRtcStats()).toEqual({ publisherStats: [], subscriberStats: [] })
    expect(alice.stats()).toMatchObject({ resumes: 0, rebuilds: 0 })
  }),
  simulateScenario: pair(async ({ alice }) => {
    const back = next(alice, 'reconnected')
    await alice.simulateScenario('signal-reconnect')
    await back
  }),
  remoteParticipants: pair(async ({ alice }) => {
    expect([...alice.remoteParticipants.keys()]).toEqual(['bob'])
    expect(new Room().localParticipant.identity).toBe('')
  }),
  registerTextStreamHandler: pair(async ({ alice, bob }) => {
    const [one, other, bytes] = [nextText(bob, 't'), nextText(bob, 't'), nextBytes(bob, 't')]
    await alice.localParticipant.sendText('x', { topic: 't' })
    await alice.localParticipant.sendBytes(Uint8Array.of(1), { topic: 't' })
    expect((await one).identity).toBe((await other).identity)
    expect((await bytes).identity).toBe('alice')
  }),
  unregisterTextStreamHandler: pair(async ({ alice, bob }) => {
    const gone = () => expect.unreachable()
    bob.registerTextStreamHandler('t', gone)
    bob.registerByteStreamHandler('t', gone)
    const kept = nextText(bob, 't')
    bob.unregisterTextStreamHandler('t', gone)
    bob.unregisterByteStreamHandler('t')
    await alice.localParticipant.sendText('x', { topic: 't' })
    expect(await (await kept).reader.readAll()).toBe('x')
  }),
  RoomDataStreamOptions: pair(async ({ alice, bob }) => {
    const arriving = nextText(bob)
    await alice.localParticipant.sendText('too long')
    const { reader } = await arriving
    expect((await rejection(reader.readAll({ maxLength: 3 }))).reason).toBe('payloadTooLarge')
    expect(thrown(() => new Room({ dataStreams: { maxBufferedBytes: 0 } }))).toBeInstanceOf(RangeError)
  }),
}

const shared = [
  'ParticipantConnected',
  'RoomMetadataChanged',
  'DataReceived',
  'ChatMessage',
  'Moved',
] as const

const events: Tests = {
  RoomEvent: () => {
    for (const name of shared) expect(RoomEvent[name]).toBe(`${name[0]!.toLowerCase()}${name.slice(1)}`)
  },
  Connected: pair(async ({ sfu, alice }) => {
    const heard: string[] = []
    for (const name of ['reconnecting', 'reconnected'] as const) alice.on(name, () => heard.push(name))
    alice.on('connectionStateChanged', (state) => heard.push(state))
    await sfu.reconnect('alice', 'full')
    expect(heard).toEqual(['reconnecting', 'reconnecting', 'connected', 'reconnected'])
  }),
  Disconnected: pair(async ({ alice }) => {
    const ended = next(alice, 'disconnected')
    await alice.disconnect()
    expect(await ended).toEqual(['clientInitiated'])
  }),
  ParticipantConnected: async () => {
    await using sfu = new Loopback()
    sfu.join('bob')
    const room = new Room()
    const heard: string[] = []
    room.on('participantConnected', ({ identity }) => heard.push(`${identity} came`))
    room.on('participantDisconnected', ({ identity }) => heard.push(`${identity} left`))
    sfu.join('alice', { room })
    sfu.kick('bob')
    await until(() => heard.length === 2)
    expect(heard).toEqual(['bob came', 'bob left'])
  },
  RoomMetadataChanged: pair(async ({ sfu, alice }) => {
    const heard = next(alice, 'roomMetadataChanged')
    sfu.updateRoomMetadata('m')
    expect(await heard).toEqual(['m'])
  }),
  ParticipantMetadataChanged: pair(async ({ alice, bob }) => {
    const heard = next(bob, 'participantMetadataChanged')
    await alice.localParticipant.setMetadata('m')
    const [before, participant] = await heard
    expect([before, participant.metadata]).toEqual(['', 'm'])
  }),
  ParticipantNameChanged: pair(async ({ alice, bob }) => {
    const [name, changed] = [next(bob, 'participantNameChanged'), next(bob, 'participantAttributesChanged')]
    await alice.localParticipant.setName('Alice')
    await alice.localParticipant.setAttributes({ a: '1' })
    expect([(await name)[0], (await changed)[0]]).toEqual(['Alice', { a: '1' }])
  }),
  ActiveSpeakersChanged: pair(async ({ alice }) => {
    const heard = next(alice, 'activeSpeakersChanged')
    await alice.simulateScenario('speaker')
    expect((await heard)[0]).toEqual([alice.localParticipant])
    expect([alice.activeSpeakers.length, alice.localParticipant.isSpeaking]).toEqual([1, true])
  }),
  ConnectionQualityChanged: () => {
    const update = { participantSid: 'PA_me', quality: 2 }
    expect(told(['connectionQuality', { updates: [update] }]).localParticipant.connectionQuality).toBe(
      'excellent',
    )
  },
  DataReceived: pair(async ({ alice, bob }) => {
    const heard = next(bob, 'dataReceived')
    await alice.localParticipant.publishData(Uint8Array.of(1), { topic: 't' })
    expect((await heard).slice(2)).toEqual(['lossy', 't', 'none'])
  }),
  ChatMessage: pair(async ({ alice, bob }) => {
    const [own, heard] = [next(alice, 'chatMessage'), next(bob, 'chatMessage')]
    await alice.localParticipant.sendText('hi', { topic: 'lk.chat' })
    expect((await heard)[0]).toMatchObject({ message: 'hi' })
    await alice.localParticipant.sendChatMessage('hello')
    expect((await own)[1]).toBe(alice.localParticipant)
  }),
  DtmfReceived: pair(async ({ alice, bob }) => {
    const heard = next(bob, 'sipDTMFReceived')
    await alice.localParticipant.publishDtmf(11, '#')
    expect((await heard)[0]).toEqual({ code: 11, digit: '#' })
  }),
  EncryptionError: async () => {
    await using sfu = new Loopback()
    const keyProvider = new ExternalE2EEKeyProvider()
    const bob = sfu.join('bob', { encryption: { keyProvider } })
    const heard = next(bob, 'encryptionError')
    await sfu.join('alice').localParticipant.publishData(Uint8Array.of(1), { reliable: true })
    expect((await heard)[0]).toBeInstanceOf(DataTrackE2eeError)
  },
  ParticipantEncryptionStatusChanged: pair(async ({ alice, bob }) => {
    const heard = nextText(bob)
    await alice.localParticipant.sendText('x')
    expect((await heard).reader.info.encrypted).toBe(false)
    const track = await alice.localParticipant.publishDataTrack({ name: 't' })
    expect(track.info.usesE2ee).toBe(false)
  }),
  Moved: () => {
    const room = told()
    const heard: string[] = []
    room.on('moved', (name) => heard.push(name))
    const participant = { sid: 'PA_2', identity: 'me', state: 2 }
    room.engine.receive({
      message: { case: 'roomMoved', value: { room: { name: 'other' }, participant } },
    })
    expect(heard).toEqual(['other'])
  },
  TokenRefreshed: () => expect(RoomEvent.TokenRefreshed).toBe('tokenRefreshed'),
}

const participants: Tests = {
  Participant: pair(async ({ alice }) => {
    expect(alice.localParticipant).toBeInstanceOf(index.LocalParticipant)
    expect(alice.remoteParticipants.get('bob')).toBeInstanceOf(index.RemoteParticipant)
  }),
  identity: pair(async ({ alice }) => expect(alice.localParticipant.sid).toMatch(/^PA_/)),
  attributes: pair(async ({ alice }) => expect(alice.localParticipant.attributes).toEqual({})),
  kind: async () => {
    await using sfu = new Loopback()
    expect(sfu.join('agent', { kind: 'agent' }).localParticipant.kind).toBe('agent')
  },
  kindDetails: pair(async ({ alice }) => expect(alice.localParticipant.kindDetails).toEqual([])),
  disconnectReason: pair(async ({ alice }) => {
    expect(alice.remoteParticipants.get('bob')!.disconnectReason).toBeUndefined()
  }),
  updateMetadata: pair(async ({ sfu, alice }) => {
    await alice.localParticipant.setMetadata('m')
    await alice.localParticipant.setName('n')
    expect([alice.localParticipant.metadata, alice.localParticipant.name]).toEqual(['m', 'n'])
    sfu.updateParticipant('alice', { permission: { canUpdateMetadata: false } })
    await next(alice, 'participantPermissionsChanged')
    expect((await rejection(alice.localParticipant.setName('x'))).reason).toBe('notAllowed')
  }),
  setAttributes: pair(async ({ alice }) => {
    await alice.localParticipant.setAttributes({ a: '1' })
    expect(alice.localParticipant.attributes).toEqual({ a: '1' })
  }),
  publishData: pair(async ({ alice, bob }) => {
    const heard = next(bob, 'dataReceived')
    const destinationIdentities = ['bob']
    await alice.localParticipant.publishData(Uint8Array.of(1), { reliable: true, destinationIdentities })
    expect((await heard)[2]).toBe('reliable')
  }),
  publishDtmf: pair(async ({ alice, bob }) => {
    const heard = next(bob, 'sipDTMFReceived')
    await alice.localParticipant.publishDtmf(1, '1', { destinationIdentities: ['bob'] })
    expect((await heard)[1].identity).toBe('alice')
  }),
  publishTranscription: async () => {
    await using sfu = new Loopback()
    const [agent, user] = [sfu.join('agent', { kind: 'agent' }), sfu.join('user')]
    const heard = next(user, 'transcriptionReceived')
    const segment = { id: 'S', text: 'hi', startTime: 1n, endTime: 2, language: 'en', final: true }
    const transcription = { participantIdentity: 'user', trackSid: 'TR', segments: [segment] }
    await agent.localParticipant.publishTranscription(transcription)
    expect((await heard)[0]).toMatchObject([{ text: 'hi', startTime: 1, endTime: 2 }])
    const loop = user.transcriptions()
    await agent.localParticipant.sendText('hi', { topic: 'lk.transcription', senderIdentity: 'user' })
    expect((await loop.next()).value).toMatchObject({ participantIdentity: 'user', text: 'hi' })
  },
  sendChatMessage: pair(async ({ alice, bob }) => {
    const heard: ChatMessage[] = []
    bob.on('chatMessage', (message) => heard.push(message))
    const sent = await alice.localParticipant.sendChatMessage('a', { destinationIdentities: ['bob'] })
    await alice.localParticipant.editChatMessage('b', sent)
    await until(() => heard.length === 2)
    expect(heard.map(({ id, message }) => [id, message])).toEqual([
      [sent.id, 'a'],
      [sent.id, 'b'],
    ])
  }),
}

const streams: Tests = {
  sendText: pair(async ({ alice, bob }) => {
    const heard = receiveText(bob, 't')
    await alice.localParticipant.sendText('x', {
      topic: 't',
      attributes: { a: '1' },
      destinationIdentities: ['bob'],
    })
    expect((await heard).info.attributes).toEqual({ a: '1' })
  }),
  sendFile: pair(async ({ alice, bob }) => {
    const heard = receiveBytes(bob)
    await alice.localParticipant.sendFile('package.json', { compress: false })
    expect(Buffer.from((await heard).bytes).toString()).toBe(readFileSync('package.json', 'utf8'))
  }),
  streamText: pair(async ({ alice, bob }) => {
    const [text, bytes] = [receiveText(bob), receiveBytes(bob)]
    const writer = await alice.localParticipant.streamText({ streamId: 's' })
    await writer.write('x')
    await writer.close()
    const other = await alice.localParticipant.streamBytes({ name: 'n', totalSize: 1 })
    await other.write(Uint8Array.of(7))
    await other.close()
    expect([(await text).info.id, (await bytes).info.name]).toEqual(['s', 'n'])
  }),
  TextStreamWriter: pair(async ({ alice, bob }) => {
    const heard = receiveText(bob)
    const writer = await alice.localParticipant.streamText()
    expect(writer).toBeInstanceOf(index.TextStreamWriter)
    await writer.write('x')
    await writer.close({ attributes: { a: '1' } })
    expect((await heard).info.attributes).toEqual({ a: '1' })
  }),
  TextStreamReader: pair(async ({ alice, bob }) => {
    const arriving = nextText(bob)
    const writer = await alice.localParticipant.streamText()
    const { reader } = await arriving
    expect(reader).toBeInstanceOf(index.TextStreamReader)
    await writer.abort('no more')
    expect(await rejection(reader.readAll())).toBeInstanceOf(DataStreamError)
    reader.cancel()
  }),
  readAll: pair(async ({ alice, bob }) => {
    const [one, other] = [nextBytes(bob), nextBytes(bob)]
    await alice.localParticipant.sendBytes(Uint8Array.of(1, 2))
    expect(await (await one).reader.readAll()).toEqual([Uint8Array.of(1, 2)])
    expect(await (await other).reader.bytes()).toEqual(Uint8Array.of(1, 2))
  }),
  info: pair(async ({ alice, bob }) => {
    const heard = receiveText(bob, 't')
    const { id } = await alice.localParticipant.sendText('x', { topic: 't' })
    expect((await heard).info).toMatchObject({ id, topic: 't', size: 1, mimeType: 'text/plain' })
  }),
}

const calls: Tests = {
  performRpc: pair(async ({ alice, bob }) => {
    let waits = 0
    bob.registerRpcMethod('m', ({ responseTimeout }) => {
      waits = responseTimeout
      return 'a'
    })
    expect([await call(alice, 'bob', 'm'), waits]).toEqual(['a', 15_000])
  }),
  registerRpcMethod: pair(async ({ alice, bob }) => {
    const { localParticipant } = bob
    localParticipant.registerRpcMethod('m', ({ method, callerIdentity }) => `${method} ${callerIdentity}`)
    expect(thrown(() => bob.registerRpcMethod('m', () => ''))).toBeInstanceOf(RangeError)
    expect(await call(alice, 'bob', 'm')).toBe('m alice')
    localParticipant.unregisterRpcMethod('m')
    expect((await outcome(call(alice, 'bob', 'm'))).code).toBe(1400)
  }),
  addRpcInterceptor: pair(async ({ alice, bob }) => {
    bob.registerRpcMethod('m', ({ payload }) => payload)
    const interceptor = { interceptOutgoing: () => 'cached' }
    alice.localParticipant.addRpcInterceptor(interceptor)
    expect(await call(alice, 'bob', 'm', 'x')).toBe('cached')
    alice.localParticipant.removeRpcInterceptor(interceptor)
    expect(await call(alice, 'bob', 'm', 'x')).toBe('x')
  }),
  RpcError: () => {
    const theirs = {
      ...{ APPLICATION_ERROR: 1500, CONNECTION_TIMEOUT: 1501, RESPONSE_TIMEOUT: 1502 },
      ...{ RECIPIENT_DISCONNECTED: 1503, RESPONSE_PAYLOAD_TOO_LARGE: 1504, SEND_FAILED: 1505 },
      ...{ UNSUPPORTED_METHOD: 1400, RECIPIENT_NOT_FOUND: 1401, REQUEST_PAYLOAD_TOO_LARGE: 1402 },
      UNSUPPORTED_SERVER: 1403,
    }
    expect(RpcError.ErrorCode).toEqual({ ...theirs, UNSUPPORTED_VERSION: 1404 })
    expect(new RpcError(7, 'm', 'd')).toMatchObject({ code: 7, message: 'm', data: 'd' })
  },
}

/** Alice and bob with a key each, which both know. */
async function withKeys(use: (provider: ExternalE2EEKeyProvider, alice: Room, bob: Room) => Promise<void>) {
  await using sfu = new Loopback()
  const keyProvider = new ExternalE2EEKeyProvider()
  await keyProvider.setKey('secret')
  const encryption = { keyProvider }
  await use(keyProvider, sfu.join('alice', { encryption }), sfu.join('bob', { encryption }))
}

/** A text arrives, and is encrypted. */
async function arrives(alice: Room, bob: Room): Promise<void> {
  const heard = receiveText(bob)
  await alice.localParticipant.sendText('x')
  expect((await heard).info.encrypted).toBe(true)
}

const encryption: Tests = {
  KeyProvider: () => withKeys((_keys, alice, bob) => arrives(alice, bob)),
  setSharedKey: () =>
    withKeys(async (keys, alice, bob) => {
      await keys.setKey('other', { keyIndex: 3 })
      await arrives(alice, bob)
      keys.setKeyIndex(0)
      await arrives(alice, bob)
    }),
  ratchetKey: () =>
    withKeys(async (keys, alice, bob) => {
      await keys.ratchetKey()
      await arrives(alice, bob)
    }),
  exportKey: () => expect('exportKey' in new ExternalE2EEKeyProvider()).toBe(false),
  E2EEManager: () =>
    withKeys(async (_keys, alice, bob) => {
      expect('setE2EEEnabled' in alice).toBe(false)
      await arrives(alice, bob)
    }),
}

const page = readFileSync('docs/migration-rtc-node.md', 'utf8')
const sections: Record<string, Tests> = {
  Room: rooms,
  Events: events,
  Participants: participants,
  'Data streams': streams,
  'Remote procedure calls': calls,
  'End-to-end encryption': encryption,
}

function rowsOf(heading: string): string[] {
  const [, text = ''] = page.split(new RegExp(`^## ${heading}$`, 'm'))
  return text
    .split(/^## /m)[0]!
    .split('\n')
    .filter((line) => line.startsWith('| `'))
}

describe.each(Object.entries(sections))('%s', (heading, tests) => {
  it('has a test for each row, and a row for each test', () => {
    const lines = rowsOf(heading)
    expect(lines.map((line) => /^\| `([^`]+)`/.exec(line)![1])).toEqual(Object.keys(tests))
    for (const line of lines) expect(line.split(' | '), line).toHaveLength(3)
  })

  it.each(Object.entries(tests))('%s', async (_name, test) => test())
})

it('the tested sections are those of the page', () => {
  const headings = [...page.matchAll(/^## (.*)$/gm)].map(([, heading]) => heading)
  expect(headings).toEqual([...Object.keys(sections), 'Media'])
})

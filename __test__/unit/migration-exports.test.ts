/** Each row of docs/migration-exports.md, by the first name in it, and the page beside livekit-client's declarations. */
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname, resolve } from 'node:path'
import ts from 'typescript'
import { describe, expect, it } from 'vitest'
import * as index from '../../index'
import {
  bytes,
  ConnectionCheck,
  DataStreamError,
  DataTrackClosedError,
  DataTrackConnectionError,
  DataTrackE2eeError,
  DataTrackError,
  DataTrackPublishError,
  DataTrackSubscribeError,
  DefaultReconnectPolicy,
  ExternalE2EEKeyProvider,
  json,
  Loopback,
  PublishDataError,
  Room,
  RoomEvent,
  RpcError,
  SignalRequestError,
  text,
  TokenSource,
} from '../../index'
import type {
  ByteStreamReader,
  ChatMessage,
  ConnectOptions,
  DataTrackFrameInit,
  EncryptionOptions,
  RoomOptions,
  SimulationScenario,
  TextStreamReader,
  TokenSourceConfigurable,
  TokenSourceFixed,
  TokenSourceResponseObject,
} from '../../index'
import { nextBytes, nextText } from '../helpers/data-streams'
import { fakeRoom } from '../helpers/fake-connection'
import { publish, rejection, take, thrown, until, withPair } from '../helpers/rooms'
import type { Pair } from '../helpers/rooms'

type Tests = Record<string, () => void | Promise<void>>

/** Alice and bob, who know each other. */
const pair =
  (use: (rooms: Pair) => Promise<void>): (() => Promise<void>) =>
  () =>
    withPair(async (rooms) => {
      await until(
        () => rooms.alice.remoteParticipants.has('bob') && rooms.bob.remoteParticipants.has('alice'),
      )
      await use(rooms)
    })

/** The page says that there is nothing here of that name. */
const nothing =
  (...names: string[]): (() => void) =>
  () => {
    for (const name of names) expect(name in index, name).toBe(false)
  }

const NOWHERE = 'ws://127.0.0.1:1'

const rooms: Tests = {
  Room: async () => {
    expect(new Room().state).toBe('disconnected')
    expect(await rejection(index.connect(NOWHERE, 'token'))).toBeInstanceOf(DataTrackConnectionError)
  },
  RoomOptions: () => {
    const options: RoomOptions = { dataStreams: {}, rpc: {}, reconnectPolicy: new DefaultReconnectPolicy() }
    expect(new Room(options).state).toBe('disconnected')
    expect(() => new Room({ rpc: 7 } as never)).toThrow(/options\.rpc/)
  },
  RoomConnectOptions: async () => {
    const reason = new Error('enough')
    const options: ConnectOptions = {
      signal: AbortSignal.abort(reason),
      connectTimeout: 1000,
      ...{ maxRetries: 1, proxy: false },
    }
    expect(await rejection(new Room().connect(NOWHERE, 'token', options))).toBe(reason)
  },
  RoomDataStreamOptions: () => {
    expect(() => new Room({ dataStreams: { maxBufferedBytes: 0 } })).toThrow(/dataStreams\.maxBufferedBytes/)
  },
  Participant: pair(async ({ alice, bob }) => {
    expect(alice.localParticipant).toBeInstanceOf(index.LocalParticipant)
    expect(bob.remoteParticipants.get('alice')).toBeInstanceOf(index.RemoteParticipant)
    expect('Participant' in index).toBe(false)
    await Promise.resolve()
  }),
  LocalParticipant: () => expect(new Room().localParticipant).toBeInstanceOf(index.LocalParticipant),
  isLocalParticipant: nothing('isLocalParticipant', 'isRemoteParticipant'),
  ParticipantKind: async () => {
    await using sfu = new Loopback()
    expect(sfu.join('agent', { kind: 'agent' }).localParticipant.kind).toBe('agent')
  },
  ConnectionQuality: () => {
    const { room } = fakeRoom()
    const participant = { sid: 'PA_me', identity: 'me', state: 2 }
    room.engine.receive({ message: { case: 'join', value: { participant } } })
    const updates = [{ participantSid: 'PA_me', quality: 2, score: 5 }]
    room.engine.receive({ message: { case: 'connectionQuality', value: { updates } } })
    expect(room.localParticipant.connectionQuality).toBe('excellent')
  },
  ConnectionState: pair(async ({ sfu, alice }) => {
    const states: string[] = []
    alice.on('connectionStateChanged', (state) => states.push(state))
    await sfu.reconnect('alice', 'resume')
    expect(states).toEqual(['reconnecting', 'connected'])
  }),
  ParticipantTrackPermission: pair(async (rooms) => {
    const { remote } = await publish(rooms)
    const allowed = [{ participantIdentity: 'bob', allowedTrackNames: ['other'] }]
    rooms.alice.localParticipant.setTrackSubscriptionPermissions(false, allowed)
    expect(await rejection(remote.subscribe().read())).toMatchObject({ reason: 'notAllowed' })
  }),
  ReconnectPolicy: () => {
    const context = { retryCount: 0, elapsedMs: 0 }
    expect(new DefaultReconnectPolicy().nextRetryDelayInMs(context)).toBeTypeOf('number')
  },
  SimulationScenario: async () => {
    const scenario: SimulationScenario = 'signal-reconnect'
    expect(await rejection(new Room().simulateScenario(scenario))).toBeInstanceOf(DataTrackClosedError)
    expect(await rejection(new Room().simulateScenario('subscriber-bandwidth' as never))).toBeInstanceOf(
      RangeError,
    )
  },
  DisconnectReason: pair(async ({ sfu, bob }) => {
    const left = once(bob, RoomEvent.Disconnected)
    sfu.join('bob')
    expect(await left).toEqual(['duplicateIdentity'])
  }),
  attributes: pair(async ({ alice, bob }) => {
    const loop = bob.transcriptions()
    const attributes = { 'lk.segment_id': 'SG_1', 'lk.transcription_final': 'true' }
    await alice.localParticipant.sendText('hello', { topic: 'lk.transcription', attributes })
    expect((await loop.next()).value).toMatchObject({ id: 'SG_1', text: 'hello', final: true })
    await loop.return?.()
  }),
}

const events: Tests = {
  RoomEvent: () => expect(RoomEvent.DataReceived).toBe('dataReceived'),
  ParticipantEvent: pair(async ({ alice, bob }) => {
    const changed = once(alice, RoomEvent.ParticipantMetadataChanged)
    await bob.localParticipant.setMetadata('new')
    expect((await changed)[1]).toBe(alice.remoteParticipants.get('bob'))
  }),
  EngineEvent: nothing('EngineEvent'),
}

const dataTracks: Tests = {
  LocalDataTrack: pair(async (rooms) => {
    const { local, remote } = await publish(rooms)
    expect(local).toBeInstanceOf(index.LocalDataTrack)
    expect(remote).toBeInstanceOf(index.RemoteDataTrack)
  }),
  DataTrackFrame: pair(async (rooms) => {
    const { local, remote } = await publish(rooms)
    const stream = remote.subscribe()
    await stream.ready
    const frame: DataTrackFrameInit = { payload: Uint8Array.of(1), userTimestamp: 2n }
    local.tryPush(frame)
    const [received] = await take(stream, 1)
    expect(received).toMatchObject({ userTimestamp: 2n, number: 0, latched: false })
    expect([typeof received.timestamp, typeof received.age]).toEqual(['number', 'number'])
  }),
  DataTrackSubscribeOptions: pair(async (rooms) => {
    const { local, remote } = await publish(rooms, { latch: true, codec: json() })
    local.tryPush([1])
    const stream = remote.subscribe({ bufferSize: 16, signal: undefined, codec: json(), latest: true })
    expect(await stream.read()).toMatchObject({ value: [1], latched: true })
  }),
  RemoteDataTrackPipelineOptions: pair(async (rooms) => {
    const { remote } = await publish(rooms)
    remote.setPipelineOptions({ maxPartialFrames: 1, partialFrameTimeout: 10, maxPacketsPerFrame: 2 })
    expect(() => remote.setPipelineOptions({ maxFrameBytes: 0 })).toThrow(/maxFrameBytes/)
  }),
  DataTrackPacket: () => {
    nothing('DataTrackPacket', 'DataTrackPacketHeader', 'DataTrackExtensions')()
    expect(index.MAX_PACKET_LENGTH).toBe(16_000)
  },
  DataChannelKind: nothing('DataChannelKind'),
}

const messages: Tests = {
  DataPublishOptions: pair(async ({ alice, bob }) => {
    const arrived = once(bob, RoomEvent.DataReceived)
    await alice.localParticipant.publishData(Uint8Array.of(1), {
      ...{ reliable: true, destinationIdentities: ['bob'], topic: 'a' },
      signal: new AbortController().signal,
    })
    expect((await arrived)[3]).toBe('a')
  }),
  DataPacket_Kind: pair(async ({ alice, bob }) => {
    const arrived = once(bob, RoomEvent.DataReceived)
    await alice.localParticipant.publishData(Uint8Array.of(1), { reliable: true })
    const [, , kind, , encryption] = await arrived
    expect([kind, encryption]).toEqual(['reliable', 'none'])
  }),
  ChatMessage: pair(async ({ alice, bob }) => {
    const arrived = once(bob, RoomEvent.ChatMessage)
    const sent: ChatMessage = await alice.localParticipant.sendChatMessage('hi')
    const { id, timestamp, message } = (await arrived)[0] as ChatMessage
    expect({ id, timestamp, message }).toEqual({ id: sent.id, timestamp: sent.timestamp, message: 'hi' })
  }),
  TranscriptionSegment: pair(async ({ sfu, bob }) => {
    const arrived = once(bob, RoomEvent.TranscriptionReceived)
    const agent = sfu.join('agent', { kind: 'agent' })
    await agent.localParticipant.publishTranscription({
      ...{ participantIdentity: 'alice', trackSid: 'TR_1' },
      segments: [{ id: 'S', text: 'hello', startTime: 0, endTime: 1, language: 'en', final: true }],
    })
    expect((await arrived)[0]).toMatchObject([{ id: 'S', text: 'hello', final: true }])
  }),
  SendTextOptions: pair(async ({ alice, bob }) => {
    const arrived = nextText(bob, 't')
    await alice.localParticipant.sendText('hello', { topic: 't', attributes: { a: 'b' } })
    expect((await arrived).reader.info.attributes).toEqual({ a: 'b' })
  }),
  TextStreamInfo: pair(async ({ alice, bob }) => {
    const arrived = nextBytes(bob, 't')
    await alice.localParticipant.sendBytes(Uint8Array.of(1), { topic: 't', name: 'n' })
    expect((await arrived).reader.info).toMatchObject({ name: 'n', topic: 't', encrypted: false })
  }),
  TextStreamReader: pair(async ({ alice, bob }) => {
    const [texts, pieces] = [nextText(bob, 't'), nextBytes(bob, 't')]
    await alice.localParticipant.sendText('hello', { topic: 't' })
    await alice.localParticipant.sendBytes(Uint8Array.of(1), { topic: 't' })
    const readers: [TextStreamReader, ByteStreamReader] = [(await texts).reader, (await pieces).reader]
    expect(readers.every((reader) => 'toNodeReadable' in reader)).toBe(true)
    readers[0].cancel()
    expect(await readers[1].bytes()).toEqual(Uint8Array.of(1))
  }),
  BaseStreamReaderReadAllOpts: pair(async ({ alice, bob }) => {
    const arrived = nextText(bob, 't')
    await alice.localParticipant.sendText('hello', { topic: 't' })
    const error = await rejection((await arrived).reader.readAll({ maxLength: 1 }))
    expect(error).toMatchObject({ name: 'DataStreamError', reason: 'payloadTooLarge' })
  }),
  TextStreamHandler: pair(async ({ alice, bob }) => {
    const both = [nextText(bob, 't'), nextText(bob, 't')]
    await alice.localParticipant.sendText('hello', { topic: 't' })
    const read = await Promise.all(both.map(async (arrived) => await (await arrived).reader.readAll()))
    expect(read).toEqual(['hello', 'hello'])
  }),
  TextStreamWriter: pair(async ({ alice, bob }) => {
    const arrived = nextText(bob, 't')
    const writer = await alice.localParticipant.streamText({ topic: 't' })
    expect(writer).toBeInstanceOf(index.TextStreamWriter)
    const { reader } = await arrived
    await writer.abort('enough')
    expect(await rejection(reader.readAll())).toMatchObject({ reason: 'abnormalEnd' })
  }),
  PerformRpcParams: pair(async ({ alice, bob }) => {
    bob.registerRpcMethod('m', async ({ callerIdentity, payload, signal }) =>
      Promise.resolve(`${callerIdentity} ${payload} ${String(signal.aborted)}`),
    )
    const call = { destinationIdentity: 'bob', method: 'm', payload: 'p', signal: undefined }
    expect(await alice.localParticipant.performRpc(call)).toBe('alice p false')
  }),
  RpcError: pair(async ({ alice }) => {
    const call = alice.localParticipant.performRpc({ destinationIdentity: 'bob', method: 'm', payload: '' })
    const error = await rejection(call)
    expect(error).toBeInstanceOf(RpcError)
    expect(error.code).toBe(RpcError.ErrorCode.UNSUPPORTED_METHOD)
  }),
  Serializer: pair(async ({ alice, bob }) => {
    bob.rpc.handle<number[], string>('m', (numbers) => String(numbers), { responseCodec: text() })
    expect(await alice.rpc.call('bob', 'm', [1, 2], { responseCodec: text() })).toBe('1,2')
    expect(bytes().encode(Uint8Array.of(1))).toEqual(Uint8Array.of(1))
  }),
}

const answer: TokenSourceResponseObject = { serverUrl: NOWHERE, participantToken: 'token' }

const tokens: Tests = {
  TokenSource: async () => {
    expect(Object.keys(TokenSource)).toEqual(['literal', 'custom', 'endpoint'])
    const error = await rejection(new Room().connect(NOWHERE, TokenSource.literal(answer)))
    expect(error).toMatchObject({ reason: 'serverUnreachable' })
  },
  TokenSourceLiteral: async () => {
    const source: TokenSourceFixed = TokenSource.literal(answer)
    expect(await source.fetch()).toEqual(answer)
  },
  TokenSourceCustom: async () => {
    const source: TokenSourceConfigurable = TokenSource.custom(({ roomName = '' }) => ({
      ...answer,
      roomName,
    }))
    expect(await source.fetch({ roomName: 'r' }, true)).toEqual({ ...answer, roomName: 'r' })
  },
  TokenSourceFetchOptions: async () => {
    const asked: unknown[] = []
    const source = TokenSource.custom((options) => (asked.push(options), answer))
    const options = { roomName: 'r', participantAttributes: { a: 'b' }, agentName: 'a' }
    await source.fetch(options)
    expect(asked).toEqual([options])
  },
  TokenSourceResponseObject: async () => {
    for (const body of [answer, { server_url: NOWHERE, participant_token: 'token' }]) {
      await using server = await answering(body)
      expect(await TokenSource.endpoint(server.url).fetch()).toEqual(answer)
    }
  },
  TokenSourceRequestObject: nothing('TokenSourceRequest', 'RoomConfiguration'),
  EndpointOptions: () => {
    expect(() => TokenSource.endpoint('http://127.0.0.1', { timeout: 0 })).toThrow(/options\.timeout/)
  },
  TokenPayload: () => {
    expect('decodeTokenPayload' in index).toBe(false)
    expect('permissions' in new Room().localParticipant).toBe(true)
  },
  areTokenSourceFetchOptionsEqual: async () => {
    let asked = 0
    const source = TokenSource.custom(() => ({ ...answer, participantToken: tokenOf(++asked) }))
    const one = await source.fetch({ participantAttributes: { a: '1', b: '2' } })
    expect(await source.fetch({ participantAttributes: { b: '2', a: '1' } })).toBe(one)
    expect(await source.fetch({ participantAttributes: { a: '1' } })).not.toBe(one)
  },
  TokenSourceSandboxTokenServer: async () => {
    await using server = await answering(answer)
    const source = TokenSource.endpoint(`${server.url}/api/sandbox`, { headers: { 'x-sandbox-id': 's' } })
    expect(await source.fetch()).toEqual(answer)
    expect(server.headers()).toMatchObject({ 'x-sandbox-id': 's' })
  },
}

/** A token that is good for an hour. */
function tokenOf(number: number): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  return `${part({})}.${part({ exp: Math.floor(Date.now() / 1000) + 3600, number })}.x`
}

/** An HTTP server that gives this answer. */
async function answering(body: object): Promise<
  AsyncDisposable & {
    readonly url: string
    headers(): NodeJS.Dict<string | string[]>
  }
> {
  let headers: NodeJS.Dict<string | string[]> = {}
  const server = createServer((request, response) => {
    headers = request.headers
    request.resume()
    response.end(JSON.stringify(body))
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    headers: () => headers,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((done) => server.close(done))
    },
  }
}

const checks: Tests = {
  ConnectionCheck: () => expect('run' in new ConnectionCheck(NOWHERE, 'token')).toBe(true),
  CheckInfo: () => {
    const [first] = new ConnectionCheck(NOWHERE, 'token').getResults()
    expect(Object.keys(first!)).toEqual(['name', 'description', 'status', 'message', 'help'])
  },
  CheckStatus: () => {
    expect(new ConnectionCheck(NOWHERE, 'token').getResults()[0]!.status).toBe('idle')
    expect('CheckStatus' in index).toBe(false)
  },
  Checker: nothing('Checker'),
}

const encryption: Tests = {
  ExternalE2EEKeyProvider: async () => {
    const provider = new ExternalE2EEKeyProvider({ sharedKey: false })
    await provider.setKey('passphrase', { participantIdentity: 'alice' })
    expect(await rejection(provider.setKey('passphrase'))).toBeInstanceOf(TypeError)
  },
  BaseKeyProvider: nothing('BaseKeyProvider'),
  KeyProviderOptions: () => {
    const options = { sharedKey: true, ratchetWindowSize: 16, failureTolerance: 10 }
    expect(new ExternalE2EEKeyProvider(options)).toBeDefined()
    expect(() => new ExternalE2EEKeyProvider({ ratchetWindowSize: 256 })).toThrow(/ratchetWindowSize/)
  },
  KeyProviderEvent: nothing('KeyProviderEvent'),
  E2EEOptions: () => {
    const options: EncryptionOptions = { keyProvider: new ExternalE2EEKeyProvider() }
    expect(new Room({ encryption: options }).state).toBe('disconnected')
  },
  BaseE2EEManager: () => {
    const provider = { encrypt: () => undefined as never, decrypt: () => undefined as never }
    expect(new Room({ encryption: { provider } }).state).toBe('disconnected')
  },
  EncryptionEvent: () => expect(RoomEvent.EncryptionError).toBe('encryptionError'),
  CryptorError: () => expect(new DataTrackE2eeError('missingKey').reason).toBe('missingKey'),
  isE2EESupported: nothing('isE2EESupported', 'isScriptTransformSupported', 'isInsertableStreamSupported'),
  importKey: async () => {
    nothing('importKey', 'deriveKeys', 'ratchet', 'createE2EEKey')()
    const provider = new ExternalE2EEKeyProvider()
    await provider.setKey('passphrase')
    await provider.ratchetKey()
  },
  CryptorEvent: nothing('CryptorEvent', 'KeyHandlerEvent', 'asEncryptablePacket'),
}

const errors: Tests = {
  LivekitError: () => {
    const error = new DataTrackPublishError('timeout')
    expect(error).toBeInstanceOf(DataTrackError)
    expect([error.code, error.reason]).toEqual(['ERR_DATATRACK_PUBLISH', 'timeout'])
  },
  ConnectionError: async () => {
    const error = await rejection(new Room().connect(NOWHERE, 'token'))
    expect(error).toBeInstanceOf(DataTrackConnectionError)
    expect(error.reason).toBe('serverUnreachable')
  },
  SubscriptionError: pair(async (rooms) => {
    const { local, remote } = await publish(rooms)
    await local.unpublish()
    await until(() => !remote.isPublished())
    expect(await rejection(remote.subscribe().read())).toBeInstanceOf(DataTrackSubscribeError)
  }),
  PublishDataError: pair(async ({ alice }) => {
    const error = await rejection(alice.localParticipant.publishData(new Uint8Array(100_000)))
    expect(error).toBeInstanceOf(PublishDataError)
    expect(error.reason).toBe('packetTooLarge')
  }),
  PublishTrackError: pair(async ({ alice }) => {
    await alice.localParticipant.publishDataTrack({ name: 'a' })
    const error = await rejection(alice.localParticipant.publishDataTrack({ name: 'a' }))
    expect(error).toBeInstanceOf(DataTrackPublishError)
    expect([error.reason, 'status' in error]).toEqual(['duplicateName', false])
  }),
  SignalRequestError: async () => {
    const error = await rejection(new Room().localParticipant.setName('x'))
    expect(error).toBeInstanceOf(SignalRequestError)
    expect(error.reason).toBe('disconnected')
  },
  DataStreamError: () => expect(new DataStreamError('incomplete').reason).toBe('incomplete'),
  UnexpectedConnectionState: pair(async ({ alice }) => {
    expect(await rejection(alice.connect(NOWHERE, 'token'))).toBeInstanceOf(DataTrackClosedError)
    const error = await rejection(new Room().localParticipant.publishDataTrack({ name: 'a' }))
    expect(error.reason).toBe('disconnected')
  }),
  UnsupportedServer: () => expect(new SignalRequestError('unsupported').reason).toBe('unsupported'),
  NegotiationError: () => expect(new DataTrackConnectionError('transportFailed').code).toMatch(/CONNECTION/),
  SimulatedError: nothing('SimulatedError'),
  canFailOverToAnotherRegion: nothing('canFailOverToAnotherRegion'),
}

const helpers: Tests = {
  setLogLevel: () => {
    expect(thrown(() => index.setLogLevel(1 as never))).toBeInstanceOf(TypeError)
    index.setLogLevel('warn')
  },
  setLogExtension: () => {
    nothing('setLogExtension', 'getLogger', 'LoggerNames')()
    expect(index.setLogger).toBeTypeOf('function')
  },
  version: nothing('version'),
  protocolVersion: nothing('protocolVersion', 'clientProtocol'),
  compareVersions: nothing('compareVersions', 'getBrowser', 'isBrowserSupported', 'CriticalTimers', 'Mutex'),
}

const page = readFileSync('docs/migration-exports.md', 'utf8')
const sections: Record<string, Tests> = {
  'Rooms and participants': rooms,
  Events: events,
  'Data tracks': dataTracks,
  'Messages, streams and calls': messages,
  Tokens: tokens,
  'Connection checks': checks,
  Encryption: encryption,
  Errors: errors,
  'Logs, versions and helpers': helpers,
}

/** The lines of a table's rows. */
function rowsOf(heading: string): string[] {
  const part = page.split(/^## /m).find((section) => section.startsWith(`${heading}\n`)) ?? ''
  return part.split('\n').filter((line) => line.startsWith('| `'))
}

const namesIn = (cell: string): string[] => [...cell.matchAll(/`(\w+)`/g)].map(([, name]) => name!)

describe.each(Object.entries(sections))('%s', (heading, tests) => {
  it('has a test for each row, and a row for each test', () => {
    const lines = rowsOf(heading)
    expect(lines.map((line) => namesIn(line)[0])).toEqual(Object.keys(tests))
    for (const line of lines) expect(line.split(' | '), line).toHaveLength(3)
  })

  it.each(Object.entries(tests))('%s', async (_name, test) => test())
})

it('the sections are those of the page', () => {
  const headings = [...page.matchAll(/^## (.*)$/gm)].map(([, heading]) => heading)
  expect(headings).toEqual([...Object.keys(sections), 'Media'])
})

/** The names that a declaration file exports, and those of the files that it exports as a whole. */
function exportsOf(file: string): string[] {
  const source = ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest)
  const names: string[] = []
  for (const statement of source.statements) {
    if (ts.isExportDeclaration(statement)) {
      const { exportClause, moduleSpecifier } = statement
      if (exportClause !== undefined && ts.isNamedExports(exportClause)) {
        names.push(...exportClause.elements.map(({ name }) => name.text))
      } else if (moduleSpecifier !== undefined && ts.isStringLiteral(moduleSpecifier)) {
        const path = resolve(dirname(file), moduleSpecifier.text)
        const found = [`${path}.d.ts`, `${path}/index.d.ts`].find((candidate) => existsSync(candidate))
        names.push(...exportsOf(found!))
      }
    } else if (
      ts.canHaveModifiers(statement) &&
      ts.getModifiers(statement)?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword) === true
    ) {
      if (ts.isVariableStatement(statement)) {
        for (const { name } of statement.declarationList.declarations) {
          if (ts.isIdentifier(name)) names.push(name.text)
        }
      } else {
        const { name } = statement as ts.ClassDeclaration
        if (name !== undefined) names.push(name.text)
      }
    }
  }
  return [...new Set(names)]
}

it('every name that livekit-client exports is on the page, once, and no other', () => {
  const theirs = exportsOf(resolve('node_modules/livekit-client/dist/src/index.d.ts'))
  expect(theirs.length).toBeGreaterThan(200)
  const [tables = '', media = ''] = page.split('## Media')
  const first = [...tables.matchAll(/^\| (`[^|]*) \|/gm)].flatMap(([, cell]) => namesIn(cell!))
  const ours = [...first, ...namesIn(media)]
  expect(ours.toSorted()).toEqual(theirs.toSorted())
})

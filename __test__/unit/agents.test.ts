/** What agents send: texts in the name of others, transcriptions, digits. Their bad input, too. */
import { once } from 'node:events'
import {
  Transcription as TranscriptionMessage,
  TranscriptionSegment as SegmentMessage,
} from '@livekit/protocol'
import { describe, expect, it, vi } from 'vitest'
import { ExternalE2EEKeyProvider, Loopback, Room, RoomEvent } from '../../index'
import type { TranscribedSegment, Transcriptions } from '../../index'
import { MAX_UNFINISHED_SEGMENTS, TranscriptionPackets } from '../../src/room/transcription-packets'
import {
  MAX_SEGMENT_BYTES,
  MAX_WAITING_SEGMENT_BYTES,
  MAX_WAITING_SEGMENTS,
} from '../../src/room/transcriptions'
import { nextBytes, nextText } from '../helpers/data-streams'
import { rejection, turn, until } from '../helpers/rooms'

/** An agent, a user whom it speaks for, and a listener. */
async function withAgent(
  use: (rooms: { agent: Room; user: Room; listener: Room; sfu: Loopback }) => Promise<void>,
  encrypted = false,
): Promise<void> {
  const sfu = new Loopback({ seed: 1 })
  const keyProvider = new ExternalE2EEKeyProvider()
  if (encrypted) await keyProvider.setKey('secret')
  const options = encrypted ? { encryption: { keyProvider } } : {}
  try {
    const user = sfu.join('user', options)
    const listener = sfu.join('listener', options)
    const agent = sfu.join('agent', { ...options, kind: 'agent' })
    await until(() => listener.remoteParticipants.size === 2 && agent.remoteParticipants.size === 2)
    await use({ agent, user, listener, sfu })
  } finally {
    sfu.close()
  }
}

const attributes = (segment: string, final?: boolean) => ({
  'lk.segment_id': segment,
  'lk.transcribed_track_id': 'TR_1',
  ...(final !== undefined && { 'lk.transcription_final': String(final) }),
})

const stream = { topic: 'lk.transcription', senderIdentity: 'user' }

const short = ({ participantIdentity, id, text, final, ended }: TranscribedSegment) =>
  `${participantIdentity} ${id} ${text}${final ? '.' : ''}${ended ? '|' : ''}`

/** The next versions. */
async function take(loop: Transcriptions, count: number): Promise<string[]> {
  const all: string[] = []
  for (let index = 0; index < count; index++) {
    const { value } = await loop.next()
    all.push(value === undefined ? 'end' : short(value))
  }
  return all
}

describe('senderIdentity', () => {
  it('of an agent becomes the sender of its texts: short, long, whole and written in pieces', () =>
    withAgent(async ({ agent, listener }) => {
      for (const text of ['short', 'x'.repeat(100_000)]) {
        const arriving = nextText(listener, 'said')
        await agent.localParticipant.sendText(text, {
          topic: 'said',
          senderIdentity: 'user',
          compress: false,
        })
        const { reader, identity } = await arriving
        expect([identity, (await reader.readAll()).length]).toEqual(['user', text.length])
      }
      const arriving = nextText(listener, 'said')
      const writer = await agent.localParticipant.streamText({ topic: 'said', senderIdentity: 'user' })
      const { reader, identity } = await arriving
      await writer.write('piece')
      await writer.close({ attributes: { mood: 'good' } })
      expect([identity, await reader.readAll(), reader.info.attributes]).toEqual([
        'user',
        'piece',
        { mood: 'good' },
      ])
    }))

  it('is ignored by the server for participants that are no agents, and for byte streams and packets', () =>
    withAgent(async ({ agent, user, listener }) => {
      const text = nextText(listener)
      await user.localParticipant.sendText('x', { senderIdentity: 'agent' })
      expect((await text).identity).toBe('user')
      for (const send of [
        () => agent.localParticipant.sendBytes(Uint8Array.of(1), { senderIdentity: 'user' }),
        () => agent.localParticipant.sendFile(new Blob(['x']), { senderIdentity: 'user' }),
        () => agent.localParticipant.streamBytes({ senderIdentity: 'user' }).then((writer) => writer.close()),
      ]) {
        const bytes = nextBytes(listener)
        await send()
        expect((await bytes).identity).toBe('agent')
      }
      const packet = once(listener, RoomEvent.DataReceived)
      await agent.localParticipant.publishData(Uint8Array.of(1), { reliable: true, senderIdentity: 'user' })
      expect((await packet)[1].identity).toBe('agent')
    }))

  it('that is not a valid identity is rejected with an error that names the option, and nothing is sent', () =>
    withAgent(async ({ agent, listener }) => {
      const { localParticipant } = agent
      const calls = (senderIdentity: unknown) => {
        const options = { senderIdentity } as { senderIdentity: string }
        return [
          localParticipant.sendText('x', options),
          localParticipant.streamText(options),
          localParticipant.sendBytes(Uint8Array.of(1), options),
          localParticipant.sendFile(new Blob(['x']), options),
          localParticipant.streamBytes(options),
          localParticipant.publishData(Uint8Array.of(1), options),
          localParticipant.sendChatMessage('x', options),
          localParticipant.editChatMessage('x', { id: 'm', timestamp: 1, message: '' }, options),
        ]
      }
      for (const call of calls(7)) {
        const error = await rejection(call)
        expect(error).toBeInstanceOf(TypeError)
        expect(error.message).toContain('"options.senderIdentity"')
      }
      for (const call of calls('')) expect(await rejection(call)).toBeInstanceOf(RangeError)
      await turn()
      expect(listener.dataPacketStats().received).toBe(0)
    }))
})

describe('close() of a text writer with attributes', () => {
  it('rejects invalid attributes and leaves the writer open', () =>
    withAgent(async ({ agent, listener }) => {
      const arriving = nextText(listener)
      const writer = await agent.localParticipant.streamText()
      for (const bad of [7, { attributes: 7 }, { attributes: { a: 7 } }]) {
        expect(await rejection(writer.close(bad as never))).toBeInstanceOf(TypeError)
      }
      await writer.write('still open')
      await writer.close()
      expect(await (await arriving).reader.readAll()).toBe('still open')
    }))
})

describe('room.transcriptions()', () => {
  it('yields each version of a segment, whether the versions are streams of their own or one growing stream', () =>
    withAgent(async ({ agent, listener }) => {
      const loop = listener.transcriptions()
      const versions = [
        ['hel', false],
        ['hello', false],
        ['hello there', true],
      ] as const
      const seen: string[] = []
      for (const [text, final] of versions) {
        await agent.localParticipant.sendText(text, { ...stream, attributes: attributes('S1', final) })
        seen.push(...(await take(loop, 1)))
      }
      expect(seen).toEqual(['user S1 hel|', 'user S1 hello|', 'user S1 hello there.|'])
      const writer = await agent.localParticipant.streamText({
        topic: 'lk.transcription',
        attributes: attributes('S2', false),
      })
      await writer.write('I ')
      expect(await take(loop, 1)).toEqual(['agent S2 I '])
      await writer.write('am')
      expect(await take(loop, 1)).toEqual(['agent S2 I am'])
      await writer.close({ attributes: { 'lk.transcription_final': 'true' } })
      expect(await take(loop, 1)).toEqual(['agent S2 I am.|'])
    }))

  it('yields the details of a segment, and uses the ID of the stream if the segment has none', () =>
    withAgent(async ({ agent, listener }) => {
      const loop = listener.transcriptions()
      await agent.localParticipant.sendText('hi', { ...stream, attributes: attributes('S1', true) })
      const { value } = await loop.next()
      expect(value).toMatchObject({ trackSid: 'TR_1', encrypted: false, attributes: attributes('S1', true) })
      expect(Math.abs(value!.timestamp - Date.now())).toBeLessThan(60_000)
      const { id } = await agent.localParticipant.sendText('x', stream)
      expect((await loop.next()).value).toMatchObject({ id, trackSid: undefined, final: false, ended: true })
    }))

  it('filters by participant and by final versions, and gives each loop all segments', () =>
    withAgent(async ({ agent, user, listener }) => {
      const [all, ofUser, finals] = [
        listener.transcriptions(),
        listener.transcriptions({ identity: 'user' }),
        listener.transcriptions({ finalOnly: true }),
      ]
      const own = user.transcriptions()
      await agent.localParticipant.sendText('a', { ...stream, attributes: attributes('S1', false) })
      await agent.localParticipant.sendText('b', { topic: stream.topic, attributes: attributes('S2', true) })
      expect(await take(all, 2)).toEqual(['user S1 a|', 'agent S2 b.|'])
      expect(await take(ofUser, 1)).toEqual(['user S1 a|'])
      expect(await take(finals, 1)).toEqual(['agent S2 b.|'])
      // A user sees what it said itself.
      expect(await take(own, 2)).toEqual(['user S1 a|', 'agent S2 b.|'])
    }))

  it('keeps the newest version of each segment for a slow loop, up to a limit of segments', () =>
    withAgent(async ({ agent, listener }) => {
      const loop = listener.transcriptions()
      const send = (segment: string, text: string) =>
        agent.localParticipant.sendText(text, { ...stream, attributes: attributes(segment, false) })
      for (let version = 0; version < 20; version++) await send('S1', `version ${version}`)
      await send('S2', 'other')
      await until(() => listener.dataStreamStats().completed === 21)
      await turn()
      expect(await take(loop, 2)).toEqual(['user S1 version 19|', 'user S2 other|'])
      const many = MAX_WAITING_SEGMENTS + 10
      await Promise.all(Array.from({ length: many }, (_, index) => send(`M${index}`, 'x')))
      await until(() => listener.dataStreamStats().completed === 21 + many)
      await turn()
      expect(await take(loop, 1)).toEqual(['user M10 x|'])
    }))

  it('keeps segments for a slow loop up to a limit of bytes', () =>
    withAgent(async ({ agent, listener }) => {
      const loop = listener.transcriptions()
      // In memory each character counts twice.
      const text = 'x'.repeat(500_000)
      const one = 2 * text.length
      const many = Math.ceil((2 * MAX_WAITING_SEGMENT_BYTES) / one)
      for (let index = 0; index < many; index++) {
        await agent.localParticipant.sendText(text, { ...stream, attributes: attributes(`S${index}`, false) })
      }
      const lengths = new Map<string, number>()
      for await (const segment of loop) {
        lengths.set(segment.id, segment.text.length)
        if (segment.id === `S${many - 1}` && segment.ended) break
      }
      // The last one may have been growing when the first one was taken.
      const bytes = 2 * [...lengths.values()].reduce((sum, length) => sum + length, 0)
      expect(bytes).toBeLessThanOrEqual(MAX_WAITING_SEGMENT_BYTES + one)
      expect(bytes).toBeGreaterThan(MAX_WAITING_SEGMENT_BYTES - 2 * one)
    }))

  it('ends with the room, with its signal and when the loop is left; later streams are dropped as before', () =>
    withAgent(async ({ agent, listener }) => {
      const stop = new AbortController()
      const aborted = listener.transcriptions({ signal: stop.signal })
      const waiting = rejection(aborted.next())
      stop.abort(new Error('enough'))
      expect((await waiting).message).toBe('enough')
      expect((await rejection(listener.transcriptions({ signal: stop.signal }).next())).message).toBe(
        'enough',
      )
      for await (const segment of (await begun()).loop) {
        expect(segment.text).toBe('first')
        break
      }
      await agent.localParticipant.sendText('x', stream)
      await until(() => listener.dataStreamStats().dropped.noHandler === 1)
      const last = listener.transcriptions()
      const end = last.next()
      await listener.disconnect()
      expect(await end).toEqual({ value: undefined, done: true })

      async function begun() {
        const loop = listener.transcriptions()
        await agent.localParticipant.sendText('first', stream)
        return { loop }
      }
    }))

  it('cuts a segment that is too long, and goes on', () =>
    withAgent(async ({ agent, listener }) => {
      const loop = listener.transcriptions()
      const long = 'x'.repeat(MAX_SEGMENT_BYTES + 1)
      await agent.localParticipant.sendText(long, {
        ...stream,
        attributes: attributes('S1', true),
        compress: false,
      })
      let last: TranscribedSegment | undefined
      do last = (await loop.next()).value
      while (!last!.ended)
      expect([last!.final, last!.text.length <= MAX_SEGMENT_BYTES]).toEqual([false, true])
      await agent.localParticipant.sendText('next', stream)
      expect((await loop.next()).value?.text).toBe('next')
    }))

  it('decrypts in a room with encryption', () =>
    withAgent(async ({ agent, listener }) => {
      const loop = listener.transcriptions()
      await agent.localParticipant.sendText('hi', { ...stream, attributes: attributes('S1', true) })
      const { value } = await loop.next()
      // The server sees no text, so it does not let the agent speak for another participant.
      expect(value).toMatchObject({ text: 'hi', encrypted: true, participantIdentity: 'agent' })
    }, true))

  it('rejects invalid options', () => {
    const room = new Room()
    for (const [name, bad] of [
      ['options', 7],
      ['options.identity', { identity: 7 }],
      ['options.finalOnly', { finalOnly: 'yes' }],
      ['options.signal', { signal: 7 }],
    ] as const) {
      expect(() => room.transcriptions(bad as never)).toThrow(`"${name}"`)
    }
  })
})

describe('transcription packets', () => {
  const transcription = {
    participantIdentity: 'user',
    trackSid: 'TR_1',
    segments: [{ id: 'S1', text: 'hello', startTime: 5n, endTime: 7, language: 'en', final: true }],
  }

  it('of an agent are yielded with the participant who spoke; those of other participants are ignored', () =>
    withAgent(async ({ agent, user, listener }) => {
      const told: unknown[][] = []
      listener.on(RoomEvent.TranscriptionReceived, (...args) => told.push(args))
      await user.localParticipant.publishTranscription(transcription)
      await agent.localParticipant.publishTranscription(transcription)
      await until(() => told.length > 0)
      expect(told).toHaveLength(1)
      const [[segments, participant, trackSid]] = told as [[unknown[], { identity: string }, string]]
      expect([participant.identity, trackSid]).toEqual(['user', 'TR_1'])
      expect(segments).toMatchObject([
        { id: 'S1', text: 'hello', startTime: 5, endTime: 7, language: 'en', final: true },
      ])
      const own = once(user, RoomEvent.TranscriptionReceived)
      await agent.localParticipant.publishTranscription(transcription)
      expect((await own)[1]).toBe(user.localParticipant)
    }))

  it('keep the first arrival time of a segment until it is final, for a bounded number of segments', () => {
    const packets = new TranscriptionPackets()
    const packet = (id: string, final = false) =>
      new TranscriptionMessage({
        transcribedParticipantIdentity: 'user',
        segments: [new SegmentMessage({ id, final })],
      })
    const arrived = (id: string, final = false) => packets.segmentsOf(packet(id, final))[0]!.firstReceivedTime
    const long = 'x'.repeat(100_000)
    vi.useFakeTimers({ toFake: ['Date'], now: 5000 })
    try {
      expect([arrived('S1'), arrived('S2'), arrived(long)]).toEqual([5000, 5000, 5000])
      vi.setSystemTime(9000)
      for (let index = 0; index < MAX_UNFINISHED_SEGMENTS - 2; index++) arrived(`M${index}`)
      expect(arrived('S1')).toBe(5000)
      expect(arrived('S1', true)).toBe(5000)
      // A final segment is not remembered, nor is a long id.
      expect([arrived('S1'), arrived(long)]).toEqual([9000, 9000])
      // Beyond the bound, the segment that was heard of the longest ago is forgotten.
      arrived('M')
      expect(arrived('S2')).toBe(9000)
    } finally {
      vi.useRealTimers()
    }
  })

  it.each([
    ['transcription', undefined],
    ['transcription', 7],
    ['transcription.participantIdentity', { ...transcription, participantIdentity: undefined }],
    ['transcription.trackSid', { ...transcription, trackSid: 7 }],
    ['transcription.segments', { ...transcription, segments: {} }],
    ['transcription.segments[0]', { ...transcription, segments: [null] }],
    ['transcription.segments[0].id', { ...transcription, segments: [{ text: '' }] }],
    ['transcription.segments[0].text', { ...transcription, segments: [{ id: '' }] }],
    ['transcription.segments[0].final', { ...transcription, segments: [{ id: '', text: '', final: 1 }] }],
    [
      'transcription.segments[0].startTime',
      { ...transcription, segments: [{ id: '', text: '', startTime: -1 }] },
    ],
    [
      'transcription.segments[0].endTime',
      { ...transcription, segments: [{ id: '', text: '', endTime: 2n ** 65n }] },
    ],
    [
      'transcription.segments[0].language',
      { ...transcription, segments: [{ id: '', text: '', language: 7 }] },
    ],
  ])('that are invalid are rejected with an error that names %s', async (name, bad) => {
    const error = await rejection(new Room().localParticipant.publishTranscription(bad as never))
    expect(['TypeError', 'RangeError']).toContain(error.name)
    expect(error.message).toContain(`"${name}"`)
  })
})

describe('publishDtmf', () => {
  it('sends digits in order, to all participants or to the given ones', () =>
    withAgent(async ({ agent, user, listener }) => {
      const dialled: string[] = []
      listener.on(RoomEvent.SipDTMFReceived, ({ code, digit }, from) =>
        dialled.push(`${from?.identity} ${code} ${digit}`),
      )
      const other = once(user, RoomEvent.SipDTMFReceived)
      await agent.localParticipant.publishDtmf(1, '1')
      await agent.localParticipant.publishDtmf(10, '*', { destinationIdentities: ['user'] })
      await agent.localParticipant.publishDtmf(11, '#', { destinationIdentities: ['listener'] })
      await until(() => dialled.length === 2)
      expect(dialled).toEqual(['agent 1 1', 'agent 11 #'])
      expect((await other)[0]).toEqual({ code: 1, digit: '1' })
    }))

  it.each([
    ['code', [undefined, '1']],
    ['code', ['1', '1']],
    ['code', [-1, '1']],
    ['code', [1.5, '1']],
    ['code', [2 ** 32, '1']],
    ['digit', [1, 1]],
    ['digit.length', [1, '']],
    ['options', [1, '1', 7]],
    ['options.destinationIdentities', [1, '1', { destinationIdentities: 'user' }]],
    ['options.signal', [1, '1', { signal: 7 }]],
  ])('rejects an invalid %s: %j', async (name, args) => {
    const { localParticipant } = new Room()
    const error = await rejection(
      (localParticipant.publishDtmf as (...given: unknown[]) => Promise<void>).apply(localParticipant, args),
    )
    expect(['TypeError', 'RangeError']).toContain(error.name)
    expect(error.message).toContain(`"${name}"`)
  })

  it('can be aborted before the packet has left, but not afterwards', () =>
    withAgent(async ({ agent }) => {
      const signal = AbortSignal.abort(new Error('enough'))
      expect((await rejection(agent.localParticipant.publishDtmf(1, '1', { signal }))).message).toBe('enough')
    }))
})

describe('in a room with encryption', () => {
  it('digits and transcription packets are not sent, and received plain ones are refused', () =>
    withAgent(async ({ agent, listener, sfu }) => {
      const { localParticipant } = agent
      const transcription = { participantIdentity: 'user', trackSid: 'TR_1', segments: [] }
      for (const send of [
        localParticipant.publishDtmf(1, '1'),
        localParticipant.publishTranscription(transcription),
      ]) {
        expect(await rejection(send)).toMatchObject({ name: 'PublishDataError', reason: 'notEncryptable' })
      }
      const told: string[] = []
      listener.on(RoomEvent.SipDTMFReceived, () => told.push('digit'))
      listener.on(RoomEvent.TranscriptionReceived, () => told.push('transcription'))
      const plain = sfu.join('plain', { kind: 'agent' })
      const errors = once(listener, RoomEvent.EncryptionError)
      await plain.localParticipant.publishDtmf(1, '1')
      await plain.localParticipant.publishTranscription(transcription)
      expect((await errors)[0]).toMatchObject({ reason: 'unencrypted', participantIdentity: 'plain' })
      await until(() => listener.dataPacketStats().dropped.unencrypted === 2)
      expect(told).toEqual([])
    }, true))
})

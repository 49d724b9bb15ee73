/** What agents and their clients send each other, with rtc-node as the agent and with livekit-client. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { beforeAll, describe, expect, it } from 'vitest'
import { RoomEvent, RpcError } from '../../index'
import type { ChatMessage, Room, Transcriptions } from '../../index'
import { event } from '../helpers/scene'
import { withServer } from '../helpers/with-server'
import { rtcNodeFolder, sdks } from './peers/reliable-peer'
import { OURS, PEER, withPeer } from './reliable'

const server = withServer()
beforeAll(() => {
  sdks.rtcNode.install()
}, 300_000)

const AGENT = { kind: 'agent' } as const

/** Members of rtc-node's classes that are private, protected or internal. */
const INTERNAL = [
  ...['cleanupOnDisconnect', 'createRemoteParticipant', 'disposeOpenStreamWriters', 'finishIteration'],
  ...['acquireReader', 'handleByteStreamOpened', 'handleChunkReceived', 'handleRpcMethodInvocation'],
  ...['handleTextStreamOpened', 'invokeRpcHandler', 'performRpcFfi', 'requireParticipantByIdentity'],
  ...['requirePublicationOfParticipant', 'requirePublicationOfRemoteParticipant', 'requireRemoteParticipant'],
  ...['retrieveParticipantByIdentity', 'updateConnectionState'],
]

/** The chat messages that a room gets from others. */
function chatOf(room: Room): { next(): Promise<{ message: ChatMessage; from: string | undefined }> } {
  const waiting: { message: ChatMessage; from: string | undefined }[] = []
  let wake: () => void = () => undefined
  room.on(RoomEvent.ChatMessage, (message, participant) => {
    if (participant === room.localParticipant) return
    waiting.push({ message, from: participant?.identity })
    wake()
  })
  return {
    async next() {
      while (waiting.length === 0) await new Promise<void>((resolve) => (wake = resolve))
      return waiting.shift()!
    },
  }
}

const byWhat = (one: { readonly what: string }, other: { readonly what: string }): number =>
  one.what < other.what ? -1 : 1

async function take(loop: Transcriptions): Promise<string> {
  const { value } = await loop.next()
  if (value === undefined) return 'end'
  const { participantIdentity, id, text, final, ended, trackSid } = value
  return `${participantIdentity} ${id} ${text}${final ? ' final' : ''}${ended ? ' ended' : ''} ${trackSid}`
}

it('each public name of rtc-node has a row, or is about media', () => {
  const script = `
    const rtc = require('@livekit/rtc-node')
    const membersOf = (type) => Object.getOwnPropertyNames(type.prototype)
    const members = [rtc.Room, rtc.Participant, rtc.LocalParticipant, rtc.TextStreamReader, rtc.KeyProvider,
      rtc.E2EEManager, rtc.FrameCryptor].flatMap(membersOf)
    const names = [...Object.keys(rtc), ...members, ...Object.keys(rtc.RoomEvent)]
    require('fs').writeSync(3, JSON.stringify(names))
    process.exit()`
  const { output } = spawnSync(process.execPath, ['-e', script], {
    cwd: rtcNodeFolder,
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
  })
  const names = new Set(JSON.parse(String(output[3])) as string[])
  // Private or internal in its declarations.
  for (const internal of ['constructor', ...INTERNAL]) names.delete(internal)
  const page = readFileSync('docs/migration-rtc-node.md', 'utf8')
  const [tables = '', media = ''] = page.split('## Media')
  const first = [...tables.matchAll(/^\| (`[^|]*) \|/gm)].map(([, cell]) => cell).join(' ')
  const named = new Set([...`${first} ${media}`.matchAll(/`(\w+)`/g)].map(([, name]) => name!))
  expect(names.size).toBeGreaterThan(100)
  expect([...names].filter((name) => !named.has(name))).toEqual([])
})

describe('rtc-node as an agent', () => {
  it('its transcriptions arrive as segments of the participant who spoke, interim and final', () =>
    withPeer(
      server,
      sdks.rtcNode,
      null,
      async (room, agent) => {
        const loop = room.transcriptions({ identity: OURS })
        const version = (text: string, final: boolean) =>
          agent.behalf(OURS, [text], {
            topic: 'lk.transcription',
            attributes: {
              'lk.segment_id': 'SG_1',
              'lk.transcribed_track_id': 'TR_1',
              'lk.transcription_final': String(final),
            },
          })
        const lastOf = async (text: string): Promise<string> => {
          for (;;) {
            const found = await take(loop)
            if (found.includes(' ended ')) return found
            expect(found).toContain(`${OURS} SG_1 ${text.slice(0, 2)}`)
          }
        }
        await version('hel', false)
        expect(await lastOf('hel')).toBe(`${OURS} SG_1 hel ended TR_1`)
        await version('hello', true)
        expect(await lastOf('hello')).toBe(`${OURS} SG_1 hello final ended TR_1`)
      },
      {},
      AGENT,
    ))

  it('its transcription packets arrive, but not those of participants that are no agents', () =>
    withPeer(
      server,
      sdks.rtcNode,
      null,
      async (room, agent, scene) => {
        const told: string[] = []
        room.on(RoomEvent.TranscriptionReceived, ([segment], participant, trackSid) =>
          told.push(`${participant?.identity} ${trackSid} ${segment?.text} ${segment?.endTime}`),
        )
        const other = await scene.join('other')
        const transcription = {
          participantIdentity: OURS,
          trackSid: 'TR_2',
          segments: [{ id: 'S', text: 'no' }],
        }
        await other.localParticipant.publishTranscription(transcription)
        const last = event(room, RoomEvent.DataReceived)
        await agent.transcribe(OURS, 'hello')
        await agent.packet(1, true)
        await last
        expect(told).toEqual([`${OURS} TR_1 hello 2`])
      },
      {},
      AGENT,
    ))

  it('DTMF digits are sent in both directions', () =>
    withPeer(server, sdks.rtcNode, null, async (room, peer) => {
      const dialled = event(room, RoomEvent.SipDTMFReceived)
      await peer.digit(11, '#')
      const [dtmf, from] = await dialled
      expect([dtmf, from?.identity]).toEqual([{ code: 11, digit: '#' }, PEER])
      await room.localParticipant.publishDtmf(10, '*', { destinationIdentities: [PEER] })
      expect(await peer.hears(1)).toEqual([{ what: 'digit', code: 10, digit: '*', from: OURS }])
    }))

  it('our interceptors surround its calls, and their errors arrive there', () =>
    withPeer(server, sdks.rtcNode, null, async (room, peer) => {
      const handled: string[] = []
      room.localParticipant.addRpcInterceptor({
        async interceptIncoming(invocation, next) {
          if (invocation.payload === 'forbidden') throw new RpcError(403, 'not allowed', 'ask first')
          const answer = await next(invocation)
          handled.push(`${invocation.callerIdentity} ${invocation.method} ${answer}`)
          return answer
        },
      })
      expect(await peer.call(OURS, 'echo', 'hi')).toEqual({ answer: 'hi' })
      expect(await peer.call(OURS, 'echo', 'forbidden')).toEqual({
        code: 403,
        message: 'not allowed',
        data: 'ask first',
      })
      expect(handled).toEqual([`${PEER} echo hi`])
    }))
})

describe.each([sdks.rtcNode, sdks.chromium])('chat with $name', (sdk) => {
  it.each(sdk === sdks.chromium ? [null, 'secret'] : [null])(
    'works in both directions, with edits; passphrase: %s',
    (passphrase) =>
      withPeer(server, sdk, passphrase, async (room, peer) => {
        const chat = chatOf(room)
        await peer.chat('hello')
        const { message, from } = await chat.next()
        expect([message.message, message.editTimestamp, from]).toEqual(['hello', undefined, PEER])
        await peer.edit('better')
        const edited = (await chat.next()).message
        expect([edited.message, edited.id, edited.timestamp]).toEqual([
          'better',
          message.id,
          message.timestamp,
        ])
        expect(edited.editTimestamp).toBeGreaterThanOrEqual(message.timestamp)
        // livekit-client tells of its own messages, too.
        if (sdk === sdks.chromium) await peer.hears(2)
        const sent = await room.localParticipant.sendChatMessage('hi')
        const both = (text: string, change: boolean) => [
          { what: 'chat', text, edited: change, from: OURS },
          { what: 'lk.chat', text, from: OURS },
        ]
        expect((await peer.hears(2)).sort(byWhat)).toEqual(both('hi', false))
        await room.localParticipant.editChatMessage('hi there', sent)
        expect((await peer.hears(2)).sort(byWhat)).toEqual(both('hi there', true))
      }),
  )
})

describe.each([sdks.rtcNode, sdks.chromium])('our agent and $name', (sdk) => {
  it('texts and packets in the name of a participant arrive with that participant’s identity', () =>
    withPeer(server, sdk, null, async (_room, peer, scene) => {
      const agent = await scene.join('agent', AGENT)
      expect(agent.localParticipant.kind).toBe('agent')
      const writer = await agent.localParticipant.streamText({
        topic: 'lk.transcription',
        senderIdentity: OURS,
        attributes: { 'lk.segment_id': 'S1' },
      })
      await writer.write('hel')
      await writer.write('lo')
      await writer.close({ attributes: { 'lk.transcription_final': 'true' } })
      expect(await peer.hears(1)).toEqual([{ what: 'lk.transcription', text: 'hello', from: OURS }])
      await agent.localParticipant.sendText('short', { topic: 'lk.chat', senderIdentity: OURS })
      expect(await peer.hears(1)).toEqual([{ what: 'lk.chat', text: 'short', from: OURS }])
      await agent.localParticipant.sendChatMessage('hi', { senderIdentity: OURS })
      const heard = (await peer.hears(2)).sort(byWhat)
      expect(heard.map(({ what, from }) => `${what} ${from}`)).toEqual([`chat ${OURS}`, `lk.chat ${OURS}`])
    }))
})

describe('livekit-client', () => {
  it('receives our transcription packets and digits, and sends digits', () =>
    withPeer(server, sdks.chromium, null, async (room, peer, scene) => {
      const agent = await scene.join('agent', AGENT)
      const segments = [{ id: 'S1', text: 'hello', final: true }]
      await agent.localParticipant.publishTranscription({
        participantIdentity: OURS,
        trackSid: 'TR_1',
        segments,
      })
      expect(await peer.hears(1)).toEqual([{ what: 'transcription', text: 'hello', from: OURS }])
      await room.localParticipant.publishDtmf(1, '1')
      expect(await peer.hears(1)).toEqual([{ what: 'digit', code: 1, digit: '1', from: OURS }])
      const dialled = event(room, RoomEvent.SipDTMFReceived)
      await peer.digit(2, '2')
      expect((await dialled)[0]).toEqual({ code: 2, digit: '2' })
    }))

  it('its unencrypted digits are refused in an encrypted room, and reported', () =>
    withPeer(server, sdks.chromium, 'secret', async (room, peer) => {
      const told = event(room, RoomEvent.EncryptionError)
      room.on(RoomEvent.SipDTMFReceived, () => expect.unreachable())
      await peer.digit(1, '1')
      const [error, participant] = await told
      expect([error.reason, participant?.identity]).toEqual(['unencrypted', PEER])
    }))
})

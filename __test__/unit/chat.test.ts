/** Chat messages: two forms on the wire, one event. */
import { ChatMessage as ChatMessageMessage, DataPacket } from '@livekit/protocol'
import { describe, expect, it } from 'vitest'
import { ExternalE2EEKeyProvider, Loopback, Room, RoomEvent } from '../../index'
import type { ChatMessage } from '../../index'
import { MAX_CHAT_BYTES, MAX_HALF_ARRIVED } from '../../src/room/chat'
import { nextBytes, nextText } from '../helpers/data-streams'
import { RawRoom } from '../helpers/raw-room'
import { rejection, turn, until } from '../helpers/rooms'

interface Told {
  readonly message: ChatMessage
  readonly from: string | undefined
}

function listen(room: Room): Told[] {
  const told: Told[] = []
  room.on(RoomEvent.ChatMessage, (message, participant) =>
    told.push({ message, from: participant?.identity }),
  )
  return told
}

/** Alice, who can also write raw packets, and bob. */
async function withChat(
  use: (pair: { alice: RawRoom; bob: Room; sfu: Loopback }) => Promise<void>,
  encrypted = false,
  kind?: 'agent',
): Promise<void> {
  const sfu = new Loopback({ seed: 1 })
  const keyProvider = new ExternalE2EEKeyProvider()
  if (encrypted) await keyProvider.setKey('secret')
  const options = encrypted ? { encryption: { keyProvider } } : {}
  const alice = new RawRoom(options)
  try {
    const bob = sfu.join('bob', options)
    sfu.join('alice', { room: alice, kind })
    await until(() => alice.remoteParticipants.size === 1 && bob.remoteParticipants.size === 1)
    await use({ alice, bob, sfu })
  } finally {
    sfu.close()
  }
}

/** Lets all packets that are under way arrive: the next one arrives after them. */
async function settled(alice: Room, bob: Room): Promise<void> {
  const last = nextText(bob, 'last')
  await alice.localParticipant.sendText('', { topic: 'last' })
  await (await last).reader.readAll()
  await turn()
}

describe.each([false, true])('chat, encrypted: %s', (encrypted) => {
  it('a message and its edit are each reported once, to the recipients and to the sender', () =>
    withChat(async ({ alice, bob }) => {
      const [own, told] = [listen(alice), listen(bob)]
      for (const text of ['hello', 'x'.repeat(40_000), '']) {
        told.length = own.length = 0
        const sent = await alice.localParticipant.sendChatMessage(text)
        expect(sent).toEqual({ id: sent.id, timestamp: sent.timestamp, message: text })
        await until(() => told.length === 1)
        const edited = await alice.localParticipant.editChatMessage('better', sent)
        await until(() => told.length === 2)
        await settled(alice, bob)
        expect(edited).toEqual({ ...sent, message: 'better', editTimestamp: edited.editTimestamp })
        expect(own).toEqual([
          { message: sent, from: 'alice' },
          { message: edited, from: 'alice' },
        ])
        expect(told).toEqual([
          { message: sent, from: 'alice' },
          { message: edited, from: 'alice' },
        ])
      }
    }, encrypted))

  it('each edit is reported, also if the text returns to an earlier one', () =>
    withChat(async ({ alice, bob }) => {
      const told = listen(bob)
      const first = await alice.localParticipant.sendChatMessage('A')
      await alice.localParticipant.editChatMessage('B', first)
      await alice.localParticipant.editChatMessage('A', first)
      await settled(alice, bob)
      expect(told.map(({ message }) => message.message)).toEqual(['A', 'B', 'A'])
    }, encrypted))
})

describe('a chat message arrives as a text stream, as a packet, or as both', () => {
  const packet = (id: string, message: string, fields: Partial<ChatMessageMessage> = {}) =>
    ({
      case: 'chatMessage',
      value: new ChatMessageMessage({ id, message, timestamp: 5n, ...fields }),
    }) as const

  it('a packet alone is reported, with its times', () =>
    withChat(async ({ alice, bob }) => {
      const told = listen(bob)
      alice.writePacket(packet('m', 'one'))
      alice.writePacket(packet('m', 'two', { editTimestamp: 9n }))
      alice.writePacket(packet('m', 'one'))
      await settled(alice, bob)
      expect(told.map(({ message }) => message)).toEqual([
        { id: 'm', timestamp: 5, message: 'one' },
        { id: 'm', timestamp: 5, message: 'two', editTimestamp: 9 },
        { id: 'm', timestamp: 5, message: 'one' },
      ])
    }))

  it('two packets that arrive before either stream are two messages, not three', () =>
    withChat(async ({ alice, bob }) => {
      const told = listen(bob)
      for (let count = 0; count < 2; count++) alice.writePacket(packet('m', 'A'))
      for (let count = 0; count < 2; count++)
        await alice.localParticipant.sendText('A', { topic: 'lk.chat', streamId: 'm' })
      await settled(alice, bob)
      expect(told.map(({ message }) => message.message)).toEqual(['A', 'A'])
    }))

  it('a text stream alone is reported, with its attachments; a stream handler of the topic gets it, too', () =>
    withChat(async ({ alice, bob }) => {
      const told = listen(bob)
      const handled = nextText(bob, 'lk.chat')
      const file = nextBytes(bob, 'lk.chat')
      const info = await alice.localParticipant.sendText('see', {
        topic: 'lk.chat',
        attachments: [new Blob(['content'])],
      })
      expect(await (await handled).reader.readAll()).toBe('see')
      expect((await file).reader.info.id).toBe(info.attachedStreamIds[0])
      await settled(alice, bob)
      expect(told).toEqual([
        {
          message: {
            id: info.id,
            timestamp: info.timestamp,
            message: 'see',
            attachedStreamIds: info.attachedStreamIds,
          },
          from: 'alice',
        },
      ])
    }))

  it('a message that is too long for a packet is sent as a stream only', () =>
    withChat(async ({ alice, bob }) => {
      const told = listen(bob)
      const text = 'x'.repeat(MAX_CHAT_BYTES)
      const sent = await alice.localParticipant.sendChatMessage(text, { attachments: [new Blob(['x'])] })
      expect(sent.attachedFiles).toHaveLength(1)
      await alice.localParticipant.editChatMessage(`${text.slice(1)}!`, sent)
      await until(() => told.length === 2)
      await settled(alice, bob)
      expect(told.map(({ message }) => message.message.length)).toEqual([text.length, text.length])
    }))

  it('a stream is not read if the room has no listener for chat messages', () =>
    withChat(async ({ alice, bob }) => {
      await alice.localParticipant.sendChatMessage('hello')
      await settled(alice, bob)
      expect(bob.dataStreamStats().dropped).toEqual({ noHandler: 1 })
    }))

  it('a message that an agent sends in the name of another participant says so', () =>
    withChat(
      async ({ alice, bob }) => {
        const told = listen(bob)
        await alice.localParticipant.sendChatMessage('hi', { senderIdentity: 'bob' })
        const raw = { value: packet('m', 'hey'), participantIdentity: 'bob' }
        alice.write('reliable', new DataPacket(raw).toBinary())
        await settled(alice, bob)
        expect(told.map(({ from }) => from)).toEqual(['bob', 'bob'])
        expect(told[1]!.message.generated).toBe(true)
      },
      false,
      'agent',
    ))

  it('many messages of which only one form arrives take a bounded amount of memory', () =>
    withChat(async ({ alice, bob }) => {
      const told = listen(bob)
      for (let count = 0; count < MAX_HALF_ARRIVED + 100; count++) {
        alice.writePacket(packet(`m${count}`, 'x'))
        if (count % 100 === 99) await settled(alice, bob)
      }
      await settled(alice, bob)
      expect(told).toHaveLength(MAX_HALF_ARRIVED + 100)
      // The first one is forgotten, the last one is not.
      for (const id of ['m0', `m${MAX_HALF_ARRIVED + 99}`]) {
        await alice.localParticipant.sendText('x', { topic: 'lk.chat', streamId: id })
      }
      await settled(alice, bob)
      expect(told).toHaveLength(MAX_HALF_ARRIVED + 101)
    }))

  it('a text that is longer than MAX_CHAT_BYTES is not reported', () =>
    withChat(async ({ alice, bob }) => {
      const told = listen(bob)
      await alice.localParticipant.sendText('x'.repeat(MAX_CHAT_BYTES + 1), { topic: 'lk.chat' })
      await alice.localParticipant.sendText('next', { topic: 'lk.chat' })
      await until(() => told.length === 1)
      expect(told[0]!.message.message).toBe('next')
    }))
})

describe('invalid arguments', () => {
  const original = { id: 'm', timestamp: 1, message: 'x' }

  it.each([
    ['text', [7]],
    ['text.length', ['x'.repeat(MAX_CHAT_BYTES + 1)]],
    ['options', ['x', 7]],
    ['options.destinationIdentities', ['x', { destinationIdentities: 'bob' }]],
    ['options.attachments', ['x', { attachments: 7 }]],
    ['options.signal', ['x', { signal: 7 }]],
  ])('sendChatMessage names the wrong argument: %s', async (name, args) => {
    const { localParticipant } = new Room()
    const error = await rejection((localParticipant.sendChatMessage as any).apply(localParticipant, args))
    expect(['TypeError', 'RangeError']).toContain(error.name)
    expect(error.message).toContain(`"${name}"`)
  })

  it.each([
    ['editText', [7, original]],
    ['editText.length', ['x'.repeat(MAX_CHAT_BYTES + 1), original]],
    ['originalMessage', ['x', undefined]],
    ['originalMessage.id', ['x', { ...original, id: 7 }]],
    ['originalMessage.id.length', ['x', { ...original, id: '' }]],
    ['originalMessage.timestamp', ['x', { ...original, timestamp: undefined }]],
    ['originalMessage.timestamp', ['x', { ...original, timestamp: 1.5 }]],
    ['options', ['x', original, 7]],
    ['options.attributes.a', ['x', original, { attributes: { a: 1 } }]],
  ])('editChatMessage names the wrong argument: %s', (name, args) =>
    withChat(async ({ alice, bob }) => {
      const { localParticipant } = alice
      const error = await rejection((localParticipant.editChatMessage as any).apply(localParticipant, args))
      expect(['TypeError', 'RangeError']).toContain(error.name)
      expect(error.message).toContain(`"${name}"`)
      await settled(alice, bob)
      // Neither form was sent.
      expect(bob.dataPacketStats().received).toBe(1)
    }),
  )

  it('a room that is not connected rejects chat messages', async () => {
    const { localParticipant } = new Room()
    expect((await rejection(localParticipant.sendChatMessage('x'))).reason).toBe('disconnected')
    expect((await rejection(localParticipant.editChatMessage('x', original))).reason).toBe('disconnected')
  })
})

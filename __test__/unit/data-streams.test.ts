import { describe, expect, it } from 'vitest'
import type { ByteStreamInfo, ByteStreamReader, Room, TextStreamInfo, TextStreamReader } from '../../index'
import { until, withPair } from '../helpers/rooms'
import { pattern, same } from '../helpers/scene'

/** The next text stream of a topic. */
function nextText(room: Room, topic = ''): Promise<{ reader: TextStreamReader; identity: string }> {
  return new Promise((resolve) => {
    const remove = room.registerTextStreamHandler(topic, (reader, { identity }) => {
      remove()
      resolve({ reader, identity })
    })
  })
}

/** The next byte stream of a topic. */
function nextBytes(room: Room, topic = ''): Promise<{ reader: ByteStreamReader; identity: string }> {
  return new Promise((resolve) => {
    const remove = room.registerByteStreamHandler(topic, (reader, { identity }) => {
      remove()
      resolve({ reader, identity })
    })
  })
}

/** What a room makes of byte streams: all in one piece. */
async function receiveBytes(room: Room, topic = ''): Promise<{ bytes: Uint8Array; info: ByteStreamInfo }> {
  const { reader } = await nextBytes(room, topic)
  return { bytes: await reader.bytes(), info: reader.info }
}

async function receiveText(room: Room, topic = ''): Promise<{ text: string; info: TextStreamInfo }> {
  const { reader } = await nextText(room, topic)
  return { text: await reader.readAll(), info: reader.info }
}

/** Makes bob look like an older client to alice, once she knows of him. */
async function older(
  alice: Room,
  clientProtocol: number,
  capabilities: readonly number[] = [],
): Promise<void> {
  await until(() => alice.remoteParticipants.has('bob'))
  const bob = alice.remoteParticipants.get('bob')!
  bob.update({ ...bob.info, clientProtocol, capabilities })
}

const sizes = [0, 1, 14_000, 15_000, 15_001, 100_000, 1_000_000]

describe.each([
  ['a peer of today', 2, [2]],
  ['a peer that cannot decompress', 2, []],
  ['an old peer', 0, []],
] as const)('to %s', (_, clientProtocol, capabilities) => {
  it.each(sizes)('%i bytes arrive as they were, with all that is known of them', (size) =>
    withPair(async ({ alice, bob }) => {
      await older(alice, clientProtocol, capabilities)
      for (const content of [pattern(size), new Uint8Array(size).fill(7)]) {
        const arriving = receiveBytes(bob, 'files')
        const options = { topic: 'files', name: 'x.bin', mimeType: 'image/png', attributes: { a: 'b' } }
        const sent = await alice.localParticipant.sendBytes(content, options)
        const { bytes, info } = await arriving
        expect(same(bytes, content)).toBe(true)
        expect(info).toEqual(sent)
        expect(info).toMatchObject({ ...options, size, encrypted: false })
      }
      expect(bob.dataStreamStats()).toMatchObject({ received: 2, completed: 2, open: 0, bufferedBytes: 0 })
    }),
  )

  it.each(sizes)('a text of %i bytes arrives as it was', (size) =>
    withPair(async ({ alice, bob }) => {
      await older(alice, clientProtocol, capabilities)
      for (const text of ['x'.repeat(size), Buffer.from(pattern(size)).toString('latin1')]) {
        const arriving = receiveText(bob, 'chat')
        const sent = await alice.localParticipant.sendText(text, {
          topic: 'chat',
          replyToStreamId: 'before',
          type: 'update',
          version: 3,
        })
        const { text: arrived, info } = await arriving
        expect(arrived === text).toBe(true)
        expect(info).toEqual(sent)
        expect(info).toMatchObject({ replyToStreamId: 'before', type: 'update', version: 3 })
      }
    }),
  )
})

describe('streams that are written', () => {
  it('arrive piece by piece, while they are written', () =>
    withPair(async ({ alice, bob }) => {
      const arriving = nextText(bob)
      const writer = await alice.localParticipant.streamText({ attributes: { a: '1' } })
      const { reader, identity } = await arriving
      expect([identity, reader.info.size, reader.info.attributes]).toEqual(['alice', undefined, { a: '1' }])
      const pieces = reader[Symbol.asyncIterator]()
      for (const piece of ['one', 'zwölf', '三']) {
        await writer.write(piece)
        expect(await pieces.next()).toEqual({ done: false, value: piece })
      }
      await writer.close()
      expect(await pieces.next()).toEqual({ done: true, value: undefined })
    }))

  it('keep characters whole, those that are cut between two writes too', () =>
    withPair(async ({ alice, bob }) => {
      const arriving = receiveText(bob)
      const writer = await alice.localParticipant.streamText()
      for (const piece of ['a\ud83d', '\ude00b', '\ud83d']) await writer.write(piece)
      await writer.close()
      expect((await arriving).text).toBe('a😀b\ufffd')
    }))

  it('hold writes in their order, whoever awaits them', () =>
    withPair(async ({ alice, bob }) => {
      const arriving = receiveBytes(bob)
      const writer = await alice.localParticipant.streamBytes({ totalSize: 200_000 })
      const content = pattern(200_000)
      const writes = [0, 1, 2, 3].map((at) => writer.write(content.subarray(at * 50_000, (at + 1) * 50_000)))
      await Promise.all([...writes, writer.close()])
      expect(same((await arriving).bytes, content)).toBe(true)
    }))
})

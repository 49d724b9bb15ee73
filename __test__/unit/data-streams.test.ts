import { createHash, randomBytes } from 'node:crypto'
import { Blob } from 'node:buffer'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { Readable } from 'node:stream'
import { ReadableStream } from 'node:stream/web'
import { pathToFileURL } from 'node:url'
import { describe, expect, it } from 'vitest'
import { nextBytes, nextText, receiveBytes, receiveText } from '../helpers/data-streams'
import { Loopback, Room } from '../../index'
import { HandlerTable } from '../../src/data-stream/handlers'
import { thrown, until, withPair } from '../helpers/rooms'
import { pattern, same } from '../helpers/scene'

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
] as const)('data streams to %s', (_, clientProtocol, capabilities) => {
  it.each(sizes)('%i bytes arrive unchanged, with the stream’s info', (size) =>
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

  it.each(sizes)('a text of %i bytes arrives unchanged', (size) =>
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
  it('arrive piece by piece while they are written', () =>
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

  it('keep characters whole, also those that two writes split', () =>
    withPair(async ({ alice, bob }) => {
      const arriving = receiveText(bob)
      const writer = await alice.localParticipant.streamText()
      for (const piece of ['a\ud83d', '\ude00b', '\ud83d']) await writer.write(piece)
      await writer.close()
      expect((await arriving).text).toBe('a😀b\ufffd')
    }))

  it('keep the order of writes, awaited or not', () =>
    withPair(async ({ alice, bob }) => {
      const arriving = receiveBytes(bob)
      const writer = await alice.localParticipant.streamBytes({ totalSize: 200_000 })
      const content = pattern(200_000)
      const writes = [0, 1, 2, 3].map((at) => writer.write(content.subarray(at * 50_000, (at + 1) * 50_000)))
      await Promise.all([...writes, writer.close()])
      expect(same((await arriving).bytes, content)).toBe(true)
    }))
})

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

// They take as long as the machine is busy.
describe('long streams', { timeout: 120_000 }, () => {
  it.each([true, false])('of 50 MB arrive unchanged, compressible: %s', (compressible) =>
    withPair(async ({ alice, bob }) => {
      const content = compressible
        ? Buffer.alloc(50_000_000, 'all work and no play ')
        : randomBytes(50_000_000)
      const arriving = receiveBytes(bob)
      const shares: number[] = []
      await alice.localParticipant.sendBytes(content, { onProgress: (share) => shares.push(share) })
      expect(sha256((await arriving).bytes)).toBe(sha256(content))
      expect(shares).toEqual([...shares].sort((left, right) => left - right))
      expect(shares.at(-1)).toBe(1)
    }),
  )

  it('share the channel if eight are sent at a time, and single packets overtake them', () =>
    withPair(async ({ alice, bob }) => {
      const contents = Array.from({ length: 8 }, () => randomBytes(20_000_000))
      const done: string[] = []
      const arrived = new Map<string, string>()
      bob.registerByteStreamHandler('', async (reader) => {
        arrived.set(reader.info.name, sha256(await reader.bytes()))
        done.push('stream')
      })
      bob.on('dataReceived', () => done.push('packet'))
      const sending = contents.map((content, index) =>
        alice.localParticipant.sendBytes(content, { name: String(index) }),
      )
      for (let packet = 0; packet < 100; packet++) {
        await alice.localParticipant.publishData(Uint8Array.of(packet), { reliable: true })
      }
      await until(() => done.length === 100)
      expect(done).not.toContain('stream')
      await Promise.all(sending)
      await until(() => arrived.size === 8)
      expect(arrived).toEqual(new Map(contents.map((content, index) => [String(index), sha256(content)])))
    }))
})

it('are all sent, however many wait at once', { timeout: 120_000 }, () =>
  withPair(async ({ alice, bob }) => {
    const content = pattern(16_000)
    let good = 0
    bob.registerByteStreamHandler('', async (reader) => {
      if (same(await reader.bytes(), content)) good++
    })
    const streams = Array.from({ length: 1500 }, () =>
      alice.localParticipant.sendBytes(content, { compress: false }),
    )
    // One packet more, besides.
    await alice.localParticipant.publishData(Uint8Array.of(1), { reliable: true })
    await Promise.all(streams)
    await until(() => good === 1500)
    expect(bob.dataStreamStats()).toMatchObject({ completed: 1500, open: 0, bufferedBytes: 0 })
  }),
)

describe('files and attachments', () => {
  it('a file can be a path, a URL, a Blob or a File of any size', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'datatrack-'))
    try {
      await withPair(async ({ alice, bob }) => {
        for (const size of [0, 5, 300_000, 3_000_000]) {
          const content = pattern(size)
          const path = join(folder, `${size}.bin`)
          await writeFile(path, content)
          const send = async (source: string | URL | Blob) => {
            const arriving = receiveBytes(bob, 'file')
            const shares: number[] = []
            const sent = await alice.localParticipant.sendFile(source, {
              topic: 'file',
              onProgress: (share) => shares.push(share),
            })
            const { bytes, info } = await arriving
            expect(same(bytes, content)).toBe(true)
            expect(info).toEqual(sent)
            expect([info.size, shares.at(-1)]).toEqual([size, 1])
            return [info.name, info.mimeType]
          }
          expect(await send(path)).toEqual([`${size}.bin`, 'application/octet-stream'])
          expect(await send(pathToFileURL(path))).toEqual([`${size}.bin`, 'application/octet-stream'])
          expect(await send(new Blob([content], { type: 'image/png' }))).toEqual(['unknown', 'image/png'])
        }
      })
    } finally {
      await rm(folder, { recursive: true })
    }
  })

  it('a missing file sends nothing', () =>
    withPair(async ({ alice, bob }) => {
      bob.registerByteStreamHandler('', () => undefined)
      const missing = alice.localParticipant.sendFile('/does/not/exist')
      await expect(missing).rejects.toMatchObject({ code: 'ENOENT' })
      const attached = alice.localParticipant.sendText('text', { attachments: ['/does/not/exist'] })
      await expect(attached).rejects.toMatchObject({ code: 'ENOENT' })
      await alice.localParticipant.publishData(new Uint8Array(1), { reliable: true })
      expect(bob.dataStreamStats().received).toBe(0)
    }))

  it('attachments follow their text on its topic, with the IDs that the text names', () =>
    withPair(async ({ alice, bob }) => {
      const arriving = receiveText(bob, 'chat')
      const attached = new Map<string, { text: string; mimeType: string }>()
      bob.registerByteStreamHandler('chat', async (reader) => {
        const text = Buffer.from(await reader.bytes()).toString()
        attached.set(reader.info.id, { text, mimeType: reader.info.mimeType })
      })
      const shares: number[] = []
      const attachments = [new Blob(['one'], { type: 'text/one' }), new Blob(['two'], { type: 'text/two' })]
      const options = { topic: 'chat', attachments, onProgress: (share: number) => shares.push(share) }
      const sent = await alice.localParticipant.sendText('look', options)
      const { text, info } = await arriving
      await until(() => attached.size === 2)
      expect(text).toBe('look')
      expect(info).toEqual(sent)
      expect(info.attachedStreamIds.map((id) => attached.get(id))).toEqual([
        { text: 'one', mimeType: 'text/one' },
        { text: 'two', mimeType: 'text/two' },
      ])
      expect(shares.at(-1)).toBe(1)
    }))
})

describe('platform streams', () => {
  it('readers and writers work as Node streams and as web streams', () =>
    withPair(async ({ alice, bob }) => {
      const content = pattern(200_000)
      const pieces = [content.subarray(0, 70_000), content.subarray(70_000)]
      for (const way of ['node', 'web']) {
        const arriving = nextBytes(bob)
        const writer = await alice.localParticipant.streamBytes()
        const writing =
          way === 'node'
            ? pipeline(Readable.from(pieces), writer.toNodeWritable())
            : ReadableStream.from(pieces).pipeTo(writer.writable())
        const { reader } = await arriving
        const got: Uint8Array[] = []
        const read = way === 'node' ? reader.toNodeReadable() : reader.readable()
        for await (const piece of read) got.push(piece)
        await writing
        expect(same(Buffer.concat(got), content)).toBe(true)
      }
      const arriving = nextText(bob)
      const writer = await alice.localParticipant.streamText()
      const writing = pipeline(Readable.from(['grün', '😀'.repeat(10_000)]), writer.toNodeWritable())
      let text = ''
      for await (const piece of (await arriving).reader.toNodeReadable()) text += String(piece)
      await writing
      expect(text === 'grün' + '😀'.repeat(10_000)).toBe(true)
    }))

  it('the end of a scope (`await using`) ends them', () =>
    withPair(async ({ alice, bob }) => {
      const arriving = receiveText(bob)
      const writer = await alice.localParticipant.streamText()
      await writer.write('text')
      await writer[Symbol.asyncDispose]()
      expect((await arriving).text).toBe('text')
    }))
})

describe('handlers of data streams', () => {
  it('may be registered before the room connects, and stay registered after reconnects', async () => {
    const sfu = new Loopback()
    const room = new Room()
    const got: string[] = []
    room.registerTextStreamHandler('t', async (reader) => got.push(await reader.readAll()))
    sfu.join('bob', { room })
    const alice = sfu.join('alice')
    for (const kind of ['resume', 'full'] as const) {
      await alice.localParticipant.sendText(kind, { topic: 't' })
      await until(() => got.includes(kind))
      await sfu.reconnect('bob', kind)
    }
    await alice.localParticipant.sendText('after', { topic: 't' })
    await until(() => got.length === 3)
    expect(got).toEqual(['resume', 'full', 'after'])
    sfu.close()
  })

  it('of the same topic each get a reader and bytes of their own', () =>
    withPair(async ({ alice, bob }) => {
      const content = pattern(40_000)
      const readers = [receiveBytes(bob), nextBytes(bob)] as const
      await alice.localParticipant.sendBytes(content, { compress: false })
      const [{ bytes }, { reader }] = [await readers[0], await readers[1]]
      bytes.fill(0)
      expect(same(await reader.bytes(), content)).toBe(true)
      expect(bob.dataStreamStats()).toMatchObject({ received: 1, completed: 1, bufferedBytes: 0 })
    }))

  it('of this package itself cannot be removed or disturbed, and the application can listen to the same topics', () =>
    withPair(async ({ alice, bob }) => {
      const table = new HandlerTable<() => string>()
      const [internal, one, two] = [() => 'internal', () => 'one', () => 'two']
      table.addInternal('lk.rpc_request', internal)
      table.register('lk.rpc_request', one)
      table.register('lk.rpc_request', two)
      expect(table.of('lk.rpc_request')).toEqual([internal, one, two])
      table.unregister('lk.rpc_request', internal)
      table.unregister('lk.rpc_request', one)
      expect(table.of('lk.rpc_request')).toEqual([internal, two])
      table.unregister('lk.rpc_request', undefined)
      expect(table.of('lk.rpc_request')).toEqual([internal])

      const got: string[] = []
      bob.registerTextStreamHandler('lk.chat', () => {
        got.push('first')
      })
      bob.registerTextStreamHandler('lk.chat', async (reader) => got.push(await reader.readAll()))
      await alice.localParticipant.sendText('hello', { topic: 'lk.chat' })
      await until(() => got.length === 2)
      expect(got).toEqual(['first', 'hello'])
      bob.unregisterTextStreamHandler('lk.chat')
      await alice.localParticipant.sendText('hello', { topic: 'lk.chat' })
      await until(() => bob.dataStreamStats().received === 2)
      expect(bob.dataStreamStats().dropped).toEqual({ noHandler: 1 })
    }))

  it('cannot be registered with wrong arguments, and the error names the argument', () =>
    withPair(async ({ alice, bob }) => {
      const { localParticipant } = alice
      expect(thrown(() => bob.registerTextStreamHandler(1 as any, () => undefined)).message).toContain(
        '"topic"',
      )
      expect(thrown(() => bob.registerByteStreamHandler('', null as any)).message).toContain('"handler"')
      const wrong = async (sending: Promise<unknown>, name: string) => {
        await expect(sending).rejects.toMatchObject({
          name: expect.stringMatching('TypeError|RangeError'),
          message: expect.stringContaining(`"${name}`),
        })
      }
      await wrong(localParticipant.sendText(1 as any), 'text')
      await wrong(localParticipant.sendBytes('text' as any), 'bytes')
      await wrong(localParticipant.sendFile(1 as any), 'source')
      await wrong(localParticipant.sendText('', { topic: 1 as any }), 'options.topic')
      await wrong(localParticipant.sendText('', { attributes: { a: 1 as any } }), 'options.attributes.a')
      await wrong(localParticipant.sendText('', { attachments: 'a' as any }), 'options.attachments')
      await wrong(localParticipant.streamText({ type: 'delete' as any }), 'options.type')
      await wrong(localParticipant.streamBytes({ totalSize: -1 }), 'options.totalSize')
    }))
})

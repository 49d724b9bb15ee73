/** How requests and answers of RPC are sent: in which packets, and how often they wake the driver. */
import { randomBytes } from 'node:crypto'
import { inflateRawSync } from 'node:zlib'
import { DataPacket, DataStream_CompressionType } from '@livekit/protocol'
import type { DataStream_Header } from '@livekit/protocol'
import { beforeEach, describe, expect, it } from 'vitest'
import { PacketSender } from '../../src/data-packet/sender'
import { CHUNK_SIZE } from '../../src/data-stream/header'
import { OutgoingStreams } from '../../src/data-stream/outgoing'
import type { OutgoingText, SentText } from '../../src/data-stream/outgoing'
import type { NativeSession } from '../../src/native/native'
import { ClientCapability } from '../../src/signal/messages'
import { rejection, turn } from '../helpers/rooms'
import { ScriptedChannel } from '../helpers/scripted-channel'

const textOf = (text: string): OutgoingText => ({ topic: 'topic', attributes: { a: 'b' }, text })
const compressible = (length: number): string => 'some text '.repeat(length / 10)
const random = (length: number): string => randomBytes(length).toString('base64').slice(0, length)

let channel: ScriptedChannel
let sender: PacketSender
let streams: OutgoingStreams

beforeEach(async () => {
  channel = new ScriptedChannel()
  sender = new PacketSender()
  sender.attach(channel, {} as NativeSession, 'none')
  const { DeflateRaw } = ClientCapability
  const recipients = new Map([
    ['bob', { clientProtocol: 2, capabilities: [DeflateRaw] }],
    ['plain', { clientProtocol: 2, capabilities: [] }],
    ['old', { clientProtocol: 1, capabilities: [] }],
  ])
  streams = new OutgoingStreams(() => sender, recipients)
  // Another test may have used up the turn in which long content is compressed at once.
  await turn()
})

const short = (text: OutgoingText, to = 'bob') =>
  streams.sendShortText(text, { destinationIdentities: [to], awaited: false })
const long = (text: OutgoingText, signal?: AbortSignal): SentText =>
  streams.sendLongText(text, { destinationIdentities: ['bob'], senderIdentity: undefined, signal })

const packets = () => channel.messages.map((message) => DataPacket.fromBinary(message).value)
function header(): DataStream_Header {
  const [first] = packets()
  if (first?.case !== 'streamHeader') throw new Error('a header was expected')
  return first.value
}

describe('a text that fits a packet', () => {
  it('is sent in one packet, whose acknowledgement is not asked for', async () => {
    const packet = short(textOf(compressible(4000)))
    expect(channel.log).toEqual(['send'])
    expect(header()).toMatchObject({ compression: DataStream_CompressionType.NONE, attributes: { a: 'b' } })
    await packet?.sent
  })

  it('compressed, is sent like that', () => {
    const text = compressible(100_000)
    expect(short(textOf(text))).toBeDefined()
    expect(channel.log).toEqual(['send'])
    const { compression, inlineContent, totalLength } = header()
    expect(compression).toBe(DataStream_CompressionType.DEFLATE_RAW)
    expect(totalLength).toBe(100_000n)
    expect(inflateRawSync(inlineContent ?? '').toString()).toBe(text)
  })

  it('is not compressed for a recipient that does not support it', () => {
    expect(short(textOf(compressible(CHUNK_SIZE + 10)), 'plain')).toBeUndefined()
    expect(short(textOf(compressible(10_000)), 'old')).toBeUndefined()
    expect(channel.log).toEqual([])
    expect(short(textOf(compressible(10_000)), 'plain')).toBeDefined()
    expect(header().compression).toBe(DataStream_CompressionType.NONE)
  })

  it('only compressed, blocks the event loop once in a turn', async () => {
    const text = textOf(compressible(100_000))
    expect(short(text)).toBeDefined()
    expect(short(text)).toBeUndefined()
    expect(short(textOf(compressible(10_000)))).toBeDefined()
    await turn()
    expect(short(text)).toBeDefined()
    expect(short(textOf(compressible(1_000_000)))).toBeUndefined()
  })
})

describe('a text of several packets', () => {
  it('is handed over at once, and wakes the driver once', async () => {
    const text = textOf(random(36_000))
    expect(short(text)).toBeUndefined()
    const { sent, acknowledged } = long(text)
    await sent
    expect(channel.log).toEqual(['send more', 'send more', 'send more', 'send'])
    const kinds = packets().map(({ case: kind }) => kind)
    expect(kinds).toEqual(['streamHeader', 'streamChunk', 'streamChunk', 'streamTrailer'])
    expect(header().compression).toBe(DataStream_CompressionType.DEFLATE_RAW)
    channel.buffered = 0
    sender.handleBufferedAmountLow()
    await acknowledged
  })

  it('that is lost after it was handed over is reported by its acknowledgement', async () => {
    const { sent, acknowledged } = long(textOf(random(36_000)))
    await sent
    sender.rebuilt()
    expect(await rejection(acknowledged)).toMatchObject({ reason: 'connectionLost' })
  })

  it('that is withdrawn before all of it was handed over ends for its receivers', async () => {
    channel.limit = 1 - 64 * 1024
    const stop = new AbortController()
    const { sent, acknowledged } = long(textOf(random(36_000)), stop.signal)
    await turn()
    expect(packets()).toHaveLength(1)
    stop.abort(new Error('enough'))
    expect(await rejection(sent)).toMatchObject({ message: 'enough' })
    expect(await rejection(acknowledged)).toMatchObject({ message: 'enough' })
    channel.limit = 1024
    sender.handleBufferedAmountLow()
    const last = packets().at(-1)
    expect(last).toMatchObject({ case: 'streamTrailer', value: { reason: 'aborted' } })
  })
})

import { DataPacket, RpcAck } from '@livekit/protocol'
import { describe, expect, it } from 'vitest'
import { DataPackets } from '../../src/data-packet/data-packets'
import { LOSSY_BUFFER, MAX_WAITING_BYTES, PacketSender, RELIABLE_AHEAD } from '../../src/data-packet/sender'
import { CHUNK_SIZE, headerFits, headerOf } from '../../src/data-stream/header'
import type { NativeSession } from '../../src/native/native'
import { rejection, thrown } from '../helpers/rooms'
import { ScriptedChannel } from '../helpers/scripted-channel'

function setUp(): { sender: PacketSender; channel: ScriptedChannel } {
  const channel = new ScriptedChannel()
  const sender = new PacketSender()
  sender.attach(channel, {} as NativeSession, 'none')
  return { sender, channel }
}

const ack = (requestId: string) => ({ case: 'rpcAck', value: new RpcAck({ requestId }) }) as const
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Whether a promise has settled by now. */
async function settled(promise: Promise<unknown>): Promise<boolean> {
  let is = false
  promise.then(
    () => (is = true),
    () => (is = true),
  )
  await turn()
  return is
}

describe('packets of a room that has left', () => {
  it('are sent over the old connection, whatever the next connection does', async () => {
    const packets = new DataPackets({}, () => undefined)
    const [before, after] = [new ScriptedChannel(), new ScriptedChannel()]
    packets.attach(before, {} as NativeSession, 'none')
    before.limit = -64 * 1024
    const waiting = packets.sender.sendReliable(ack('a'))
    const former = packets.detach()
    expect(former.isDrained).toBe(false)
    expect(await rejection(former.sendReliable(ack('late')).sent)).toMatchObject({ reason: 'disconnected' })
    packets.attach(after, {} as NativeSession, 'none')
    packets.sender.sendReliable(ack('b'))
    before.limit = 0
    former.handleBufferedAmountLow()
    await former.drained()
    expect([before.messages.length, after.messages.length]).toEqual([1, 1])
    before.buffered = 0
    former.close()
    await waiting.acknowledged
  })

  it('are rejected if they cannot arrive', async () => {
    const { sender } = setUp()
    const { acknowledged } = sender.sendReliable(ack('a'))
    sender.close()
    expect(await rejection(acknowledged)).toMatchObject({ reason: 'disconnected' })
  })
})

describe('the acknowledgement of a packet', () => {
  it('is requested if a promise waits for it, and only then', async () => {
    const { sender, channel } = setUp()
    const patient = sender.sendReliable(ack('a'), { awaited: false })
    expect(channel.log).toEqual(['send'])
    expect(await settled(patient.sent)).toBe(true)
    expect(await settled(patient.acknowledged)).toBe(false)
    sender.sendReliable(ack('b'))
    expect(channel.log).toEqual(['send', 'send', 'watch 0'])
  })

  it('without a waiting promise is noticed with the next packet', async () => {
    const { sender, channel } = setUp()
    const first = sender.sendReliable(ack('a'), { awaited: false })
    channel.buffered = 0
    sender.sendReliable(ack('b'), { awaited: false })
    expect(await settled(first.acknowledged)).toBe(true)
  })

  it('is requested if too many packets are kept, also if no promise waits', () => {
    const { sender, channel } = setUp()
    const many = 'x'.repeat(10_000)
    for (let sent = 0; sent < 7; sent++) sender.sendReliable(ack(many), { awaited: false })
    expect(channel.log.filter((line) => line.startsWith('watch'))).toEqual(['watch 0'])
  })

  it('that is lost rejects the waiting promise', async () => {
    const { sender } = setUp()
    const { acknowledged } = sender.sendReliable(ack('a'), { awaited: false })
    sender.rebuilt()
    await expect(acknowledged).rejects.toMatchObject({ reason: 'connectionLost' })
  })
})

describe('waiting packets', () => {
  const large = ack('x'.repeat(50_000))

  it('of the reliable channel are limited, in the channel and before it; further ones are refused', async () => {
    const { sender, channel } = setUp()
    const refused: unknown[] = []
    let accepted = 0
    for (; refused.length === 0; accepted++) {
      const { sent } = sender.sendReliable(large)
      sent.catch((error: unknown) => refused.push(error))
      if (accepted % 10 === 0) await turn()
    }
    expect(refused[0]).toMatchObject({ reason: 'bufferFull' })
    const size = DataPacket.fromBinary(channel.messages[0]!).toBinary().length
    expect(channel.buffered).toBeLessThanOrEqual(channel.limit + RELIABLE_AHEAD + size)
    expect((accepted - channel.messages.length) * size).toBeGreaterThan(MAX_WAITING_BYTES - 10 * size)
    expect((accepted - channel.messages.length) * size).toBeLessThan(MAX_WAITING_BYTES + 10 * size)
  })

  it('of the lossy channel are limited in the channel; further ones are refused', () => {
    const { sender, channel } = setUp()
    const send = (): void => {
      for (;;) sender.sendLossy(large)
    }
    expect(thrown(send)).toMatchObject({ reason: 'bufferFull' })
    expect(channel.buffered).toBeLessThanOrEqual(LOSSY_BUFFER + 51_000)
  })
})

describe('packets of one turn', () => {
  it('that may be sent later are sent with the next packet, before it', async () => {
    const { sender, channel } = setUp()
    sender.sendReliable(ack('first'), { awaited: false, later: true })
    expect(channel.log).toEqual([])
    sender.sendReliable(ack('second'), { awaited: false })
    expect(channel.log).toEqual(['send more', 'send'])
    await turn()
    expect(channel.log).toHaveLength(2)
    const packets = channel.messages.map((message) => DataPacket.fromBinary(message))
    expect(packets.map(({ value }) => value)).toMatchObject([ack('first'), ack('second')])
    expect(packets.map(({ sequence }) => sequence)).toEqual([1, 2])
  })

  it('that may be sent later are sent at the end of the turn if no packet follows', async () => {
    const { sender, channel } = setUp()
    sender.sendReliable(ack('only'), { awaited: false, later: true })
    await turn()
    await turn()
    expect(channel.log).toEqual(['send'])
  })

  it('that others follow at once wake the driver with the last one', async () => {
    const { sender, channel } = setUp()
    const first = sender.sendReliable(ack('a'), { more: true, awaited: false })
    expect(channel.log).toEqual(['send more'])
    expect(await settled(first.sent)).toBe(true)
    expect(channel.log).toEqual(['send more', 'flush'])
    sender.sendReliable(ack('b'), { more: true, awaited: false })
    sender.sendReliable(ack('c'), { awaited: false })
    await turn()
    expect(channel.log.slice(2)).toEqual(['send more', 'send'])
  })

  it('that others follow wake the driver at once if the channel is full', () => {
    const { sender, channel } = setUp()
    channel.limit = 1 - RELIABLE_AHEAD
    sender.sendReliable(ack('a'), { more: true, awaited: false })
    sender.sendReliable(ack('b'), { more: true, awaited: false })
    expect(channel.log.slice(0, 2)).toEqual(['send more', 'flush'])
    expect(channel.messages).toHaveLength(1)
  })

  it('wake the driver once, also if the last one was withdrawn', async () => {
    const { sender, channel } = setUp()
    sender.sendReliable(ack('a'), { awaited: false, later: true })
    const gone = sender.sendReliable(ack('b'), { awaited: false, later: true })
    gone.withdraw(new Error('taken back'))
    await expect(gone.sent).rejects.toThrow('taken back')
    await turn()
    await turn()
    expect(channel.log).toEqual(['send more', 'flush'])
  })

  it('cannot be withdrawn once they are sent', async () => {
    const { sender, channel } = setUp()
    const packet = sender.sendReliable(ack('a'))
    packet.withdraw(new Error('too late'))
    await packet.sent
    channel.buffered = 0
    sender.handleBufferedAmountLow()
    await packet.acknowledged
  })
})

describe('the sequence number of a packet', () => {
  it.each([1, 127, 128, 16_383, 16_384])('%i is written to the wire as counted', (count) => {
    const { sender, channel } = setUp()
    channel.limit = Infinity
    for (let sent = 0; sent < count; sent++) sender.sendReliable(ack(''), { awaited: false })
    expect(DataPacket.fromBinary(channel.messages.at(-1)!).sequence).toBe(count)
  })
})

describe('the check whether a header fits into a packet', () => {
  const header = (length: number, text: string) => {
    const info = {
      id: text.repeat(36),
      topic: text.repeat(20),
      mimeType: 'text/plain',
      timestamp: Date.now(),
      size: length,
      attributes: { [text.repeat(50)]: text.repeat(300), [text]: '' },
      encrypted: false,
      attachedStreamIds: [text.repeat(36), text.repeat(36)],
      replyToStreamId: text.repeat(36),
      type: 'update' as const,
      version: 0x7fff_ffff,
    }
    const inlineContent = new Uint8Array(length)
    return headerOf({ kind: 'text', info }, { compressed: true, inlineContent })
  }

  it.each(['x', 'é', '漢', '😀'])('is exact to the byte, for texts of %s', (text) => {
    const to = [text.repeat(30), text.repeat(30)]
    const sizeOf = (length: number): number =>
      new DataPacket({ destinationIdentities: to, value: header(length, text) }).toBinary().length
    const said = (length: number): boolean => headerFits(header(length, text), to)
    let most = CHUNK_SIZE
    while (sizeOf(most) > CHUNK_SIZE) most--
    for (let length = most - 10; length <= most + 10; length++) expect(said(length)).toBe(length <= most)
    for (let length = 0; length < CHUNK_SIZE; length += 250) {
      expect(said(length)).toBe(sizeOf(length) <= CHUNK_SIZE)
    }
  })
})

describe('without the permission to send', () => {
  const reasonOf = async (promise: Promise<unknown>) => (await rejection(promise)).reason as unknown

  it('reliable packets are refused at once, and lossy ones are sent and dropped by the server', async () => {
    const { sender, channel } = setUp()
    sender.setAllowed(false)
    expect(thrown(() => sender.assertUsable())).toMatchObject({ reason: 'notAllowed' })
    const { sent, acknowledged } = sender.sendReliable(ack('a'))
    expect(await reasonOf(sent)).toBe('notAllowed')
    expect(await reasonOf(acknowledged)).toBe('notAllowed')
    expect(channel.messages).toEqual([])
    sender.sendLossy(ack('b'))
    expect(channel.messages.length).toBe(1)
  })

  it('waiting and unacknowledged packets fail when it is revoked, and new ones are sent when it is granted again', async () => {
    const { sender, channel } = setUp()
    const early = sender.sendReliable(ack('early'))
    channel.buffered = 0
    sender.handleBufferedAmountLow()
    await early.acknowledged
    channel.limit = 0
    const large = { case: 'rpcAck', value: new RpcAck({ requestId: 'x'.repeat(65_000) }) } as const
    const sent = [large, large, large].map((value) => sender.sendReliable(value))
    expect(channel.messages.length).toBe(3)
    const { session } = sender
    sender.setAllowed(false)
    expect(session.ended).toBe('notAllowed')
    for (const { acknowledged } of sent) expect(await reasonOf(acknowledged)).toBe('notAllowed')
    expect(await reasonOf(sent[2]!.sent)).toBe('notAllowed')
    sender.setAllowed(true)
    channel.buffered = 0
    channel.limit = 64 * 1024
    const late = sender.sendReliable(ack('late'))
    channel.buffered = 0
    sender.handleBufferedAmountLow()
    await late.acknowledged
    const last = DataPacket.fromBinary(channel.messages.at(-1)!)
    expect([channel.messages.length, last.sequence]).toEqual([4, 4])
  })

  it('a revocation in the session before does not affect the next session', () => {
    const packets = new DataPackets({}, () => undefined)
    const { channel } = setUp()
    packets.attach(channel, {} as NativeSession, 'none')
    packets.sender.setAllowed(false)
    packets.detach()
    packets.attach(channel, {} as NativeSession, 'none')
    expect(packets.sender.allowed).toBe(true)
  })
})

/**
 * Beside livekit-client 2.23: its packets are read by us, ours by its classes, and where the format fixes the bytes they
 * are the same. Where we differ on purpose, a test of the last group says how and why.
 */
import { beforeAll, describe, expect, it } from 'vitest'
import { ExternalE2EEKeyProvider } from '../../index'
import { livekitClient, livekitClientVersion } from '../helpers/livekit-client'
import type { TheirFrame, TheirPacket } from '../helpers/livekit-client'
import { publisher, subscriber } from '../helpers/managers'

let theirs: Awaited<ReturnType<typeof livekitClient>>
beforeAll(async () => {
  theirs = await livekitClient()
})

const MTU = 16_000
const HEADER = { plain: 12, timestamp: 24, e2ee: 32, both: 40 }
const TAG = 16

/** Bytes that differ from place to place. */
function payload(size: number, salt = 0): Uint8Array {
  const bytes = new Uint8Array(size)
  for (let index = 0; index < size; index++) bytes[index] = (index * 31 + (index >> 8) * 7 + salt) & 0xff
  return bytes
}

/** Lengths around what fills one, two and many packets with so long a header. */
function sizesFor(header: number, tag = 0): number[] {
  const full = MTU - header
  const edges = [1, 2, 3, 66].flatMap((packets) => [-1, 0, 1].map((more) => packets * full - tag + more))
  return [1, 2, 3, 64, 255, 256, 1000, 65_536, ...edges, 1_000_000, 1_048_576, 128 * full - tag]
}

/** Milliseconds of the year 2026, as `now()` gives them. */
const MS = 1_780_000_000_000n
const timestamps: (bigint | undefined)[] = [undefined, 1n, 255n, MS, 2n ** 53n + 1n, 2n ** 64n - 1n]

/** Their packets of a frame, as bytes. */
const written = (packets: Iterable<TheirPacket>) => Array.from(packets, (packet) => packet.toBinary())
const parsed = (bytes: Uint8Array) => theirs.DataTrackPacket.fromBinary(bytes)[0]

/** The frames that their depacketizer makes of packets; one that it drops is left out. */
function theirFrames(packets: readonly Uint8Array[], maxPartialFrames?: number): TheirFrame[] {
  const depacketizer = new theirs.Depacketizer()
  const options = {
    throwOnInterruption: false,
    ...(maxPartialFrames === undefined ? {} : { maxPartialFrames }),
  }
  return packets.flatMap((bytes) => {
    try {
      return depacketizer.push(parsed(bytes), options) ?? []
    } catch {
      return []
    }
  })
}

/** `Buffer.compare` is far faster than a deep comparison of megabytes. */
function same(one: Uint8Array | undefined, other: Uint8Array): boolean {
  return one !== undefined && Buffer.compare(one, other) === 0
}

/** A frame's packets with the fields that a test wants; the payload is the packet's place. */
function packet(
  marker: 'start' | 'inter' | 'final' | 'single',
  frame: number,
  sequence: number,
  extra: number[] = [],
) {
  const bits = { start: 0b10, inter: 0b00, final: 0b01, single: 0b11 }[marker]
  const bytes = new Uint8Array([0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, ...extra, frame, sequence])
  const view = new DataView(bytes.buffer)
  view.setUint8(0, (bits << 3) | (extra.length > 0 ? 0b100 : 0))
  view.setUint16(4, sequence)
  view.setUint16(6, frame)
  return bytes
}

it('the installed version of livekit-client is the one that the documentation names', () => {
  expect(livekitClientVersion()).toBe('2.23.0')
})

describe('the bytes of our packets equal those of livekit-client', () => {
  it.each(timestamps)('for frames of all sizes with the user timestamp %s', async (userTimestamp) => {
    const ours = await publisher()
    const packetizer = new theirs.Packetizer(1, MTU)
    const header = userTimestamp === undefined ? HEADER.plain : HEADER.timestamp
    for (const size of sizesFor(header)) {
      const frame = { payload: payload(size), userTimestamp }
      ours.track.tryPush(frame)
      const packets = ours.packets()
      // The clock's start is random by the format: theirs is set to ours.
      const ticks = parsed(packets[0]!).header.timestamp.asTicks()
      const options = { now: theirs.DataTrackTimestamp.fromRtpTicks(ticks) }
      const expected = written(packetizer.packetize(theirs.DataTrackFrameInternal.from(frame), options))
      expect(packets.length, `packets of ${size} bytes`).toBe(expected.length)
      const different = packets.findIndex((bytes, index) => !same(expected[index], bytes))
      expect(different, `first packet that differs, of ${size} bytes`).toBe(-1)
    }
    ours.manager.close()
  })

  it('across the wrap of sequence and frame numbers', async () => {
    const ours = await publisher()
    const packetizer = new theirs.Packetizer(1, MTU)
    const one = payload(1)
    let different = 0
    for (let frame = 0; frame < 65_540; frame++) {
      ours.track.tryPush({ payload: one })
      const [bytes] = ours.packets() as [Uint8Array]
      const ticks = new DataView(bytes.buffer).getUint32(8)
      const options = { now: theirs.DataTrackTimestamp.fromRtpTicks(ticks) }
      const [expected] = written(
        packetizer.packetize({ payload: one, extensions: new theirs.DataTrackExtensions({}) }, options),
      )
      if (!same(expected, bytes)) different++
    }
    expect(different).toBe(0)
    ours.manager.close()
  })
})

describe('livekit-client reads our packets', () => {
  it.each([...timestamps, 0n])('frames of all sizes with the user timestamp %s', async (userTimestamp) => {
    const ours = await publisher()
    for (const size of [0, ...sizesFor(userTimestamp === undefined ? HEADER.plain : HEADER.timestamp)]) {
      const sent = payload(size)
      ours.track.tryPush({ payload: sent, userTimestamp })
      const packets = ours.packets()
      // What they read they write as it was.
      expect(packets.findIndex((bytes) => !same(parsed(bytes).toBinary(), bytes))).toBe(-1)
      const [frame, ...more] = theirFrames(packets).map((each) =>
        theirs.DataTrackFrameInternal.lossyIntoFrame(each),
      )
      expect(more).toEqual([])
      expect(same(frame?.payload, sent), `payload of ${size} bytes`).toBe(true)
      expect(frame?.userTimestamp).toBe(userTimestamp)
    }
    ours.manager.close()
  })
})

describe('we read the packets of livekit-client', () => {
  it.each(timestamps)('frames of all sizes with the user timestamp %s', async (userTimestamp) => {
    const packetizer = new theirs.Packetizer(1, MTU)
    const ours = await subscriber()
    for (const size of sizesFor(userTimestamp === undefined ? HEADER.plain : HEADER.timestamp)) {
      const sent = { payload: payload(size), userTimestamp }
      const frames = await ours.frames(
        written(packetizer.packetize(theirs.DataTrackFrameInternal.from(sent))),
      )
      expect(frames).toHaveLength(1)
      expect(same(frames[0]?.payload, sent.payload), `payload of ${size} bytes`).toBe(true)
      expect(frames[0]?.userTimestamp).toBe(userTimestamp)
    }
    const { received, accepted } = ours.manager.packetStats()
    expect(accepted).toBe(received)
    ours.manager.close()
  })

  it.each([13, 64, 256, 1200, 15_999])('frames that were cut at %i bytes', async (mtu) => {
    const packetizer = new theirs.Packetizer(1, mtu)
    const ours = await subscriber()
    const full = mtu - HEADER.plain
    for (const size of [1, full, full + 1, 10 * full - 1, 10 * full, 128 * full]) {
      const sent = payload(size)
      const extensions = new theirs.DataTrackExtensions({})
      const frames = await ours.frames(written(packetizer.packetize({ payload: sent, extensions })))
      expect(frames.map((frame) => same(frame.payload, sent))).toEqual([true])
    }
    ours.manager.close()
  })

  it('with any loss we deliver the same frames as livekit-client, with one partial frame per track', async () => {
    // Numbers with a pattern, not at random, so that a failure is the same tomorrow.
    let state = 1
    const next = (below: number) => (state = (state * 48_271) % 0x7fff_ffff) % below
    const packetizer = new theirs.Packetizer(1, 32)
    const sent = Array.from({ length: 500 }, (_, index) => payload(1 + next(70), index))
    const packets = sent.flatMap((bytes) =>
      written(packetizer.packetize({ payload: bytes, extensions: new theirs.DataTrackExtensions({}) })),
    )
    const arrived = packets.filter(() => next(10) > 0)
    expect(arrived.length).toBeLessThan(packets.length)
    const ours = await subscriber()
    ours.track.setPipelineOptions({ maxPartialFrames: 1 })
    const frames = await ours.frames(arrived)
    const expected = theirFrames(arrived)
    expect(expected.length).toBeGreaterThan(100)
    expect(frames.map((frame) => Buffer.from(frame.payload).toString('hex'))).toEqual(
      expected.map((frame) => Buffer.from(frame.payload).toString('hex')),
    )
    ours.manager.close()
  })
})

describe('encrypted frames', () => {
  const raw = Uint8Array.from({ length: 32 }, (_, index) => index)
  const cases: [string, () => Promise<{ ours: ExternalE2EEKeyProvider; keys: any }>][] = [
    [
      'with a passphrase',
      async () => {
        const ours = new ExternalE2EEKeyProvider()
        await ours.setKey('a passphrase with ümlauts')
        const keys = new theirs.ParticipantKeyHandler('alice', {
          ...theirs.KEY_PROVIDER_DEFAULTS,
          ratchetWindowSize: 0,
        })
        await keys.setKey(await theirs.createKeyMaterialFromString('a passphrase with ümlauts'))
        return { ours, keys }
      },
    ],
    [
      'with a raw key, at another index',
      async () => {
        const ours = new ExternalE2EEKeyProvider({ keyDerivation: 'HKDF' })
        await ours.setKey(raw, { keyIndex: 15 })
        const keys = new theirs.ParticipantKeyHandler('alice', {
          ...theirs.KEY_PROVIDER_DEFAULTS,
          ratchetWindowSize: 0,
        })
        await keys.setKey(await theirs.createKeyMaterialFromBuffer(raw.buffer), 15)
        return { ours, keys }
      },
    ],
    [
      'with a key that was ratcheted twice',
      async () => {
        const ours = new ExternalE2EEKeyProvider({ keyDerivation: 'HKDF' })
        await ours.setKey(raw)
        const keys = new theirs.ParticipantKeyHandler('alice', {
          ...theirs.KEY_PROVIDER_DEFAULTS,
          ratchetWindowSize: 0,
        })
        await keys.setKey(await theirs.createKeyMaterialFromBuffer(raw.buffer))
        for (let step = 0; step < 2; step++) {
          await ours.ratchetKey()
          await keys.ratchetKey()
        }
        return { ours, keys }
      },
    ],
  ]

  describe.each(cases)('%s', (_name, prepare) => {
    it.each([undefined, MS])('livekit-client decrypts ours, user timestamp %s', async (userTimestamp) => {
      const { ours: keyProvider, keys } = await prepare()
      const ours = await publisher({ encryption: { keyProvider } })
      const header = userTimestamp === undefined ? HEADER.e2ee : HEADER.both
      const ivs = new Set<string>()
      const sizes = [0, ...sizesFor(header, TAG)]
      for (const size of sizes) {
        const sent = payload(size)
        ours.track.tryPush({ payload: sent, userTimestamp })
        const packets = ours.packets()
        expect(packets).toHaveLength(Math.max(1, Math.ceil((size + TAG) / (MTU - header))))
        expect(packets.findIndex((bytes) => !same(parsed(bytes).toBinary(), bytes))).toBe(-1)
        const [frame] = theirFrames(packets) as [TheirFrame]
        const { iv, keyIndex } = frame.extensions.e2ee!
        ivs.add(Buffer.from(iv).toString('hex'))
        const opened = await theirs.DataCryptor.decrypt(frame.payload, iv, keys, keyIndex)
        expect(same(opened.payload, sent), `payload of ${size} bytes`).toBe(true)
        expect(frame.extensions.userTimestamp?.timestamp).toBe(userTimestamp)
      }
      expect(ivs.size).toBe(sizes.length)
      ours.manager.close()
    })

    it.each([undefined, MS])('we decrypt theirs, user timestamp %s', async (userTimestamp) => {
      const { ours: keyProvider, keys } = await prepare()
      const ours = await subscriber({ encryption: { keyProvider } })
      const packetizer = new theirs.Packetizer(1, MTU)
      for (const size of [0, ...sizesFor(userTimestamp === undefined ? HEADER.e2ee : HEADER.both, TAG)]) {
        const sent = payload(size)
        const frame = theirs.DataTrackFrameInternal.from({ payload: sent, userTimestamp })
        const sealed = await theirs.DataCryptor.encrypt(sent, keys)
        frame.payload = sealed.payload
        frame.extensions.e2ee = new theirs.DataTrackE2eeExtension(sealed.keyIndex, sealed.iv)
        const frames = await ours.frames(written(packetizer.packetize(frame)))
        expect(frames.map((each) => same(each.payload, sent))).toEqual([true])
        expect(frames[0]?.userTimestamp).toBe(userTimestamp)
      }
      ours.manager.close()
    })
  })
})

describe('malformed packets', () => {
  const valid = [...packet('single', 1, 1)]
  const changed = (index: number, ...values: number[]) => {
    const bytes = [...valid]
    bytes.splice(index, values.length, ...values)
    return Uint8Array.from(bytes)
  }
  const extended = (...block: number[]) => packet('single', 1, 1, block)

  it.each<[string, Uint8Array]>([
    ['nothing', new Uint8Array(0)],
    ['a byte less than a header', Uint8Array.from(valid.slice(0, 11))],
    ['version 1', changed(0, 0b0011_1000)],
    ['version 7', changed(0, 0b1111_1000)],
    ['handle 0', changed(2, 0, 0)],
    ['extensions announced, none there', Uint8Array.from([0b0001_1100, ...valid.slice(1, 12)])],
    ['half a length of extensions', Uint8Array.from([0b0001_1100, ...valid.slice(1, 12), 0])],
    [
      'extensions longer than the packet',
      Uint8Array.from([0b0001_1100, ...valid.slice(1, 12), 0, 9, 2, 8, 0, 0]),
    ],
    ['an unknown extension longer than the block', extended(0, 0, 77, 9)],
  ])('livekit-client and we refuse %s', async (_name, bytes) => {
    expect(() => parsed(bytes)).toThrow()
    const ours = await subscriber()
    expect(await ours.frames([bytes])).toEqual([])
    expect(ours.manager.packetStats()).toMatchObject({ received: 1, accepted: 0, dropped: { malformed: 1 } })
    ours.manager.close()
  })

  it.each<[string, Uint8Array, bigint | undefined]>([
    ['reserved bits', changed(0, 0b0001_1011, 0xff), undefined],
    ['an unknown extension', extended(0, 1, 77, 4, 1, 2, 3, 4), undefined],
    ['a known extension that became longer', extended(0, 3, 2, 10, 0, 0, 0, 0, 0, 0, 0, 5, 9, 9, 0, 0), 5n],
    [
      'an extension twice: the last counts',
      extended(0, 5, 2, 8, 0, 0, 0, 0, 0, 0, 0, 5, 2, 8, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0),
      6n,
    ],
    ['padding before an extension', extended(0, 3, 0, 0, 2, 8, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0), 7n],
    ['an empty block', extended(0, 0, 0, 0), undefined],
  ])('livekit-client and we read %s', async (_name, bytes, userTimestamp) => {
    const frame = theirs.DataTrackFrameInternal.lossyIntoFrame(theirFrames([bytes])[0]!)
    const ours = await subscriber()
    const frames = await ours.frames([bytes])
    expect(frames.map((each) => [[...each.payload], each.userTimestamp])).toEqual([[[1, 1], userTimestamp]])
    expect([[...frame.payload], frame.userTimestamp]).toEqual([[1, 1], userTimestamp])
    ours.manager.close()
  })
})

describe('intended differences from livekit-client', () => {
  /** What of these packets they deliver, and what we do: the payloads' first bytes, which are the frames' numbers. */
  async function delivered(packets: Uint8Array[]): Promise<{ theirs: number[]; ours: number[] }> {
    const ours = await subscriber()
    const frames = await ours.frames(packets)
    ours.manager.close()
    return {
      theirs: theirFrames(packets).map((frame) => frame.payload[0]!),
      ours: frames.map((frame) => frame.payload[0]!),
    }
  }

  it('we send an empty frame; livekit-client sends no packet for it, but counts it', async () => {
    const empty = { payload: new Uint8Array(0), extensions: new theirs.DataTrackExtensions({}) }
    const packetizer = new theirs.Packetizer(1, MTU)
    expect(written(packetizer.packetize(empty))).toEqual([])
    const ours = await publisher()
    ours.track.tryPush(new Uint8Array(0))
    expect(ours.packets().map((bytes) => bytes.length)).toEqual([12])
    // The next one's frame number is the same, but we have used a sequence number.
    const [theirNext] = packetizer.packetize({ ...empty, payload: payload(1) })
    ours.track.tryPush(payload(1))
    const { header } = parsed(ours.packets()[0]!)
    expect(theirNext?.header).toMatchObject({ frameNumber: { value: 1 }, sequence: { value: 0 } })
    expect(header).toMatchObject({ frameNumber: { value: 1 }, sequence: { value: 1 } })
    ours.manager.close()
  })

  it('we send a user timestamp of 0; livekit-client omits it', async () => {
    const frame = theirs.DataTrackFrameInternal.from({ payload: payload(1), userTimestamp: 0n })
    expect(frame.extensions.userTimestamp).toBeUndefined()
    const ours = await publisher()
    ours.track.tryPush({ payload: payload(1), userTimestamp: 0n })
    const [read] = theirFrames(ours.packets())
    expect(read?.extensions.userTimestamp?.timestamp).toBe(0n)
    ours.manager.close()
  })

  it('our packet timestamps advance; those of livekit-client keep their first value', async () => {
    const packetizer = new theirs.Packetizer(1, MTU)
    const frame = { payload: payload(1), extensions: new theirs.DataTrackExtensions({}) }
    const theirTicks = () => [...packetizer.packetize(frame)][0]!.header.timestamp.asTicks()
    const ours = await publisher()
    const ourTicks = () => {
      ours.track.tryPush(payload(1))
      return parsed(ours.packets()[0]!).header.timestamp.asTicks()
    }
    const before = { theirs: theirTicks(), ours: ourTicks(), at: performance.now() }
    while (performance.now() - before.at < 5) await new Promise((resolve) => setImmediate(resolve))
    expect(theirTicks()).toBe(before.theirs)
    // At least 5 ms of 90 kHz, modulo 2^32.
    expect((ourTicks() - before.ours) >>> 0).toBeGreaterThanOrEqual(5 * 90)
    ours.manager.close()
  })

  it('we refuse a frame that no receiver could assemble; livekit-client sends its 129 packets or more', async () => {
    const size = 128 * (MTU - HEADER.plain) + 1
    const packetizer = new theirs.Packetizer(1, MTU)
    const extensions = new theirs.DataTrackExtensions({})
    const packets = written(packetizer.packetize({ payload: payload(size), extensions }))
    expect(packets).toHaveLength(129)
    expect(theirFrames(packets)).toEqual([])
    const ours = await publisher()
    expect(() => ours.track.tryPush(payload(size))).toThrow(
      expect.objectContaining({ reason: 'frameTooLarge' }),
    )
    expect(ours.packets()).toEqual([])
    ours.manager.close()
  })

  it('we deliver a frame whose final packet arrives early; livekit-client loses it', async () => {
    const packets = [packet('start', 1, 0), packet('final', 1, 2), packet('inter', 1, 1)]
    expect(await delivered(packets)).toEqual({ theirs: [], ours: [1] })
  })

  it('we deliver a frame with a packet that arrives before its first one; livekit-client loses it', async () => {
    const packets = [packet('inter', 1, 1), packet('start', 1, 0), packet('final', 1, 2)]
    expect(await delivered(packets)).toEqual({ theirs: [], ours: [1] })
  })

  it('we keep two partial frames by default; livekit-client keeps one, so a reordered packet costs it a frame', async () => {
    const packets = [
      packet('start', 1, 0),
      packet('start', 2, 2),
      packet('final', 1, 1),
      packet('final', 2, 3),
    ]
    expect(await delivered(packets)).toEqual({ theirs: [2], ours: [1, 2] })
  })

  it('a frame of one packet evicts no partial frame of ours; livekit-client evicts its own', async () => {
    const packets = [packet('start', 1, 0), packet('single', 2, 2), packet('final', 1, 1)]
    expect(await delivered(packets)).toEqual({ theirs: [2], ours: [2, 1] })
  })

  it('a late packet of an older frame evicts no frame of ours; livekit-client evicts the newer one', async () => {
    const packets = [packet('start', 9, 8), packet('start', 1, 0), packet('final', 9, 9)]
    expect(await delivered(packets)).toEqual({ theirs: [], ours: [9] })
  })

  it('we deliver a frame once if its packet arrives twice; livekit-client delivers it twice', async () => {
    const packets = [packet('single', 1, 0), packet('single', 1, 0)]
    expect(await delivered(packets)).toEqual({ theirs: [1, 1], ours: [1] })
  })

  it('of two packets with the same sequence number we keep the first, and livekit-client the last', async () => {
    const inter = packet('inter', 1, 1)
    inter[12] = 99
    const doubled = [packet('start', 1, 0), packet('inter', 1, 1), inter, packet('final', 1, 2)]
    const subscribed = await subscriber()
    expect((await subscribed.frames(doubled)).map(({ payload }) => [...payload])).toEqual([
      [1, 0, 1, 1, 1, 2],
    ])
    expect(theirFrames(doubled).map(({ payload }) => [...payload])).toEqual([[1, 0, 99, 1, 1, 2]])
    subscribed.manager.close()
  })

  it('we skip a known extension that is too short; livekit-client refuses the packet', async () => {
    const bytes = packet('single', 1, 1, [0, 1, 2, 2, 0, 5, 0, 0])
    expect(() => parsed(bytes)).toThrow()
    const ours = await subscriber()
    const frames = await ours.frames([bytes])
    expect(frames.map((frame) => [[...frame.payload], frame.userTimestamp])).toEqual([[[1, 1], undefined]])
    ours.manager.close()
  })

  it('we read the length of extensions that clients wrote before April 2026; livekit-client refuses it', async () => {
    // With encryption alone: the block was counted without the two bytes of its length.
    const e2ee = [1, 13, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
    const bytes = packet('single', 1, 1, [0, 3, ...e2ee, 0])
    expect(() => parsed(bytes)).toThrow()
    const ours = await subscriber()
    // Read as a sealed frame, for which this subscriber has no key.
    expect(await ours.frames([bytes])).toEqual([])
    expect(ours.manager.packetStats()).toMatchObject({ accepted: 1, dropped: { malformed: 0 } })
    expect(ours.track.stats()).toMatchObject({ opened: 1, dropped: { noKey: 1 } })
    ours.manager.close()
  })
})

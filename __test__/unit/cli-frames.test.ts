import { expect, test } from 'vitest'
import { formatFrame } from '../../src/cli/frame-format'
import type { FrameFormat } from '../../src/cli/frame-format'
import { chunks, lines } from '../../src/cli/frame-source'
import { printable } from '../../src/base/printable'
import { dropsOf, dropsText, size, Throughput } from '../../src/cli/progress'
import { publish, subscribe, take, withPair } from '../helpers/rooms'

/** The parts of a stream, as they come. */
async function* parts(...texts: readonly string[]): AsyncGenerator<Buffer> {
  for (const text of texts) yield Buffer.from(text)
}

async function all(frames: AsyncIterable<Uint8Array>): Promise<string[]> {
  const texts = []
  for await (const frame of frames) texts.push(Buffer.from(frame).toString())
  return texts
}

test('input is split into lines without their line breaks, wherever chunks end; an empty line is an empty frame', async () => {
  const never = (): never => {
    throw new Error('none is too long')
  }
  expect(await all(lines(parts('a\nb', 'c\r', '\n\n', 'd\r\ne'), 10, never))).toEqual([
    'a',
    'bc',
    '',
    'd',
    'e',
  ])
  expect(await all(lines(parts('', 'a\n'), 10, never))).toEqual(['a'])
  expect(await all(lines(parts(), 10, never))).toEqual([])
})

test('a line that is too long is skipped and reported, however many chunks it spans', async () => {
  let tooLong = 0
  const input = parts('1234\n12345\n', '123', '45', '6789\r\n', '1234\r\n', '12345')
  expect(await all(lines(input, 4, () => (tooLong += 1)))).toEqual(['1234', '1234'])
  expect(tooLong).toBe(3)
})

test('all chunks except the last one have the requested size', async () => {
  expect(await all(chunks(parts('1', '2345', '67890', 'a'), 3))).toEqual(['123', '456', '789', '0a'])
  expect(await all(chunks(parts('123'), 3))).toEqual(['123'])
  expect(await all(chunks(parts(), 3))).toEqual([])
})

test('a source is closed when no more frames are wanted', async () => {
  let closed = false
  async function* endless(): AsyncGenerator<Buffer> {
    try {
      for (;;) yield Buffer.from('line\n')
    } finally {
      closed = true
    }
  }
  for await (const _line of lines(endless(), 10, () => undefined)) break
  expect(closed).toBe(true)
})

test('frames are written as lines, raw, in hexadecimal or as JSON', () =>
  withPair(async (pair) => {
    const written = async (
      encoding: 'json' | 'custom:x',
      payload: Buffer,
      format: FrameFormat,
      terminal = false,
    ) => {
      const { local, remote } = await publish(pair, {
        name: `${encoding} ${format}`,
        frameEncoding: encoding,
      })
      const stream = await subscribe(remote)
      local.tryPush({ payload, userTimestamp: 5n })
      const [frame] = await take(stream, 1)
      await local.unpublish()
      return Buffer.from(formatFrame(format, remote, frame, terminal))
    }
    const binary = Buffer.from([0, 0xff, 0x1b])
    expect(await written('custom:x', binary, 'raw')).toEqual(binary)
    expect(await written('custom:x', binary, 'lines')).toEqual(Buffer.from([0, 0xff, 0x1b, 10]))
    expect(String(await written('custom:x', binary, 'lines', true))).toBe('\\x00\ufffd\\x1b\n')
    expect(String(await written('custom:x', binary, 'hex'))).toBe('00ff1b\n')
    const object = async (encoding: 'json' | 'custom:x', payload: Buffer): Promise<unknown> =>
      JSON.parse(String(await written(encoding, payload, 'json')))
    expect(await object('custom:x', binary)).toMatchObject({
      track: 'custom:x json',
      identity: 'alice',
      bytes: 3,
      userTimestamp: 5,
      latency: expect.any(Number),
      base64: 'AP8b',
    })
    expect(await object('json', Buffer.from('{"x":1}'))).toMatchObject({ value: { x: 1 } })
    expect(await object('json', Buffer.from('{'))).toMatchObject({ text: '{' })
    expect(await object('custom:x', Buffer.from('{"x":1}'))).toMatchObject({ text: '{"x":1}' })
  }))

test('control characters of other participants are not written to the terminal', () => {
  expect(printable('a\u001b[2J\n\u009bb\u202eü')).toBe('a\\x1b[2J\\x0a\\x9bb\\u202eü')
})

test('the progress line shows frames, bytes, rates, and drops by reason', () => {
  const throughput = new Throughput()
  for (let frame = 0; frame < 1234; frame++) throughput.add(1000)
  expect(throughput.line('0')).toMatch(/^1,234 frames, 1\.2 MB, \d+ frames\/s, [\d.]+ [kMG]?B\/s, dropped 0$/)
  // Nothing came since.
  expect(throughput.line('0')).toMatch(/^1,234 frames, 1\.2 MB, 0\.0 frames\/s, 0 B\/s, dropped 0$/)
  expect([size(0), size(999), size(1000), size(150_000), size(999_600), size(3e9)]).toEqual([
    '0 B',
    '999 B',
    '1.0 kB',
    '150 kB',
    '1.0 MB',
    '3.0 GB',
  ])
  expect(dropsOf({ tooSlow: 1, closed: 0 }, { tooSlow: 2, incomplete: undefined })).toEqual({ tooSlow: 3 })
  expect(dropsText({ queueFull: 3, timedOut: 1 })).toBe('3 queueFull, 1 timedOut')
  expect(dropsText({ queueFull: 0 })).toBe('0')
})

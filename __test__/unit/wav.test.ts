/** WAV files: what is read and written, and what is said of files that are none. */
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { combineAudioFrames } from '../../index'
import type { AudioFrame } from '../../index'
import { openWav, WavFile } from '../../src/cli/wav'
import { rejection } from '../helpers/rooms'
import { toneOf } from '../helpers/tones'

const folder = mkdtempSync(join(tmpdir(), 'wav-'))
afterAll(() => rmSync(folder, { recursive: true }))
const path = join(folder, 'sound.wav')
const { signal } = new AbortController()

async function written(frame: AudioFrame): Promise<Buffer> {
  const file = await WavFile.create(path, frame.sampleRate, frame.channels)
  await file.write(frame)
  await file.close()
  return readFileSync(path)
}

async function read(): Promise<AudioFrame> {
  const frames: AudioFrame[] = []
  for await (const frame of (await openWav(path)).frames(signal)) frames.push(frame)
  return combineAudioFrames(frames)
}

/** A head whose chunk `fmt ` has these values, and four bytes of samples. */
function fileOf({ tag = 1, channels = 1, rate = 8000, bits = 16 } = {}): Buffer {
  const file = Buffer.alloc(48)
  file.write('RIFF\0\0\0\0WAVEfmt \x10\0\0\0', 'latin1')
  file.writeUInt16LE(tag, 20)
  file.writeUInt16LE(channels, 22)
  file.writeUInt32LE(rate, 24)
  file.writeUInt16LE(bits, 34)
  file.write('data\x04\0\0\0', 36, 'latin1')
  return file
}

describe('a WAV file', () => {
  it.each([
    [8000, 1],
    [44_100, 2],
    [192_000, 2],
  ])('that was written is read as it was: %i Hz, %i channels', async (rate, channels) => {
    const tone = toneOf(440, rate, 333, { channels })
    const bytes = await written(tone)
    expect(bytes.length).toBe(44 + tone.data.byteLength)
    expect(bytes.readUInt32LE(4)).toBe(bytes.length - 8)
    expect(await openWav(path)).toMatchObject({ sampleRate: rate, channels, seconds: tone.durationMs / 1000 })
    const again = await read()
    expect(again).toMatchObject({ sampleRate: rate, channels, samplesPerChannel: tone.samplesPerChannel })
    expect(again.data).toEqual(tone.data)
  })

  it('may have other chunks before its sound, an extended format, and a length that is too large', async () => {
    const tone = toneOf(440, 16_000, 20)
    const bytes = await written(tone)
    const format = Buffer.concat([bytes.subarray(12, 36), Buffer.alloc(24)])
    format.writeUInt32LE(40, 4)
    format.writeUInt16LE(0xfffe, 8)
    format.writeUInt16LE(1, 32)
    const list = Buffer.from('LIST\x03\0\0\0abc\0', 'latin1')
    const data = Buffer.from(bytes.subarray(36))
    data.writeUInt32LE(0xffff_ffff, 4)
    writeFileSync(path, Buffer.concat([bytes.subarray(0, 12), list, format, data]))
    expect((await read()).data).toEqual(tone.data)
  })

  it('that is cut off is read to its last whole sample', async () => {
    await written(toneOf(440, 8000, 100, { channels: 2 }))
    truncateSync(path, 44 + 4 * 100 + 3)
    expect((await read()).samplesPerChannel).toBe(100)
  })

  it.each([
    ['is not a WAV file', Buffer.from('')],
    ['is not a WAV file', Buffer.from('ID3 and the rest of an MP3 file')],
    ['is not a WAV file', Buffer.from('RIFF\0\0\0\0AVI LIST')],
    ['has no samples', fileOf().subarray(0, 44)],
    ['has no samples', fileOf().subarray(0, 36)],
    ['does not say what its samples are', Buffer.concat([fileOf().subarray(0, 12), fileOf().subarray(36)])],
    ['has 24-bit samples of format 1. They must be 16-bit PCM (format 1)', fileOf({ bits: 24 })],
    ['has 16-bit samples of format 3. They must be 16-bit PCM (format 1)', fileOf({ tag: 3 })],
    ['has 6 channels. There must be one or two', fileOf({ channels: 6 })],
    ['has 0 channels. There must be one or two', fileOf({ channels: 0 })],
    ['has 4000 samples a second. There must be 8000 to 192000', fileOf({ rate: 4000 })],
  ])('%s', async (what, bytes) => {
    writeFileSync(path, bytes)
    expect((await rejection(openWav(path))).message).toBe(`${path} ${what}`)
  })

  it('must be there, and be a file', async () => {
    expect((await rejection(openWav(join(folder, 'missing.wav')))).message).toMatch(/ENOENT/)
    expect((await rejection(openWav(folder))).message).toMatch(/EISDIR/)
    expect((await rejection(WavFile.create(folder, 8000, 1))).message).toMatch(/EISDIR/)
  })

  it('has chunks whose lengths lead nowhere, and reading it ends', async () => {
    const endless = Buffer.alloc(4096)
    endless.write('RIFF\0\0\0\0WAVE', 'latin1')
    writeFileSync(path, endless)
    expect((await rejection(openWav(path))).message).toBe(`${path} has no samples`)
  })
})

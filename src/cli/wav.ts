/** WAV files with 16-bit PCM samples of one or two channels. */
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { printable } from '../base/printable'
import { AudioFrame } from '../media/audio-frame'
import type { CapturedFrame } from '../media/audio-frame'

/** Bytes of a header as this file writes it: RIFF, `fmt ` and the head of `data`. */
const HEADER = 44
/** Bytes in which the chunk `data` must begin. Files may have pictures and texts before their sound. */
const MAX_HEAD = 16_777_216
/** The numbers in a WAV file have 32 bits. */
const MAX_DATA = 0xffff_ffff - HEADER
const PCM = 1
/** The format stands in an extension. */
const EXTENSIBLE = 0xfffe
/** ms of a frame. */
const FRAME = 100

/** A WAV file that is read. */
export interface WavSource {
  readonly sampleRate: number
  readonly channels: number
  /** Its length in seconds. */
  readonly seconds: number
  frames(signal: AbortSignal): AsyncIterable<AudioFrame>
}

/** What a chunk `fmt ` says. */
interface Format {
  readonly format: number
  readonly channels: number
  readonly sampleRate: number
  readonly bits: number
}

/**
 * Reads the head of a WAV file.
 *
 * @throws an `Error` that says what is wrong with the file, or the system's error
 */
export async function openWav(path: string): Promise<WavSource> {
  const file = await open(path, 'r')
  try {
    const { size } = await file.stat()
    const { format, start, length } = await headOf(file, path, size)
    const { channels, sampleRate } = format
    const bytes = Math.min(length, size - start)
    const whole = bytes - (bytes % (2 * channels))
    if (whole === 0) throw wrong(path, 'has no samples')
    return {
      sampleRate,
      channels,
      seconds: whole / (2 * channels * sampleRate),
      frames: (signal) => framesOf(path, format, start, whole, signal),
    }
  } finally {
    await file.close()
  }
}

async function headOf(
  file: FileHandle,
  path: string,
  size: number,
): Promise<{ format: Format; start: number; length: number }> {
  const riff = await bytesAt(file, 0, 12)
  if (riff.length < 12 || riff.toString('latin1', 0, 4) !== 'RIFF' || riff.toString('latin1', 8) !== 'WAVE')
    throw wrong(path, 'is not a WAV file')
  let format: Format | undefined
  for (let at = 12; at + 8 <= Math.min(size, MAX_HEAD);) {
    const head = await bytesAt(file, at, 8)
    const [name, length] = [head.toString('latin1', 0, 4), head.readUInt32LE(4)]
    if (name === 'data') {
      if (format === undefined) throw wrong(path, 'does not say what its samples are')
      return { format, start: at + 8, length }
    }
    if (name === 'fmt ') format = checked(path, await bytesAt(file, at + 8, Math.min(length, 40)))
    // Chunks begin at even places.
    at += 8 + length + (length % 2)
  }
  throw wrong(path, 'has no samples')
}

function checked(path: string, chunk: Buffer): Format {
  if (chunk.length < 16) throw wrong(path, 'does not say what its samples are')
  const tag = chunk.readUInt16LE(0)
  const format = tag === EXTENSIBLE && chunk.length >= 26 ? chunk.readUInt16LE(24) : tag
  const [channels, sampleRate, bits] = [chunk.readUInt16LE(2), chunk.readUInt32LE(4), chunk.readUInt16LE(14)]
  if (format !== PCM || bits !== 16)
    throw wrong(path, `has ${bits}-bit samples of format ${format}. They must be 16-bit PCM (format 1)`)
  if (channels !== 1 && channels !== 2)
    throw wrong(path, `has ${channels} channels. There must be one or two`)
  if (sampleRate < 8000 || sampleRate > 192_000)
    throw wrong(path, `has ${sampleRate} samples a second. There must be 8000 to 192000`)
  return { format, channels, sampleRate, bits }
}

async function* framesOf(
  path: string,
  { channels, sampleRate }: Format,
  start: number,
  length: number,
  signal: AbortSignal,
): AsyncGenerator<AudioFrame> {
  const samples = Math.floor((sampleRate * FRAME) / 1000)
  const size = 2 * channels * samples
  const stream = createReadStream(path, { start, end: start + length - 1, highWaterMark: size, signal })
  let rest = Buffer.alloc(0)
  for await (const bytes of stream as AsyncIterable<Buffer>) {
    rest = Buffer.concat([rest, bytes])
    for (; rest.length >= size; rest = rest.subarray(size))
      yield frameOf(rest.subarray(0, size), channels, sampleRate)
  }
  // A file that became shorter may end within a sample.
  const whole = rest.subarray(0, rest.length - (rest.length % (2 * channels)))
  if (whole.length > 0) yield frameOf(whole, channels, sampleRate)
}

function frameOf(bytes: Buffer, channels: number, sampleRate: number): AudioFrame {
  const frame = AudioFrame.create(sampleRate, channels, bytes.length / (2 * channels))
  for (let index = 0; index < frame.data.length; index += 1) frame.data[index] = bytes.readInt16LE(2 * index)
  return frame
}

async function bytesAt(file: FileHandle, at: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, at)
  return buffer.subarray(0, bytesRead)
}

function wrong(path: string, what: string): Error {
  return new Error(`${printable(path)} ${what}`)
}

/** A WAV file that is written. Its head is right after each frame, so that a file of a killed process can be played. */
export class WavFile {
  readonly #file: FileHandle
  readonly #sampleRate: number
  readonly #channels: number
  #bytes = 0

  private constructor(file: FileHandle, sampleRate: number, channels: number) {
    this.#file = file
    this.#sampleRate = sampleRate
    this.#channels = channels
  }

  /** Creates the file, or empties it. @throws the system's error */
  static async create(path: string, sampleRate: number, channels: number): Promise<WavFile> {
    const wav = new WavFile(await open(path, 'w'), sampleRate, channels)
    await wav.#writeHead()
    return wav
  }

  /** Seconds of sound that were written. */
  get seconds(): number {
    return this.#bytes / (2 * this.#channels * this.#sampleRate)
  }

  /** @throws an `Error` if the file has as much as a WAV file can have; the system's error */
  async write({ data }: CapturedFrame): Promise<void> {
    const bytes = Buffer.alloc(2 * data.length)
    data.forEach((sample, index) => bytes.writeInt16LE(sample, 2 * index))
    if (this.#bytes + bytes.length > MAX_DATA)
      throw new Error('the file is full: a WAV file has 4 GiB at most')
    await this.#file.write(bytes, 0, bytes.length, HEADER + this.#bytes)
    this.#bytes += bytes.length
    await this.#writeHead()
  }

  async close(): Promise<void> {
    await this.#file.close()
  }

  async #writeHead(): Promise<void> {
    const head = Buffer.alloc(HEADER)
    const frame = 2 * this.#channels
    head.write('RIFF', 0, 'latin1')
    head.writeUInt32LE(HEADER - 8 + this.#bytes, 4)
    head.write('WAVEfmt ', 8, 'latin1')
    head.writeUInt32LE(16, 16)
    head.writeUInt16LE(PCM, 20)
    head.writeUInt16LE(this.#channels, 22)
    head.writeUInt32LE(this.#sampleRate, 24)
    head.writeUInt32LE(this.#sampleRate * frame, 28)
    head.writeUInt16LE(frame, 32)
    head.writeUInt16LE(16, 34)
    head.write('data', 36, 'latin1')
    head.writeUInt32LE(this.#bytes, 40)
    await this.#file.write(head, 0, HEADER, 0)
  }
}

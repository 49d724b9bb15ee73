/** `datatrack pub --audio` and `sub --audio`, through a real server. */
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { AudioFrame } from '../../index'
import { WavFile } from '../../src/cli/wav'
import { inNewRoom, interrupt, runCli, startCli } from '../helpers/cli'
import { heard, toneOf } from '../helpers/tones'
import { withServer } from '../helpers/with-server'

const server = withServer()
const folder = mkdtempSync(join(tmpdir(), 'cli-audio-'))
afterAll(() => rmSync(folder, { recursive: true }))
const file = (name: string): string => join(folder, name)

async function write(
  name: string,
  tone: number,
  rate: number,
  ms: number,
  channels: number,
): Promise<string> {
  const wav = await WavFile.create(file(name), rate, channels)
  await wav.write(toneOf(tone, rate, ms, { channels }))
  await wav.close()
  return file(name)
}

/** The sound of a file as one frame. */
function soundOf(path: string): AudioFrame {
  const bytes = readFileSync(path)
  const [channels, sampleRate] = [bytes.readUInt16LE(22), bytes.readUInt32LE(24)]
  const frame = AudioFrame.create(sampleRate, channels, (bytes.length - 44) / (2 * channels))
  for (let index = 0; index < frame.data.length; index += 1)
    frame.data[index] = bytes.readInt16LE(44 + 2 * index)
  return frame
}

/** The share of a tone in the 200 ms of a sound that have most of it. A busy machine may leave gaps in a sound. */
function purest({ data, sampleRate, channels }: AudioFrame, tone: number, channel: number): number {
  const size = (sampleRate / 5) * channels
  const shares: number[] = []
  for (let from = 0; from + size <= data.length; from += size / 2) {
    const part = data.slice(from, from + size)
    shares.push(
      heard(new AudioFrame(part, sampleRate, channels, part.length / channels), tone, channel).share,
    )
  }
  return Math.max(...shares)
}

describe('datatrack pub and sub with --audio', () => {
  it.each([
    [44_100, 1, [], 48_000, 1],
    [96_000, 2, ['--sample-rate', '16000', '--stereo'], 16_000, 2],
  ] as const)('carry a file of %i Hz, %i channels', async (rate, channels, form, outRate, outChannels) => {
    const env = inNewRoom(server)
    const wav = await write('in.wav', 440, rate, 1500, channels)
    const out = file('out.wav')
    const sub = startCli(['sub', '--name', 'tone', '--audio', out, ...form], env)
    const pub = await runCli(['pub', '--name', 'tone', '--audio', wav, '--wait-for-subscriber'], env)
    expect(pub).toMatchObject({ code: 0, stdout: '' })
    expect(pub.stderr).toMatch(/Publishing tone \(\d+ Hz, (mono|stereo), 1\.5 s\)/)
    expect(pub.stderr).toMatch(/Published 1\.5 s in \d+ packets, dropped 0\./)
    const ending = await sub.ending
    expect(ending).toMatchObject({ code: 0, stdout: '' })
    expect(ending.stderr).toMatch(
      /Subscribing to tone of datatrack-pub-[\s\S]*Received \d+\.\d s, lost \d+ packets\./,
    )
    const sound = soundOf(out)
    expect(sound).toMatchObject({ sampleRate: outRate, channels: outChannels })
    for (let channel = 0; channel < outChannels; channel += 1)
      expect(purest(sound, 440, channel)).toBeGreaterThan(0.98)
  })

  it('stop at Ctrl-C, and the file has what was heard until then', async () => {
    const env = inNewRoom(server)
    const wav = await write('long.wav', 440, 48_000, 60_000, 1)
    const out = file('cut.wav')
    const pub = startCli(['pub', '--name', 'tone', '--audio', wav, '--settle', '0'], env)
    await pub.wrote(/Publishing tone/)
    const sub = await runCli(['sub', '--audio', out, '--seconds', '1', '--quiet'], env)
    expect(sub).toMatchObject({ code: 0, stderr: '' })
    expect(soundOf(out).durationMs).toBe(1000)
    const longer = file('longer.wav')
    const stopped = startCli(['sub', '--audio', longer], env)
    const size = (): number => statSync(longer, { throwIfNoEntry: false })?.size ?? 0
    await expect.poll(size).toBeGreaterThan(20_000)
    const { code, stderr } = await interrupt(stopped)
    expect([code, stderr]).toEqual([0, expect.stringMatching(/Received \d+\.\d s/)])
    expect(soundOf(longer).samplesPerChannel * 2 + 44).toBe(readFileSync(longer).readUInt32LE(4) + 8)
    expect(await interrupt(pub)).toMatchObject({ code: 0 })
  })
})

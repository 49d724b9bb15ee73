/** Participants of other SDKs that publish tones, and what is heard of a tone. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import type { AudioFrame } from '../../../index'
import { installPython, python } from '../../helpers/python'
import { rtcNodeFolder, sdks } from './reliable-peer'

/** ms after which a program that was told to end is killed. */
const ENDS = 10_000

/** A program that publishes tones. */
export class TonePeer {
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>
  readonly #closed: Promise<unknown>
  #log = ''
  readonly #kill = (): void => void this.#child.kill('SIGKILL')

  private constructor(answers: 1 | 3, command: string, args: readonly string[]) {
    this.#child = spawn(command, args, { stdio: ['pipe', answers === 1 ? 'pipe' : 'ignore', 'pipe', 'pipe'] })
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#log = (this.#log + text).slice(-10_000)
    })
    this.#closed = once(this.#child, 'close')
    this.#lines = createInterface(this.#child.stdio[answers] as Readable)[Symbol.asyncIterator]()
    process.once('exit', this.#kill)
  }

  static async join(sdk: ToneSdk, url: string, token: string): Promise<TonePeer> {
    const peer = new TonePeer(sdk.answers, sdk.command, sdk.args)
    await peer.#ask('join', { url, token })
    return peer
  }

  /** Publishes a track with a sine for each channel, of these frequencies in Hz. Returns its SID. */
  publish = (name: string, ...tones: number[]): Promise<string> => this.#ask('publish', { name, tones })
  unpublish = (name: string): Promise<void> => this.#ask('unpublish', { name })
  /** Only Python mutes a track for others to see. */
  mute = (name: string, muted: boolean): Promise<void> => this.#ask('mute', { name, muted })

  async close(): Promise<void> {
    const timer = setTimeout(this.#kill, ENDS)
    this.#child.stdin!.end()
    await this.#closed
    clearTimeout(timer)
    process.off('exit', this.#kill)
  }

  async #ask(command: string, argument: unknown): Promise<any> {
    this.#child.stdin!.write(`${JSON.stringify([command, argument])}\n`)
    const { value, done } = await this.#lines.next()
    if (done === true) throw new Error(`the program has ended: ${this.#log}`)
    const { result, error } = JSON.parse(value) as { result?: unknown; error?: string }
    if (error !== undefined) throw new Error(error)
    return result
  }
}

/** How to start a program. */
export interface ToneSdk {
  readonly name: string
  readonly answers: 1 | 3
  readonly command: string
  readonly args: readonly string[]
  install(): void
}

export const rtcNodeTones: ToneSdk = {
  name: 'rtc-node',
  answers: 3,
  command: process.execPath,
  args: ['__test__/interop/peers/audio-rtc-node.mjs', rtcNodeFolder],
  install: () => sdks.rtcNode.install(),
}

export const pythonTones: ToneSdk = {
  name: 'python',
  answers: 1,
  command: python,
  args: ['__test__/interop/peers/audio.py'],
  install: () => installPython(),
}

/** The strength of a frequency in a frame's channel, from 0 to 1: the share of the signal's energy (Goertzel). */
export function share(frame: AudioFrame, frequency: number, channel = 0): number {
  const { data, channels, sampleRate, samplesPerChannel } = frame
  let [real, imaginary, energy] = [0, 0, 0]
  for (let index = 0; index < samplesPerChannel; index++) {
    const sample = data[index * channels + channel]!
    const angle = (2 * Math.PI * frequency * index) / sampleRate
    real += sample * Math.cos(angle)
    imaginary += sample * Math.sin(angle)
    energy += sample * sample
  }
  return energy === 0 ? 0 : (2 * (real * real + imaginary * imaginary)) / (samplesPerChannel * energy)
}

/** Whether a frame is silent. */
export const isSilent = ({ data }: AudioFrame): boolean => data.every((sample) => Math.abs(sample) < 100)

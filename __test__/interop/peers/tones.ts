/** Participants of other SDKs that publish tones and hear them, and what is heard of a tone. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import type { AudioFrame, LocalAudioTrack } from '../../../index'
import type { Namespace } from '../../../scripts/lib/bad-network.cjs'
import { installPython, python } from '../../helpers/python'
import { heard } from '../../helpers/tones'
import { ChromiumPage } from './chromium-page'
import { rtcNodeFolder, sdks } from './reliable-peer'

/** ms after which a program that was told to end is killed. */
const ENDS = 10_000

/** A participant that publishes tones, and hears those of others. */
export abstract class TonePeer {
  /** `passphrase`: of the room's end-to-end encryption; `null`: there is none. */
  join = (url: string, token: string, passphrase: string | null): Promise<void> =>
    this.ask('join', { url, token, passphrase })
  /** Publishes a track with a sine for each channel, of these frequencies in Hz. Returns its SID. */
  publish = (name: string, ...tones: number[]): Promise<string> => this.ask('publish', { name, tones })
  /** Publishes a silent track, for {@link say}. Returns its SID. */
  microphone = (name: string): Promise<string> => this.ask('microphone', { name })
  /** Plays a tone on a silent track, for at most a second. Resolves when it has ended. */
  say = (name: string, tone: number, ms: number): Promise<void> => this.ask('say', { name, tone, ms })
  unpublish = (name: string): Promise<void> => this.ask('unpublish', { name })
  /** rtc-node mutes no track for others to see. */
  mute = (name: string, muted: boolean): Promise<void> => this.ask('mute', { name, muted })

  /** Sets a key of the room's encryption, beside those of other indices. */
  setKey = (passphrase: string, index: number): Promise<void> => this.ask('setKey', { passphrase, index })

  /**
   * Subscribes to a published track, and hears it until so many frames of 100 ms in a row have these tones, one for each
   * channel. Returns how loud they are, from 0 to 1.
   */
  hear = ({ sid }: Pick<LocalAudioTrack, 'sid'>, tones: readonly number[], frames = 5): Promise<number> =>
    this.ask('hear', { sid, tones, frames })
  /** Hears a published track until so many frames of 100 ms in a row are silent. */
  silence = ({ sid }: Pick<LocalAudioTrack, 'sid'>, frames = 3): Promise<void> =>
    this.ask('silence', { sid, frames })
  /** Hears so many frames of a published track. Returns how many of them have the tone. Not in a page. */
  listen = (
    { sid }: Pick<LocalAudioTrack, 'sid'>,
    tone: number,
    frames: number,
    frameSizeMs = 100,
  ): Promise<number> => this.ask('listen', { sid, tone, frames, frameSizeMs })

  protected abstract ask(command: string, argument: unknown): Promise<any>
  abstract close(): Promise<void>
}

/** A page in Chromium that publishes tones. */
class TonePage extends TonePeer {
  readonly #page: ChromiumPage

  private constructor(page: ChromiumPage) {
    super()
    this.#page = page
  }

  static async start(): Promise<TonePage> {
    const page = await ChromiumPage.open('/audio-page.mjs', 'peer', (path) => {
      const own = path === '/audio-page.mjs'
      const folder = own ? '__test__/interop/peers' : 'node_modules/livekit-client/dist'
      return readFileSync(join(folder, basename(path)), 'utf8')
    })
    return new TonePage(page)
  }

  protected ask(command: string, argument: unknown): Promise<any> {
    return this.#page.call(command, argument)
  }

  close(): Promise<void> {
    return this.#page.close()
  }
}

/** A program that publishes tones, and hears those of others. */
class ToneProgram extends TonePeer {
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>
  readonly #closed: Promise<unknown>
  #log = ''
  readonly #kill = (): void => void this.#child.kill('SIGKILL')

  constructor(answers: 1 | 3, program: string, args: readonly string[], namespace: Namespace | undefined) {
    super()
    const [command, all] = namespace?.command(program, args) ?? [program, args]
    this.#child = spawn(command, all, { stdio: ['pipe', answers === 1 ? 'pipe' : 'ignore', 'pipe', 'pipe'] })
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#log = (this.#log + text).slice(-10_000)
    })
    this.#closed = once(this.#child, 'close')
    this.#lines = createInterface(this.#child.stdio[answers] as Readable)[Symbol.asyncIterator]()
    process.once('exit', this.#kill)
  }

  async close(): Promise<void> {
    const timer = setTimeout(this.#kill, ENDS)
    this.#child.stdin!.end()
    await this.#closed
    clearTimeout(timer)
    process.off('exit', this.#kill)
  }

  protected async ask(command: string, argument: unknown): Promise<any> {
    this.#child.stdin!.write(`${JSON.stringify([command, argument])}\n`)
    const { value, done } = await this.#lines.next()
    if (done === true) throw new Error(`the program has ended: ${this.#log}`)
    const { result, error } = JSON.parse(value) as { result?: unknown; error?: string }
    if (error !== undefined) throw new Error(error)
    return result
  }
}

/** How to start a participant. */
export interface ToneSdk {
  readonly name: string
  install(): void
  /** In a network namespace, if one is named. */
  start(namespace?: Namespace): Promise<TonePeer>
}

export const rtcNodeTones: ToneSdk = {
  name: 'rtc-node',
  install: () => sdks.rtcNode.install(),
  start: (namespace) => {
    const args = ['__test__/interop/peers/audio-rtc-node.mjs', rtcNodeFolder]
    return Promise.resolve(new ToneProgram(3, process.execPath, args, namespace))
  },
}

export const pythonTones: ToneSdk = {
  name: 'python',
  install: () => installPython(),
  start: (namespace) =>
    Promise.resolve(new ToneProgram(1, python, ['__test__/interop/peers/audio.py'], namespace)),
}

export const chromiumTones: ToneSdk = {
  name: 'livekit-client in Chromium',
  install: () => {},
  start: () => TonePage.start(),
}

/** The strength of a frequency in a frame's channel, from 0 to 1: the share of the signal's energy. */
export const share = (frame: AudioFrame, frequency: number, channel = 0): number =>
  heard(frame, frequency, channel).share

/** Whether a frame is silent. */
export const isSilent = ({ data }: AudioFrame): boolean => data.every((sample) => Math.abs(sample) < 100)

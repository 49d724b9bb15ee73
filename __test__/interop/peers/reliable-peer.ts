/** Participants of other SDKs for the reliable side of a room: calls, data streams and data packets. */
import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { installPython, OLD_VERSION, pythonOf } from '../../helpers/python'
import { ChromiumPage } from './chromium-page'

/** Where a participant goes. */
export interface Access {
  readonly url: string
  readonly token: string
  readonly passphrase: string | null
}

/** What came of a call of the other SDK's. */
export interface PeerOutcome {
  readonly answer?: string
  readonly code?: number
  readonly message?: string
  readonly data?: string | null
}

interface Sum {
  readonly sha256: string
}

/** A chat message, digit or transcription that came; `what` of a text stream is its topic. */
export interface Heard {
  readonly what: 'chat' | 'digit' | 'transcription' | 'lk.chat' | 'lk.transcription'
  readonly from?: string
  readonly text?: string
  readonly edited?: boolean
  readonly code?: number
  readonly digit?: string
}

/**
 * A participant. By itself it
 * - answers the methods `echo`, `make` (so many characters), `fail` (with the error 42), `break` and `hang`;
 * - sends streams of the topic `echo` back on `echoed`, with the attributes `sha256` and `size` of what came; `how` of a byte
 *   stream says how: `stream` (piece by piece), `bytes` or `file`;
 * - says the `sha256` of streams of the topic `digest` with an empty text on `digested`;
 * - sends packets of the topic `echo` back on `echoed reliable <sha256>` or `echoed lossy <sha256>`, as they came.
 */
export abstract class ReliablePeer {
  protected abstract ask(command: string, argument: unknown): Promise<any>
  /** Lets it do nothing while `use` runs. */
  abstract paused(use: () => Promise<void>): Promise<void>
  protected abstract end(): Promise<void>
  #closing: Promise<void> | undefined

  /** Leaves the room, and ends the program. */
  close(): Promise<void> {
    return (this.#closing ??= this.end())
  }

  /** Calls a method; `timeout` in s. */
  call = (to: string, method: string, payload = '', timeout = 10): Promise<PeerOutcome> =>
    this.ask('call', { to, method, payload, timeout })

  /** Calls `echo`, all at the same time. */
  calls = (to: string, payloads: readonly string[], timeout = 60): Promise<PeerOutcome[]> =>
    this.ask('calls', { to, payloads, timeout })

  /** Sends a byte stream on the topic `made`. */
  binary = (size: number): Promise<Sum> => this.ask('binary', { size })

  /** Sends a text of so many bytes of UTF-8 on the topic `made`; `piecewise`: where {@link PeerSdk.writesTexts}, written in pieces. */
  text = (size: number, piecewise = false): Promise<Sum> =>
    this.ask('text', { size, ...(piecewise && { piecewise }) })

  /** Writes a text on the topic `made` in the name of another participant, as agents may; only rtc-node can. */
  behalf = (
    identity: string,
    pieces: readonly string[],
    stream: { readonly topic?: string; readonly attributes?: Readonly<Record<string, string>> } = {},
  ): Promise<void> => this.ask('behalf', { identity, pieces, ...stream })

  /** Sends a chat message; `edit` changes its last one. Of the programs, rtc-node and livekit-client can. */
  chat = (text: string): Promise<void> => this.ask('chat', { text })
  edit = (text: string): Promise<void> => this.ask('edit', { text })

  /** Sends a DTMF digit. */
  digit = (code: number, digit: string): Promise<void> => this.ask('digit', { code, digit })

  /** Sends a transcription packet; only rtc-node can. */
  transcribe = (identity: string, text: string): Promise<void> => this.ask('transcribe', { identity, text })

  /** The next so many chat messages, digits and transcriptions that it gets, in any form. */
  async hears(count: number): Promise<Heard[]> {
    const all: Heard[] = []
    while (all.length < count) all.push(...((await this.ask('heard', {})) as Heard[]))
    return all
  }

  /** Joins with each token, a few at a time, and leaves when it was sent a packet of the topic `greeting`. */
  visits = (url: string, tokens: readonly string[]): Promise<{ readonly greeted: number }> =>
    this.ask('visits', { url, tokens })

  /** Sends a packet on the topic `made <sha256>`. */
  packet = (size: number, reliable: boolean): Promise<Sum> => this.ask('packet', { size, reliable })

  /** Loses its signalling and resumes; only livekit-client can be told to. */
  resume = (): Promise<void> => this.ask('resume', {})

  /** Reliable packets that it numbered and dropped before sending, so that no receiver can get them. 0 where the SDK does not show it. */
  lost(): Promise<number> {
    return Promise.resolve(0)
  }
}

/** The file descriptor on which a program answers: that of standard output, or another one where the SDK logs there. */
type Answers = 1 | 3

/** Characters of what a program logs that are kept, to be told when it ends early. */
const LOG = 10_000

/** ms after which a program that was told to end is killed. */
const ENDS = 10_000

/** A program that speaks lines of JSON. */
class ProgramPeer extends ReliablePeer {
  readonly #child: ChildProcess
  readonly #closed: Promise<unknown>
  readonly #lines: AsyncIterator<string>
  #log = ''
  readonly #kill = (): void => void this.#child.kill('SIGKILL')

  private constructor(answers: Answers, command: string, args: readonly string[]) {
    super()
    const stdout = answers === 1 ? 'pipe' : 'ignore'
    this.#child = spawn(command, args, { stdio: ['pipe', stdout, 'pipe', 'pipe'] })
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#log = (this.#log + text).slice(-LOG)
    })
    this.#closed = once(this.#child, 'close')
    this.#lines = createInterface(this.#child.stdio[answers] as Readable)[Symbol.asyncIterator]()
    process.once('exit', this.#kill)
  }

  static async start(
    access: Access,
    answers: Answers,
    command: string,
    ...args: string[]
  ): Promise<ProgramPeer> {
    const peer = new ProgramPeer(answers, command, args)
    try {
      if ((await peer.#exchange(access)) !== 'connected') throw new Error(`${command} did not connect`)
    } catch (error) {
      peer.#kill()
      throw error
    }
    return peer
  }

  async #exchange(question: unknown): Promise<any> {
    this.#child.stdin!.write(`${JSON.stringify(question)}\n`)
    const { value, done } = await this.#lines.next()
    if (done === true) throw new Error(`the program ended early\n${this.#log}`)
    return JSON.parse(value)
  }

  protected async ask(command: string, argument: unknown): Promise<any> {
    const { result, error } = await this.#exchange([command, argument])
    if (error !== undefined) throw new Error(error)
    return result
  }

  async paused(use: () => Promise<void>): Promise<void> {
    this.#child.kill('SIGSTOP')
    try {
      // On a busy machine its threads run on for a while.
      while (!stopped(this.#child.pid!)) await new Promise((resolve) => setImmediate(resolve))
      await use()
    } finally {
      this.#child.kill('SIGCONT')
    }
  }

  protected async end(): Promise<void> {
    this.#child.stdin!.end()
    // A program that works on a command does not read on.
    const timer = setTimeout(this.#kill, ENDS)
    await this.#closed
    clearTimeout(timer)
    process.removeListener('exit', this.#kill)
  }
}

/** Whether no thread of the process runs; systems without `/proc` do not say, and are believed. */
function stopped(pid: number): boolean {
  const tasks = `/proc/${pid}/task`
  if (!existsSync(tasks)) return true
  return readdirSync(tasks).every((task) =>
    /^State:\tT/m.test(readFileSync(`${tasks}/${task}/status`, 'utf8')),
  )
}

const OF_THE_PAGE = ['/reliable-page.mjs', '/reliable.mjs']

/** ms for which a page does nothing. */
const BLOCKED = 2000

/** livekit-client in headless Chromium. */
class PagePeer extends ReliablePeer {
  readonly #page: ChromiumPage

  private constructor(page: ChromiumPage) {
    super()
    this.#page = page
  }

  /** `sdk`: the package in node_modules. */
  static async start(access: Access, sdk: string): Promise<PagePeer> {
    const chromium = await ChromiumPage.open('/reliable-page.mjs', 'join', (path) => {
      const folder = OF_THE_PAGE.includes(path) ? '__test__/interop/peers' : `node_modules/${sdk}/dist`
      return readFileSync(join(folder, basename(path)), 'utf8')
    })
    await chromium.page.evaluate((given) => (globalThis as unknown as Globals).join(given), access)
    return new PagePeer(chromium)
  }

  protected ask(command: string, argument: unknown): Promise<any> {
    return this.#page.call(command, argument)
  }

  override lost(): Promise<number> {
    return this.ask('lost', {})
  }

  async paused(use: () => Promise<void>): Promise<void> {
    const { page } = this.#page
    const blocked = page.waitForEvent('console', (message) => message.text() === 'blocked')
    await page.evaluate((ms) => {
      setTimeout(() => {
        console.log('blocked')
        for (const end = Date.now() + ms; Date.now() < end;);
      })
    }, BLOCKED)
    await blocked
    await use()
    await page.evaluate(() => undefined)
  }

  protected async end(): Promise<void> {
    await this.ask('leave', {})
    await this.#page.close()
  }
}

interface Globals {
  join(access: unknown): Promise<void>
}

/** An SDK of a version. */
export interface PeerSdk {
  readonly name: string
  /** Whether it is from before RPC over data streams. */
  readonly old: boolean
  /** How it can send bytes back. */
  readonly hows: readonly string[]
  /** Whether it is asked for texts in pieces, too. */
  readonly writesTexts: boolean
  /** What it takes an encrypted lossy packet for: livekit-client loses the kind as it decrypts. */
  readonly takesSealedLossyFor: 'lossy' | 'reliable'
  /** Makes it available, once. */
  install(): void
  /** Joins. */
  start(access: Access): Promise<ReliablePeer>
}

const python = (version: string | undefined, name: string, old: boolean): PeerSdk => ({
  name,
  old,
  hows: ['stream', 'file'],
  writesTexts: false,
  takesSealedLossyFor: 'lossy',
  install: () => installPython(version),
  start: (access) => ProgramPeer.start(access, 1, pythonOf(version), '__test__/interop/peers/reliable.py'),
})

const page = (sdk: string, name: string, old: boolean): PeerSdk => ({
  name,
  old,
  hows: old ? ['stream'] : ['stream', 'bytes'],
  writesTexts: true,
  takesSealedLossyFor: 'reliable',
  install: () => {},
  start: (access) => PagePeer.start(access, sdk),
})

const RTC_NODE_VERSION = '1.1.0'
/** Where {@link installRtcNode} puts the SDK. */
export const rtcNodeFolder = resolve('.cache', `rtc-node-${RTC_NODE_VERSION}`)

/** Installs `@livekit/rtc-node` into a folder of its own: it is no dependency of this package. */
function installRtcNode(): void {
  const complete = join(rtcNodeFolder, 'complete')
  if (existsSync(complete)) return
  const wanted = `@livekit/rtc-node@${RTC_NODE_VERSION}`
  console.log(`Installing ${wanted} into ${rtcNodeFolder} …`)
  const args = [
    'install',
    '--no-save',
    '--no-audit',
    '--no-fund',
    '--silent',
    '--prefix',
    rtcNodeFolder,
    wanted,
  ]
  const { status } = spawnSync('npm', args, { stdio: 'inherit', shell: process.platform === 'win32' })
  if (status !== 0) throw new Error(`npm install ${wanted} failed`)
  writeFileSync(complete, '')
}

export const sdks = {
  python: python(undefined, 'python', false),
  pythonOld: python(OLD_VERSION, `python ${OLD_VERSION}`, true),
  chromium: page('livekit-client', 'chromium', false),
  chromiumOld: page('livekit-client-old', 'chromium, livekit-client 2.15.16', true),
  rtcNode: {
    name: 'rtc-node',
    old: false,
    hows: ['stream', 'file'],
    writesTexts: false,
    takesSealedLossyFor: 'lossy',
    install: installRtcNode,
    start: (access) =>
      ProgramPeer.start(access, 3, process.execPath, '__test__/interop/peers/rtc-node.mjs', rtcNodeFolder),
  },
} as const satisfies Record<string, PeerSdk>

/** `datatrack demo`: sends data and a tone through an SFU, and shows in a table what arrives. */
import type { ConnectOptions } from '../connection/connect-options'
import { TrackPublishError } from '../base/errors'
import { Loopback } from '../loopback/loopback'
import type { LoopbackNetworkOptions } from '../loopback/network'
import type { Room } from '../room/room'
import { toneTrack } from './demo-tone'
import { demoTracks } from './demo-tracks'
import type { DemoTrack, Dropping, PublishedDemoTrack } from './demo-tracks'
import type { MeterFigures } from './meter'
import { say } from './output'
import { dropsOf, dropsText } from './progress'
import { connectPair } from '../check/rooms'
import { hostOf, tokenPair } from './server'
import type { ServerSettings } from './settings'
import { decimals, layOut, LiveBlock } from './table'

/** Options of {@link demo}. */
export interface DemoOptions {
  /** How long the demo runs, s. `Infinity`: until the signal aborts. */
  readonly seconds: number
  /** Whether to print one JSON object a line instead of a table. */
  readonly json: boolean
  /** Loss, delay and jitter of the loopback's network. */
  readonly network: LoopbackNetworkOptions
  /** The server to use. `undefined`: the loopback. */
  readonly server?: ServerSettings | undefined
  /** How to connect to that server. */
  readonly connect?: ConnectOptions | undefined
}

/** Exit codes of the demo. 2 is a wrong command line. */
export const DemoExit = {
  Ok: 0,
  /** The demo failed with an error. */
  Failed: 1,
  /** The demo ran, but on at least one track no frame arrived. */
  NothingArrived: 3,
} as const

/** The rooms of the demo's publisher and subscriber, and a description of the SFU between them. */
interface DemoRooms {
  readonly publisher: Room
  readonly subscriber: Room
  readonly where: string
  close(): Promise<void>
}

interface Running {
  readonly track: DemoTrack
  readonly published: PublishedDemoTrack
  /** All objects on a frame's way that may drop it and count that. */
  readonly dropping: readonly Dropping[]
}

/** Runs the demo and resolves with the exit code. */
export async function demo(options: DemoOptions, signal: AbortSignal): Promise<number> {
  const { server, connect = {} } = options
  const rooms =
    server === undefined ? openLoopback(options.network) : await openServer(server, { ...connect, signal })
  const report = options.json ? new JsonReport() : process.stdout.isTTY ? new LiveReport() : new PlainReport()
  const stop = new AbortController()
  const end = (): void => stop.abort()
  signal.addEventListener('abort', end, { once: true })
  try {
    report.start(rooms.where, options.seconds)
    const running: Running[] = []
    const readers: Promise<void>[] = []
    for (const track of [...demoTracks(), toneTrack()]) {
      const started = await track.start(rooms.publisher, rooms.subscriber, stop.signal).catch(unlessForbidden)
      if (started === undefined) {
        report.note(`The token does not allow to publish audio, so there is no ${track.name}.`)
        continue
      }
      const { published, dropping } = started
      readers.push(started.read().catch(endOfReading(stop.signal)))
      running.push({ track, published, dropping: [published, ...dropping] })
    }
    const ticker = setInterval(() => report.tick(running), report.intervalMs)
    const timer = Number.isFinite(options.seconds) ? setTimeout(end, options.seconds * 1000) : undefined
    try {
      // The demo ends when a reader fails, when the time is over, or when the user presses Ctrl-C.
      await Promise.all(readers)
    } finally {
      clearInterval(ticker)
      clearTimeout(timer)
    }
    report.finish(running)
    return running.every(({ track }) => track.meter.total().receivedFrames > 0)
      ? DemoExit.Ok
      : DemoExit.NothingArrived
  } catch (error) {
    // The user pressed Ctrl-C before all tracks were published.
    if (signal.aborted) return DemoExit.Ok
    throw error
  } finally {
    end()
    signal.removeEventListener('abort', end)
    await rooms.close()
  }
}

function openLoopback(network: LoopbackNetworkOptions): DemoRooms {
  const sfu = new Loopback(network)
  return {
    publisher: sfu.join('robot'),
    subscriber: sfu.join('desk'),
    where: 'the in-process loopback',
    close: () => sfu[Symbol.asyncDispose](),
  }
}

async function openServer(settings: ServerSettings, options: ConnectOptions): Promise<DemoRooms> {
  const tokens = tokenPair(settings, 'demo', { audio: true })
  const [publisher, subscriber] = await connectPair(settings.url, tokens, options)
  return {
    publisher,
    subscriber,
    where: `the server at ${hostOf(settings)}`,
    close: async () => {
      await Promise.all([publisher.disconnect(), subscriber.disconnect()])
    },
  }
}

/** A token for data may not allow audio. The demo then has no tone. */
function unlessForbidden(error: unknown): undefined {
  if (!(error instanceof TrackPublishError) || error.reason !== 'notAllowed') throw error
}

/** Ignores errors of readers after the demo has ended, because its end stops them. */
function endOfReading(signal: AbortSignal): (error: unknown) => void {
  return (error) => {
    if (!signal.aborted) throw error
  }
}

interface Report {
  readonly intervalMs: number
  start(where: string, seconds: number): void
  note(text: string): void
  tick(tracks: readonly Running[]): void
  finish(tracks: readonly Running[]): void
}

/** Report for a terminal: a table that is redrawn in place. */
class LiveReport implements Report {
  readonly intervalMs = 500
  readonly #block = new LiveBlock(process.stdout)

  start(where: string, seconds: number): void {
    say(opening(where, seconds))
    say('')
  }

  note(text: string): void {
    say(text)
  }

  tick(tracks: readonly Running[]): void {
    this.#block.draw(table(tracks, ({ track }) => track.meter.takeRecent()))
  }

  finish(tracks: readonly Running[]): void {
    say('')
    summary(tracks).forEach(say)
  }
}

/** Report for a log: each second, one line for each track. */
class PlainReport implements Report {
  readonly intervalMs = 1000

  start(where: string, seconds: number): void {
    say(opening(where, seconds))
  }

  note(text: string): void {
    say(text)
  }

  tick(tracks: readonly Running[]): void {
    for (const running of tracks) {
      const figures = running.track.meter.takeRecent()
      say(
        `${running.track.name}: ${rate(figures.receivedFrames, figures)} frames/s, ${megabytes(figures)} MB/s, ` +
          `p50 ${decimals(figures.p50, 2)} ms, p99 ${decimals(figures.p99, 2)} ms, dropped ${drops(running)}`,
      )
    }
  }

  finish(tracks: readonly Running[]): void {
    summary(tracks).forEach(say)
  }
}

/** Report for programs: one JSON object a line. */
class JsonReport implements Report {
  readonly intervalMs = 1000

  start(where: string, seconds: number): void {
    this.#line({ type: 'start', where, seconds: Number.isFinite(seconds) ? seconds : null })
  }

  note(text: string): void {
    this.#line({ type: 'note', text })
  }

  tick(tracks: readonly Running[]): void {
    for (const running of tracks) this.#track('tick', running, running.track.meter.takeRecent())
  }

  finish(tracks: readonly Running[]): void {
    for (const running of tracks) this.#track('summary', running, running.track.meter.total())
  }

  #track(type: string, { track, published, dropping }: Running, figures: MeterFigures): void {
    const { pushed } = published.stats()
    this.#line({
      type,
      track: track.name,
      what: track.what,
      ...figures,
      pushed,
      dropped: dropsOf(...dropping.map((part) => part.stats().dropped)),
    })
  }

  #line(value: object): void {
    say(JSON.stringify(value))
  }
}

function opening(where: string, seconds: number): string {
  const length = Number.isFinite(seconds) ? `${seconds} s` : 'until Ctrl-C'
  return `Publishing three data tracks and a tone through ${where} and reading them back, ${length}.`
}

function summary(tracks: readonly Running[]): string[] {
  const sent = tracks.reduce((sum, { track }) => sum + track.meter.total().sentFrames, 0)
  const received = tracks.reduce((sum, { track }) => sum + track.meter.total().receivedFrames, 0)
  const share = sent === 0 ? 0 : (received / sent) * 100
  return [
    'In all:',
    ...table(tracks, ({ track }) => track.meter.total()),
    '',
    `${received.toLocaleString('en')} of ${sent.toLocaleString('en')} frames arrived (${share.toFixed(2)} %).`,
  ]
}

function table(tracks: readonly Running[], figuresOf: (track: Running) => MeterFigures): string[] {
  const rows = tracks.map((running) => {
    const figures = figuresOf(running)
    return [
      running.track.name,
      rate(figures.sentFrames, figures),
      rate(figures.receivedFrames, figures),
      megabytes(figures),
      decimals(figures.p50, 2),
      decimals(figures.p99, 2),
      drops(running),
      running.track.what,
    ]
  })
  return layOut(['track', 'sent/s', 'received/s', 'MB/s', 'p50 ms', 'p99 ms', 'dropped', ''], rows)
}

function rate(frames: number, { seconds }: MeterFigures): string {
  return (frames / seconds).toFixed(0)
}

function megabytes({ receivedBytes, seconds }: MeterFigures): string {
  return (receivedBytes / seconds / 1e6).toFixed(2)
}

/** The frames that were dropped on the way, by reason. */
function drops({ dropping }: Running): string {
  return dropsText(...dropping.map((part) => part.stats().dropped))
}

/** `datatrack bench`: measures how many frames a server delivers at given rates, and how fast. */
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { Deferred, onAbort } from '../base/abort'
import type { IceTransports } from '../connection/connect-options'
import { WORKER_COMMAND } from './bench-messages'
import type { BenchAnswer, BenchRequest, ReceivedFigures, SentFigures } from './bench-messages'
import { note, say, Stopped } from './output'
import { dropsOf, dropsText } from './progress'
import { uniqueName } from '../check/rooms'
import { hostOf, tokenPair } from './server'
import type { ServerSettings } from './settings'
import { decimals, layOut, LiveBlock } from './table'

/** Options of {@link bench}. */
export interface BenchOptions {
  readonly server: ServerSettings
  readonly iceTransports: IceTransports
  readonly passphraseFile: string | undefined
  /** Frames a second. Each rate is one run. */
  readonly rates: readonly number[]
  /** Bytes of a frame. All rates are run for each size. */
  readonly sizes: readonly number[]
  /** Length of a run, s. */
  readonly seconds: number
  readonly json: boolean
}

/** Exit codes of the bench. 1 is an error, 2 a wrong command line. */
export const BenchExit = {
  Ok: 0,
  /** In at least one run, no frame arrived. */
  NothingArrived: 3,
} as const

/** The figures of one run: one rate with one size. */
export interface BenchRun {
  readonly size: number
  readonly rate: number
  readonly seconds: number
  readonly pushed: number
  readonly sent: number
  readonly received: number
  /** Frames that arrived as a share of the frames that the rate asks for, 0 to 1. */
  readonly delivered: number
  /** One-way latencies, ms. `null` if no frame arrived. */
  readonly p50: number | null
  readonly p99: number | null
  readonly max: number | null
  /** Frames that either end dropped, by reason. */
  readonly dropped: Readonly<Record<string, number>>
  /** CPU time of each process as a share of one core. */
  readonly publisherCpu: number
  readonly subscriberCpu: number
}

/** Time limit for connecting, and for the first frame, ms. */
const SETUP = 30_000
/** Time that a run may take in addition to its length, ms. */
const RUN_GRACE = 15_000
/** The server holds a rate if at least this share of frames arrives, with at most this p99 latency in ms. */
const HOLDS = { delivered: 0.999, p99: 250 }

/** Runs all sizes and rates, and resolves with the exit code. */
export async function bench(options: BenchOptions, signal: AbortSignal): Promise<number> {
  const { server, json } = options
  const tokens = tokenPair(server, 'bench')
  const publisher = new Worker(signal)
  const subscriber = new Worker(signal)
  const runs: BenchRun[] = []
  const block = !json && process.stdout.isTTY ? new LiveBlock(process.stdout) : undefined
  if (!json) say(opening(options))
  try {
    const track = uniqueName('bench')
    const { iceTransports, passphraseFile } = options
    const common = { type: 'connect', url: server.url, iceTransports, passphraseFile, track } as const
    await Promise.all([
      publisher.ask({ ...common, role: 'publisher', token: tokens.publisher }, SETUP),
      subscriber.ask({ ...common, role: 'subscriber', token: tokens.subscriber }, SETUP),
    ])
    await publisher.ask({ type: 'probe', on: true }, SETUP)
    await subscriber.ask({ type: 'await' }, SETUP)
    await publisher.ask({ type: 'probe', on: false }, SETUP)
    for (const size of options.sizes) {
      for (const rate of options.rates) {
        const result = await run(publisher, subscriber, runs.length + 1, { size, rate }, options.seconds)
        runs.push(result)
        if (json) say(JSON.stringify({ type: 'run', ...result }))
        else if (block === undefined) note(line(result))
        else block.draw(table(runs))
      }
    }
  } catch (error) {
    if (!(signal.aborted && signal.reason instanceof Stopped)) throw error
  } finally {
    publisher.close()
    subscriber.close()
  }
  report(runs, options, block !== undefined)
  return runs.every(({ received }) => received > 0) ? BenchExit.Ok : BenchExit.NothingArrived
}

async function run(
  publisher: Worker,
  subscriber: Worker,
  number: number,
  { size, rate }: { readonly size: number; readonly rate: number },
  seconds: number,
): Promise<BenchRun> {
  const limit = seconds * 1000 + RUN_GRACE
  await subscriber.ask({ type: 'count', run: number }, limit)
  const sent = (await publisher.ask({ type: 'send', run: number, rate, size, seconds }, limit)) as SentFigures
  const got = (await subscriber.ask({ type: 'report', sent: sent.sent }, limit)) as ReceivedFigures
  return {
    size,
    rate,
    seconds,
    pushed: sent.pushed,
    sent: sent.sent,
    received: got.received,
    delivered: got.received / Math.round(rate * seconds),
    p50: got.p50,
    p99: got.p99,
    max: got.max,
    dropped: dropsOf(sent.dropped, got.dropped),
    publisherCpu: sent.cpu,
    subscriberCpu: got.cpu,
  }
}

/** One process of the bench. It takes one request at a time. */
class Worker {
  readonly #child: ChildProcess
  readonly #stop: () => void
  #waiting: Deferred<unknown> | undefined

  constructor(signal: AbortSignal) {
    this.#child = fork(join(__dirname, 'main.js'), [WORKER_COMMAND], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    this.#child.on('message', (answer: BenchAnswer) => {
      if (answer.ok) this.#waiting?.resolve(answer.value)
      else this.#waiting?.reject(new Error(answer.message))
    })
    this.#child.on('exit', (code) =>
      this.#waiting?.reject(new Error(`a process of the bench ended early (${String(code)})`)),
    )
    this.#stop = onAbort(signal, () => this.#waiting?.reject(signal.reason))
  }

  /** @throws the error that the process answered, or an error if it did not answer within `ms` */
  async ask(request: BenchRequest, ms: number): Promise<unknown> {
    const waiting = new Deferred<unknown>()
    this.#waiting = waiting
    const timer = setTimeout(() => waiting.reject(new Error(tooLong(request))), ms)
    this.#child.send(request)
    try {
      return await waiting.promise
    } finally {
      clearTimeout(timer)
    }
  }

  close(): void {
    this.#stop()
    if (this.#child.connected) this.#child.disconnect()
  }
}

function tooLong({ type }: BenchRequest): string {
  if (type === 'await') return 'no frame arrived: see what `datatrack doctor` says'
  return `a process of the bench did not answer in time (${type})`
}

function opening({ server, sizes, rates, seconds }: BenchOptions): string {
  const runs = sizes.length * rates.length
  return `From one process to another through the server at ${hostOf(server)}, ${runs} runs of ${seconds} s.`
}

function report(runs: readonly BenchRun[], { json, sizes }: BenchOptions, shown: boolean): void {
  if (!json && !shown && runs.length > 0) table(runs).forEach(say)
  for (const size of sizes) {
    const rates = runs.filter((each) => each.size === size && holds(each)).map(({ rate }) => rate)
    const highest = rates.length === 0 ? null : Math.max(...rates)
    if (json) say(JSON.stringify({ type: 'summary', size, highestRate: highest, ...HOLDS }))
    else if (runs.some((each) => each.size === size)) say(verdict(size, highest))
  }
}

/** Whether the server holds the rate of this run: nearly all frames arrive, and their latency is low. */
function holds({ delivered, p99 }: BenchRun): boolean {
  return delivered >= HOLDS.delivered && p99 !== null && p99 <= HOLDS.p99
}

function verdict(size: number, highest: number | null): string {
  const what = `${HOLDS.delivered * 100} % delivered and a p99 of at most ${HOLDS.p99} ms`
  const bytes = `${size.toLocaleString('en')} B`
  if (highest === null) return `${bytes}: no rate with ${what}.`
  return `${bytes}: up to ${highest.toLocaleString('en')}/s with ${what}.`
}

/** The runs as a table. */
export function table(runs: readonly BenchRun[]): string[] {
  const headings = [
    'bytes',
    'rate/s',
    'delivered %',
    'p50 ms',
    'p99 ms',
    'max ms',
    'CPU % pub',
    'sub',
    'dropped',
  ]
  return layOut(
    headings,
    runs.map((each) => [
      each.size.toLocaleString('en'),
      each.rate.toLocaleString('en'),
      (each.delivered * 100).toFixed(2),
      decimals(each.p50 ?? undefined, 2),
      decimals(each.p99 ?? undefined, 2),
      decimals(each.max ?? undefined, 2),
      (each.publisherCpu * 100).toFixed(0),
      (each.subscriberCpu * 100).toFixed(0),
      dropsText(each.dropped),
    ]),
  )
}

function line({ size, rate, delivered, p50, p99 }: BenchRun): string {
  return (
    `${size.toLocaleString('en')} B at ${rate.toLocaleString('en')}/s: ${(delivered * 100).toFixed(2)} % delivered, ` +
    `p50 ${decimals(p50 ?? undefined, 2)} ms, p99 ${decimals(p99 ?? undefined, 2)} ms`
  )
}

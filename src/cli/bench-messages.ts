/** What `datatrack bench` and its two processes tell each other, and what stands in its frames. */
import type { IceTransports } from '../connection/connect-options'

/** To a process. Tokens are sent this way because, unlike a command line, other users of the machine cannot read it. */
export type BenchRequest =
  | {
      readonly type: 'connect'
      readonly role: 'publisher' | 'subscriber'
      readonly url: string
      readonly token: string
      readonly iceTransports: IceTransports
      readonly passphraseFile: string | undefined
      readonly track: string
    }
  /** To the publisher: small frames until told to stop, so that the subscriber knows when the path is there. */
  | { readonly type: 'probe'; readonly on: boolean }
  /** To the subscriber: waits for a first frame, or counts those of a run. */
  | { readonly type: 'await' }
  | { readonly type: 'count'; readonly run: number }
  /** To the publisher. */
  | {
      readonly type: 'send'
      readonly run: number
      readonly rate: number
      readonly size: number
      readonly seconds: number
    }
  /** To the subscriber: the run is over, `sent` frames have left. */
  | { readonly type: 'report'; readonly sent: number }

/** From a process: the answer to a request. */
export type BenchAnswer =
  { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly message: string }

/** What the publisher says of a run. */
export interface SentFigures {
  readonly pushed: number
  readonly sent: number
  readonly dropped: Readonly<Record<string, number>>
  /** Processor time of the process, share of one core. */
  readonly cpu: number
}

/** What the subscriber says of a run. */
export interface ReceivedFigures {
  readonly received: number
  /** One way, ms; `null` when nothing arrived. */
  readonly p50: number | null
  readonly p99: number | null
  readonly max: number | null
  readonly dropped: Readonly<Record<string, number>>
  readonly cpu: number
}

/** Bytes at the start of a frame: the run, and when it was pushed. */
export const FRAME_HEADER = 12
/** The run of frames that belong to none. */
export const PROBE_RUN = 0

/** ms on a clock that all processes of a machine share. */
export function sharedClock(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

/** The messages between `datatrack bench` and its two processes, and the header of its frames. */
import type { IceTransports } from '../connection/connect-options'

/** The command that a process of the bench runs. The help does not list it. */
export const WORKER_COMMAND = 'bench-worker'

/**
 * A request to a process. Tokens go through these messages because other users of the machine can read command lines,
 * but not messages between processes.
 */
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
  /**
   * To the publisher: starts or stops sending small frames. The subscriber knows from the first of them that the server
   * forwards the track.
   */
  | { readonly type: 'probe'; readonly on: boolean }
  /** To the subscriber: waits for the first frame (`await`), or starts to count the frames of a run (`count`). */
  | { readonly type: 'await' }
  | { readonly type: 'count'; readonly run: number }
  /** To the publisher: sends frames of `size` bytes, `rate` a second, for `seconds`. */
  | {
      readonly type: 'send'
      readonly run: number
      readonly rate: number
      readonly size: number
      readonly seconds: number
    }
  /** To the subscriber: the run is over, and the publisher has sent `sent` frames. */
  | { readonly type: 'report'; readonly sent: number }

/** The answer of a process to a request. */
export type BenchAnswer =
  { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly message: string }

/** The publisher's figures of a run. */
export interface SentFigures {
  readonly pushed: number
  readonly sent: number
  readonly dropped: Readonly<Record<string, number>>
  /** CPU time of the process as a share of one core. */
  readonly cpu: number
}

/** The subscriber's figures of a run. */
export interface ReceivedFigures {
  readonly received: number
  /** One-way latencies, ms. `null` if no frame arrived. */
  readonly p50: number | null
  readonly p99: number | null
  readonly max: number | null
  readonly dropped: Readonly<Record<string, number>>
  readonly cpu: number
}

/** Bytes of a frame's header: the number of the run, and the time at which the frame was pushed. */
export const FRAME_HEADER = 12
/** The number in frames that belong to no run: those that are sent before the first run. */
export const PROBE_RUN = 0

/** The time on a clock that all processes of the machine share, ms. */
export function sharedClock(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

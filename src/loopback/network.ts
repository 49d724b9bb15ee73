/** The simulated bad network of a loopback. */
import * as check from '../base/arguments'
import type { NativeNetworkOptions } from '../native/native'

/**
 * What happens to the packets of data tracks between the participants. Shares are from 0 to 1 and per packet. Default:
 * nothing happens.
 *
 * `delay`, `jitter` and `bandwidth` also hold for data packets (messages, streams, RPC), and `loss` for lossy ones.
 */
export interface LoopbackNetworkOptions {
  /**
   * With the same seed, the same packets are lost, duplicated and reordered again; it does not fix their times. A whole
   * number from 0 to 2^53 − 1. It is never used for keys or initialization vectors. Default: random.
   */
  readonly seed?: number | undefined
  /** Share of packets that are lost. */
  readonly loss?: number | undefined
  /** Share of packets that arrive twice. */
  readonly duplicate?: number | undefined
  /** Share of packets that the next packet overtakes. */
  readonly reorder?: number | undefined
  /** Delay of each packet in ms, 0 to 60,000. */
  readonly delay?: number | undefined
  /** The most that is added to `delay`, in ms, 0 to 60,000. Evenly distributed. */
  readonly jitter?: number | undefined
  /** Bytes per second, 0 to 2^53 − 1; 0: no limit. */
  readonly bandwidth?: number | undefined
  /** The network stalls for `duration` ms in every `every` ms. Both are at most 3,600,000. */
  readonly stall?: { readonly duration: number; readonly every: number } | undefined
}

/** @internal */
export function networkForNative(options: LoopbackNetworkOptions, seed: number): NativeNetworkOptions {
  const share = (name: 'loss' | 'duplicate' | 'reorder') =>
    check.number(`options.${name}`, options[name], 0, 0, 1)
  const ms = (name: 'delay' | 'jitter') => check.number(`options.${name}`, options[name], 0, 0, 60_000, ' ms')
  const stall = options.stall === undefined ? {} : check.options('options.stall', options.stall)
  const hour = 3_600_000
  return {
    seed: check.integer('options.seed', options.seed, seed, 0, Number.MAX_SAFE_INTEGER),
    loss: share('loss'),
    duplicate: share('duplicate'),
    reorder: share('reorder'),
    delayMs: ms('delay'),
    jitterMs: ms('jitter'),
    bytesPerSecond: check.number(
      'options.bandwidth',
      options.bandwidth,
      0,
      0,
      Number.MAX_SAFE_INTEGER,
      ' bytes/s',
    ),
    stallMs: check.number('options.stall.duration', stall.duration, 0, 0, hour, ' ms'),
    stallEveryMs: check.number('options.stall.every', stall.every, 0, 0, hour, ' ms'),
  }
}

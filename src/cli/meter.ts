/** Counts the frames of a track and measures their latency, since the start and since the last report. */
import { LatencyHistogram } from './histogram'

/** The figures of a period. */
export interface MeterFigures {
  /** Length of the period, s. */
  readonly seconds: number
  readonly sentFrames: number
  readonly receivedFrames: number
  readonly receivedBytes: number
  /** One-way latencies, ms. `undefined` if no frame arrived of which it is known. */
  readonly p50: number | undefined
  readonly p99: number | undefined
}

/** Counts the frames of one track on both ends. */
export class Meter {
  readonly #total = new Stretch()
  readonly #recent = new Stretch()

  /** The publisher's track accepted a frame. */
  sent(): void {
    this.#total.sent += 1
    this.#recent.sent += 1
  }

  /** The subscriber received a frame of `bytes` bytes, `latency` ms after it was pushed, if that is known. */
  received(bytes: number, latency: number | undefined): void {
    this.#total.add(bytes, latency)
    this.#recent.add(bytes, latency)
  }

  /** The figures since the last call. */
  takeRecent(): MeterFigures {
    const figures = this.#recent.figures()
    this.#recent.restart()
    return figures
  }

  /** The figures since the start. */
  total(): MeterFigures {
    return this.#total.figures()
  }
}

class Stretch {
  sent = 0
  #started = performance.now()
  #received = 0
  #bytes = 0
  readonly #latencies = new LatencyHistogram()

  add(bytes: number, latency: number | undefined): void {
    this.#received += 1
    this.#bytes += bytes
    if (latency !== undefined) this.#latencies.record(latency)
  }

  figures(): MeterFigures {
    return {
      seconds: (performance.now() - this.#started) / 1000,
      sentFrames: this.sent,
      receivedFrames: this.#received,
      receivedBytes: this.#bytes,
      p50: this.#latencies.percentile(0.5),
      p99: this.#latencies.percentile(0.99),
    }
  }

  restart(): void {
    this.sent = 0
    this.#started = performance.now()
    this.#received = 0
    this.#bytes = 0
    this.#latencies.clear()
  }
}

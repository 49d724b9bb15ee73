/** What a measured track did: in all, and since the last look. */
import { LatencyHistogram } from './histogram'

/** Figures of a stretch of time. */
export interface MeterFigures {
  /** Length of the stretch, s. */
  readonly seconds: number
  readonly sentFrames: number
  readonly receivedFrames: number
  readonly receivedBytes: number
  /** One way, ms; `undefined` when nothing arrived. */
  readonly p50: number | undefined
  readonly p99: number | undefined
}

/** Counts the frames of one track on both ends. */
export class Meter {
  readonly #total = new Stretch()
  readonly #recent = new Stretch()

  /** A frame was accepted by the publisher. */
  sent(): void {
    this.#total.sent += 1
    this.#recent.sent += 1
  }

  /** A frame of `bytes` bytes arrived, `latency` ms after it was pushed. */
  received(bytes: number, latency: number): void {
    this.#total.add(bytes, latency)
    this.#recent.add(bytes, latency)
  }

  /** Figures since the last call. */
  takeRecent(): MeterFigures {
    const figures = this.#recent.figures()
    this.#recent.restart()
    return figures
  }

  /** Figures since the start. */
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

  add(bytes: number, latency: number): void {
    this.#received += 1
    this.#bytes += bytes
    this.#latencies.record(latency)
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

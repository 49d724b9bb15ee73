/** Which server a room's connection goes to: the one that the application named, or one of its regions. */
import { log } from '../base/logging'
import type { Regions } from './regions'

/** See the top of this file. */
export class ServerChoice {
  /** The server that the application named. */
  readonly home: URL
  readonly #regions: Regions | undefined
  #current: URL

  /** `regions`: `undefined` for a server without regions. */
  constructor(home: URL, regions: Regions | undefined) {
    this.home = home
    this.#current = home
    this.#regions = regions
  }

  get current(): URL {
    return this.#current
  }

  get hasRegions(): boolean {
    return this.#regions !== undefined
  }

  /** See `Regions.prefetch`. */
  prefetch(token: string, signal: AbortSignal): void {
    this.#regions?.prefetch(token, signal)
  }

  /** A new round of attempts begins: each region may be tried again. */
  begin(): void {
    this.#regions?.reset(this.#current)
  }

  /** Moves on to the next region. Returns whether there was one. If not, the next round begins at {@link home}. */
  async next(token: string, signal: AbortSignal): Promise<boolean> {
    const region = await this.#regions?.next(token, signal)
    if (region === undefined) {
      this.giveUp()
      return false
    }
    log('info', 'signal', 'connecting failed; trying another region')
    this.#current = region
    return true
  }

  /** No other region makes sense. The next round begins at {@link home}. */
  giveUp(): void {
    this.#current = this.home
  }

  /** See `Regions.report`. */
  report(settings: unknown): void {
    this.#regions?.report(settings)
  }
}

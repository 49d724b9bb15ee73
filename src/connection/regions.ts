/**
 * Regions of LiveKit Cloud. A project's host leads to the nearest region. If that fails, the host lists the other
 * regions over HTTP, and they are tried in its order.
 */
import type { ConnectOptions } from './connect-options'
import { withDeadline } from '../base/abort'
import { log } from '../base/logging'
import { serverUrl } from './address'
import { httpRequest } from './http-request'
import { isObject } from '../base/arguments'

/** ms that the host may take to answer. */
const FETCH_TIMEOUT = 5000
/** ms that an answer is valid if it does not say how long. */
const DEFAULT_MAX_AGE = 5000
/** The most ms that an answer is valid. */
export const MAX_MAX_AGE = 3_600_000
/** The most bytes of an answer, and the most regions kept of one. */
export const MAX_ANSWER = 262_144
export const MAX_REGIONS = 64
/** Hosts whose regions are kept, for all rooms of the process. The oldest is dropped first. */
export const MAX_HOSTS = 32

interface KnownRegions {
  readonly urls: readonly URL[]
  /** By `performance.now()`. */
  readonly until: number
}

const known = new Map<string, KnownRegions>()

/** Whether a host is one of LiveKit Cloud, which has regions. */
export function isCloudHost(server: URL): boolean {
  return /\.livekit\.(cloud|run)$/.test(server.hostname)
}

/** The regions of one host, as one room tries them. */
export class Regions {
  readonly #host: URL
  readonly #options: Pick<ConnectOptions, 'agent' | 'ca' | 'proxy'>
  readonly #tried = new Set<string>()
  #fetching: Promise<readonly URL[]> | undefined

  constructor(host: URL, options: Pick<ConnectOptions, 'agent' | 'ca' | 'proxy'>) {
    this.#host = host
    this.#options = options
  }

  /** Fetches the list unless it is known, because a host that fails may not answer when the list is needed. */
  prefetch(token: string, signal: AbortSignal): void {
    if (this.#fresh() !== undefined) return
    this.#fetch(token, signal).catch(() => {
      log('debug', 'signal', 'the regions of the server could not be fetched')
    })
  }

  /**
   * The next region that was not tried since {@link reset}; `undefined` if there is none or the host does not answer.
   */
  async next(token: string, signal: AbortSignal): Promise<URL | undefined> {
    let urls = this.#fresh()
    try {
      urls ??= await this.#fetch(token, signal)
    } catch {
      // An outdated answer is better than none.
      urls = known.get(this.#host.host)?.urls ?? []
    }
    const url = urls.find(({ href }) => !this.#tried.has(href))
    if (url !== undefined) this.#tried.add(url.href)
    return url
  }

  /** Marks all regions as not tried, except the one that is tried first. */
  reset(first: URL): void {
    this.#tried.clear()
    this.#tried.add(first.href)
  }

  /** Takes the regions from a leave request of the server: `livekit.RegionSettings`. */
  report(settings: unknown): void {
    const urls = this.#urlsIn(settings)
    if (urls.length > 0) this.#keep(urls, DEFAULT_MAX_AGE)
  }

  #fresh(): readonly URL[] | undefined {
    const regions = known.get(this.#host.host)
    return regions !== undefined && performance.now() < regions.until ? regions.urls : undefined
  }

  #fetch(token: string, signal: AbortSignal): Promise<readonly URL[]> {
    this.#fetching ??= this.#fetchNow(token, signal).finally(() => {
      this.#fetching = undefined
    })
    return this.#fetching
  }

  async #fetchNow(token: string, signal: AbortSignal): Promise<readonly URL[]> {
    const { agent, ca, proxy } = this.#options
    const { status, headers, text } = await httpRequest(settingsUrl(this.#host), {
      headers: { authorization: `Bearer ${token}` },
      agent,
      ca,
      ...(proxy !== undefined && { proxy }),
      signal: withDeadline(FETCH_TIMEOUT, signal),
      maxLength: MAX_ANSWER,
    })
    if (status !== 200) throw new Error(`HTTP status ${status}`)
    const urls = this.#urlsIn(JSON.parse(text))
    this.#keep(urls, maxAgeOf(headers['cache-control']))
    return urls
  }

  #keep(urls: readonly URL[], maxAge: number): void {
    const { host } = this.#host
    known.delete(host)
    const [oldest] = known.keys()
    if (known.size >= MAX_HOSTS && oldest !== undefined) known.delete(oldest)
    known.set(host, { urls, until: performance.now() + maxAge })
  }

  /** Leaves out invalid entries, and those that would send the token unencrypted. */
  #urlsIn(settings: unknown): URL[] {
    const regions = isObject(settings) ? settings['regions'] : undefined
    if (!Array.isArray(regions)) return []
    return regions.slice(0, MAX_REGIONS).flatMap((region: unknown) => {
      const text = isObject(region) ? region['url'] : undefined
      if (typeof text !== 'string') return []
      try {
        const url = serverUrl(text)
        return this.#host.protocol === 'wss:' && url.protocol !== 'wss:' ? [] : [url]
      } catch {
        return []
      }
    })
  }
}

function settingsUrl(host: URL): URL {
  const scheme = host.protocol === 'wss:' ? 'https:' : 'http:'
  return new URL('/settings/regions', `${scheme}//${host.host}`)
}

/** How long an answer counts, ms. */
function maxAgeOf(cacheControl: string | undefined): number {
  const seconds = /(?:^|[\s,])max-age=(\d{1,9})/i.exec(cacheControl ?? '')?.[1]
  return seconds === undefined ? DEFAULT_MAX_AGE : Math.min(Number(seconds) * 1000, MAX_MAX_AGE)
}

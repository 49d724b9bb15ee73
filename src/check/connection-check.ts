/** What `datatrack doctor` does, for programs: everything on the way to a server is tried, with progress. */
import * as check from '../base/arguments'
import { printable } from '../base/printable'
import { TypedEmitter } from '../base/typed-emitter'
import { checkConnectArguments } from '../connection/server-connection'
import type { Finding } from './finding'
import type { CheckName } from './run-checks'

/** State of a check. The names are livekit-client's, in lower case; `warning`: it works, with limits. */
export type ConnectionCheckStatus = 'idle' | 'running' | 'skipped' | 'success' | 'warning' | 'failed'

/** A check and its result. */
export interface ConnectionCheckInfo {
  readonly name: CheckName
  /** What is tried. */
  readonly description: string
  readonly status: ConnectionCheckStatus
  /** What was seen, in plain words; empty while it is `idle` or `running`. */
  readonly message: string
  /** What to do about it; empty if there is nothing to be done. */
  readonly help: string
}

/** Options of a {@link ConnectionCheck}. */
export interface ConnectionCheckOptions {
  /** The token of another participant of the same room. Without it, frames are sent and not seen to arrive. */
  readonly subscriberToken?: string | undefined
  /** ms that each check may take, 500 to 120,000. Default: 10,000. */
  readonly timeout?: number | undefined
}

/** Listeners of a {@link ConnectionCheck}. */
export interface ConnectionCheckEvents {
  /** A check began or ended. `id`: its place in {@link ConnectionCheck.getResults}. */
  checkUpdate: (id: number, info: ConnectionCheckInfo) => void
}

const descriptions: Readonly<Record<CheckName, string>> = {
  binary: 'the native addon loads',
  address: 'the host has an address',
  http: 'the server answers HTTP',
  token: 'the server takes the token',
  signalling: 'the server lets the participant in',
  UDP: 'data can flow over UDP',
  TCP: 'data can flow over TCP',
  data: 'frames arrive at another participant',
}

/** ms that a check may take. */
const TIMEOUT = 10_000

/** Tries everything on the way to a server. The participants join the tokens' room for it, and leave it again. */
export class ConnectionCheck extends TypedEmitter<ConnectionCheckEvents> {
  readonly #url: string
  readonly #token: string
  readonly #subscriber: string | undefined
  readonly #timeoutMs: number
  #results: ConnectionCheckInfo[] = initial()
  #running = false

  /** @throws `TypeError` or `RangeError` that names the argument */
  constructor(url: string | URL, token: string, options: ConnectionCheckOptions = {}) {
    super()
    const { server } = checkConnectArguments(url, check.string('token', token), {})
    this.#url = server.href
    this.#token = check.headerText('token', token)
    const { subscriberToken, timeout } = check.options('options', options)
    this.#subscriber =
      subscriberToken === undefined ? undefined : check.headerText('options.subscriberToken', subscriberToken)
    this.#timeoutMs = check.integer('options.timeout', timeout, TIMEOUT, 500, 120_000, ' ms')
  }

  /**
   * Runs all checks, one after the other. A check that fails does not reject: its result says so.
   *
   * @param options the signal ends the run before the next check
   * @throws an `Error` if it is running already; `TypeError` that names the option; the signal's `reason`
   */
  async run(
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<readonly ConnectionCheckInfo[]> {
    const signal = check.signal('options.signal', check.options('options', options).signal)
    if (this.#running) throw new Error('the checks are running already')
    signal?.throwIfAborted()
    this.#running = true
    this.#results = initial()
    try {
      // Loaded on first use: importing the package loads no more than it must.
      const { runChecks } = await import('./run-checks.js')
      await runChecks(
        {
          ...{ url: this.#url, publisher: this.#token, subscriber: this.#subscriber },
          ...{ made: false, timeoutMs: this.#timeoutMs },
        },
        {
          begins: (name) => {
            signal?.throwIfAborted()
            this.#update(name, { status: 'running' })
          },
          found: (finding) => this.#found(finding),
        },
      )
      signal?.throwIfAborted()
      return this.#results
    } finally {
      this.#running = false
    }
  }

  /** Whether no check has failed. */
  isSuccess(): boolean {
    return this.#results.every(({ status }) => status !== 'failed')
  }

  /** The checks in their order, with what is known of each. */
  getResults(): readonly ConnectionCheckInfo[] {
    return [...this.#results]
  }

  #found({ check: name, status, what, help }: Finding): void {
    this.#update(name as CheckName, {
      status: status === 'ok' ? 'success' : status,
      message: this.#clean(what),
      help: this.#clean(help ?? ''),
    })
  }

  #update(name: CheckName, change: Partial<ConnectionCheckInfo>): void {
    const id = this.#results.findIndex((each) => each.name === name)
    const before = this.#results[id]
    if (before === undefined) return
    const info = { ...before, ...change }
    this.#results[id] = info
    this.emit('checkUpdate', id, info)
  }

  /** A server may repeat a token, and its words end on terminals. */
  #clean(text: string): string {
    const secrets = [this.#token, this.#subscriber].filter((secret) => secret !== undefined)
    return printable(secrets.reduce((cleaned, secret) => cleaned.replaceAll(secret, '…'), text))
  }
}

function initial(): ConnectionCheckInfo[] {
  const names = Object.keys(descriptions) as CheckName[]
  return names.map((name) => ({
    name,
    ...{ description: descriptions[name], status: 'idle' as const, message: '', help: '' },
  }))
}

/** The checks of `datatrack doctor` for programs. They try each step on the way to a server and report progress. */
import * as check from '../base/arguments'
import { printable } from '../base/printable'
import { TypedEmitter } from '../base/typed-emitter'
import { checkConnectArguments } from '../connection/server-connection'
import type { Finding } from './finding'
import { runChecks } from './run-checks'
import type { CheckName } from './run-checks'

/** State of a check. The names are livekit-client's, in lower case. `warning`: the step works, with limits. */
export type ConnectionCheckStatus = 'idle' | 'running' | 'skipped' | 'success' | 'warning' | 'failed'

/** A check and its result. */
export interface ConnectionCheckInfo {
  readonly name: CheckName
  /** What the check tries. */
  readonly description: string
  readonly status: ConnectionCheckStatus
  /** What the check saw, in plain words. Empty while the check is `idle` or `running`. */
  readonly message: string
  /** What the user can do about the result. Empty if nothing has to be done. */
  readonly help: string
}

/** Options of a {@link ConnectionCheck}. */
export interface ConnectionCheckOptions {
  /**
   * The token of a second participant in the same room. Without it, the check `data` only sends a frame, and cannot see
   * whether frames arrive.
   */
  readonly subscriberToken?: string | undefined
  /** ms that each check may take, 500 to 120,000. Default: 10,000. */
  readonly timeout?: number | undefined
}

/** Listeners of a {@link ConnectionCheck}. */
export interface ConnectionCheckEvents {
  /** A check began or ended. `id`: the index of the check in {@link ConnectionCheck.getResults}. */
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
  'TURN/UDP': 'data can flow through a relay over UDP',
  'TURN/TLS': 'data can flow through a relay over TLS or TCP',
  data: 'frames arrive at another participant',
}

/** The default time limit of a check, ms. */
const TIMEOUT = 10_000

/**
 * Tries each step on the way to a server. The participants of the tokens join their room for the checks, and leave it
 * afterwards.
 */
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
   * Runs all checks, one after the other. If a check fails, its result says so, and the promise does not reject.
   *
   * @param options the signal ends the run before the next check
   * @throws an `Error` if the checks are running already; a `TypeError` that names the option; the signal's `reason`
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
      await runChecks(
        {
          ...{ url: this.#url, publisher: this.#token, subscriber: this.#subscriber },
          ...{ second: 'the option subscriberToken', made: false, timeoutMs: this.#timeoutMs },
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

  /** All checks in their order, with the results so far. */
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

  /**
   * Removes tokens and control characters. A server may repeat a token in its answer, and programs print the answer on
   * terminals.
   */
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

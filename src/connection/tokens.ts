/** The token of a connection, and where the next one comes from. */
import { abortable } from '../base/abort'
import * as check from '../base/arguments'
import { isObject } from '../base/arguments'
import { DataTrackConnectionError } from '../base/errors'
import { decodeClaims } from './claims'
import type { TokenSourceConfigurable, TokenSourceFixed, TokenSourceResponseObject } from './token-source'

/** What a function that gives tokens is called with. */
export interface TokenRequest {
  /** Aborts when the token is no longer needed. */
  readonly signal: AbortSignal
  /** The room that the token has to name, if the server has moved the participant into another room; else `undefined`. */
  readonly roomName?: string | undefined
}

/** A function that gives a token, or an answer with one. */
export type TokenProvider = (
  request: TokenRequest,
) => string | TokenSourceResponseObject | Promise<string | TokenSourceResponseObject>

/** An access token, or where to get one: a function, or a `TokenSource`. */
export type ConnectToken = string | TokenProvider | TokenSourceFixed | TokenSourceConfigurable

/** ms before its end from which a token counts as expired: making a connection takes time, too. */
const EXPIRY_MARGIN = 10_000

/** Checks a token, or where it comes from. @throws `TypeError` or `RangeError` that names the argument */
export function checkToken(name: string, token: unknown): ConnectToken {
  if (typeof token === 'string') return check.headerText(name, token)
  if (typeof token === 'function') return token as TokenProvider
  if (isObject(token) && typeof token['fetch'] === 'function') return token as unknown as TokenSourceFixed
  throw check.invalidType(name, 'a string, a function or a TokenSource', token)
}

export class Tokens {
  readonly #source: Exclude<ConnectToken, string> | undefined
  readonly #refreshed: (token: string) => void
  #current: string
  /** Whether the server refused the current token. */
  #refused = false
  /** Whether the current token came from the source, and no server has accepted it yet. */
  #untried = false
  /** The room that the source's first token named. */
  #firstRoom: string | undefined

  /** `refreshed`: called with each token that takes the place of another one. */
  constructor(token: ConnectToken, refreshed: (token: string) => void) {
    this.#current = typeof token === 'string' ? token : ''
    this.#source = typeof token === 'string' ? undefined : token
    this.#refreshed = refreshed
  }

  /** The last token; empty before {@link ready}. */
  get current(): string {
    return this.#current
  }

  /**
   * The token for an attempt: a fresh one if there is none yet, or if it has expired or was refused.
   *
   * @throws `DataTrackConnectionError` (`tokenUnavailable`); the signal's `reason`; for the first token, `TypeError` or
   * `RangeError` if it is none
   */
  async ready(signal: AbortSignal): Promise<string> {
    const first = this.#current === ''
    if (this.#source === undefined || !(first || this.#refused || hasExpired(this.#current)))
      return this.#current
    const token = await this.#fetch(this.#source, first, signal)
    if (token === undefined) return this.#current
    if (first) this.#firstRoom = decodeClaims(token)?.room
    this.#refused = false
    this.#untried = true
    const before = this.#current
    this.#current = token
    if (!first && token !== before) this.#refreshed(token)
    return token
  }

  /** The server has sent a new token. */
  take(token: string): void {
    if (token === this.#current) return
    this.#current = token
    this.#refused = false
    this.#refreshed(token)
  }

  /** A server has accepted the current token. */
  accepted(): void {
    this.#untried = false
  }

  /** A server has refused the current token. Returns whether there may be a better one. */
  refuse(): boolean {
    this.#refused = this.#source !== undefined && !this.#untried
    return this.#refused
  }

  /** `undefined`: the source's token is for another room, and the current one is better. */
  async #fetch(
    source: Exclude<ConnectToken, string>,
    first: boolean,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    let answer: string | TokenSourceResponseObject
    try {
      signal.throwIfAborted()
      const roomName = this.#otherRoom()
      const wanted = roomName === undefined ? {} : { roomName }
      const asked =
        typeof source === 'function' ? source({ signal, ...wanted }) : source.fetch(wanted, !first)
      answer = await abortable(asked, signal)
    } catch (cause) {
      signal.throwIfAborted()
      if (cause instanceof DataTrackConnectionError) throw cause
      throw new DataTrackConnectionError('tokenUnavailable', { cause })
    }
    const token = isObject(answer) ? answer.participantToken : answer
    try {
      return this.#checked(check.headerText('the result of token()', token))
    } catch (cause) {
      // A mistake of the program, which shows at once. Later, there is another attempt.
      if (first || cause instanceof DataTrackConnectionError) throw cause
      throw new DataTrackConnectionError('tokenUnavailable', { cause })
    }
  }

  /** The room into which the server has moved the participant. The source may not know of it. */
  #otherRoom(): string | undefined {
    const room = decodeClaims(this.#current)?.room
    return room === this.#firstRoom ? undefined : room
  }

  /** The session is the participant's, and the room's: a token for another one would end it. */
  #checked(token: string): string | undefined {
    const [before, now] = [decodeClaims(this.#current), decodeClaims(token)]
    const same =
      before === undefined ||
      now === undefined ||
      (before.identity === now.identity && before.room === now.room)
    if (same) return token
    // The server that sent the current token may still take it, by its own clock.
    if (this.#otherRoom() !== undefined && !this.#refused) return undefined
    const detail = 'the new token is for another participant or room'
    throw new DataTrackConnectionError('tokenUnavailable', { detail })
  }
}

function hasExpired(token: string): boolean {
  const expires = decodeClaims(token)?.expires
  return expires !== undefined && expires * 1000 - EXPIRY_MARGIN <= Date.now()
}

/** Changes to the local participant's name, metadata and attributes. */
import * as check from '../base/arguments'
import { SignalRequestError } from '../base/errors'
import { log } from '../base/logging'
import { entryOf } from '../base/map-keys'
import type { PendingRequests } from './pending-requests'

/** Options of a request to the server. */
export interface RequestOptions {
  /**
   * Stops waiting. The promise then rejects with the signal's `reason`. The server may carry out the request all the
   * same.
   */
  readonly signal?: AbortSignal | undefined
}

/** The properties that a participant may change. */
export interface Profile {
  readonly name: string
  readonly metadata: string
  readonly attributes: Readonly<Record<string, string>>
}

/**
 * Changes the local participant's profile, and restores it after a rebuild.
 *
 * A new server session has the profile of the token. livekit-server first announces a change, which completes the
 * change here, and later sends a new token that contains it. If the session is lost in between, the next one begins
 * without the change.
 */
export class OwnProfile {
  readonly #mine: Profile
  readonly #requests: PendingRequests
  /** The properties set by this program. Other programs restore the ones that they set. */
  readonly #set = { name: false, metadata: false, attributes: new Set<string>() }
  /** Pending changes. They are sent again by themselves. */
  readonly #updates = new Set<Partial<Profile>>()
  /** Restored properties that are not confirmed yet. Another new session would begin without them, too. */
  #unrestored: Partial<Profile> = {}

  /** `mine`: the profile, as it is at any time. */
  constructor(mine: Profile, requests: PendingRequests) {
    this.#mine = mine
    this.#requests = requests
  }

  /**
   * Asks the server for a change. It sends only the properties to change, not the others as known here, so that two
   * overlapping calls do not undo each other.
   */
  async update(given: Partial<Profile>, options: RequestOptions | undefined): Promise<void> {
    if ('name' in given) checkText('name', given.name)
    if ('metadata' in given) checkText('metadata', given.metadata)
    if ('attributes' in given) checkAttributes(given.attributes)
    const signal = check.signal('options.signal', check.options('options', options).signal)
    const update = { ...given, ...(given.attributes && { attributes: { ...given.attributes } }) }
    this.#updates.add(update)
    try {
      await this.#request(update, signal)
    } finally {
      this.#updates.delete(update)
    }
    this.#unrestored = without(this.#unrestored, update)
    this.#set.name ||= 'name' in update
    this.#set.metadata ||= 'metadata' in update
    for (const key of Object.keys(update.attributes ?? {})) this.#set.attributes.add(key)
  }

  /**
   * There is a new server session, which begins with `joined`. Properties set here that differ from it are set again.
   */
  restore(joined: Profile): void {
    const name = this.#unrestored.name ?? this.#mine.name
    const metadata = this.#unrestored.metadata ?? this.#mine.metadata
    const attributes = { ...this.#mine.attributes, ...this.#unrestored.attributes }
    const lost = [...this.#set.attributes].filter(
      (key) => (entryOf(attributes, key) ?? '') !== (entryOf(joined.attributes, key) ?? ''),
    )
    let update: Partial<Profile> = {
      ...(this.#set.name && name !== '' && name !== joined.name && { name }),
      ...(this.#set.metadata && metadata !== '' && metadata !== joined.metadata && { metadata }),
      ...(lost.length > 0 && {
        attributes: Object.fromEntries(lost.map((key) => [key, entryOf(attributes, key) ?? ''])),
      }),
    }
    for (const pending of this.#updates) update = without(update, pending)
    this.#unrestored = update
    if (Object.keys(update).length === 0) return
    this.#request(update, undefined).then(
      () => {
        this.#unrestored = without(this.#unrestored, update)
      },
      (error: unknown) => {
        if (error instanceof SignalRequestError && error.reason === 'disconnected') return
        log('warn', 'signal', 'metadata, name or attributes could not be set again after a reconnect')
      },
    )
  }

  async #request(
    { name = '', metadata = '', attributes = {} }: Partial<Profile>,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const mine = this.#mine
    const wanted = Object.entries(attributes)
    await this.#requests.request(
      (requestId) => ({
        case: 'updateMetadata',
        value: { requestId, name, metadata, attributes: { ...attributes } },
      }),
      {
        signal,
        done: () =>
          (name === '' || mine.name === name) &&
          (metadata === '' || mine.metadata === metadata) &&
          wanted.every(([key, value]) => (entryOf(mine.attributes, key) ?? '') === value),
      },
    )
  }
}

/** The rest of an update after another update sets some of its properties. */
function without(update: Partial<Profile>, other: Partial<Profile>): Partial<Profile> {
  const attributes = Object.entries(update.attributes ?? {}).filter(
    ([key]) => entryOf(other.attributes ?? {}, key) === undefined,
  )
  return {
    ...(update.name !== undefined && other.name === undefined && { name: update.name }),
    ...(update.metadata !== undefined && other.metadata === undefined && { metadata: update.metadata }),
    ...(attributes.length > 0 && { attributes: Object.fromEntries(attributes) }),
  }
}

/** LiveKit's request cannot set an empty text: it means "no change". */
function checkText(name: string, value: unknown): void {
  if (check.string(name, value) === '') throw check.outOfRange(`${name}.length`, '>= 1', 0)
}

function checkAttributes(attributes: unknown): void {
  if (typeof attributes !== 'object' || attributes === null || Array.isArray(attributes)) {
    throw check.invalidType('attributes', 'an object of strings', attributes)
  }
  for (const [key, value] of Object.entries(attributes)) check.string(`attributes.${key}`, value)
}

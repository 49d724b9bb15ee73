/** Changing one's own name, metadata and attributes. */
import * as check from '../base/arguments'
import { SignalRequestError } from '../base/errors'
import { log } from '../base/logging'
import { entryOf } from '../base/map-keys'
import type { PendingRequests } from './pending-requests'

/** Options of a request to the server. */
export interface RequestOptions {
  /** Gives up waiting; the promise rejects with the signal's `reason`. What was asked for may happen all the same. */
  readonly signal?: AbortSignal | undefined
}

/** What a participant is known by, and may change. */
export interface Profile {
  readonly name: string
  readonly metadata: string
  readonly attributes: Readonly<Record<string, string>>
}

/**
 * Changes of one's own profile, and its return after a reconnect.
 *
 * A new session has of it what the token says. livekit-server tells a change first, by which it counts as done here, and
 * sends a token with it afterwards: a session that is lost in between begins anew without the change.
 */
export class OwnProfile {
  readonly #mine: Profile
  readonly #requests: PendingRequests
  /** What has been set here; what others have set, they see to. */
  readonly #set = { name: false, metadata: false, attributes: new Set<string>() }
  /** Changes that are being asked for: they are asked for again by themselves. */
  readonly #updates = new Set<Partial<Profile>>()
  /** What was to be set again and is not confirmed: another new session begins without it as well. */
  #unrestored: Partial<Profile> = {}

  /** `mine`: as it stands at any time. */
  constructor(mine: Profile, requests: PendingRequests) {
    this.#mine = mine
    this.#requests = requests
  }

  /**
   * Asks the server for a change. Only what is to change is sent, and not the rest as it is known here: two calls that
   * overlap must not undo each other.
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

  /** There is a new session, which begins with `joined`: what was set here and is not in that is set again. */
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

/** What is left of an update when another one sets some of it. */
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

/** LiveKit's request cannot say "empty": an empty text stands for "leave it as it is". */
function checkText(name: string, value: unknown): void {
  if (check.string(name, value) === '') throw check.outOfRange(`${name}.length`, '>= 1', 0)
}

function checkAttributes(attributes: unknown): void {
  if (typeof attributes !== 'object' || attributes === null || Array.isArray(attributes)) {
    throw check.invalidType('attributes', 'an object of strings', attributes)
  }
  for (const [key, value] of Object.entries(attributes)) check.string(`attributes.${key}`, value)
}

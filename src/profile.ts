/** Changing one's own name, metadata and attributes. */
import * as check from './arguments'
import { SignalRequestError } from './errors'
import { log } from './logging'
import type { PendingRequests } from './signal/pending-requests'

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
 * A new session has of it what the token says, and livekit-server puts what was changed into a token that it sends some
 * time after its answer: a session that is lost in between, and what is set shortly before, would be lost with it.
 */
export class OwnProfile {
  readonly #mine: Profile
  readonly #requests: PendingRequests
  /** What has been set here; what others have set, they see to. */
  readonly #set = { name: false, metadata: false, attributes: new Set<string>() }

  /** `mine`: as it stands at any time. */
  constructor(mine: Profile, requests: PendingRequests) {
    this.#mine = mine
    this.#requests = requests
  }

  /**
   * Asks the server for a change. Only what is to change is sent, and not the rest as it is known here: two calls that
   * overlap must not undo each other.
   */
  async update(update: Partial<Profile>, options: RequestOptions | undefined): Promise<void> {
    if ('name' in update) checkText('name', update.name)
    if ('metadata' in update) checkText('metadata', update.metadata)
    if ('attributes' in update) checkAttributes(update.attributes)
    const signal = check.signal('options.signal', check.options('options', options).signal)
    await this.#request(update, signal)
    this.#set.name ||= 'name' in update
    this.#set.metadata ||= 'metadata' in update
    for (const key of Object.keys(update.attributes ?? {})) this.#set.attributes.add(key)
  }

  /** There is a new session, which begins with `joined`: what was set here and is not in that is set again. */
  restore(joined: Profile): void {
    const { name, metadata, attributes } = this.#mine
    const lost = [...this.#set.attributes].filter(
      (key) => (attributes[key] ?? '') !== (joined.attributes[key] ?? ''),
    )
    const update: Partial<Profile> = {
      ...(this.#set.name && name !== '' && name !== joined.name && { name }),
      ...(this.#set.metadata && metadata !== '' && metadata !== joined.metadata && { metadata }),
      ...(lost.length > 0 && {
        attributes: Object.fromEntries(lost.map((key) => [key, attributes[key] ?? ''])),
      }),
    }
    if (Object.keys(update).length === 0) return
    this.#request(update, undefined).catch((error: unknown) => {
      if (error instanceof SignalRequestError && error.reason === 'disconnected') return
      log('warn', 'signal', 'metadata, name or attributes could not be set again after a reconnect')
    })
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
          wanted.every(([key, value]) => (mine.attributes[key] ?? '') === value),
      },
    )
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
